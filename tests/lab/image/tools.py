"""Run the tools that make an image: a list of arguments, an environment, a log, a deadline, no leftovers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

TAIL_LINES = 12
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class BuildError(Exception):
    """An image cannot be made; says what failed, the last lines of the tool, and what to do."""


def environment() -> dict[str, str]:
    """What a tool sees: nothing of the caller's but the machine's proxies."""
    fixed = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    return fixed | {name: os.environ[name] for name in PROXIES if name in os.environ}


def apart(argv: Sequence[str]) -> list[str]:
    """``argv`` in mount and pid namespaces of its own: whatever it mounts or starts ends with it, even killed.

    The tools mount /proc and /dev inside the tree they make; removing a half tree with a mount left in it
    would remove the machine's own files. All of it ends, too, when this process is killed.
    """
    private = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *private, *argv]


def run(
    argv: Sequence[str], *, log: str, timeout_s: float, remedy: str = "", cwd: str = "/", input_text: str = ""
) -> None:
    """Run ``argv`` with its output added to the file ``log``. BuildError when it fails or takes too long."""
    with open(log, "ab") as sink:
        sink.write(f"$ {' '.join(argv)}\n".encode())
        sink.flush()
        start = sink.tell()
        code = _wait(argv, sink.fileno(), timeout_s, cwd, input_text)
    if code == 0:
        return
    how = f"did not end within {timeout_s:.0f} s and was killed" if code is None else f"exited {code}"
    raise BuildError(failure(argv, how, log, start, remedy))


def failure(argv: Sequence[str], how: str, log: str, start: int, remedy: str) -> str:
    """The sentence for a failed tool, with the last lines it wrote to ``log`` after byte ``start``."""
    with open(log, "rb") as written:
        written.seek(start)
        lines = [line for line in written.read().decode(errors="replace").splitlines() if line.strip()]
    shown = "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:]) or "  | (it said nothing)"
    program = _own_words(argv)[0]
    advice = f"\nWhat to do: {remedy}" if remedy else ""
    return f"{program} {how}; its last lines:\n{shown}{advice}\nThe whole output is in {log}"


def output(argv: Sequence[str], *, timeout_s: float = 60) -> str:
    """Standard output of a quick query. BuildError when it fails."""
    try:
        done = subprocess.run(
            list(argv),
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise BuildError(missing(argv[0])) from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{argv[0]} did not answer within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["(it said nothing)"])[-1]
        raise BuildError(f"'{' '.join(argv)}' exited {done.returncode}: {last}")
    return done.stdout.decode(errors="replace")


def missing(*programs: str) -> str:
    """The sentence for programs that are not there."""
    are = "is" if len(programs) == 1 else "are"
    return f"{', '.join(programs)} {are} not installed; run `sh tools/setup.sh lab` as root"


def check_installed(programs: Sequence[str]) -> None:
    """BuildError that names all of ``programs`` that are not there, before work begins."""
    lacking = [name for name in programs if shutil.which(name, path=environment()["PATH"]) is None]
    if lacking:
        raise BuildError(missing(*lacking))


def check_room(folder: str, mib: int) -> None:
    """BuildError when the disk that holds ``folder`` has less than ``mib`` MiB left."""
    free = shutil.disk_usage(folder).free >> 20
    if free < mib:
        raise BuildError(
            f"{free} MiB are free in {folder}, and a build needs {mib}; make room, or name another folder in "
            "FAILOVER_KIT_LAB_CACHE"
        )


def _own_words(argv: Sequence[str]) -> list[str]:
    """``argv`` without what ``apart`` puts in front of it."""
    words = list(argv)
    if "--mount-proc" in words:
        words = words[words.index("--mount-proc") + 1 :]
    return words


def _wait(argv: Sequence[str], sink: int, timeout_s: float, cwd: str, input_text: str) -> int | None:
    """The exit code, or None when the deadline came first. The child's whole group is gone afterwards."""
    try:
        child = subprocess.Popen(
            list(argv),
            env=environment(),
            cwd=cwd,
            stdin=subprocess.PIPE if input_text else subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise BuildError(missing(argv[0])) from None
    try:
        child.communicate(input_text.encode() or None, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return child.returncode
