"""When the agent server is used, and what its silence means: with a server that says what a test wants."""

from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest

from failover_kit import VERSION
from failover_kit.manager import agentserver, agentserver_child, hacf
from failover_kit.manager.actionspace import CgroupCell, Entry
from failover_kit.manager.agentserver import _asked, _greeted, facts, files_of, own_programs
from failover_kit.manager.agentserver_call import Forked
from failover_kit.manager.agentserver_child import GO, READY, pack, unpack
from failover_kit.manager.agentserver_process import ServerProcess
from failover_kit.manager.children import Freshness, TooOld

TOP = Path(__file__).resolve().parents[2]
LAUNCHERS = ("IPaddr", "Filesystem", "exportfs", "nfsserver", "killnfsd")


# --- requests -----------------------------------------------------------------------------------------------------


def test_a_request_comes_out_as_it_went_in() -> None:
    environment = {"OCF_RESKEY_options": "a=b=c\nd \udcff\u00fc", "OCF_RESKEY_empty": "", "PATH": "/bin"}
    argv, found = unpack(pack(("/ocf/IPaddr", "start"), environment))
    assert argv == [b"/ocf/IPaddr", b"start"]
    assert found == {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    assert unpack(pack(("/ocf/IPaddr",), {})) == ([b"/ocf/IPaddr"], {})


@pytest.mark.parametrize("place", ["argv", "value"])
def test_a_nul_is_refused_as_execve_refuses_it(place: str) -> None:
    with pytest.raises(ValueError, match="null"):
        pack(("/a", "b\0c" if place == "argv" else "b"), {"OCF_x": "d\0e" if place == "value" else ""})


# --- whose agents -------------------------------------------------------------------------------------------------


def test_our_launchers_of_this_tree_are_ours(tmp_path: Path) -> None:
    programs = [str(TOP / "ocf" / name) for name in LAUNCHERS]
    assert own_programs([*programs, programs[0]]) == tuple(programs)
    link = tmp_path / "IPaddr"
    link.symlink_to(programs[0])
    assert own_programs([str(link)]) == (str(link),)


def test_what_a_user_put_there_is_not(tmp_path: Path) -> None:
    text = (TOP / "ocf" / "IPaddr").read_text()
    changed = {
        "IPaddr": "#!/bin/sh\nexit 0\n",
        "another-interpreter": text.replace("-IS", "-I"),
        "does-more": text + "print('more')\n",
        "binary": "",
    }
    (tmp_path / "ocf").mkdir()
    for name, words in changed.items():
        (tmp_path / "ocf" / name).write_text(words)
    (tmp_path / "ocf" / "binary").write_bytes(b"\x7fELF\xff\xfe")
    copied = tmp_path / "ocf" / "copied"
    copied.write_text(text)  # it leads to the tree beside it, or to none
    shutil.copytree(TOP / "lib" / "failover_kit" / "spec", tmp_path / "lib" / "failover_kit" / "spec")
    paths = [*(tmp_path / "ocf" / name for name in changed), copied, tmp_path / "none", tmp_path]
    assert own_programs(str(path) for path in paths) == ()
    assert own_programs((str(path) for path in paths), str(tmp_path / "lib")) == (str(copied),)


def test_an_installed_launcher_leads_to_the_installed_library(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "ocf" / "resource.d" / "failover-kit"
    folder.mkdir(parents=True)
    shutil.copy(TOP / "ocf" / "IPaddr", folder / "IPaddr")
    library = tmp_path / "share" / "failover-kit"
    (library / "failover_kit").mkdir(parents=True)
    assert own_programs([str(folder / "IPaddr")], str(library)) == (str(folder / "IPaddr"),)
    assert own_programs([str(folder / "IPaddr")]) == ()


def test_files_that_are_replaced_written_to_or_gone_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("one")
    files = (str(path),)
    seen = [facts(files)]
    path.write_text("two")
    seen.append(facts(files))
    other = tmp_path / "new"
    other.write_text("two")
    other.replace(path)
    seen.append(facts(files))
    path.unlink()
    seen.append(facts(files))
    assert len(set(seen)) == 4
    assert facts(files) == seen[-1]


def test_all_that_an_action_imports_is_watched() -> None:
    files = files_of([str(TOP / "ocf" / "IPaddr")])
    assert all(Path(path).exists() for path in files)
    rooms = ("agents", "kernel", "ocf", "spec")
    modules = {str(path) for room in rooms for path in (TOP / "lib" / "failover_kit" / room).glob("*.py")}
    assert modules <= set(files)
    for path in (TOP / "ocf" / "IPaddr", "/usr/bin/python3", agentserver_child.__file__):
        assert str(path) in files


# --- asking -------------------------------------------------------------------------------------------------------


class FakeServer:
    """``reply`` plays the server for one request: it gets the line."""

    def __init__(self, reply: Callable[[socket.socket], None] | None) -> None:
        self._reply = reply
        self.retired = ""
        self.calls = 0
        self.descriptors: list[int] = []

    def ask(self, request: bytes, descriptors: list[int]) -> bool:
        self.request, self.descriptors = request, descriptors
        if self._reply is None:
            return False
        line = socket.socket(fileno=os.dup(descriptors[-1]))

        def play() -> None:
            assert self._reply is not None
            self._reply(line)

        threading.Thread(target=play, daemon=True).start()
        self.calls += 1
        return True

    def over(self) -> None:
        self.calls -= 1

    def retire(self, why: str) -> None:
        self.retired = why


class FakeCell(CgroupCell):
    def __init__(self) -> None:
        super().__init__("/nowhere")

    def entry(self) -> Iterator[Entry]:
        yield Entry(procs=77)


def ready(line: socket.socket) -> None:
    """As the forked child does it, with any descriptor for the pidfd."""
    socket.send_fds(line, [READY], [0])


Reply = Callable[[socket.socket], None] | None


def ask(reply: Reply, freshness: Freshness | None = None) -> tuple[object, FakeServer]:
    server = FakeServer(reply)
    forked = _asked(server, FakeCell(), b"request", freshness)  # type: ignore[arg-type]
    return forked, server


def test_after_ready_the_child_is_told_to_go_and_its_code_comes_back() -> None:
    told: list[bytes] = []
    over = threading.Event()

    def reply(line: socket.socket) -> None:
        ready(line)
        told.append(line.recv(10))
        line.send(b"-9")
        line.close()
        over.set()

    forked, server = ask(reply)
    assert isinstance(forked, Forked)
    assert server.descriptors[0] == 77
    assert len(set(server.descriptors)) == 5
    assert over.wait(60)
    assert (told, forked.poll(), forked.lost, server.retired, server.calls) == ([GO], -9, "", "", 1)
    forked.close()
    assert forked.poll() == -9
    forked.close()
    assert server.calls == 0, "over, once"


@pytest.mark.parametrize("word", [b"refused", b"1", b"0", b"", b"ready"])
def test_any_other_word_begins_nothing(word: bytes) -> None:
    """The code 0 of a child that ended before READY is no success, and READY without a pidfd counts for nothing."""
    after: list[bytes] = []
    over = threading.Event()

    def reply(line: socket.socket) -> None:
        if word:
            line.send(word)
            after.append(line.recv(10))
        line.close()
        over.set()

    forked, server = ask(reply)
    assert forked is None
    assert over.wait(60)
    assert after in ([], [b""]), "GO was never said"
    assert (server.retired, server.calls) == ("", 0)


def test_a_server_that_takes_no_request_is_asked_no_more() -> None:
    forked, server = ask(None)
    assert (forked, server.retired, server.calls) == (None, "it took no request", 0)


def test_a_server_that_does_not_answer_is_asked_no_more_and_its_late_answer_finds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agentserver, "ANSWER_S", 0.001)
    closed = threading.Event()
    late: list[str] = []
    over = threading.Event()

    def reply(line: socket.socket) -> None:
        closed.wait(60)
        try:
            ready(line)
            late.append(f"heard {line.recv(10)!r}")
        except OSError as error:
            late.append(type(error).__name__)
        over.set()

    forked, server = ask(reply)
    closed.set()
    assert (forked, server.retired, server.calls) == (None, "it did not answer within 0.001 s", 0)
    assert over.wait(60)
    assert late == ["BrokenPipeError"]


def test_the_end_of_the_last_call_of_a_server_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen(["/bin/true"], env={})
    with pair() as (control, _):
        server = ServerProcess(process, control)
        assert process.wait(60) == 0
        assert server.ask(b"request", [])
        server.retire("gone")
        server.over()
        server.end()
        assert server.wait() == 0


def test_a_decision_that_has_become_too_old_is_not_followed() -> None:
    heard: list[bytes] = []
    over = threading.Event()

    def reply(line: socket.socket) -> None:
        ready(line)
        heard.append(line.recv(10))
        over.set()

    with pytest.raises(TooOld):
        ask(reply, Freshness(decided_ms=0, bound_ms=1))
    assert over.wait(60)
    assert heard == [b""]


def test_the_end_of_the_line_without_a_code_is_no_code() -> None:
    with pair() as (line, theirs):
        forked = call(line)
        assert (forked.poll(), forked.lost) == (None, "")
        theirs.close()
        assert forked.poll() is None
        assert "ended before it said" in forked.lost
        forked.close()


def test_a_call_that_is_given_up_keeps_what_it_knew() -> None:
    with pair() as (line, theirs):
        forked = call(line)
        theirs.send(b"7")
        forked.give_up()
        assert (forked.poll(), forked.lost) == (7, "")
        forked.close()
    with pair() as (line, _):
        forked = call(line)
        forked.give_up()
        assert forked.poll() is None
        assert "did not say how" in forked.lost
        forked.close()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (READY + b" " + VERSION.encode(), ""),
        (READY + b" 9.9.9", "it is not ready: ready 9.9.9"),
        (b"ImportError: words", "it is not ready: ImportError: words"),
        (b"", "it is not ready: it ended"),
    ],
)
def test_only_a_server_of_our_version_is_used(said: bytes, problem: str) -> None:
    with pair() as (control, theirs):
        if said:
            theirs.send(said)
        theirs.close()
        assert _greeted(control) == problem


# --- the program itself -------------------------------------------------------------------------------------------


def test_the_server_is_small_and_imports_nothing_of_the_manager() -> None:
    text = Path(agentserver_child.__file__).read_text()
    assert len(text.splitlines()) <= 250
    imported = {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported == {"_socket", "gc", "os", "select", "sys"}


def test_the_cell_comes_first_in_the_child() -> None:
    """Rule 6, as text: what stands before the cell is entered is the unpacking of arguments."""
    tree = ast.parse(Path(agentserver_child.__file__).read_text())
    (become,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "become")
    lines = [ast.unparse(node) for node in become.body[1:]]
    assert lines[:2] == ["cell, *streams, line = descriptors", "os.write(cell, b'0')"]


def test_the_switch_in_ha_cf() -> None:
    text = "node pete mclaws\nserial /dev/ttyS0\n"
    for words, expected in (("", True), ("agent_server yes\n", True), ("agent_server no\n", False)):
        parsed = hacf.parse(text + words)
        assert parsed.value is not None, parsed.problems
        assert parsed.value.agent_server is expected
    (problem,) = hacf.parse(text + "agent_server perhaps\n").problems
    assert "write yes or no" in str(problem)


# --- helpers ------------------------------------------------------------------------------------------------------


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def call(line: socket.socket) -> Forked:
    null = (FileIO("/dev/null"), FileIO("/dev/null"))
    return Forked(line, os.open("/dev/null", os.O_RDONLY), null, lambda: None)
