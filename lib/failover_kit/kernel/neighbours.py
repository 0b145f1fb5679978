"""Who has an IPv6 address: advertisements and solicitations over packet(7) sockets; and probes for both families.

Sources: RFC 4861 (sections 4.3, 4.4, 7.2.6: unsolicited advertisements), RFC 4862 section 5.4 (the probe of
duplicate address detection), RFC 5227 section 2.1.1 (the ARP probe).
"""

import _socket
import time

from failover_kit.kernel import arp

_ETH_P_IPV6 = 0x86DD
_ICMPV6 = 58
_SOLICITATION = 135
_ADVERTISEMENT = 136
_ROUTER = 0x80
_OVERRIDE = 0x20
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_SOURCE_OPTION = b"\x01\x01"
_TARGET_OPTION = b"\x02\x01"


def multicast_mac(address: bytes) -> bytes:
    """The Ethernet address of an IPv6 multicast address (RFC 2464, section 7)."""
    return b"\x33\x33" + address[12:]


def solicited_node(address: bytes) -> bytes:
    """The multicast address on which the owner of ``address`` listens (RFC 4291, section 2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def advertisement(mac: bytes, address: bytes, router: bool) -> bytes:
    """The frame of an unsolicited advertisement: all nodes, ``address`` is at ``mac`` from now on.

    ``router``: this host forwards. Without that flag its neighbours would strike it from their routers.
    """
    flags = _OVERRIDE | (_ROUTER if router else 0)
    body = bytes((_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0)) + address + _TARGET_OPTION + mac
    return _frame(mac, multicast_mac(_ALL_NODES), address, _ALL_NODES, body)


def solicitation(mac: bytes, address: bytes) -> bytes:
    """The frame that asks for ``address`` without owning one: the probe of duplicate address detection."""
    body = bytes((_SOLICITATION, 0, 0, 0, 0, 0, 0, 0)) + address
    target = solicited_node(address)
    return _frame(mac, multicast_mac(target), bytes(16), target, body)


def _frame(mac: bytes, to_mac: bytes, source: bytes, target: bytes, body: bytes) -> bytes:
    pseudo = source + target + len(body).to_bytes(4, "big") + bytes(3) + bytes((_ICMPV6,))
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    header = b"\x60\x00\x00\x00" + len(body).to_bytes(2, "big") + bytes((_ICMPV6, 255)) + source + target
    return to_mac + mac + _ETH_P_IPV6.to_bytes(2, "big") + header + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of ``data``."""
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def advertised_by(frame: bytes, address: bytes) -> bytes:
    """The hardware address in an advertisement of ``address``; b"" for every other frame."""
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != _ICMPV6 or frame[54] != _ADVERTISEMENT:
        return b""
    if frame[62:78] != address:
        return b""
    option = frame[78:86]
    return option[2:] if option[:2] == _TARGET_OPTION and len(option) == 8 else frame[6:12]


def announce(interface: str, mac: bytes, address: bytes, count: int) -> None:
    """Send ``count`` unsolicited advertisements on ``interface``; OSError when it cannot send."""
    frame = advertisement(mac, address, _forwards(interface))
    sock = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        sock.bind((interface, _ETH_P_IPV6))
        for _ in range(count):
            sock.send(frame)
    finally:
        sock.close()


def _forwards(interface: str) -> bool:
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/forwarding", encoding="ascii") as file:
            return file.read().strip() not in ("", "0")
    except OSError:
        return False


def who_has(interface: str, mac: bytes, address: bytes, *, probes: int, wait_ms: int) -> bytes:
    """The hardware address of another host that has ``address``; b"" when nobody answers.

    Sends ``probes`` probes and listens ``wait_ms`` milliseconds in all. OSError when the interface cannot send.
    """
    if len(address) == 4:
        kind, probe = arp.ETH_P_ARP, arp.probe(mac, address)
    else:
        kind, probe = _ETH_P_IPV6, solicitation(mac, address)
    sock = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.htons(kind))
    try:
        sock.bind((interface, kind))
        begun = time.monotonic()
        for number in range(probes):
            sock.send(probe)
            until = begun + wait_ms * (number + 1) / probes / 1000
            answer = _listen(sock, mac, address, until)
            if answer:
                return answer
    finally:
        sock.close()
    return b""


def _listen(sock: "_socket.socket", mac: bytes, address: bytes, until: float) -> bytes:
    reader = arp.claimed_by if len(address) == 4 else advertised_by
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            frame = sock.recv(2048)
        except TimeoutError:
            break
        answer = reader(frame, address)
        if answer and answer != mac:
            return answer
    return b""
