"""failoverd.service as the packages install it: dpkg on two guests whose pid 1 is systemd (lab, about ten minutes).

The guests have no project's disk: whatever of failover-kit is in them came out of the .debs, which are built here.
One story, told in order: each test begins where ``settle`` brings the pair, and the last ones upgrade and purge.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import packaging_debs
from failover_kit import VERSION
from lab.guest import Guest
from lab.howto.pair import both
from lab.installed import (
    digests,
    dpkg_away,
    dpkg_install,
    journal,
    last_line,
    main_pid,
    mounted,
    sleeper,
    started_at,
)
from lab.lab import Lab
from lab.systemd_pair import NFS_GROUP, PATIENCE_S, UNITS_GROUP, Pair, unit_property, wait_for
from packaging_debs import NEXT, Archives

pytestmark = [
    pytest.mark.root,
    pytest.mark.release,
    pytest.mark.usefixtures("able"),
    pytest.mark.skipif(bool(packaging_debs.missing()), reason=packaging_debs.missing() or "can be built"),
]

PACKAGES = ("failover-kit-agents", "failover-kit", "failover-kit-compat")
UNIT = "/lib/systemd/system/failoverd.service"


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    found = packaging_debs.build(tmp_path_factory.mktemp("debs") / "out")
    return {name: found[name] for name in PACKAGES}


@pytest.fixture(scope="module")
def later(debs: Archives, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return packaging_debs.later(debs, tmp_path_factory.mktemp("later") / "out")


@pytest.fixture(scope="module")
def bare(lab_dir: str) -> Iterator[Lab]:
    """Both nodes, and nothing of failover-kit in them."""
    with Lab.open(lab_dir, image="systemd", guests=("pete", "mclaws"), project=False) as lab:
        lab.boot("pete", "mclaws", timeout_s=900)
        yield lab


@pytest.fixture(scope="module")
def installed(bare: Lab, debs: Archives) -> Lab:
    nodes = (bare.pete, bare.mclaws)
    for node in nodes:
        assert node.run(["sh", "-c", "command -v failoverd"], timeout_s=PATIENCE_S, check=False).code != 0
    both(nodes, lambda node: dpkg_install(node, debs.values()))
    return bare


@pytest.fixture(scope="module")
def pair(installed: Lab) -> Pair:
    made = Pair(installed)
    made.prepare()
    return made


# --- the unit ---------------------------------------------------------------------------------------------


def test_the_package_brings_the_unit_and_starts_nothing(installed: Lab) -> None:
    for node in (installed.pete, installed.mclaws):
        assert node.run(["dpkg", "-S", UNIT]).stdout == f"failover-kit: {UNIT}\n"
        assert node.run(["dpkg", "--audit"]).stdout == ""
        assert unit_property(node, "failoverd", "ActiveState") == "inactive"
        assert unit_property(node, "failoverd", "UnitFileState") == "disabled"
        assert unit_property(node, "failoverd", "NeedDaemonReload") == "no"
        assert node.run(["failoverd", "--version"], timeout_s=PATIENCE_S).stdout == f"failoverd {VERSION}\n"
    verify = ["systemd-analyze", "verify", "failoverd.service"]
    answer = installed.pete.run(verify, timeout_s=PATIENCE_S, check=False)
    assert "failoverd" not in answer.stdout + answer.stderr
    assert answer.code == 0, answer.stderr


def test_network_disks_and_dbus_are_ordered_to_go_down_after_it(installed: Lab) -> None:
    """What systemd has made of the installed unit; that it acts on it is shown by the reboot below."""
    after = unit_property(installed.pete, "failoverd", "After").split()
    assert {"network.target", "local-fs.target", "remote-fs-pre.target", "dbus.service"} <= set(after)


def test_enabled_and_started_it_is_active_by_its_own_word(pair: Pair) -> None:
    """Type=notify: active comes with READY=1, when failoverctl is served; and it watches itself with systemd."""
    pair.configure()
    for node in pair.nodes:
        started = node.run(["systemctl", "enable", "--now", "failoverd"], timeout_s=PATIENCE_S, check=False)
        assert started.code == 0, f"{started.stderr}\n{pair.picture()}"
        # No wait in between: `systemctl start` has returned, so it answers. 2: it is up, and not well yet.
        assert node.run(["failoverctl", "status"], timeout_s=PATIENCE_S, check=False).code in (0, 1, 2)
        shown = {name: unit_property(node, "failoverd", name) for name in ("Type", "ActiveState", "StatusText")}
        peer = next(other.name for other in pair.nodes if other is not node)
        assert shown["Type"] == "notify"
        assert shown["ActiveState"] == "active"
        assert shown["StatusText"] == f"node {node.name}, peer {peer}"
    pair.settle()


def test_one_that_is_stopped_by_a_signal_is_restarted_by_the_watchdog_and_adopts(pair: Pair) -> None:
    pair.settle()
    pete = pair.lab.pete
    since, process, pid, cuts = started_at(pete), sleeper(pete), main_pid(pete), pair.cuts()
    restarts = int(unit_property(pete, "failoverd", "NRestarts"))
    assert process and "0" not in since
    pete.run(["kill", "-STOP", str(pid)])
    wait_for(lambda: main_pid(pete) not in (0, pid), "the watchdog has ended failoverd", pair)
    wait_for(lambda: pair.runs_on(pete), "failoverd is back on pete", pair)
    said = journal(pete, unit="failoverd")
    assert last_line(said, f"Watchdog timeout (limit {pair.deadtime_s}s)!") >= 0, said[-20:]
    assert int(unit_property(pete, "failoverd", "NRestarts")) == restarts + 1
    assert (started_at(pete), sleeper(pete)) == (since, process), "the resources were left alone"
    wait_for(pair.healthy, "both nodes are healthy", pair)
    assert pair.cuts() == cuts, "nobody was shot"


# --- the machine's end ------------------------------------------------------------------------------------


def test_at_the_machine_s_end_the_groups_go_first_then_failoverd_then_dbus_network_and_disks(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    pete.run(["systemctl", "start", "dbus.service"], timeout_s=PATIENCE_S)
    boots, cuts = pete.boot, pair.cuts()
    pete.run(["systemctl", "reboot"], timeout_s=PATIENCE_S, check=False)
    wait_for(lambda: pair.runs_on(mclaws), "mclaws runs the groups", pair)
    wait_for(lambda: pete.boot == boots + 1, "pete has reset itself")
    pete.wait_ready(PATIENCE_S)
    wait_for(pair.healthy, "both nodes are healthy: failoverd is enabled", pair)
    assert pair.cuts() == cuts, "the one that leaves in good order is not shot"
    said = journal(pete, boot=-1)
    handed = [last_line(said, f"group {group}: granted to mclaws") for group in (NFS_GROUP, UNITS_GROUP)]
    ended = last_line(said, "Stopped failoverd.service")
    later = {
        what: last_line(said, words)
        for what, words in {
            "dbus": "Stopped dbus.service",
            "network": "Stopped target network.target",
            "cards": "Stopping lab-heart.service",
            "disks": "Stopped target local-fs.target",
        }.items()
    }
    assert -1 not in (*handed, ended, *later.values()), (handed, ended, later, said[-60:])
    assert max(handed) < ended, (handed, ended)
    assert all(ended < number for number in later.values()), (ended, later)


# --- upgrade, removal, purge ------------------------------------------------------------------------------


def upgrade_says(node: Guest, later: Archives) -> None:
    """The new packages under a running failoverd: it and all it runs stay as they are, and postinst says so."""
    before = (main_pid(node), started_at(node), sleeper(node), unit_property(node, "failoverd", "NRestarts"))
    said = dpkg_install(node, later.values())
    assert f"the failoverd that runs here is still that of version {VERSION}" in said
    assert "'Upgrade'" in said
    after = (main_pid(node), started_at(node), sleeper(node), unit_property(node, "failoverd", "NRestarts"))
    assert after == before
    assert before[0] != 0
    assert unit_property(node, "failoverd", "NeedDaemonReload") == "no"
    assert unit_property(node, "failoverd", "UnitFileState") == "enabled"
    assert node.run(["failoverctl", "--version"], timeout_s=PATIENCE_S).stdout.split()[-1] == NEXT


def test_an_upgrade_under_running_resources_leaves_them_running(pair: Pair, later: Archives) -> None:
    """The passive node first, then the active one; then, as docs/howto/upgrade.md says, the new version adopts."""
    pair.settle()
    pete, mclaws = pair.nodes
    cuts = pair.cuts()
    for node in (mclaws, pete):
        upgrade_says(node, later)
        wait_for(pair.healthy, "both nodes are healthy", pair)
        assert pair.runs_on(pete)
    mclaws.run(["systemctl", "restart", "failoverd"], timeout_s=PATIENCE_S)
    wait_for(pair.healthy, "both nodes are healthy with the new version on mclaws", pair)
    since, process, pid = started_at(pete), sleeper(pete), main_pid(pete)
    pete.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "failoverd"], timeout_s=PATIENCE_S)
    wait_for(lambda: main_pid(pete) not in (0, pid) and pair.runs_on(pete), "the new failoverd is up", pair)
    wait_for(pair.healthy, "both nodes are healthy with the new version on both", pair)
    assert (started_at(pete), sleeper(pete)) == (since, process), "adopted, not started again"
    assert pair.cuts() == cuts


def test_purge_on_the_active_node_hands_over_and_leaves_etc_ha_d(pair: Pair) -> None:
    pair.settle()
    pete, mclaws = pair.nodes
    files, cuts = digests(pete, "/etc/ha.d"), pair.cuts()
    assert "/etc/ha.d/ha.cf" in files and "/etc/ha.d/resource.d/sleeper" in files
    dpkg_away(pete, "--remove", reversed(PACKAGES))
    assert pair.runs_on(mclaws), "removal stops failoverd, and that hands over, before it returns"
    assert mounted(mclaws) and not mounted(pete)
    assert sleeper(pete) == ""
    assert digests(pete, "/etc/ha.d") == files
    dpkg_away(pete, "--purge", reversed(PACKAGES))
    assert digests(pete, "/etc/ha.d") == files
    gone = f"test ! -e {UNIT} && test ! -e /var/lib/failover-kit && test ! -e /run/failover-kit"
    pete.sh(f"{gone}\n! command -v failoverd\n")
    assert pete.run(["find", "/etc/systemd/system", "-name", "failoverd*"]).stdout == ""
    assert unit_property(pete, "failoverd", "LoadState") == "not-found"
    assert pair.runs_on(mclaws)
    assert pair.cuts() == cuts, "who has left is not shot"
