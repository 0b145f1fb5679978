"""Standard input and output on one side, the emulator's TCP port on the other, telnet taken off in between.

    bridge.py PORT          connect at once (what an sshd runs for whoever logs in)
    bridge.py PORT wake     connect when the first byte comes, and swallow it (a console that is woken up)

It shares nothing with the agent: whatever follows an IAC is simply left out.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import tty

IAC, SB, SE, WILL, DONT = 255, 250, 240, 251, 254


class Stripper:
    """Takes telnet commands out of a stream that may be cut anywhere."""

    def __init__(self) -> None:
        self.pending = b""

    def __call__(self, data: bytes) -> bytes:
        data = self.pending + data
        out = bytearray()
        at = 0
        while at < len(data):
            if data[at] != IAC:
                out.append(data[at])
                at += 1
                continue
            rest = data[at:]
            if len(rest) < 2 or (WILL <= rest[1] <= DONT and len(rest) < 3):
                break
            if rest[1] == SB:
                end = rest.find(bytes((IAC, SE)))
                if end < 0:
                    break
                at += end + 2
            else:
                at += 3 if WILL <= rest[1] <= DONT else 2
        self.pending = bytes(data[at:])
        return bytes(out)


def main() -> None:
    port = int(sys.argv[1])
    if os.isatty(0):
        tty.setraw(0)  # a device has no terminal driver that echoes and rewrites line ends
    if "wake" in sys.argv and not os.read(0, 1):
        return
    strip = Stripper()
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        while True:
            ready, _, _ = select.select([0, sock], [], [], 120)
            if not ready:
                return
            if sock in ready:
                data = sock.recv(4096)
                if not data:
                    return
                os.write(1, strip(data))
            if 0 in ready:
                data = os.read(0, 4096)
                if not data:
                    return
                sock.sendall(data)


if __name__ == "__main__":
    main()
