"""The host's side of the evidence: puts the programs into the client, starts them, looks at them, fetches, proves.

    evidence = Evidence(lab.kokone, rundir, server="192.0.2.220", export="/mnt/e0.0", now_ms=lab.now_ms)
    evidence.install(lab.pete, lab.mclaws)
    evidence.uses_nfs("/mnt/v3", "3"); evidence.uses_nfs("/mnt/v4", "4.1")
    evidence.start_writer("v3", "/mnt/v3"); evidence.start_writer("v4", "/mnt/v4")
    evidence.start_reader("r3", "/mnt/v3", of="v3"); evidence.start_walker("find", "/mnt/v4", "copied")
    evidence.wait_going_on()
    with evidence.scene("power pulled", taker=lab.mclaws) as scene:
        scene.mark("the power cable of pete is pulled"); lab.pull_cord("pete")
        ...                                     # until the other node serves; at its end all programs go on
    scene.tell(step)                            # pauses, reclaims, picture into the step; or StepFailed
    evidence.require_locks(lab.mclaws)          # EvidenceError unless each writer's lock is held there
    evidence.require_nfs()                      # EvidenceError unless the requests really went to the server
    evidence.stop()
    tell(evidence.audit_on(lab.mclaws), step)   # or audit_device(lab.pete, DEVICE) when all is unmounted

Every failure is an EvidenceError with the place and the fact.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.client import audit, guests, mounts
from lab.client.diary import Entry, entries
from lab.client.guests import DIARIES, HOME, EvidenceError, Guest
from lab.client.locks import LockState, State
from lab.client.scene import Scene

FILE_AT_MOST_S = 300
"""For fetching a writer's file from a guest that is slow."""
_BAD_LOG = re.compile(r"(?i)(lockd|nfs|sunrpc|rpc).*(fail|lost|reclaim|stale|denied|corrupt|error)")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs on the client. ``below``: its folder under the mount, so under the export, too."""

    name: str
    kind: str
    mount: str
    below: str
    diary: str
    pid: int
    locked: bool = False

    @property
    def data(self) -> str:
        """A writer's file, relative to the export."""
        return posixpath.join(self.below, f"{self.name}.data")


class Evidence:
    """All that is taken on one client in one run. ``export`` is the served folder on the serving node."""

    def __init__(
        self,
        client: Guest,
        rundir: str,
        *,
        server: str,
        export: str,
        say: Callable[[str], None] = print,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        sleep: Callable[[float], None] = time.sleep,
        home: str = HOME,
        diaries: str = DIARIES,
        tag: str = "1",
    ) -> None:
        self.client = client
        self.rundir = rundir
        self.server = server
        self.export = export
        self.say = say
        self.now_ms = now_ms
        self.sleep = sleep
        self.home = home
        self.diaries = diaries
        self.tag = tag
        self.programs: dict[str, Program] = {}
        self.windows: list[audit.Window] = []
        self.stopped = False
        self._scenes = 0
        self._mounts: dict[str, mounts.NfsMount] = {}

    # -- setting up ---------------------------------------------------------------------------------------------

    def install(self, *nodes: Guest) -> None:
        """Put the programs into the client and into ``nodes``, which answer for locks."""
        for guest in (self.client, *nodes):
            guests.install(guest, home=self.home, diaries=self.diaries)

    def uses_nfs(self, point: str, version: str) -> mounts.NfsMount:
        """The client's mount ``point`` is NFS of this version from the cluster address; EvidenceError if not."""
        found = self._mountstats().get(point)
        complaints = mounts.complaints(found, point, version, self.server)
        if found is None or complaints:
            raise EvidenceError(f"{self.client.name}: " + "; ".join(complaints))
        self._mounts.setdefault(point, found)
        return found

    def start_writer(
        self, name: str, mount: str, below: str = "", *, lock: bool = True, extra: tuple[str, ...] = ()
    ) -> Program:
        """Start a writer on ``mount``; it is writing, and holds its lock, when this returns."""
        arguments = ["--dir", posixpath.join(mount, below), "--name", name, "--record", self.diary(name)]
        arguments += ["--lock"] if lock else []
        return self._start(Program(name, "writer", mount, below, self.diary(name), 0, lock), [*arguments, *extra])

    def start_reader(
        self, name: str, mount: str, below: str = "", *, of: str, extra: tuple[str, ...] = ()
    ) -> Program:
        """Start a reader of what the writer ``of`` writes; ``mount`` may be another than the writer's."""
        arguments = ["--dir", posixpath.join(mount, below), "--of", of, "--record", self.diary(name)]
        arguments += ["--writer-record", self.diary(of)]
        return self._start(Program(name, "reader", mount, below, self.diary(name), 0), [*arguments, *extra])

    def start_walker(self, name: str, mount: str, below: str = "", *, extra: tuple[str, ...] = ()) -> Program:
        """Start a walk, round after round, through a tree that does not change."""
        arguments = ["--dir", posixpath.join(mount, below), "--name", name, "--record", self.diary(name)]
        return self._start(Program(name, "walker", mount, below, self.diary(name), 0), [*arguments, *extra])

    def diary(self, name: str) -> str:
        """Where the diary of ``name`` lies in the client."""
        return posixpath.join(self.diaries, f"{self.tag}-{name}.jsonl")

    def _start(self, program: Program, arguments: list[str]) -> Program:
        if program.name in self.programs:
            raise EvidenceError(
                f"{self.client.name}: a program named {program.name} runs already; take another name"
            )
        log = posixpath.join(self.diaries, f"{self.tag}-{program.name}.out")
        self.client.spawn(guests.program(program.kind, *arguments, home=self.home), log=log)
        try:
            start = json.loads(guests.await_line(self.client, program.diary, ["start"], timeout_s=600))
            ready = {"writer": "locked" if program.locked else "opened", "reader": "opened", "walker": "file"}
            line = guests.await_line(self.client, program.diary, [ready[program.kind], "error"], timeout_s=600)
        except EvidenceError as error:
            said = self.client.run(["tail", "-n", "5", log], check=False).stdout.strip()
            raise EvidenceError(f"{error}; it said: {said or 'nothing'}") from None
        found = json.loads(line)
        if found["what"] == "error":
            why = found.get("why") or found["message"]
            raise EvidenceError(f"{self.client.name}: {program.name} cannot {found['during']}: {why}")
        started = Program(
            program.name, program.kind, program.mount, program.below, program.diary, start["pid"], program.locked
        )
        self.programs[program.name] = started
        self.say(f"  {program.kind} {program.name} runs on {posixpath.join(program.mount, program.below)}")
        return started

    # -- while it runs --------------------------------------------------------------------------------------------

    def scene(self, name: str, *, taker: Guest | None = None, limit_s: int = 180) -> Scene:
        """A scene with a beginning and an end; with ``taker`` the locks' way there is watched, see ``Scene``"""
        self._scenes += 1
        return Scene(self, name, self._scenes, taker, limit_s)

    def wait_going_on(self, timeout_s: int = 180) -> None:
        """Until each program has got an answer to something it asked after this call.

        EvidenceError: who waits when the time is over, or, at once, who has ended.
        """
        begin_ms = guests.uptime_ms(self.client)
        until_ms = self.now_ms() + timeout_s * 1000
        while waiting := self._waiting(begin_ms):
            if self.now_ms() > until_ms:
                raise EvidenceError(f"{self.client.name}: after {timeout_s} s " + "; ".join(waiting))
            self.sleep(0.3)

    def _waiting(self, since_ms: int) -> list[str]:
        """A sentence for each program that got no answer to a question asked after ``since_ms``."""
        found = []
        for program, lines in self._tails(40):
            if lines and lines[-1]["what"] == "end":
                said = f"has ended after {lines[-1]['errors']} errors, the last: {self._last_error(program)}"
                raise EvidenceError(f"{self.client.name}: {program.kind} {program.name} {said}")
            answers = [line for line in lines if line["what"] == audit.ANSWERS[program.kind]]
            if not any(line["begin"] >= since_ms for line in answers):
                said = f"last line: {lines[-1]['what']} at {lines[-1]['t']} ms" if lines else "no line"
                found.append(f"{program.kind} {program.name} is without an answer; {said}")
        return found

    def _last_error(self, program: Program) -> str:
        text = self.client.run(["grep", "-aE", '"what":"(error|differs)"', program.diary], check=False).stdout
        last = list(entries(text, f"diary of {program.name}"))[-1:]
        return (
            "".join(f"{line.get('during', '')}: {line.get('message') or line.get('why')}" for line in last)
            or "none"
        )

    def _tails(self, count: int) -> list[tuple[Program, list[Entry]]]:
        script = "".join(
            f"tail -n {count} {shlex.quote(program.diary)}; echo ==\n" for program in self.programs.values()
        )
        pieces = self.client.sh(script).stdout.split("==\n")
        return [
            (program, list(entries(piece, f"diary of {program.name}")))
            for program, piece in zip(self.programs.values(), pieces, strict=False)
        ]

    def lock_states(self, node: Guest) -> dict[str, LockState]:
        """Each locked writer's lock as the serving ``node`` sees it: held, not held, or unknown with the reason."""
        writers = [program for program in self.programs.values() if program.locked]
        paths = {posixpath.join(self.export, program.data): program.name for program in writers}
        if not paths:
            raise EvidenceError("no writer was started with a lock; there is nothing to ask for")
        command = guests.program("probe_lock", "--mount", self.export, *paths, home=self.home)
        result = node.run(command, timeout_s=600, check=False)
        try:
            return {
                paths[one["path"]]: LockState(
                    one["path"], State(one["state"]), one["why"], one["holder"], one["pid"]
                )
                for one in json.loads(result.stdout)
            }
        except (ValueError, KeyError, TypeError):
            why = f"{node.name} does not say: {result.stderr.strip().splitlines()[-1:] or ['no answer']}"
            return {name: LockState(path, State.UNKNOWN, why) for path, name in paths.items()}

    def require_locks(self, node: Guest) -> dict[str, LockState]:
        """As ``lock_states``; EvidenceError unless every lock is held on ``node``."""
        states = self.lock_states(node)
        bad = [
            f"lock of {name}: {one.state.value}: {one.why}"
            for name, one in states.items()
            if one.state is not State.HELD
        ]
        if bad:
            raise EvidenceError(f"{node.name}: " + "; ".join(bad))
        return states

    def require_nfs(self) -> list[str]:
        """The mounts are what they were, and requests were sent. Facts for the table; EvidenceError if not."""
        facts = []
        now = self._mountstats()
        for point, before in self._mounts.items():
            after = now.get(point)
            complaints = mounts.complaints(after, point, before.version, self.server)
            if after is None or complaints:
                raise EvidenceError(f"{self.client.name}: " + "; ".join(complaints))
            wanted = {
                ("WRITE" if p.kind == "writer" else "READ") for p in self.programs.values() if p.mount == point
            }
            if missing := mounts.not_grown(before, after, tuple(sorted(wanted))):
                raise EvidenceError(f"{self.client.name}: {point}: no {', '.join(missing)} was sent to the server")
            counts = ", ".join(
                f"{after.operations[name] - before.operations[name]} {name}" for name in sorted(wanted)
            )
            facts.append(f"{point} is NFS {after.version} from {after.server}: {counts or 'no'} requests sent")
        return facts

    def kernel_complaints(self, since_ms: int = 0) -> list[str]:
        """What the client's kernel says of lost locks, stale handles and the like; waiting is no complaint."""
        found = []
        for line in self.client.run(["dmesg"]).stdout.splitlines():
            stamp = re.match(r"\[\s*(\d+)\.(\d{3})", line)
            if stamp and int(stamp.group(1)) * 1000 + int(stamp.group(2)) >= since_ms and _BAD_LOG.search(line):
                found.append(line)
        return found

    def _mountstats(self) -> dict[str, mounts.NfsMount]:
        stats = self.client.run(["cat", mounts.MOUNTSTATS]).stdout
        return mounts.nfs_mounts(stats, self.client.run(["cat", mounts.MOUNTS]).stdout)

    # -- the end ------------------------------------------------------------------------------------------------

    def stop(self, timeout_s: int = 120) -> None:
        """End the programs and wait for the last line of their diaries. EvidenceError when one does not end."""
        for program in self.programs.values():
            # Only a process that still is this program gets the signal.
            self.client.sh(
                f"if grep -aq lab.client.{program.kind} /proc/{program.pid}/cmdline 2>/dev/null; "
                f"then kill -TERM {program.pid}; fi\n"
            )
        for program in self.programs.values():
            guests.await_line(self.client, program.diary, ["end"], timeout_s=timeout_s)
        self.stopped = True

    def fetch_diaries(self) -> dict[str, str]:
        """The diaries of all programs, kept in the run's folder, too."""
        folder = os.path.join(self.rundir, "evidence")
        os.makedirs(folder, exist_ok=True)
        texts = {}
        for program in self.programs.values():
            content = self.client.get(program.diary)
            with open(os.path.join(folder, posixpath.basename(program.diary)), "wb") as file:
                file.write(content)
            texts[program.name] = content.decode("ascii", "replace")
        return texts

    def audit_on(self, node: Guest) -> audit.Audit:
        """The proof against the files as the serving ``node`` reads them; its clean page cache is dropped first."""
        if node.run(["mountpoint", "-q", self.export], check=False).code != 0:
            raise EvidenceError(f"{node.name}: nothing is mounted on {self.export}; audit the node that serves")
        node.sh("echo 1 > /proc/sys/vm/drop_caches\n", timeout_s=600)
        return self._audit(node, self.export)

    def audit_device(self, node: Guest, device: str) -> audit.Audit:
        """The proof against the disk itself, mounted read-only and without log recovery: unmount it cleanly before.

        That no other node has it mounted is the caller's business; on this one it is checked.
        """
        if node.run(["findmnt", "-n", "--source", device], check=False).code == 0:
            raise EvidenceError(f"{node.name}: {device} is mounted; use audit_on, or unmount it first")
        point = node.run(["mktemp", "-d", "/run/audit.XXXXXX"]).stdout.strip()
        try:
            node.run(["mount", "-t", "xfs", "-o", "ro,norecovery", device, point], timeout_s=600)
            try:
                return self._audit(node, point)
            finally:
                node.run(["umount", point], timeout_s=600)
        finally:
            node.run(["rmdir", point], check=False)

    def _audit(self, node: Guest, root: str) -> audit.Audit:
        if not self.stopped:
            raise EvidenceError("the programs still run: stop() them first, their last promises would be missing")
        found = audit.Audit()
        for name, text in self.fetch_diaries().items():
            program = self.programs[name]
            if program.kind == "writer":
                path = posixpath.join(root, program.data)
                data = self._file(node, path)
                proof = audit.prove_writer(name, text, data, lock=program.locked)
            else:
                proof = audit.prove_other(name, program.kind, text)
            audit.waits(proof, entries(text, name), self.windows)
            found.proofs.append(proof)
        return found

    def _file(self, node: Guest, path: str) -> bytes:
        if node.run(["test", "-f", path], check=False).code != 0:
            return b""  # then every record of it is lost, which is what the audit will say
        return node.get(path)
