"""Runs the executables of alerts.d for each alert, off the loop, in order, one at a time per script.

Alerts are for people: nothing waits for one, and nothing is decided by one. The core's turn only puts its sentences
into a bounded queue; a thread reads the directory, and each script has a thread of its own, so that one that hangs
delays only itself. They share nothing with agents and fence agents, neither cells nor threads.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from failover_kit.manager.actions import Action, Level, Note
from failover_kit.manager.alerts import Alert, Translator, environment
from failover_kit.manager.alertscripts import SCRIPT_LIMIT, Script, find_scripts
from failover_kit.manager.events import Event
from failover_kit.manager.offloop import Worker
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV

QUEUE_LIMIT = 100
"""Alerts waiting for one script, and turns waiting to be looked at. More is dropped, counted and said once."""
OUTPUT_LIMIT_BYTES = 4096  # kept of a script's output; the rest is read and dropped
CLOSE_LIMIT_S = 2.0


def call(path: str, variables: Mapping[str, str], timeout_ms: int) -> tuple[str, str]:
    """Run one script: "" or what went wrong, and its last line. Killed with its process group at the deadline."""
    deadline = Deadline(timeout_ms)
    try:
        child = subprocess.Popen(
            [path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**CLEAN_ENV, **variables},
            cwd="/",
            start_new_session=True,
            # Only system calls. It also makes Popen fork: after a vfork the whole daemon would stand still
            # until the exec has read the disk, because the interpreter's lock is held.
            preexec_fn=_lose_protection,  # noqa: PLW1509
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot be executed: {getattr(error, 'strerror', None) or error}", ""
    with child:
        output = _listen(child.stdout.fileno(), child, deadline) if child.stdout is not None else ""
        code = child.poll()
        if code is None:
            os.killpg(child.pid, signal.SIGKILL)
            _abandon(child)
            return f"did not end within {timeout_ms / 1000:g} s and was killed", output
    return ("" if code == 0 else f"exited {code}"), output


def _lose_protection(path: str = "/proc/self/oom_score_adj") -> None:
    """In the child: failoverd's OOMScoreAdjust=-1000 is not for scripts (children.py has the reason)."""
    try:
        fd = os.open(path, os.O_RDWR)
        if os.read(fd, 1) == b"-":
            os.pwrite(fd, b"0", 0)
        os.close(fd)
    except OSError:
        pass


def _listen(fd: int, child: subprocess.Popen[bytes], deadline: Deadline) -> str:
    """Read until the child has ended, whoever still holds its pipe; the last line that says something."""
    os.set_blocking(fd, False)
    kept = b""
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(fd, select.POLLIN)
    try:
        while not deadline.expired():
            ready = {number for number, _ in poll.poll(deadline.left_ms())}
            if fd in ready:
                data = os.read(fd, 1 << 16)
                kept = (kept + data)[-OUTPUT_LIMIT_BYTES:]
                if data:
                    continue
                poll.unregister(fd)
            if ended in ready:
                child.wait()
                break
    finally:
        os.close(ended)
    lines = [line.strip() for line in kept.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _abandon(child: subprocess.Popen[bytes]) -> None:
    """Collect a killed child when it comes. One in uninterruptible sleep may never: its lane goes on without it."""
    try:
        child.wait(1)
    except subprocess.TimeoutExpired:
        threading.Thread(target=os.waitpid, args=(child.pid, 0), daemon=True, name="reaper").start()
        child.returncode = -signal.SIGKILL  # so that Popen waits for it no more


class _Lane:
    """One script's thread, and what waits for it."""

    def __init__(self, name: str) -> None:
        self.worker = Worker(f"alert {name}")
        self.waiting = 0
        self.dropped = 0


class Alerts:
    """The manager's alerts. ``record`` is called on the loop after each turn of the core and never blocks."""

    def __init__(
        self,
        folder: str,
        translator: Translator,
        say: Callable[[Level, str], None],
        run: Callable[[str, Mapping[str, str], int], tuple[str, str]] = call,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """``say`` is called from threads. ``run(path, variables, timeout_ms)`` as ``call``."""
        self._folder = folder
        self._translator = translator
        self._say = say
        self._run = run
        self._wall_us = wall_us
        self._dispatcher = Worker("alerts")
        self._lanes: dict[str, _Lane] = {}
        self._lock = threading.Lock()
        self._waiting = 0
        self._dropped = 0
        self._sequence = 0
        self._complaints: dict[str, str] = {}  # by script: said once until it changes

    def record(self, now_ms: int, event: Event, actions: Sequence[Action]) -> None:  # noqa: ARG002 - a Recorder
        """Take note of one turn; most have nothing to say."""
        notes = [action for action in actions if isinstance(action, Note)] if actions else None
        if not notes:
            return
        wall_us = self._wall_us()
        with self._lock:
            if self._waiting >= QUEUE_LIMIT:
                self._dropped += 1
                return
            self._waiting += 1
        self._dispatcher.submit(lambda: self._dispatch(wall_us, event, notes))

    async def close(self) -> None:
        """Wait a bounded time for what is under way; a script that still runs then goes on without us."""
        deadline = Deadline(int(CLOSE_LIMIT_S * 1000))
        while self._busy() and not deadline.expired():
            await asyncio.sleep(0.02)
        self._dispatcher.close()
        for lane in tuple(self._lanes.values()):
            lane.worker.close()

    def _busy(self) -> bool:
        with self._lock:
            return self._waiting > 0 or any(lane.waiting for lane in self._lanes.values())

    # --- on the dispatcher's thread --------------------------------------------------------------------

    def _dispatch(self, wall_us: int, event: Event, notes: Sequence[Note]) -> None:
        try:
            alerts = list(self._translator.alerts(wall_us, event, notes))
            scripts, problems = find_scripts(self._folder) if alerts else ([], [])
            for problem in problems:
                self._complain(problem, problem)
            for alert in alerts:
                self._sequence += 1
                for script in scripts:
                    self._hand_over(script, alert, self._sequence)
        except Exception as error:  # outermost of this thread
            self._say(Level.ALARM, f"this is a bug in failover-kit: an alert was not sent: {error!r}")
        finally:
            with self._lock:
                self._waiting -= 1
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._say(Level.WARNING, f"alerts: {dropped} turns of the core were not looked at in time")

    def _hand_over(self, script: Script, alert: Alert, sequence: int) -> None:
        name = os.path.basename(script.path)
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= 2 * SCRIPT_LIMIT:  # scripts were renamed again and again
                self._complain(name, f"alerts: {script.path} is not run: too many scripts in one life of failoverd")
                return
            with self._lock:
                lane = self._lanes[name] = _Lane(name)
        with self._lock:
            if lane.waiting >= QUEUE_LIMIT:
                lane.dropped += 1
                return
            lane.waiting += 1
        lane.worker.submit(lambda: self._serve(lane, script, alert, sequence))

    # --- on a script's thread --------------------------------------------------------------------------

    def _serve(self, lane: _Lane, script: Script, alert: Alert, sequence: int) -> None:
        try:
            for recipient in script.recipients or ("",):
                variables = environment(
                    alert, sequence, recipient=recipient, timestamp_format=script.timestamp_format
                )
                failure, output = self._run(script.path, {**script.attributes, **variables}, script.timeout_ms)
                self._judge(script, failure, output)
        except Exception as error:  # outermost of this thread
            self._say(Level.ALARM, f"this is a bug in failover-kit: an alert was not sent: {error!r}")
        finally:
            with self._lock:
                lane.waiting -= 1
                dropped, lane.dropped = lane.dropped, 0
            if dropped:
                self._say(Level.WARNING, f"alerts: {script.path} was too slow, {dropped} alerts did not reach it")

    def _judge(self, script: Script, failure: str, output: str) -> None:
        """One line when a script fails, or says something, until that changes. The output is the script's own."""
        name = os.path.basename(script.path)
        said = f": {output[:200]}" if output else ""
        if failure:
            self._complain(name, f"alerts: {script.path} {failure}{said}", same=failure)
        else:
            self._complain(name, f"alerts: {script.path} says{said}" if output else "", Level.INFO)

    def _complain(self, key: str, text: str, level: Level = Level.WARNING, *, same: str = "") -> None:
        with self._lock:
            before = self._complaints.get(key, "")
            self._complaints[key] = same or text
        if text and before != (same or text):
            self._say(level, text)
