"""The host's side against a guest that is this machine: real programs, a folder in the place of the NFS mount."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.client import guests, mounts
from lab.client.audit import Proof, Waited, Window, note_trouble
from lab.client.diary import now_ms
from lab.client.evidence import Evidence
from lab.client.guests import EvidenceError
from lab.client.locks import State
from lab.client.scene import Reclaimed, tell
from lab.report import Result, StepFailed, Table
from lab.test_client_mounts import MOUNTS, MOUNTSTATS

ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
ANY = ("--any-filesystem", "--pace-ms", "1")


@dataclass(frozen=True)
class Answer:
    code: int
    stdout: str
    stderr: str
    ms: int = 0


class LocalGuest:
    """This machine as a guest. What would touch all of it is answered by ``canned`` instead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.canned: dict[str, Answer] = {
            f"cat {mounts.MOUNTSTATS}": Answer(0, MOUNTSTATS, ""),
            f"cat {mounts.MOUNTS}": Answer(0, MOUNTS, ""),
        }
        self.asked: list[str] = []
        self.children: list[subprocess.Popen[bytes]] = []

    def run(self, argv: Sequence[str], *, timeout_s: float = 30, input: bytes = b"", check: bool = True) -> Answer:
        words = shlex.join(argv)
        self.asked.append(words)
        if words in self.canned:
            return self.canned[words]
        done = subprocess.run(argv, input=input, capture_output=True, timeout=timeout_s, env=ENV, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{words}: {done.stderr!r}")
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def sh(self, script: str, *, timeout_s: float = 30, check: bool = True) -> Answer:
        if "drop_caches" in script:
            self.asked.append("drop_caches")
            return Answer(0, "", "")
        return self.run(["sh", "-eu"], timeout_s=timeout_s, input=script.encode(), check=check)

    def spawn(self, argv: Sequence[str], *, log: str) -> None:
        with open(log, "wb") as file:
            child = subprocess.Popen(argv, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=ENV)
        self.children.append(child)

    def get(self, path: str) -> bytes:
        return Path(path).read_bytes()


@dataclass
class Place:
    evidence: Evidence
    client: LocalGuest
    node: LocalGuest
    mount: str
    clock: list[int]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The client's mount and the node's export are the same folder; each pause turns the host's clock."""
    client, node = LocalGuest("kokone"), LocalGuest("mclaws")
    mount = str(tmp_path / "mount")
    os.mkdir(mount)
    node.canned[f"mountpoint -q {mount}"] = Answer(0, "", "")
    clock = [0]

    def later(seconds: float) -> None:
        clock[0] += round(seconds * 1000)

    evidence = Evidence(
        client,
        str(tmp_path / "run"),
        server="192.0.2.220",
        export=mount,
        say=lambda text: None,
        now_ms=lambda: now_ms() + clock[0],
        sleep=later,
        home=str(tmp_path / "home"),
        diaries=str(tmp_path / "diaries"),
    )
    evidence.install(node)
    yield Place(evidence, client, node, mount, clock)
    for child in client.children + node.children:
        child.kill()
        child.wait()


def stop_and_wait(pid: int) -> None:
    """kill(2) returns before another processor's process has stopped: its answer on the way would count."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 60
    while not re.search(r"^State:\tT", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
        assert time.monotonic() < until, "SIGSTOP had no effect"
        time.sleep(0.01)
    before = Path("/proc/uptime").read_text().split()[0]  # hundredths: what it asked in this one counts
    while Path("/proc/uptime").read_text().split()[0] == before:
        time.sleep(0.001)


def step_of(tmp_path: Path) -> Table:
    return Table("t", str(tmp_path / "run"), say=lambda text: None)


def test_programs_run_are_looked_at_stopped_and_proved(place: Place, tmp_path: Path) -> None:
    evidence = place.evidence
    (tmp_path / "mount" / "copied").mkdir()
    (tmp_path / "mount" / "copied" / "a").write_text("one\n")
    evidence.start_writer("v3", place.mount, extra=ANY)
    evidence.start_reader("r3", place.mount, of="v3", extra=ANY)
    evidence.start_walker("find", place.mount, "copied", extra=ANY)
    evidence.sleep = lambda seconds: None  # the clocks of guest and host must agree here
    evidence.wait_going_on()
    table = step_of(tmp_path)
    with table.step("22", "a scene") as step:
        with evidence.scene("nothing happens") as scene:
            scene.mark("nothing at all")
        scene.tell(step)
    assert [pause.who for pause in step.pauses] == ["v3", "r3", "find"]
    assert step.result is Result.DONE
    evidence.stop()
    found = evidence.audit_on(place.node)
    assert found.passed, found.sentences()
    assert "drop_caches" in place.node.asked
    assert [waited.scene for proof in found.proofs for waited in proof.waited] == ["nothing happens"] * 3
    assert os.path.exists(tmp_path / "run" / "evidence" / "1-v3.jsonl")
    with table.step("21", "audit") as step:
        tell(found, step)
    assert any("acknowledged records" in check.name for check in step.checks)


def test_an_audit_finds_what_was_broken_on_the_disk(place: Place, tmp_path: Path) -> None:
    evidence = place.evidence
    evidence.start_writer("v3", place.mount, extra=(*ANY, "--records", "30"))
    evidence.stop()
    data = Path(place.mount, "v3.data")
    data.write_bytes(data.read_bytes()[:-5])
    found = evidence.audit_on(place.node)
    assert [finding.kind for finding in found.findings][:1] == ["torn"]
    with pytest.raises(StepFailed, match="torn"), step_of(tmp_path).step("21", "audit") as step:
        tell(found, step)
    data.unlink()
    assert {finding.kind for finding in evidence.audit_on(place.node).findings} == {"lost"}


def test_a_scene_in_which_nothing_was_acknowledged_fails_the_audit(place: Place) -> None:
    evidence = place.evidence
    evidence.start_writer("v3", place.mount, extra=(*ANY, "--records", "3"))
    evidence.stop()
    evidence.windows.append(Window("an empty one", 1, 2))
    found = evidence.audit_on(place.node)
    assert [finding.kind for finding in found.findings] == ["nothing"]


def test_no_audit_while_programs_run_or_where_nothing_is_mounted(place: Place) -> None:
    place.evidence.start_writer("v3", place.mount, extra=ANY)
    with pytest.raises(EvidenceError, match="stop"):
        place.evidence.audit_on(place.node)
    place.node.canned[f"mountpoint -q {place.mount}"] = Answer(1, "", "")
    with pytest.raises(EvidenceError, match="nothing is mounted"):
        place.evidence.audit_on(place.node)


def test_a_device_that_is_mounted_is_not_audited(place: Place) -> None:
    place.node.canned["findmnt -n --source /dev/etherd/e0.0"] = Answer(0, "/mnt/e0.0", "")
    with pytest.raises(EvidenceError, match="is mounted"):
        place.evidence.audit_device(place.node, "/dev/etherd/e0.0")


def test_a_scene_without_programs_is_refused(place: Place) -> None:
    with pytest.raises(EvidenceError, match="would test nothing"), place.evidence.scene("empty"):
        pass


def test_a_writer_that_cannot_begin_says_why(place: Place) -> None:
    with pytest.raises(EvidenceError, match="is not an NFS mount"):
        place.evidence.start_writer("v3", place.mount, extra=("--pace-ms", "1"))


def test_a_program_that_has_ended_is_not_waited_for(place: Place) -> None:
    place.evidence.start_writer("v3", place.mount, extra=(*ANY, "--records", "2"))
    with pytest.raises(EvidenceError, match=r"v3 (has ended|is without an answer)"):
        place.evidence.wait_going_on(5)


def test_a_program_that_waits_is_named_when_the_time_is_over(place: Place) -> None:
    program = place.evidence.start_writer("v3", place.mount, extra=ANY)
    stop_and_wait(program.pid)
    with pytest.raises(EvidenceError, match="after 30 s writer v3 is without an answer; last line"):
        place.evidence.wait_going_on(30)
    assert place.clock[0] > 10_000  # most of it passed on the fake clock


def test_the_signal_goes_to_the_program_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = place.evidence
    evidence.start_writer("v3", place.mount, extra=(*ANY, "--records", "2"))
    place.client.children[0].wait()
    bystander = subprocess.Popen(["sleep", "600"])
    place.client.children.append(bystander)
    old = evidence.programs["v3"]
    evidence.programs["v3"] = type(old)("v3", "writer", old.mount, old.below, old.diary, bystander.pid, True)
    evidence.stop()
    assert bystander.poll() is None


def test_two_programs_of_one_name_are_refused(place: Place) -> None:
    place.evidence.start_writer("v3", place.mount, extra=ANY)
    with pytest.raises(EvidenceError, match="another name"):
        place.evidence.start_reader("v3", place.mount, of="v3", extra=ANY)


def test_locks_are_asked_of_the_node(place: Place) -> None:
    """Here the holder is a process of this very machine, which is no client: the answer is unknown, not held."""
    evidence = place.evidence
    with pytest.raises(EvidenceError, match="nothing to ask for"):
        evidence.lock_states(place.node)
    evidence.start_writer("v3", place.mount, extra=ANY)
    path = f"{place.mount}/v3.data"
    command = shlex.join(guests.program("probe_lock", "--mount", place.mount, path, home=evidence.home))
    held = json.dumps([{"path": path, "state": "held", "why": "yes", "holder": "nfsd", "pid": 9}])
    free = held.replace('"held"', '"not held"')
    for said, state in ((held, State.HELD), (free, State.FREE), ("", State.UNKNOWN)):
        place.node.canned[command] = Answer(0, said, "Traceback\nboom")
        assert evidence.lock_states(place.node)["v3"].state is state
        if state is State.HELD:
            evidence.require_locks(place.node)
        else:
            with pytest.raises(EvidenceError, match=f"lock of v3: {state.value}"):
                evidence.require_locks(place.node)
    del place.node.canned[command]
    assert evidence.lock_states(place.node)["v3"].state is State.UNKNOWN


def test_requests_must_have_been_sent(place: Place) -> None:
    evidence = place.evidence
    evidence.uses_nfs("/mnt/v3", "3")
    with pytest.raises(EvidenceError, match="wanted is 4"):
        evidence.uses_nfs("/mnt/v3", "4.1")
    evidence.start_writer("v3", place.mount, extra=ANY)
    evidence.programs["v3"] = type(evidence.programs["v3"])("v3", "writer", "/mnt/v3", "", "", 0, True)
    with pytest.raises(EvidenceError, match="no WRITE was sent"):
        evidence.require_nfs()
    grown = MOUNTSTATS.replace("WRITE: 0 0", "WRITE: 7 7")
    place.client.canned[f"cat {mounts.MOUNTSTATS}"] = Answer(0, grown, "")
    assert evidence.require_nfs() == ["/mnt/v3 is NFS 3 from 192.0.2.220: 7 WRITE requests sent"]
    place.client.canned[f"cat {mounts.MOUNTS}"] = Answer(0, "", "")
    with pytest.raises(EvidenceError, match="served by"):
        evidence.require_nfs()


def test_complaints_of_the_kernel_are_told_from_its_waiting(place: Place) -> None:
    log = (
        "[    9.100000] NFS: 192.0.2.220: lost 9 locks\n"
        "[  248.169450] nfs: server 192.0.2.220 not responding, still trying\n"
        "[  253.523990] nfs: server 192.0.2.220 OK\n"
        "[  253.944025] NFS: 192.0.2.220: lost 1 locks\n"
        "[  254.000000] lockd: failed to reclaim lock for pid 313 (errno 0, status 4)\n"
    )
    place.client.canned["dmesg"] = Answer(0, log, "")
    assert [line[:13] for line in place.evidence.kernel_complaints(10_000)] == ["[  253.944025", "[  254.000000"]


def test_a_clock_that_jumped_spoils_the_scene(place: Place) -> None:
    evidence = place.evidence
    evidence.start_writer("v3", place.mount, extra=ANY)
    with pytest.raises(EvidenceError, match="went apart"), evidence.scene("a leap"):
        place.clock[0] += 600_000


def test_machine_facts_name_kernel_and_packages(place: Place) -> None:
    facts = guests.machine_facts(place.client)
    assert facts["kernel"] == os.uname().release
    assert facts["python3"]


def test_a_scene_with_an_error_or_without_an_answer_fails_its_step(place: Place, tmp_path: Path) -> None:
    scene = place.evidence.scene("made up")
    scene.window = Window("made up", 0, 5_000)
    proof = Proof("v3", "writer", answered_ms=[100], waited=[Waited("v3", "writer", "made up", 4_900, 100, 30, 1)])
    scene.proofs = [proof]
    table = step_of(tmp_path)
    with table.step("22", "good") as step:
        scene.tell(step)
    lines = [{"what": "error", "t": 9, "during": "fsync", "name": "EIO", "message": "Input/output error"}]
    note_trouble(proof, lines)
    with pytest.raises(StepFailed, match=r"fsync: EIO .* 1 errors in all"), table.step("22", "error") as step:
        scene.tell(step)
    proof.errors = 0
    proof.findings.clear()
    proof.find("nothing", "no answer in it")
    with pytest.raises(StepFailed, match="no answer in it"), table.step("22", "empty") as step:
        scene.tell(step)
    proof.findings.clear()
    scene.reclaims = [Reclaimed("v3", 10, 20, None, None)]
    with pytest.raises(StepFailed, match="before: lock; seen: address at 10 ms"), table.step("22", "lock") as step:
        scene.tell(step)
