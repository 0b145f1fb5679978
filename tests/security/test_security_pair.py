"""A real pair with marked secrets: strangers at the socket and on the wire, where secrets go, modes of files.

One pair for the module. Its first node runs under umask 000, its second under umask 077. Nothing here depends on
who serves: the tests ask whether failoverd goes on, what it wrote, and who can read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from marked import Marks, Watch, prepare, start_under, switch_of
from mutants import mutants
from pair import REPOSITORY, Node, Pair, wait_until

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.manager import law, wire
from failover_kit.manager.config import Secret
from failover_kit.manager.control import CLIENT_LIMIT

pytestmark = pytest.mark.root

NOBODY = 65534
FLOOD = 10_000
SEED = 11

CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(60)
    try:
        connection.connect(sys.argv[1])
        connection.sendall(b'{"verb":"status"}\\n')
        print(connection.makefile("rb").readline().decode())
    except OSError as error:
        print(error.strerror)
"""

SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number, line in enumerate(sys.stdin):
        try:
            sock.sendto(bytes.fromhex(line), ("10.77.0.2", 6944))
        except OSError:  # longer than a datagram
            pass
        if number % 50 == 0:
            time.sleep(0.005)  # a socket's buffer has room for some two hundred
"""


@dataclass
class Scene:
    pair: Pair
    marks: Marks
    switch: EmulatorProcess

    @property
    def first(self) -> Node:
        return self.pair.nodes[0]

    @property
    def second(self) -> Node:
        return self.pair.nodes[1]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    place = Path(tempfile.mkdtemp(prefix="fksec-", dir="/tmp"))
    place.chmod(0o711)  # a stranger gets as far as the daemon's own directories
    marks = Marks()
    pair = Pair(place)
    try:
        prepare(pair, marks)
        with switch_of(pair, marks) as switch:
            start_under(pair.nodes[0], "000")
            start_under(pair.nodes[1], "077")
            wait_until("the group runs", lambda: "started" in (pair.nodes[0].group(), pair.nodes[1].group()))
            yield Scene(pair, marks, switch)
            print(pair.logs())
    finally:
        pair.close()
        shutil.rmtree(place, ignore_errors=True)


def socket_of(node: Node) -> Path:
    return node.home / "run" / "control.sock"


def assert_goes_on(node: Node) -> None:
    """It did not end, and answers root."""
    assert node.daemon is not None
    wait_until("root is answered", lambda: b'"status"' in raw(node, b'{"verb":"status"}\n'))
    assert node.daemon.poll() is None, node.log()
    assert "bug in failover-kit" not in node.log()


# --- the control socket -----------------------------------------------------------------------------------


def as_nobody(path: Path) -> str:
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-I", "-c"]
    done = subprocess.run([*words, CONNECT, str(path)], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_nobody_is_kept_out_by_directory_by_mode_and_by_credentials(scene: Scene) -> None:
    """Three locks, each tried with those before it opened; all of it with the real daemon and a real other user."""
    for node in (scene.first, scene.second):
        path = socket_of(node)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert as_nobody(path) == "Permission denied"
        path.parent.chmod(0o755)
        try:
            assert as_nobody(path) == "Permission denied"
            path.chmod(0o666)
            answer = json.loads(as_nobody(path))
            assert answer["reply"]["text"] == "only root may talk to failoverd"
            assert "status" not in answer
        finally:
            path.chmod(0o600)
            path.parent.chmod(0o700)
        assert_goes_on(node)


def test_the_state_is_closed_to_nobody(scene: Scene) -> None:
    for node in (scene.first, scene.second):
        for path in (node.home / "var" / "state" / "node.json", node.home / "ha.d" / "authkeys"):
            words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/bin/cat", str(path)]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode != 0 and "Permission denied" in done.stderr and done.stdout == ""


def raw(node: Node, data: bytes) -> bytes:
    """Send it, and what came back until the other side closed or the answer's line was whole."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        connection.connect(str(socket_of(node)))
        with contextlib.suppress(OSError):  # refused before all was sent
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            return connection.makefile("rb").readline()
        return b""


REQUESTS = [
    b"", b"\n", b"\x00" * 100 + b"\n", b"\xff\xfe\n", b"{" * 30_000 + b"\n", b"1" * 30_000 + b"\n", b"null\n",
    b"x" * 3_000_000,
    b'{"verb":"status"',
    b'{"verb":["status"]}\n',
    b'{"verb":"status","groups":[' + b'"a",' * 10_000 + b'"a"]}\n',
    b'{"verb":"standby","groups":["\\u001b[2J\\n"]}\n',
    b'{"verb":"takeover","timeout_ms":1e400}\n',
    b'{"verb":"fence","target":"' + b"n" * 30_000 + b'"}\n',
    b'{"verb":"fence","target":"\\ud800"}\n',
]  # fmt: skip


@pytest.mark.parametrize("data", REQUESTS, ids=range(len(REQUESTS)))
def test_root_with_garbage_oversized_or_half_a_request_is_answered_or_dropped(scene: Scene, data: bytes) -> None:
    node = scene.first
    answer = raw(node, data)
    assert answer == b"" or "reply" in json.loads(answer)
    if answer:
        assert json.loads(answer)["reply"]["code"] != "done"
    assert_goes_on(node)


def test_many_silent_and_slow_clients_do_not_stop_the_daemon(scene: Scene) -> None:
    """Three times as many connections as are served: silent ones, half requests, and watchers that read nothing."""
    node = scene.first
    with contextlib.ExitStack() as open_ones:
        for number in range(3 * CLIENT_LIMIT):
            connection = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(60)
            connection.connect(str(socket_of(node)))
            connection.sendall((b"", b'{"verb":"st', b'{"verb":"watch"}\n')[number % 3])
        # It is busy with them and beats all the same: the other node hears it.
        heard = len(scene.pair.cable.passed)
        wait_until("beats go on", lambda: len(scene.pair.cable.passed) > heard + 20)
        assert node.daemon is not None and node.daemon.poll() is None
    assert_goes_on(node)


# --- the wire ---------------------------------------------------------------------------------------------


def frames_of(scene: Scene) -> list[bytes]:
    """What the first node said on the serial line, as it was cut out of the stream there."""
    stream, found = wire.StreamDecoder(), []
    for data in tuple(scene.pair.cable.passed):
        found += stream.feed(data)
    keys = {1: Secret(scene.marks.of["authkeys key"].encode())}
    genuine = []
    for frame in found:
        with contextlib.suppress(wire.FrameError):
            wire.decode(frame, keys)
            genuine.append(frame)
    assert len(genuine) > 5
    return genuine


def send(scene: Scene, frames: list[bytes]) -> None:
    """To the second node's port, as anybody on that network could."""
    command = ["nsenter", f"--net=/run/netns/{scene.first.namespace}", "/usr/bin/python3", "-I", "-c", SEND]
    data = "".join(f"{frame.hex()}\n" for frame in frames if len(frame) < 60_000)
    subprocess.run(command, input=data, text=True, check=True, timeout=300)


def refused(node: Node) -> int:
    answer = json.loads(raw(node, b'{"verb":"status"}\n') or b"{}")
    links: list[dict[str, Any]] = answer["status"]["links"] if "status" in answer else []
    return sum(link["refused"] for link in links)


def test_a_flood_of_bad_frames_on_the_real_links_is_a_few_lines_of_log(scene: Scene) -> None:
    node = scene.second
    genuine = frames_of(scene)[-40:]
    lines, before = len(node.log().splitlines()), refused(node)
    bad = [frame for frame in mutants(genuine, SEED, FLOOD) if frame not in genuine]
    began_s = time.monotonic()
    for _ in range(20):  # a busy machine loses many of them on the way
        send(scene, bad)
        if refused(node) >= before + 1_000:
            break
    for frame in bad[:200]:
        scene.pair.cable.inject(1, frame[:200])
    assert refused(node) >= before + 1_000
    assert_goes_on(node)
    dropped = [line for line in node.log().splitlines()[lines:] if "dropped" in line]
    print(f"{len(bad)} sent, {refused(node) - before} refused, {len(dropped)} lines")
    # Once a minute and kind of fault on each link.
    minutes = int(time.monotonic() - began_s) // 60 + 1
    assert 0 < len(dropped) <= 2 * len(wire.Fault) * minutes
    assert all(len(line) < 500 for line in dropped)


def test_frames_of_somebody_with_the_key_do_not_end_failoverd(scene: Scene) -> None:
    """An epoch and a maintenance with nothing above them, in the very life the other node has now."""
    node = scene.second
    keys = {1: Secret(scene.marks.of["authkeys key"].encode())}
    last = wire.decode(frames_of(scene)[-1], keys)
    before = refused(node)
    high = wire.EPOCH_LIMIT - 1
    frames = []
    for ahead in range(1, 40):
        beat = replace(last, counter=last.counter + 1 + ahead)
        claims = tuple(replace(claim, top=high, right=claim.right and high) for claim in beat.groups)
        frames.append(wire.encode(replace(beat, groups=claims), keys, 1))
        frames.append(wire.encode(replace(beat, maintenance=high), keys, 1))
    assert high > law.EPOCH_CEILING
    send(scene, frames)
    wait_until("they are refused", lambda: refused(node) > before)
    wait_until("the remedy is said", lambda: "change authkeys on both nodes" in node.log())
    assert_goes_on(node)


# --- secrets ----------------------------------------------------------------------------------------------


def outputs(node: Node) -> Iterator[tuple[str, str]]:
    """What every command of this node says, on both outputs."""
    files = ["--config-dir", str(node.home / "ha.d"), "--node", node.name]
    journal = ["--journal", str(node.home / "var" / "journal")]
    ours = [
        ["status"], ["status", "--json"], ["explain", "--html", str(node.home / "page.html"), *journal],
        ["explain", *journal], ["explain", "--json", *journal], ["budget", *files, *journal],
        ["check", "--local", *files], ["check", "--facts", *files], ["export-cib", *files],
        ["replay", "--verbose", str(node.home / "var" / "journal")],
    ]  # fmt: skip
    inside = ["nsenter", f"--net=/run/netns/{node.namespace}", str(REPOSITORY / "bin" / "failoverctl")]
    for words in ours:
        command = [*inside, "--socket", str(socket_of(node)), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, errors="replace")
        assert "Traceback" not in done.stderr, done.stderr
        yield " ".join(words), done.stdout + done.stderr
    done = subprocess.run(
        node.command("--check"), env=node.environment(), capture_output=True, text=True, check=False, timeout=300
    )
    yield "failoverd --check", done.stdout + done.stderr


def test_no_secret_is_in_any_log_journal_status_or_process_list(scene: Scene) -> None:
    """The passive node is shot by the real agent (three devices fail first), comes back, and everybody is asked."""
    first, second, marks = scene.first, scene.second, scene.marks
    wait_until("the other node is up", lambda: first.peer() == "up")
    with Watch(marks, [scene.switch.pid]) as watch:
        shot = first.ctl("fence", second.name, "--yes")
        said = dict(outputs(first))
        wait_until("alerts were given", lambda: (first.home / "alerts").exists())
    said["fence"] = shot.stdout + shot.stderr

    # The scene did happen, and the search can find: else nothing below means anything.
    assert shot.returncode == 0, said["fence"]
    assert scene.switch.events("command"), "the switch was never asked"
    assert "fence_wti_ips800" in watch.seen, watch.seen
    assert watch.looks > 20
    assert "CRM_alert_kind" in (first.home / "alerts").read_text()
    assert len(said["replay --verbose " + str(first.home / "var" / "journal")]) > 200
    assert marks.found_in((first.home / "ha.d" / "ha.cf").read_bytes() + b" ") == sorted(
        name for name in marks.of if name != "authkeys key"
    )
    assert marks.found_in((first.home / "ha.d" / "authkeys").read_bytes()) == ["authkeys key"]

    assert watch.found == set()
    for what, text in said.items():
        assert marks.found_in(text.encode()) == [], what
    may_have = {node.home / "ha.d" / name for node in scene.pair.nodes for name in ("ha.cf", "authkeys")}
    looked_at = 0
    for folder, _, names in os.walk(scene.pair.folder):
        for path in (Path(folder, name) for name in names):
            if path not in may_have and path.is_file():
                looked_at += 1
                assert marks.found_in(path.read_bytes()) == [], path
    print(f"{len(said)} outputs, {looked_at} files, {watch.looks} looks at the process list")
    assert looked_at > 15


# --- modes ------------------------------------------------------------------------------------------------

MODES = {
    "run": 0o700,
    "run/control.sock": 0o600,
    "var": 0o700,
    "var/state": 0o700,
    "var/state/lock": 0o600,
    "var/state/node.json": 0o600,
    "var/journal": 0o700,
    "var/journal/current.jsonl": 0o600,
    "failover_kit.prom": 0o644,  # for node_exporter, whose user is another one
}


@pytest.mark.parametrize("number", [0, 1], ids=["umask 000", "umask 077"])
def test_what_the_daemon_makes_has_safe_modes_under_any_umask(scene: Scene, number: int) -> None:
    node = scene.pair.nodes[number]
    assert node.daemon is not None
    if node.daemon.poll() is not None:  # it was shot
        start_under(node, "077")
    wait_until("the metrics are there", lambda: (node.home / "failover_kit.prom").exists())
    wait_until("the journal is there", lambda: (node.home / "var" / "journal" / "current.jsonl").exists())
    found = {}
    for top in ("run", "var", "failover_kit.prom"):
        for path in (node.home / top, *(node.home / top).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a draft that became the file
                found[str(path.relative_to(node.home))] = stat.S_IMODE(path.lstat().st_mode)
    print({name: oct(mode) for name, mode in sorted(found.items())})
    for name, mode in MODES.items():
        assert name in found, found
        assert oct(found[name]) == oct(mode), name
    for name, mode in found.items():
        if name not in MODES:
            assert mode & 0o077 == 0, f"{name} is {mode:04o}: give it a line in MODES, or close it"
    mask = re.search(r"^Umask:\s*(\d+)", Path(f"/proc/{node.daemon.pid}/status").read_text(), re.MULTILINE)
    assert mask is not None and int(mask[1], 8) & 0o022 == 0o022, "agents would make files that others may write"
