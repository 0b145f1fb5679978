"""The rehearsal with everything real, and the promises around it: it sees a double start, it leaves nothing."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from failover_kit.rehearsal import rundir
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.plan import GROUP, NODES, SECOND_GROUP, STANDING, TWO_GROUPS, TWO_SUPPLIES
from failover_kit.rehearsal.proof import audit, parts_on, prove
from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline

pytestmark = pytest.mark.root

KIT = str(Path(__file__).resolve().parents[2])
REHEARSAL = [f"{KIT}/bin/rehearsal"]
PATIENCE_MS = 180_000
WHOLE_MS = 900_000
"""The whole rehearsal takes about five minutes of a quiet machine."""


def finished(child, patience_ms=PATIENCE_MS):
    """Exit code and output of a rehearsal that must end by itself; it is killed if it does not."""
    try:
        out, err = child.communicate(timeout=patience_ms / 1000)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return child.returncode, out, err


def started(tmp_path, *arguments):
    html = ["--html", str(tmp_path / "picture.html")]
    argv = [*REHEARSAL, *arguments, *html]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)


def traces_of(pid):
    """What a run of that pid left on the machine."""
    found = []
    for base in rundir.BASES:
        found += rundir.traces(os.path.join(base, str(pid)))
    return [trace for trace in found if not trace.startswith("process ")]


def processes_of(pid):
    """Processes, of any parent, whose command line names the directory of that run or its node programs."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes()
                environment = Path(f"/proc/{entry}/cgroup").read_text()
            except OSError:
                continue
            if f"rehearsal/{pid}/".encode() in words or f"rehearsal-{pid}/" in environment:
                found.append(words)
    return found


def gone(pid):
    """No process of that run is left; one that was killed may need a turn on a processor to end."""
    deadline = Deadline(60_000)
    while processes_of(pid) and not deadline.expired():
        time.sleep(0.05)
    return processes_of(pid) == []


def read_until(child, words):
    """Lines of the rehearsal until one with ``words``."""
    for line in child.stdout:
        if words in line:
            return
    pytest.fail(f"the rehearsal ended before it said {words!r}: {child.stderr.read()}")


@pytest.mark.alone  # deadtime is two seconds in it
def test_the_whole_rehearsal_passes_and_leaves_nothing(tmp_path):
    child = started(tmp_path, "--json")
    code, out, err = finished(child, WHOLE_MS)
    told = json.loads(out)
    failed = [(scene["failure"], scene["trouble"]) for scene in told["scenes"] if not scene["passed"]]
    assert not failed, (failed, err)
    assert code == 0, (told["journals"], err)
    assert [scene["scene"] for scene in told["scenes"]] == list(range(1, 15))
    assert [len(scene["proofs"]) for scene in told["scenes"]] == [3] * 13 + [4], "one of the records of each client"
    scene = told["scenes"][1]
    assert 0 < scene["client_gap_ms"] < scene["lasted_ms"], "the clients waited, and not for the whole scene"
    journals = [(journal["node"], journal["alike"]) for journal in told["journals"]]
    assert journals == [("pete", True), ("mclaws", True)] * 3, "of each setup"
    assert all("replayed" in journal["sentence"] for journal in told["journals"])
    assert "nothing is left behind" in err
    assert traces_of(child.pid) == [] and gone(child.pid)
    assert "14 of 14 scenes passed" in (tmp_path / "picture.html").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle_of_a_disaster_it_leaves_nothing(tmp_path, number):
    child = started(tmp_path, "--scene", "3")
    read_until(child, "Scene 3")
    child.send_signal(number)
    code, _, err = finished(child)
    assert code == 130, err
    assert traces_of(child.pid) == [] and gone(child.pid)


def test_killed_it_takes_its_processes_with_it_and_clean_removes_the_rest(tmp_path):
    child = started(tmp_path, "--scene", "3")
    read_until(child, "Scene 3")
    assert processes_of(child.pid)
    child.kill()
    child.communicate()
    assert gone(child.pid)
    kinds = {trace.split(" /")[0] for trace in traces_of(child.pid)}
    assert kinds <= {"directory", "control group", "loop device"}
    done = subprocess.run([*REHEARSAL, "--clean"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"/{child.pid}: removed" in done.stdout
    deadline = Deadline(60_000)
    while traces_of(child.pid) and not deadline.expired():
        time.sleep(0.05)
    assert traces_of(child.pid) == []


NODES_MOUNT_ON = ("/", "/proc", "/sys", "/sys/fs/xfs", "/run", "/tmp", "/dev/shm", "/mnt", "/etc", "/var/lib")


def machine_mounts():
    """How often something is mounted where nodes mount, as this machine sees it."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {point: points.count(point) for point in NODES_MOUNT_ON}


@pytest.fixture
def stage(request):
    """Both nodes on, nobody in charge: no failoverd runs. Its parameter is another setup."""
    others = set(rundir.traces("/nowhere"))  # children of this process that are no concern of the stage
    before = machine_mounts()
    place = rundir.RunDir()
    try:
        setup = getattr(request, "param", STANDING)
        world = World(place.path, KIT, Diary(), setup, daemon=False)
        try:
            for plan in NODES:
                world.press(plan.name, "on")
            assert machine_mounts() == before, "a node mounts for itself alone"
            yield Stage(world)
        finally:
            world.close()
    finally:
        place.close()
    assert set(rundir.left_behind(place.path)) <= others
    assert machine_mounts() == before


def by_hand(stage, name, verb, group=GROUP):
    """An administrator calls the agents himself."""
    node = stage.node(name)
    common = ["env", "OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=hand"]
    disk = [f"OCF_RESKEY_device={stage.world.disk_of(group).device}", f"OCF_RESKEY_directory={group.mount_point}"]
    address = [f"OCF_RESKEY_ip={group.address}", "OCF_RESKEY_cidr_netmask=24", "OCF_RESKEY_nic=eth0"]
    calls = [
        [*common, *disk, "OCF_RESKEY_fstype=xfs", f"{KIT}/ocf/Filesystem", verb],
        ["/etc/ha.d/resource.d/recordd", group.mount_point, str(group.port), verb],
        [*common, *address, f"{KIT}/ocf/IPaddr", verb],
    ]
    return [node.run(argv).code for argv in (calls if verb == "start" else reversed(calls))]


def has_parts(stage, name, expected):
    """Addresses are seen by a witness, which tells of them a moment later."""
    stage.wait(f"{name} has {expected}", lambda: parts_on(stage, name) == expected, 60_000)


def test_the_ledger_sees_a_second_holder(stage):
    assert by_hand(stage, "pete", "start") == [0, 0, 0]
    stage.world.start_clients()
    stage.wait("the client is served", lambda: stage.serving() == "pete", 60_000)
    with pytest.raises(SceneFailed, match=r"pete: .*failoverctl"):
        prove(stage)  # everything is proved but status: there is no daemon to ask
    by_hand(stage, "mclaws", "start")
    with pytest.raises(SceneFailed, match="pete and mclaws held the group together"):
        prove(stage)


def test_a_move_by_hand_is_clean_and_a_mount_past_the_agents_is_seen(stage):
    assert by_hand(stage, "pete", "start") == [0, 0, 0]
    assert by_hand(stage, "pete", "stop") == [0, 0, 0]
    assert by_hand(stage, "mclaws", "start") == [0, 0, 0]
    assert stage.holder() == "mclaws"
    has_parts(stage, "mclaws", {"disk": True, "address": True, "service": True})
    has_parts(stage, "pete", {"disk": False, "address": False, "service": False})
    with pytest.raises(SceneFailed, match="failoverctl"):
        prove(stage)
    mount = ["mount", "-t", "xfs", stage.world.disk_of().device, GROUP.mount_point]
    assert stage.node("pete").run(mount).code == 0, "one kernel: both mounts succeed"
    stage.wait("it is seen", lambda: any(seen.present for seen in stage.node("pete").sightings[-1:]), 60_000)
    with pytest.raises(SceneFailed, match="the disk appeared on pete"):
        prove(stage)


@pytest.mark.parametrize("stage", [TWO_GROUPS], indirect=True)
def test_two_groups_may_run_on_two_nodes_and_each_on_one_only(stage):
    assert by_hand(stage, "pete", "start") == [0, 0, 0]
    assert by_hand(stage, "mclaws", "start", SECOND_GROUP) == [0, 0, 0]
    stage.wait("all is seen", lambda: parts_on(stage, "mclaws", SECOND_GROUP)["address"], 60_000)
    assert audit(stage.world) == []
    assert (stage.holder(), stage.holder(SECOND_GROUP)) == ("pete", "mclaws")
    by_hand(stage, "pete", "start", SECOND_GROUP)
    assert audit(stage.world)[0].startswith("/mnt/e0.1: mclaws and pete held the group together")


@pytest.mark.parametrize("stage", [TWO_SUPPLIES], indirect=True)
def test_a_node_lives_while_one_of_its_supplies_does(stage):
    pete, switch = stage.node("pete"), stage.world.switch
    first, second = pete.outlets
    stage.world.pull_power_cable("pete", first)
    assert (pete.on, pete.boot) == (True, 1)
    switch.press(second, "off")
    assert not pete.on
    assert [switch.outlet_state(outlet) for outlet in (first, second)] == ["on", "off"]
    switch.press(second, "on")
    switch.press(first, "on")
    assert (pete.on, pete.boot, pete.feeds) == (True, 2, {second}), "what was pulled is still on at the switch"
    stage.world.push_power_cable("pete", first)
    switch.press(second, "off")
    assert (pete.on, pete.boot) == (True, 2)


def test_power_is_gone_at_once_and_the_disk_of_the_node_stays(stage):
    pete = stage.node("pete")
    first = pete.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    assert pete.run(["sh", "-c", "echo kept > /var/lib/failover-kit/note; touch /run/note /tmp/note"]).code == 0
    assert by_hand(stage, "pete", "start") == [0, 0, 0]
    stage.world.pull_power_cable("pete")
    assert stage.world.disk_of().free()
    assert stage.world.switch.outlet_state(pete.plan.outlet) == "on", "the switch knows nothing of it"
    pete.switch_on()
    assert pete.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != first
    assert pete.run(["cat", "/var/lib/failover-kit/note"]).stdout == "kept\n"
    assert pete.run(["ls", "/run/note", "/tmp/note"]).code != 0
    assert pete.run(["hostname"]).stdout == "pete\n"
    has_parts(stage, "pete", {"disk": False, "address": False, "service": False})


def test_cables_carry_and_are_cut(stage):
    world, pete, mclaws = stage.world, stage.node("pete"), stage.node("mclaws")
    ping = ["ping", "-c", "1", "-W", "1", mclaws.plan.heartbeat_address]
    stage.wait("they reach each other", lambda: pete.run(ping).code == 0, 60_000)
    world.set_network(connected=False)
    assert pete.run(ping).code != 0
    assert "10.99.1.1/24" in pete.run(["ip", "-br", "addr", "show", "eth1"]).stdout, "the card keeps its address"
    world.set_network(connected=True)
    ends = [os.open(world.cable.end_of(index), os.O_RDWR | os.O_NOCTTY) for index in (0, 1)]
    try:
        os.set_blocking(ends[1], False)
        for connected, expected in ((True, b"one"), (False, b""), (True, b"two")):
            world.set_serial(connected=connected)
            os.write(ends[0], expected or b"lost")
            assert arrived(ends[1], len(expected)) == expected
    finally:
        for end in ends:
            os.close(end)


def arrived(fd, count):
    """What comes within a moment; with ``count`` it is waited for."""
    got = b""
    deadline = Deadline(60_000 if count else 300)
    while not deadline.expired() and (not count or len(got) < count):
        try:
            got += os.read(fd, 100)
        except BlockingIOError:
            time.sleep(0.01)
    return got


def test_the_command_runs_from_anywhere_and_explains_itself(tmp_path):
    done = subprocess.run([*REHEARSAL, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert "--scene" in done.stdout
