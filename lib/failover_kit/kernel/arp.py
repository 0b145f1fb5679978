"""Gratuitous ARP over packet(7) sockets (RFC 826; RFC 5227: probes in section 2.1, announcements in section 3).

Each announcement is sent twice, as a request and as a reply: RFC 5227 says request, and there are
switches and hosts in the field that learn only from one of the two.
"""

import _socket

ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_REQUEST = 1
_REPLY = 2


def announcement(mac: bytes, address: bytes, operation: int) -> bytes:
    """The Ethernet frame: sender and target protocol address are both ``address``."""
    target = bytes(6) if operation == _REQUEST else mac
    header = b"\x00\x01\x08\x00\x06\x04" + operation.to_bytes(2, "big")
    frame = _BROADCAST + mac + ETH_P_ARP.to_bytes(2, "big") + header + mac + address + target + address
    return frame.ljust(60, b"\0")


def probe(mac: bytes, address: bytes) -> bytes:
    """The frame that asks for ``address`` without claiming it: the sender's protocol address is zero."""
    header = b"\x00\x01\x08\x00\x06\x04" + _REQUEST.to_bytes(2, "big")
    frame = _BROADCAST + mac + ETH_P_ARP.to_bytes(2, "big") + header + mac + bytes(4) + bytes(6) + address
    return frame.ljust(60, b"\0")


def claimed_by(frame: bytes, address: bytes) -> bytes:
    """The hardware address whose owner uses, or probes for, ``address`` in an ARP frame; else b""."""
    if len(frame) < 42 or frame[12:20] != b"\x08\x06\x00\x01\x08\x00\x06\x04":
        return b""
    sender, target = frame[28:32], frame[38:42]
    uses = sender == address
    probes = sender == bytes(4) and target == address and frame[20:22] == _REQUEST.to_bytes(2, "big")
    return frame[22:28] if uses or probes else b""


def announce(interface: str, mac: bytes, address: bytes, count: int) -> None:
    """Send ``count`` pairs of announcements on ``interface``; OSError when it cannot send."""
    sock = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        sock.bind((interface, ETH_P_ARP))
        for _ in range(count):
            sock.send(announcement(mac, address, _REQUEST))
            sock.send(announcement(mac, address, _REPLY))
    finally:
        sock.close()
