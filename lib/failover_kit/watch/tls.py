"""TLS for a look: whose certificate counts, and a handshake that ends by the deadline.

Certificates are checked as a client checks them: signed by a CA that is trusted, for the name that was asked for,
not expired. CAs are read once, at the start: a file that is replaced later does not become a service that is down.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from failover_kit.spec.deadline import Deadline


class TlsError(Exception):
    """The other side is not who was asked for, or speaks no TLS; ``str()`` is the sentence."""


class SettingsError(ValueError):
    """These settings cannot be used; ``str()`` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Whom to trust. ``ca_file`` "": the CAs of this machine; ``name`` "": the one in the probe."""

    ca_file: str = ""
    name: str = ""
    insecure: bool = False


def context(settings: Settings) -> ssl.SSLContext:
    """What checks certificates by ``settings``. SettingsError when the CA file is none."""
    try:
        made = ssl.create_default_context(cafile=settings.ca_file or None)
    except ssl.SSLError:
        raise SettingsError(f"{settings.ca_file} holds no certificate; give a file in PEM format") from None
    except OSError as error:
        why = error.strerror or error
        raise SettingsError(f"{settings.ca_file} cannot be read: {why}; give the CA's certificate") from None
    if settings.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def handshake(connection: socket.socket, made: ssl.SSLContext, name: str, deadline: Deadline) -> ssl.SSLSocket:
    """``connection`` with TLS around it, which owns it from now on, also when this raises TlsError or TimeoutError.

    ``name`` is checked, and sent (SNI, RFC 6066: a name, never an address). CPython counts a socket's timeout for
    the handshake as a whole (Modules/_ssl.c, _ssl__SSLSocket_do_handshake_impl): a peer that sends a byte now and
    then gets no more time.
    """
    wrapped = made.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)
    try:
        wrapped.settimeout(deadline.left_s() or 0.001)
        wrapped.do_handshake()
    except BaseException as error:
        wrapped.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise TlsError(f"its certificate does not count: {error.verify_message}") from None
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            raise TlsError("it closes the connection in the TLS handshake") from None
        if isinstance(error, ssl.SSLError):
            raise TlsError(f"no TLS with it: {_reason(error)}") from None
        raise
    return wrapped


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's words, as it spells them in its source."""
    return (error.reason or error.strerror or str(error)).lower().replace("_", " ")

