"""TLS for the REST interface: a certificate from a file, or one made with the openssl command."""

from __future__ import annotations

import ipaddress
import os
import ssl

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

OPENSSL_TIMEOUT_MS = 30_000
_DAYS = "3650"


class CertificateError(Exception):
    """There is no certificate to use; ``str()`` says why and what helps."""


def context(path: str, address: str) -> ssl.SSLContext:
    """A server's TLS context with the certificate and key in ``path``; made for ``address`` if it is missing.

    Raises CertificateError. A made certificate is self-signed, and clients may trust it as their CA file.
    """
    if not os.path.exists(path):
        _make(path, address)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        found.load_cert_chain(path)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise CertificateError(f"{path}: {reason}; it must hold a certificate and its key as PEM") from None
    return found


def _make(path: str, address: str) -> None:
    """Write key and certificate into one new file, mode 0600."""
    try:
        name = f"IP:{ipaddress.ip_address(address)}"
    except ValueError:
        name = f"DNS:{address}"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", _DAYS, "-subj", "/CN=wti-emulator", "-addext", f"subjectAltName={name}"]
    argv += ["-keyout", "-", "-out", "-"]
    try:
        result = run(argv, Deadline(OPENSSL_TIMEOUT_MS))
    except CommandMissing:
        raise CertificateError(
            "no openssl command to make a certificate with; install openssl, or give --rest-cert FILE"
        ) from None
    except CommandTimeout as error:
        raise CertificateError(f"{error}; give --rest-cert FILE") from None
    if not result.ok():
        raise CertificateError(f"{result.describe()}; give --rest-cert FILE")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(result.stdout)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}; name a file that can be written") from None
