"""Where an agent's remarks go: the conventions of ocf_log() in resource-agents' ocf-shellfuncs.

Imported only when there is something to say. Syslog when HA_LOGFACILITY names a facility,
HA_LOGFILE when it names a file, else (and always on a terminal) stderr, which Pacemaker's executor
and failoverd both record.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LEVELS = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}


def write(tag: str, level: str, text: str, environ: "Mapping[str, str]") -> None:
    """Write one line. Never raises: a full disk under the log must not fail a stop."""
    import os

    line = f"{tag}[{os.getpid()}]: {_LEVELS[level]}: {text}"
    facility = environ.get("HA_LOGFACILITY", "none")
    logfile = environ.get("HA_LOGFILE", "")
    try:
        if not sys.stderr.isatty():
            if facility not in ("", "none"):
                _to_syslog(tag, facility, level, text)
            if logfile.startswith("/"):
                import time

                with open(logfile, "a", encoding="utf-8") as file:
                    file.write(time.strftime("%b %d %T ") + line + "\n")
            if facility not in ("", "none") or logfile.startswith("/"):
                return
        sys.stderr.write(line + "\n")
    except OSError:
        pass


def _to_syslog(tag: str, facility: str, level: str, text: str) -> None:
    import syslog

    number = getattr(syslog, f"LOG_{facility.upper()}", syslog.LOG_DAEMON)
    priority = {"error": syslog.LOG_ERR, "warning": syslog.LOG_WARNING, "info": syslog.LOG_INFO}[level]
    syslog.openlog(tag, syslog.LOG_PID, number)
    syslog.syslog(priority, f"{_LEVELS[level]}: {text}")
