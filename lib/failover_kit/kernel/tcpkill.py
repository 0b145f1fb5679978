"""Ending the TCP connections of one local address: sock_diag(7), linux/inet_diag.h.

The kernel needs CONFIG_INET_DIAG_DESTROY, as ``ss --kill`` does; without it SOCK_DESTROY fails with EOPNOTSUPP.
"""

from _struct import Struct

from failover_kit.kernel import netlink

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_IPPROTO_TCP = 6
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then struct inet_diag_sockid.
_REQUEST = Struct("=BBBxI")
# struct inet_diag_sockid: ports (big endian), two addresses of 16 bytes, interface, cookie.
_SOCKET_ID_BYTES = 48
# struct inet_diag_msg begins with family, state, timer, retransmits; the socket's id follows.
_MESSAGE_HEAD_BYTES = 4
_SOURCE = slice(4, 20)
# All states but LISTEN (10) and TIME_WAIT (6), include/net/tcp_states.h: listeners are not connections, and
# nothing of a closed connection can still be sent.
_STATES = 0xFFF & ~(1 << 10) & ~(1 << 6)
_MAPPED = bytes(10) + b"\xff\xff"
_GONE = 2  # ENOENT: it ended by itself


def end_connections(local: bytes) -> int:
    """Destroy every TCP connection whose own address is ``local``; how many there were.

    Their owners get ECONNABORTED, the other ends a reset; with IPv4 only as long as this host has the address.
    OSError when the kernel cannot (EOPNOTSUPP) or we may not (EPERM).
    """
    ended = 0
    with netlink.Netlink(_NETLINK_SOCK_DIAG) as link:
        # A socket of a dual-stack server is an IPv6 socket with a mapped IPv4 address.
        for family in (netlink.AF_INET, netlink.AF_INET6) if len(local) == 4 else (netlink.AF_INET6,):
            for socket_id in _of(link, family, local):
                body = _REQUEST.pack(family, _IPPROTO_TCP, 0, 0xFFFFFFFF) + socket_id
                try:
                    link.request(_SOCK_DESTROY, 0, body)
                except OSError as error:
                    if error.errno != _GONE:
                        raise
                    continue
                ended += 1
    return ended


def _of(link: netlink.Netlink, family: int, local: bytes) -> "list[bytes]":
    body = _REQUEST.pack(family, _IPPROTO_TCP, 0, _STATES) + bytes(_SOCKET_ID_BYTES)
    found = []
    for message in link.dump(_SOCK_DIAG_BY_FAMILY, body, local):
        socket_id = message[_MESSAGE_HEAD_BYTES : _MESSAGE_HEAD_BYTES + _SOCKET_ID_BYTES]
        if len(socket_id) != _SOCKET_ID_BYTES:
            raise netlink.malformed()
        source = socket_id[_SOURCE]
        if source in (local.ljust(16, b"\0"), _MAPPED + local):
            found.append(socket_id)
    return found
