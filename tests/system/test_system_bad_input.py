"""Bad input: each has a clear sentence and an exit code or state; none starts or stops what it should not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pair import REPOSITORY, Node, Pair, wait_until

pytestmark = pytest.mark.root


def refused(node: Node, *extra: str) -> tuple[int, str]:
    """Exit code and what is said by a failoverd that does not start."""
    done = subprocess.run(
        node.command(*extra), env=node.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.fixture
def node(pair: Pair) -> Node:
    return pair.nodes[0]


def test_a_good_configuration_passes_the_check(node: Node) -> None:
    assert refused(node, "--check") == (0, "")


def test_the_check_says_what_the_files_mean_and_what_is_missing(pair: Pair) -> None:
    """Nothing of this keeps failoverd from starting, so it is said where somebody asks."""
    node = pair.nodes[0]
    with (node.home / "ha.d" / "ha.cf").open("a") as file:
        file.write("fence_device walter fence_wti_ips800 ip=192.0.2.9 password_file=/nonexistent/secret\n")
        for each in pair.nodes:
            file.write(f"fence_level {each.name} 1 switch walter\n")
    done = subprocess.run(
        node.command("--check"), env=node.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"the configuration loads on {node.name}: peer "), first
    assert any(line.startswith("group ") and ", home " in line for line in done.stdout.splitlines())
    assert "password file /nonexistent/secret of walter: No such file or directory" in done.stdout


def test_authkeys_missing(node: Node) -> None:
    (node.home / "ha.d" / "authkeys").unlink()
    code, said = refused(node)
    assert code == 6
    assert "authkeys: not found" in said


def test_authkeys_readable_by_others(node: Node) -> None:
    (node.home / "ha.d" / "authkeys").chmod(0o644)
    code, said = refused(node)
    assert code == 6
    assert "chmod 600" in said
    assert "a-key-of-some-length" not in said


def test_a_node_name_that_is_not_in_ha_cf(node: Node) -> None:
    code, said = refused(node, "--node", "benjamin")
    assert code == 6
    assert "this node is called benjamin" in said
    assert "--node" in said


def test_everything_absent_is_said_at_once(node: Node) -> None:
    """A script, an OCF agent and a fence agent that do not exist."""
    config = node.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace("fence_test", "fence_nosuch"))
    (node.home / "ha.d" / "haresources").write_text(f"{node.name} nosuch ocf:test:Nothing::a=b\n")
    code, said = refused(node)
    assert code == 6
    lines = said.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("failoverd: ") for line in lines)
    assert "no script 'nosuch'" in lines[0]
    assert "no OCF agent test:Nothing" in lines[1]
    assert "no fence agent" in lines[2]
    assert "open-sesame" not in said
    assert node.pair.ledger() == []


def test_a_serial_device_that_is_not_there_is_a_link_that_is_down(pair: Pair) -> None:
    """An adapter that is pulled out keeps no node from serving."""
    node, other = pair.nodes
    device, absent = pair.cable.devices[0], str(node.home / "ttyUSB0")
    config = node.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace(device, absent))
    done = subprocess.run(
        node.command("--check"), env=node.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"there is no serial device {absent} here now: the link is down until it comes" in done.stdout
    node.start()
    other.start()
    wait_until("they hear each other by the other link", lambda: node.peer() == other.peer() == "up")
    Path(absent).symlink_to(device)
    wait_until("the line is opened when it comes", lambda: all(not link["error"] for link in links(node)))


def links(node: Node) -> list[dict[str, Any]]:
    told = json.loads(node.ctl("status", "--json").stdout or "{}")
    return told.get("links", [{"error": "does not answer"}])


def test_an_interface_that_has_no_address_yet_is_no_fault_of_the_files(node: Node) -> None:
    """Exit 1: systemd tries again (not after 6, RestartPreventExitStatus=)."""
    with (node.home / "ha.d" / "ha.cf").open("a") as file:
        file.write("ucast nosuch0\n")
    for words, wanted in (((), 1), (("--check",), 6)):
        code, said = refused(node, *words)
        assert code == wanted
        assert "interface nosuch0 has no IPv4 address here" in said


def test_a_peer_s_address_that_cannot_be_derived_is_a_fault_of_the_files(node: Node) -> None:
    """The interface has its address, and the name of the peer none there: another start would say the same."""
    with (node.home / "ha.d" / "ha.cf").open("a") as file:
        file.write("ucast eth1\n")
    code, said = refused(node)
    assert code == 6
    assert "ucast eth1 without an address" in said


def test_a_serial_device_that_is_a_file(node: Node) -> None:
    plain = node.home / "ttyS0"
    plain.touch()
    config = node.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace(node.pair.cable.devices[0], str(plain)))
    code, said = refused(node)
    assert code == 6
    assert "no character device" in said


def test_beats_that_do_not_fit_on_the_line_are_refused_with_the_arithmetic(node: Node) -> None:
    config = node.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace("baud 115200", "baud 9600"))
    code, said = refused(node)
    assert code == 6
    assert "x 10 bits / 9600 baud" in said


def test_a_running_heartbeat_is_noticed(node: Node, folder: Path) -> None:
    """In a PID namespace of its own, or every failoverd on this machine would see it."""
    shutil.copy("/bin/sleep", folder / "heartbeat")
    script = f"{folder}/heartbeat 60 & exec \"$@\""
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", script, "sh"]
    done = subprocess.run(
        [*apart, *node.command()],
        env=node.environment(), capture_output=True, text=True, check=False, timeout=60,
    )
    assert done.returncode == 6
    assert "Heartbeat runs on this node" in done.stderr


def test_a_user_who_is_not_root(node: Node, folder: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); "
        "from failover_kit.cli.failoverd import main; os.setuid(65534); sys.exit(main([]))"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", code, str(REPOSITORY / "lib")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "must run as root" in done.stderr


def test_a_second_failoverd_on_the_same_node(pair: Pair) -> None:
    first, _ = pair.start()
    code, said = refused(first)
    assert code == 3
    assert "failoverd already runs on this node, pid" in said
    assert first.group() == "started"
    assert len(pair.starts()) == 2


def test_a_damaged_record_is_no_record(patient: Pair) -> None:
    """Rule 23: without records there are no rights; what runs is not adopted, and not stopped either."""
    pair = patient
    first, second = pair.start()
    first.kill_daemon()
    record = first.home / "var" / "state" / "node.json"
    record.write_bytes(record.read_bytes()[:40])
    first.start()
    wait_until("it says so", lambda: "is damaged" in first.log())
    wait_until("it hears the other", lambda: first.peer() == "up")
    wait_until("it looked", lambda: first.group() == "unknown")
    time.sleep(2)
    assert first.group() == "unknown"
    assert second.group() == "stopped"
    assert len(first.processes()) >= 2
    assert len(pair.starts()) == 2
    pair.prove_one_holder()


@pytest.fixture
def small_disk(pair: Pair) -> Path:
    """The first node's state directory on a filesystem of 256 KiB."""
    var = pair.nodes[0].home / "var"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "fksys", var], check=True)
    return var


def test_a_full_disk_under_the_state_directory(pair: Pair, small_disk: Path) -> None:
    """Nothing is granted or started, nothing that runs is stopped; with room again it works."""
    try:
        first, second = pair.start()
        with (small_disk / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass
        moved = first.ctl("standby", "--timeout", "6")
        assert moved.returncode != 0
        wait_until("status says why", lambda: "No space left" in first.ctl("status").stdout)
        assert second.group() == "stopped"
        assert len(pair.starts()) == 2

        (small_disk / "ballast").unlink()
        wait_until("one node serves", lambda: "started" in (first.group(), second.group()))
        wait_until("the disk is fine again", lambda: "No space left" not in str(first.view().get("ready", "x")))
        assert second.daemon is not None
        assert second.daemon.poll() is None
        assert pair.switch_log() == []
        pair.prove_one_holder()
    finally:
        for node in pair.nodes:
            node.close()
        subprocess.run(["umount", small_disk], check=True)


SENDER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for line in sys.stdin:
        sock.sendto(bytes.fromhex(line), ("10.77.0.2", 6944))
"""


def send_datagrams(source: Node, frames: list[bytes]) -> None:
    """From the namespace of one node to the other's port, as anybody on that network could."""
    subprocess.run(
        ["nsenter", f"--net=/run/netns/{source.namespace}", "/usr/bin/python3", "-c", SENDER],
        input="".join(f"{frame.hex()}\n" for frame in frames), text=True, check=True, timeout=60,
    )


def frames_of(passed: list[bytes]) -> list[bytes]:
    whole = b"".join(passed)
    parts = whole.split(b"=failover-kit ")[1:]
    return [b"=failover-kit " + part.partition(b"=end\n")[0] + b"=end\n" for part in parts]


def links_of(node: Node) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(node.ctl("status", "--json").stdout)["links"]
    return links


def test_garbage_forged_truncated_and_replayed_frames_change_nothing(pair: Pair) -> None:
    first, second = pair.start()
    before = (first.group(), second.group(), len(pair.starts()))
    wait_until("there are frames", lambda: len(frames_of(pair.cable.passed)) > 5)
    genuine = frames_of(pair.cable.passed)[:20]
    forged = genuine[0].replace(b"beat ", b"beat 9")
    assert forged != genuine[0]
    bad = [b"", b"\x00\xff" * 400, b"###\nheartbeat\n%%%\n", genuine[0][:60], forged, genuine[0] * 3, b"x" * 60_000]
    send_datagrams(first, [*bad, *genuine])
    for frame in (*bad[:5], *genuine):
        pair.cable.inject(1, frame)
    wait_until("forged frames are named", lambda: "wrong signature" in second.log() or "forged" in second.log())
    wait_until("they are counted", lambda: all(link["refused"] >= 3 for link in links_of(second)))
    assert "Heartbeat" in second.log()
    time.sleep(1)
    assert (first.group(), second.group(), len(pair.starts())) == before
    assert second.peer() == "up"

    # A peer that fell silent is not brought back to life by what it said before.
    first.kill_daemon()
    wait_until("silence is noticed", lambda: second.peer() in ("silent", "fencing", "fenced"))
    for _ in range(5):
        send_datagrams(first, genuine)
        for frame in genuine:
            pair.cable.inject(1, frame)
        assert second.peer() != "up"
    wait_until("it is fenced all the same", lambda: "off 1" in pair.switch_log())
    wait_until("and taken over", lambda: second.group() == "started")
    pair.prove_one_holder()


def test_a_daemon_that_cannot_write_its_log_goes_on(pair: Pair) -> None:
    """Its stderr is a pipe that nobody reads: beats must not stop when it is full."""
    first, second = pair.nodes
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        first.daemon = subprocess.Popen(
            first.command(), env=first.environment(), stdout=writer, stderr=writer, stdin=subprocess.DEVNULL
        )
        (first.home / "pid").write_text(str(first.daemon.pid))
        second.start()
        wait_until("the group runs at home", lambda: first.group() == "started")
        wait_until("they hear each other", lambda: first.peer() == "up" and second.peer() == "up")
        time.sleep(6)  # two deadtimes: were its beats to stop, it would be silent from then on, and shot
        wait_until("its beats go on", lambda: second.peer() == "up")
        assert [line for line in pair.switch_log() if not line.startswith("status")] == []
    finally:
        os.close(reader)
        os.close(writer)


def test_a_configuration_that_differs_is_said_and_moves_are_refused(pair: Pair) -> None:
    second = pair.nodes[1]
    config = second.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace("op_timeout 5", "op_timeout 6"))
    first, second = pair.nodes
    first.start()
    second.start()
    wait_until("they hear each other", lambda: first.peer() == "up" and second.peer() == "up")
    wait_until("it is said", lambda: "differ between" in first.log() and "differ between" in second.log())
    moved = first.ctl("standby")
    assert "open-sesame" not in moved.stdout + moved.stderr
    pair.prove_one_holder()
