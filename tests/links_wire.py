"""A cable for link tests: our interface here, at the other end a namespace with a bridge and a peer that answers.

The peer is written without the module under test. The bridge lets a test cut one direction of the cable (a
port that floods nothing) and put other machines on the segment.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

IP = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin") or "ip"
HERE, THERE = "198.51.100.1", "198.51.100.2"
HERE6, THERE6 = "fe80::43:1", "fe80::43:2"
GROUP, GROUP6 = "239.0.0.43", "ff12::43"
PORT = 694
MEDIA = ("ucast", "ucast6", "bcast", "mcast", "mcast6")

# Tells when it is there, then sends back what comes in; with "send N TEXT" it answers nothing, and sends TEXT
# N times for each line it is told (0: until it is killed).
PEER = f"""
import socket, struct, sys
medium, mode = sys.argv[1], sys.argv[2:]
print("namespace", flush=True)
sys.stdin.readline()
six = medium.endswith("6")
index = socket.if_nametoindex("eth0")
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
target = None
if medium == "bcast":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    target = ("255.255.255.255", {PORT})
elif medium == "mcast":
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack(
        "4s4si", socket.inet_aton("{GROUP}"), b"", index))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    target = ("{GROUP}", {PORT})
elif medium == "mcast6":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack(
        "16sI", socket.inet_pton(socket.AF_INET6, "{GROUP6}"), index))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    target = ("{GROUP6}", {PORT}, 0, index)
s.bind(target if target and medium != "bcast" else ("::" if six else "0.0.0.0", {PORT}))
print("bound", flush=True)
if mode:
    count = int(mode[1])
    while True:
        sys.stdin.readline()
        left = count
        while left or not count:
            left -= 1
            try:
                s.sendto(mode[2].encode(), target)
            except OSError:
                pass
        print("sent", flush=True)
while True:
    data, source = s.recvfrom(2000)
    if not data.startswith(b"seen"):
        s.sendto(b"seen " + data, target or source)
"""


def ip(*words: str) -> None:
    subprocess.run([IP, *words], check=True, timeout=60, capture_output=True)


class Machine:
    """A namespace that lives as long as its process, with one bridge in it."""

    def __init__(self, *argv: str) -> None:
        self._process = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", PEER, *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid

    def ip(self, *words: str) -> None:
        enter = ["nsenter", "--net", "--target", str(self.pid), IP]
        subprocess.run([*enter, *words], check=True, timeout=60, capture_output=True)

    def transmitted(self, interface: str) -> int:
        """Packets that left by it so far."""
        enter = ["nsenter", "--net", "--target", str(self.pid), IP]
        told = subprocess.run([*enter, "-s", "-j", "link", "show", interface], check=True, capture_output=True)
        return int(json.loads(told.stdout)[0]["stats64"]["tx"]["packets"])

    def bridge(self, address: str, address6: str) -> None:
        """A switch, and this machine's eth0 in one of its ports; what br0 itself sends no port can be kept from.

        No snooping: a group that nobody asked for must come through, too. No ARP: br0 would answer for eth0.
        """
        self.expect("namespace")
        self.ip("link", "add", "br0", "up", "arp", "off", "type", "bridge", "mcast_snooping", "0")
        self.ip("link", "add", "eth0", "type", "veth", "peer", "name", "port0")
        self.ip("link", "set", "port0", "master", "br0", "up")
        self.ip("addr", "add", f"{address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{address6}/64", "dev", "eth0", "nodad")

    def begin(self) -> None:
        self.tell("go")
        self.expect("bound")

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def expect(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word

    def hush(self) -> None:
        """It answers nothing any more, and its switch goes on."""
        self._process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Wire:
    """Our interface ``name``, and the peer's machine at the other end of it."""

    def __init__(self, medium: str = "ucast") -> None:
        self.name = f"fkl{os.getpid() % 100000}"
        self.peer = Machine(medium)
        self.others: list[Machine] = []
        self.notes: list[str] = []

    def lay(self) -> None:
        self.peer.bridge(THERE, THERE6)
        self.plug_in()
        self.peer.begin()

    def plug_in(self) -> None:
        # The address of the card stays what it was: the peer's kernel believes another one only after a while.
        card = ("link", "add", self.name, "address", "02:00:5e:10:00:01")
        ip(*card, "type", "veth", "peer", "name", "hb0", "netns", str(self.peer.pid))
        ip("addr", "add", f"{HERE}/24", "dev", self.name)
        ip("link", "set", self.name, "up")
        ip("addr", "add", f"{HERE6}/64", "dev", self.name, "nodad")
        self.peer.ip("link", "set", "hb0", "master", "br0")
        self.peer.ip("link", "set", "hb0", "up")

    def unplug(self) -> None:
        ip("link", "del", self.name)

    def to_us(self, *, whole: bool) -> None:
        """Mend or cut the direction from the peer to us; the other one stays as it is."""
        on = "on" if whole else "off"
        flags = ["flood", on, "mcast_flood", on, "bcast_flood", on]
        self.peer.ip("link", "set", "hb0", "type", "bridge_slave", "learning", "off", *flags)
        self.peer.ip("link", "set", "hb0", "type", "bridge_slave", "fdb_flush")

    def another(self, *argv: str) -> Machine:
        """One more machine on the segment."""
        number = len(self.others) + 3
        machine = Machine(*argv)
        self.others.append(machine)
        machine.bridge(f"198.51.100.{number}", f"fe80::43:{number}")
        self.peer.ip("link", "add", f"hb{number}", "type", "veth", "peer", "name", "hb0", "netns", str(machine.pid))
        self.peer.ip("link", "set", f"hb{number}", "master", "br0", "up")
        machine.ip("link", "set", "hb0", "master", "br0", "up")
        machine.begin()
        return machine

    def remove(self) -> None:
        subprocess.run([IP, "link", "del", self.name], check=False, capture_output=True)
        for machine in (*self.others, self.peer):
            machine.end()
