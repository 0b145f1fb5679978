"""Where the stonith command's words go.

cluster-glue writes ``severity: text`` to stderr only when standard input is a terminal, and to syslog
(facility daemon, tag stonith) otherwise: a script sees nothing but what it asked for. Complaints about the
command line itself always go to stderr.
"""

from __future__ import annotations

import sys
import syslog
from typing import TextIO

from failover_kit.fence.log import printable
from failover_kit.fence.secret import Secret
from failover_kit.spec.syslogline import SyslogLines

_PRIORITIES = {
    "CRIT": syslog.LOG_CRIT,
    "ERROR": syslog.LOG_ERR,
    "WARN": syslog.LOG_WARNING,
    "info": syslog.LOG_INFO,
}


class StonithLog:
    """Lines with a severity. Every line is made printable and has the secrets taken out first."""

    def __init__(
        self,
        *,
        to_stderr: bool,
        silent: bool = False,
        always_syslog: bool = False,
        tag: str = "stonith",
        stderr: TextIO | None = None,
    ) -> None:
        """Lines go to stderr or, when they do not or ``always_syslog``, to syslog under ``tag``."""
        self._to_stderr = to_stderr and not silent
        to_syslog = always_syslog or not self._to_stderr
        self._syslog = SyslogLines(tag, syslog.LOG_DAEMON) if to_syslog else None
        self._stderr = sys.stderr if stderr is None else stderr
        self._secrets: tuple[Secret, ...] = ()

    def hide(self, secrets: tuple[Secret, ...]) -> None:
        """From now on these, too, do not appear in any line."""
        self._secrets += secrets

    def critical(self, text: str) -> None:
        self.write("CRIT", text)

    def error(self, text: str) -> None:
        self.write("ERROR", text)

    def warning(self, text: str) -> None:
        self.write("WARN", text)

    def info(self, text: str) -> None:
        self.write("info", text)

    def complain(self, text: str) -> None:
        """To stderr, terminal or not: the command line cannot be carried out."""
        for line in text.splitlines():
            self._put(self._clean(line) + "\n")

    def usage(self, text: str) -> None:
        """The usage text on stderr."""
        self._put(text)

    def write(self, severity: str, text: str) -> None:
        """``severity`` is CRIT, ERROR, WARN or info."""
        for line in text.splitlines():
            clean = self._clean(line)
            if self._to_stderr:
                self._put(f"{severity}: {clean}\n")
            if self._syslog is not None:
                self._syslog.send(_PRIORITIES[severity], clean)

    def _clean(self, line: str) -> str:
        for secret in self._secrets:
            line = secret.redact(line)
        # Tabs stand in front of the parameter names of a complaint.
        return "\t".join(printable(part) for part in line.split("\t"))

    def _put(self, text: str) -> None:
        """Write and flush; a reader that went away must not stop a fence operation."""
        try:
            self._stderr.write(text)
            self._stderr.flush()
        except (OSError, ValueError):
            pass
