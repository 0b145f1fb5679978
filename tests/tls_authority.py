"""A certificate authority of a test's own, made with openssl(1), and openssl's own server."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 60.0
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words: str, cwd: Path) -> None:
    argv = ["/usr/bin/openssl", *words]
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)


@dataclass(frozen=True)
class Served:
    """What a server shows: certificate and key, in PEM files."""

    certificate: str
    key: str


class Authority:
    """Signs certificates in ``directory``. ``ca`` is what a client trusts."""

    def __init__(self, directory: Path, name: str = "test CA") -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.ca = str(directory / "ca.pem")
        openssl(
            "req", "-x509", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", "ca.key",
            "-out", "ca.pem", "-days", "2", cwd=directory,
        )  # fmt: skip
        (directory / "index.txt").touch()
        (directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nrand_serial=yes\nnew_certs_dir=.\ncertificate=ca.pem\n"
            "private_key=ca.key\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n"
            "[p]\ncommonName=supplied\n"
        )

    def signed(self, names: str, *, begin: str = "", end: str = "") -> Served:
        """A certificate for ``names`` (``DNS:www.pair.test,IP:127.0.0.1``); ``begin``, ``end`` as YYMMDDHHMMSSZ."""
        stem = f"server{len(list(self.directory.glob('*.csr')))}"
        openssl(
            "req", "-new", *NEW_KEY, "-subj", "/CN=service", "-addext", f"subjectAltName={names}",
            "-keyout", f"{stem}.key", "-out", f"{stem}.csr", cwd=self.directory,
        )  # fmt: skip
        when = ("-startdate", begin, "-enddate", end) if end else ("-days", "2")
        openssl(
            "ca", "-config", "ca.cnf", "-batch", "-notext", *when, "-in", f"{stem}.csr", "-out", f"{stem}.pem",
            cwd=self.directory,
        )  # fmt: skip
        return Served(str(self.directory / f"{stem}.pem"), str(self.directory / f"{stem}.key"))


@contextlib.contextmanager
def openssl_server(shows: Served, *more: str) -> Iterator[int]:
    """``openssl s_server -www`` on the loopback; its port. It answers every GET with a page about the session."""
    argv = ["/usr/bin/openssl", "s_server", "-www", "-accept", "127.0.0.1:0"]
    argv += ["-cert", shows.certificate, "-key", shows.key, *more]
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert child.stdout is not None
        for line in child.stdout:
            found = re.fullmatch(r"ACCEPT 127\.0\.0\.1:(\d+)\n", line)
            if found:
                break
        else:
            raise AssertionError("openssl s_server ended")
        yield int(found[1])
    finally:
        child.kill()
        child.communicate(timeout=LIMIT_S)
