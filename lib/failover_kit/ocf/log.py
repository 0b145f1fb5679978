"""Where an agent's remarks go: the conventions of ocf_log() in resource-agents' ocf-shellfuncs.

Imported only when there is something to say. A terminal on stderr gets it and nobody else. Otherwise, as
the cluster manager says in the environment:

* HA_LOGD or HA_use_logd: cluster-glue's ha_logger, and no other when that took it;
* HA_LOGFACILITY, HA_logfacility, PCMK_… likewise (the first that is set; "none" is none): syslog;
* HA_LOGFILE: a line at the end of that file, its date by HA_DATEFMT; a copy in HA_DEBUGLOG, when that is another;
* none of them, or none that took it: stderr, which Pacemaker's executor and failoverd record.

No log may hold up an agent. A line to syslog is left or dropped (spec/syslogline.py). A file may lie on a
filesystem that hangs, where no open(2) and no write(2) comes back and O_NONBLOCK means nothing; and logd may not
read. So a child does these, waited for so long and no longer (``PATIENCE_MS``); after that the process
tries it no more. The child holds nothing of ours but a lock, for which all agents of a node ask: of
children that hang there is one at most, however often a monitor has something to say.
"""

import os
import sys

from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WORDS = {"error": "ERROR", "warning": "WARNING", "info": "INFO"}
_TRUE = ("yes", "true", "1", "YES", "TRUE", "True", "ja", "on", "ON")
FACILITIES = ("HA_LOGFACILITY", "HA_logfacility", "PCMK_LOGFACILITY", "PCMK_logfacility")
HA_LOGGER = "/usr/sbin/ha_logger"
# For a disk or a daemon that is only slow. It is spent once in a process, not once a line.
PATIENCE_MS = 300
_LOCK = "failover-kit-log.lock"
_LOCK_RETRY_S = 0.01

_given_up: "set[str]" = set()


def write(tag: str, level: str, text: str, environ: "Mapping[str, str]") -> None:
    """Say ``text`` on one line; ``level`` is info, warning or error. Never raises, never waits long."""
    try:
        if sys.stderr.isatty() or not record(tag, level, text, environ):
            sys.stderr.write(shown(f"{tag}[{os.getpid()}]: {_WORDS[level]}: {text}") + "\n")
    except OSError:
        pass  # a pipe that nobody reads any more


def record(tag: str, level: str, text: str, environ: "Mapping[str, str]") -> bool:
    """Leave the line in the logs that ``environ`` names; False when none of them took it."""
    tag = shown(tag)
    message = f"{_WORDS[level]}: {shown(text)}"
    if environ.get("HA_LOGD") == "yes" or environ.get("HA_use_logd") in _TRUE:
        argv = [HA_LOGGER, "-t", f"{tag}[{os.getpid()}]", message]
        if _in_child("logd", lambda: _become(argv), environ):
            return True
    facility = next((environ[name] for name in FACILITIES if environ.get(name)), "none")
    taken = facility != "none" and _to_syslog(tag, facility, level, message)
    file, debug = environ.get("HA_LOGFILE", ""), environ.get("HA_DEBUGLOG", "")
    if file.startswith("/"):
        taken = _to_file(file, tag, message, environ) or taken
    if debug.startswith("/") and debug not in (file, "/dev/null"):
        # One more copy, never the only one: Heartbeat's default is /dev/null.
        _to_file(debug, tag, message, environ)
    return taken


def _to_syslog(tag: str, facility: str, level: str, message: str) -> bool:
    import syslog

    from failover_kit.spec.syslogline import PATH, SyslogLines

    number = getattr(syslog, f"LOG_{facility.upper()}", None)
    if not isinstance(number, int):
        number = syslog.LOG_DAEMON
    priority = {"error": syslog.LOG_ERR, "warning": syslog.LOG_WARNING, "info": syslog.LOG_INFO}[level]
    if PATH in _given_up:
        return False
    lines = SyslogLines(tag, number, path=PATH)
    taken = lines.send(priority, message)
    lines.close()
    if not taken:
        _given_up.add(PATH)
    return taken


def _to_file(path: str, tag: str, message: str, environ: "Mapping[str, str]") -> bool:
    import time

    date = time.strftime(environ.get("HA_DATEFMT") or "%b %d %T ")
    line = f"{date}{tag}[{os.getpid()}]:    {message}\n".encode("utf-8", "backslashreplace")
    return _in_child(path, lambda: _append(path, line), environ)


def _append(path: str, line: bytes) -> None:
    # A FIFO without a reader is refused instead of waited for.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    os.write(os.open(path, flags, 0o640), line)


def _become(argv: "list[str]") -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    os.execve(argv[0], argv, environment)  # noqa: S606 - a list, and no shell on purpose


def _in_child(what: str, work: "Callable[[], None]", environ: "Mapping[str, str]") -> bool:
    """``work()`` in a child that nobody waits for longer than PATIENCE_MS; whether it succeeded in that time."""
    import select
    import time

    if what in _given_up:
        return False
    end = time.monotonic() + PATIENCE_MS / 1000
    try:
        lock = _locked(end, environ)
        pid = os.fork()
        if pid == 0:
            _live(work, lock)
        os.close(lock)
        ended = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        late = not poller.poll(max(0, end - time.monotonic()) * 1000)
        os.close(ended)
        if not late:
            return os.waitpid(pid, 0)[1] == 0
        os.kill(pid, 9)  # does nothing to one that hangs in the kernel, until it does not
    except OSError:
        pass
    _given_up.add(what)
    return False


def _locked(end: float, environ: "Mapping[str, str]") -> int:
    """The lock of all writers of this node; OSError when it is not to be had in time."""
    import fcntl
    import time

    from failover_kit.ocf.agent import STATE_DIR

    directory = environ.get("HA_RSCTMP") or STATE_DIR
    os.makedirs(directory, mode=0o755, exist_ok=True)
    lock = os.open(f"{directory}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(lock)
                raise
            time.sleep(_LOCK_RETRY_S)


def _live(work: "Callable[[], None]", lock: int) -> None:
    """The child's whole life: it holds no pipe, no disk and no mount of the agent while it hangs."""
    try:
        os.setsid()
        os.chdir("/")
        os.dup2(lock, 3)
        os.set_inheritable(3, True)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        work()
        os._exit(0)
    finally:
        os._exit(1)
