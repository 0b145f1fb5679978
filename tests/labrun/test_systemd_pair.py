"""failoverd.service and units as resources on two guests whose pid 1 is systemd (lab, about six minutes).

Every test begins with ``settle``: both nodes healthy, the groups on pete. They share one lab, because a boot
takes longer than most of them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from lab import plan
from lab.guest import Guest
from lab.lab import Lab
from lab.systemd_pair import (
    HARESOURCES_KILLNFSD,
    NFS_GROUP,
    PATIENCE_S,
    UNITS_GROUP,
    Pair,
    unit_property,
    wait_for,
)

pytestmark = [pytest.mark.root, pytest.mark.release, pytest.mark.usefixtures("able")]

RUNNING_LAB = "FAILOVER_KIT_LAB_SYSTEMD"
"""Names the run directory of a lab of the systemd image that runs already: it is used, and left running."""


@pytest.fixture(scope="module")
def pair(lab_dir: str) -> Iterator[Pair]:
    given = os.environ.get(RUNNING_LAB, "")
    with Lab.attach(given) if given else Lab.open(lab_dir, image="systemd") as lab:
        made = Pair(lab)
        made.prepare()
        yield made


def main_pid(node: Guest) -> int:
    return int(unit_property(node, "failoverd", "MainPID"))


def started_at(node: Guest) -> tuple[str, ...]:
    """When each unit resource was started on ``node`` in this boot: a restart in between changes it."""
    units = ("nfs-server.service", "leaver.service", "holder.service")
    return tuple(unit_property(node, unit, "ActiveEnterTimestampMonotonic") for unit in units)


def sleeper(node: Guest) -> tuple[str, str]:
    """Pid and control group of the process that the script of the group left; fails when there is not one."""
    (pid,) = pids_of(node, "/bin/sleep 6666")
    return pid, node.get(f"/proc/{pid}/cgroup").decode().strip()


def journal(node: Guest, boot: int = 0, unit: str = "") -> str:
    chosen = ["--unit", unit] if unit else []
    argv = ["journalctl", "--boot", str(boot), "--no-pager", "--output", "short-monotonic", *chosen]
    return node.run(argv, timeout_s=90).stdout


def pids_of(node: Guest, command: str) -> list[str]:
    """Processes with exactly this command line."""
    return node.run(["pgrep", "-xf", command], check=False).stdout.split()


def mounted(node: Guest) -> bool:
    return node.run(["mountpoint", "-q", plan.MOUNT_POINT], check=False).code == 0


# --- 1. failoverd.service -------------------------------------------------------------------------------


def test_without_configuration_it_ends_with_6_and_is_not_started_again(pair: Pair) -> None:
    mclaws = pair.lab.mclaws
    mclaws.sh("systemctl stop failoverd\n[ ! -d /etc/ha.d ] || mv /etc/ha.d /etc/ha.d.away\n", timeout_s=PATIENCE_S)
    try:
        before = int(unit_property(mclaws, "failoverd", "NRestarts"))
        answer = mclaws.run(["systemctl", "start", "failoverd"], timeout_s=PATIENCE_S, check=False)
        assert answer.code != 0
        assert unit_property(mclaws, "failoverd", "ExecMainStatus") == "6"
        assert unit_property(mclaws, "failoverd", "ActiveState") == "failed"
        time.sleep(2)  # RestartSec is a tenth of a second
        assert unit_property(mclaws, "failoverd", "ActiveState") == "failed"
        assert int(unit_property(mclaws, "failoverd", "NRestarts")) == before
        said = journal(mclaws, unit="failoverd")
        assert "/etc/ha.d" in said
        assert "/usr/share/doc/failover-kit/examples has examples" in said
    finally:
        mclaws.sh("[ ! -d /etc/ha.d.away ] || { rm -rf /etc/ha.d; mv /etc/ha.d.away /etc/ha.d; }\n")
    pair.settle()


def test_systemd_finds_nothing_wrong_with_the_unit(pair: Pair) -> None:
    argv = ["systemd-analyze", "verify", "failoverd.service"]
    answer = pair.lab.pete.run(argv, timeout_s=PATIENCE_S, check=False)
    assert "failoverd" not in answer.stdout + answer.stderr
    assert answer.code == 0, answer.stderr


# Looks at the unit's state and at the control socket as fast as it can, from before the start on.
WATCH_THE_START = """
import json, socket, subprocess, sys, time
seen = []
subprocess.run(["systemctl", "start", "--no-block", "failoverd"], check=True)
until = time.monotonic() + 100
while time.monotonic() < until:
    state = subprocess.run(["systemctl", "is-active", "failoverd"], capture_output=True, text=True).stdout.strip()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect("/run/failover-kit/control.sock")
            answers = True
        except OSError:
            answers = False
    seen.append((state, answers))
    if state in ("active", "failed"):
        break
print(json.dumps(seen))
"""


def test_active_means_that_it_answers(pair: Pair) -> None:
    """Type=notify: READY=1 comes when the links are open and failoverctl is served, not when it was forked."""
    pair.settle()
    mclaws, cuts = pair.lab.mclaws, pair.cuts()
    mclaws.run(["systemctl", "stop", "failoverd"], timeout_s=PATIENCE_S)
    answer = mclaws.run(["python3", "-I", "-"], input=WATCH_THE_START.encode(), timeout_s=PATIENCE_S).stdout
    seen = [(str(state), bool(answers)) for state, answers in json.loads(answer)]
    assert ("activating", False) in seen, seen
    assert seen[-1] == ("active", True), seen
    assert ("active", False) not in seen
    shown = mclaws.run(["systemctl", "status", "--no-pager", "failoverd"], timeout_s=60).stdout
    assert 'Status: "node mclaws, peer pete"' in shown
    pair.settle()
    assert pair.cuts() == cuts


def test_killed_on_the_active_node_it_comes_back_and_adopts(pair: Pair) -> None:
    pair.settle()
    pete = pair.lab.pete
    since, pid, cuts, process = started_at(pete), main_pid(pete), pair.cuts(), sleeper(pete)
    assert process[1].startswith("0::/system.slice/failoverd.service/failover-kit/pete/leaver.service/services-")
    pete.run(["kill", "-KILL", str(pid)])
    wait_for(lambda: main_pid(pete) not in (0, pid) and pair.runs_on(pete), "failoverd is back on pete", pair)
    assert started_at(pete) == since
    assert sleeper(pete) == process, "KillMode=process: what a script started outlives failoverd"
    wait_for(pair.healthy, "both nodes are healthy", pair)
    told = pair.told(pete)
    assert told is not None
    for group in (NFS_GROUP, UNITS_GROUP):
        assert any(f"group {group}: found running, adopted" in line for line in told.said), told.said
    assert pair.cuts() == cuts


def test_one_that_hangs_is_killed_by_the_watchdog_before_its_peer_shoots(pair: Pair) -> None:
    """The unit says WatchdogSec=30, which may be later than the peer's shot; failoverd asks for deadtime."""
    pair.settle()
    pete = pair.lab.pete
    since, pid, cuts, process = started_at(pete), main_pid(pete), pair.cuts(), sleeper(pete)
    pete.run(["kill", "-STOP", str(pid)])
    wait_for(lambda: main_pid(pete) not in (0, pid), "the watchdog has ended failoverd", pair)
    wait_for(lambda: pair.runs_on(pete), "failoverd is back on pete", pair)
    said = journal(pete, unit="failoverd")
    assert f"Watchdog timeout (limit {pair.deadtime_s}s)!" in said
    assert f"Killing process {pid} (failoverd) with signal SIGKILL" in said
    assert (started_at(pete), sleeper(pete)) == (since, process)
    wait_for(pair.healthy, "both nodes are healthy", pair)
    assert pair.cuts() == cuts
    assert pair.state(pair.lab.mclaws) == "stopped"


def test_stopped_and_started_on_the_passive_node_nothing_moves(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    since, cuts = started_at(pete), pair.cuts()
    mclaws.run(["systemctl", "stop", "failoverd"], timeout_s=PATIENCE_S)
    assert unit_property(mclaws, "failoverd", "Result") == "success"
    left = "mclaws has left: failoverd was ended there in good order"
    wait_for(lambda: left in getattr(pair.told(pete), "said", []), "pete has seen mclaws leave", pair)
    time.sleep(pair.deadtime_s)
    mclaws.run(["systemctl", "restart", "failoverd"], timeout_s=PATIENCE_S)
    wait_for(pair.healthy, "both nodes are healthy", pair)
    assert started_at(pete) == since
    assert pair.cuts() == cuts


def test_stopped_on_the_active_node_the_groups_move_first(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    cuts = pair.cuts()
    pete.run(["systemctl", "stop", "failoverd"], timeout_s=PATIENCE_S)
    assert unit_property(pete, "failoverd", "Result") == "success"
    wait_for(lambda: pair.runs_on(mclaws), "mclaws runs the groups", pair)
    assert not mounted(pete)
    assert mounted(mclaws)
    assert pids_of(pete, "/bin/sleep 7777") == []
    assert pids_of(pete, "/bin/sleep 6666") == []
    pete.run(["systemctl", "start", "failoverd"], timeout_s=PATIENCE_S)
    wait_for(pair.healthy, "both nodes are healthy", pair)
    assert pair.runs_on(mclaws)
    assert pair.cuts() == cuts


def test_reboot_of_the_active_node_hands_over_before_network_and_disk_go(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    pete.run(["systemctl", "enable", "failoverd"], timeout_s=60)
    boots, cuts = pete.boot, pair.cuts()
    pete.run(["systemctl", "reboot"], timeout_s=60, check=False)
    wait_for(lambda: pair.runs_on(mclaws), "mclaws runs the groups", pair)
    wait_for(lambda: pete.boot == boots + 1, "pete has reset itself")
    pete.wait_ready(PATIENCE_S)
    wait_for(pair.healthy, "both nodes are healthy", pair)
    assert pair.runs_on(mclaws), "auto_failback is off"
    assert pair.cuts() == cuts
    said = [line.partition("] ")[2] for line in journal(pete, boot=-1).splitlines()]
    order = [
        max((number for number, line in enumerate(said) if words in line), default=-1)
        for words in (
            f"group {NFS_GROUP}: granted to mclaws",
            "Stopped failoverd.service",
            "Stopping lab-heart.service",
            "Stopped target local-fs.target",
        )
    ]
    assert -1 not in order, order
    # Ordered after failoverd in systemd's shutdown, and stopped by failoverd all the same, in the group's order.
    held = max(number for number, line in enumerate(said) if "Stopped holder.service" in line)
    assert held < order[1]
    assert order == sorted(order), [said[number] for number in order]


# --- 2. units as resources ------------------------------------------------------------------------------


def test_standby_moves_units_with_the_disk_under_them(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    assert mounted(pete)
    assert unit_property(pete, "nfs-server", "SubState") == "exited"
    assert pete.get("/proc/fs/nfsd/threads").strip() != b"0"
    assert pids_of(pete, "/bin/sleep 7777") != []
    pete.run(["failoverctl", "standby"], timeout_s=PATIENCE_S)
    assert pair.runs_on(mclaws)
    assert mounted(mclaws)
    for unit in ("nfs-server.service", "leaver.service", "holder.service"):
        assert unit_property(pete, unit, "ActiveState") == "inactive"
        assert unit_property(mclaws, unit, "ActiveState") == "active"
    assert not mounted(pete)
    assert pete.get("/proc/fs/nfsd/threads").strip() == b"0"
    assert pids_of(pete, "/bin/sleep 7777") == [], "what KillMode=process left was killed by the stop"
    mclaws.run(["failoverctl", "standby"], timeout_s=PATIENCE_S)
    assert pair.runs_on(pete)


def test_a_unit_that_ends_by_itself_is_started_again(pair: Pair) -> None:
    pair.settle()
    pete = pair.lab.pete
    since = started_at(pete)
    pete.run(["systemctl", "stop", "holder.service"], timeout_s=60)
    wait_for(lambda: pair.runs_on(pete) and started_at(pete)[2] != since[2], "holder.service is started", pair)
    assert started_at(pete)[0] == since[0], "the other group is left alone"


def test_processes_left_by_a_unit_are_doubt_until_they_are_gone(pair: Pair) -> None:
    """systemd calls the unit inactive and shows no tasks: only its control group knows better."""
    pair.settle()
    mclaws = pair.lab.mclaws
    mclaws.run(["systemctl", "stop", "failoverd"], timeout_s=PATIENCE_S)
    mclaws.sh("systemctl start leaver.service\nsystemctl stop leaver.service\n", timeout_s=60)
    assert unit_property(mclaws, "leaver.service", "ActiveState") == "inactive"
    assert unit_property(mclaws, "leaver.service", "TasksCurrent") == "[not set]"
    (left,) = pids_of(mclaws, "/bin/sleep 7777")
    mclaws.run(["systemctl", "start", "failoverd"], timeout_s=PATIENCE_S)
    wait_for(lambda: pair.state(mclaws, UNITS_GROUP) == "unknown", "the group is in doubt on mclaws", pair)
    reason = f"process {left} (sleep, state S) is left in its control group"
    wait_for(lambda: reason in journal(mclaws, unit="failoverd"), "failoverd says what is left", pair)
    assert pids_of(mclaws, "/bin/sleep 7777") == [left], "a probe kills nothing of a unit"
    assert pair.runs_on(pair.lab.pete)
    mclaws.run(["kill", "-KILL", left])
    wait_for(lambda: pair.state(mclaws, UNITS_GROUP) == "stopped", "the doubt is over", pair)


def test_power_cut_of_the_active_node(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    pete.run(["failoverctl", "standby"], timeout_s=PATIENCE_S)  # its peer is at home and shoots sooner
    pair.lab.pull_cord("mclaws")
    wait_for(lambda: pair.runs_on(pete), "pete has taken over", pair)
    said = journal(pete, unit="failoverd")
    assert "mclaws is fenced: all its plugs read OFF" in said
    assert unit_property(pete, "nfs-server", "ActiveState") == "active"
    pair.lab.plug_in("mclaws")
    wait_for(lambda: mclaws.on, "mclaws has its power again", pair)
    mclaws.wait_ready(PATIENCE_S)


def test_a_unit_whose_stop_failed_is_not_stopped(pair: Pair) -> None:
    """systemctl stop exits 0 all the same. The node is cut, because what the unit set up may still be there."""
    pair.settle()
    pete, mclaws = pair.nodes
    pete.run(["touch", "/run/holder-fails"])
    cuts = pair.cuts()
    pete.run(["failoverctl", "standby", UNITS_GROUP], timeout_s=PATIENCE_S, check=False)
    wait_for(lambda: pair.cuts() == [*cuts, "pete"], "pete is cut", pair)
    wait_for(lambda: pair.runs_on(mclaws), "mclaws runs the groups", pair)
    wait_for(lambda: pete.on, "pete has its power again", pair)
    pete.wait_ready(PATIENCE_S)
    asked = journal(mclaws, unit="failoverd")
    assert f"group {UNITS_GROUP}: pete cannot stop it and asks to be fenced" in asked
    said = journal(pete, boot=-1, unit="failoverd")
    assert "holder.service" in said
    assert "its stop failed (Result=exit-code)" in said


# --- 3. killnfsd beside nfs-server.service --------------------------------------------------------------

HOLD_A_LOCK = """
import fcntl, os, time
file = open("/mnt/held", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
file.write("written under the lock"); file.flush(); os.fsync(file.fileno())
print("locked", flush=True)
time.sleep(3600)
"""


def server_counts(node: Guest) -> tuple[int, bool]:
    """Threads of nfsd and whether systemd calls its unit active: both or neither."""
    threads = int(node.sh("cat /proc/fs/nfsd/threads 2>/dev/null || echo 0").stdout)
    return threads, unit_property(node, "nfs-server", "ActiveState") == "active"


@pytest.mark.parametrize("version", ["3", "4.1"])
def test_killnfsd_lets_go_of_a_disk_that_a_client_has_locked(pair: Pair, version: str) -> None:
    """That clients keep their locks is nfsserver's work; here the disk is given back, and served by the other."""
    pair.settle(HARESOURCES_KILLNFSD)
    pete, mclaws, client = *pair.nodes, pair.lab.kokone
    pair.lab.boot("kokone", timeout_s=PATIENCE_S)
    client.put("/root/hold.py", HOLD_A_LOCK)
    share, options = f"{plan.CLUSTER_ADDRESS}:{plan.MOUNT_POINT}", f"vers={version},hard,timeo=20"
    client.run(["mount", "-t", "nfs", "-o", options, share, "/mnt"], timeout_s=PATIENCE_S)
    try:
        assert f" nfs{version[0].replace('3', '')} " in client.run(["grep", " /mnt ", "/proc/mounts"]).stdout
        client.spawn(["python3", "/root/hold.py"], log="/root/hold.log")
        wait_for(lambda: b"locked" in client.get("/root/hold.log"), "the client holds its lock")
        assert pete.get(f"{plan.MOUNT_POINT}/held") == b"written under the lock"
        threads, active = server_counts(pete)
        assert (threads > 0, active) == (True, True)
        pete.run(["failoverctl", "standby"], timeout_s=PATIENCE_S)
        assert pair.runs_on(mclaws)
        assert server_counts(pete) == (0, False)
        assert unit_property(pete, "nfs-server", "Result") == "success"
        assert not mounted(pete)
        threads, active = server_counts(mclaws)
        assert (threads > 0, active) == (True, True)
        # A process of its own: the one that holds the lock may wait, or lose it.
        again = "echo and read > /mnt/later\ncat /mnt/held /mnt/later\n"
        assert client.sh(again, timeout_s=PATIENCE_S).stdout == "written under the lockand read\n"
        assert mclaws.get(f"{plan.MOUNT_POINT}/later") == b"and read\n"
        assert pids_of(client, "python3 /root/hold.py") != []
    finally:
        client.sh("pkill -KILL -f hold.py || true\n/usr/bin/umount -f -l /mnt || true\n", timeout_s=PATIENCE_S)


# --- 4. /dev/watchdog -----------------------------------------------------------------------------------

DOG = "/sys/class/watchdog/watchdog0"


def dog(node: Guest, what: str = "state") -> str:
    return node.get(f"{DOG}/{what}").decode().strip()


def test_the_watchdog_is_armed_where_something_is_held_and_a_restart_takes_it_up(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.lab.pete, pair.lab.mclaws
    assert (dog(pete), dog(mclaws)) == ("active", "inactive")
    assert dog(pete, "timeout") == str(pair.watchdog_s)
    boots, pid = pete.boot, main_pid(pete)
    pete.run(["kill", "-KILL", str(pid)])
    wait_for(lambda: main_pid(pete) not in (0, pid) and pair.runs_on(pete), "failoverd is back on pete", pair)
    assert dog(pete) == "active"
    assert f"watchdog /dev/watchdog is armed: {pair.watchdog_s} s" in journal(pete, unit="failoverd")
    pete.run(["failoverctl", "standby"], timeout_s=PATIENCE_S)
    wait_for(lambda: (dog(pete), dog(mclaws)) == ("inactive", "active"), "the watchdogs have followed", pair)
    assert pete.boot == boots
    pete.run(["failoverctl", "takeover"], timeout_s=PATIENCE_S)


def test_a_node_that_holds_something_and_has_no_failoverd_resets_itself(pair: Pair) -> None:
    """Before its passive peer shoots: that one waits twice fence_delay after deadtime."""
    pair.settle()
    pete = pair.lab.pete
    boots, pid = pete.boot, main_pid(pete)
    pete.sh(
        "mkdir -p /run/systemd/system/failoverd.service.d\n"
        "printf '[Service]\\nRestart=no\\n' >/run/systemd/system/failoverd.service.d/none.conf\n"
        "systemctl daemon-reload\n",
        timeout_s=PATIENCE_S,
    )
    seen = len(pair.lab.power_events())
    pete.run(["kill", "-KILL", str(pid)])
    wait_for(lambda: pete.boot > boots, "pete was reset")
    ended = [e for e in pair.lab.power_events()[seen:] if (e.guest, e.what) == ("pete", "ended")]
    assert ended[0].by == "own reset"
    pair.settle()
