"""failoverd.service out of the installed packages under Debian's systemd, in namespaces (release check).

One node without its peer, declared dead by hand, so that a group runs. Two nodes, their disk and their power are
played in virtual machines by tests/labrun/test_systemd_deb.py.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

import packaging_debs
import packaging_roots
import packaging_systemd
from failover_kit import VERSION
from packaging_debs import NEXT, Archives
from packaging_roots import Root
from packaging_systemd import Machine

LACKING = packaging_systemd.missing() or packaging_debs.missing()
pytestmark = [
    pytest.mark.root,
    pytest.mark.release,
    pytest.mark.alone,
    pytest.mark.skipif(bool(LACKING), reason=LACKING or "nothing lacks"),
]

PACKAGES = ("failover-kit-agents", "failover-kit")
NEEDED = ("iproute2", "kmod", "mount", "procps", "python3", "systemd", "dbus")
ADDRESS = "198.51.100.7"
DEADTIME_S = 20
FILES = {
    "ha.cf": f"node pete elsewhere\nudpport 6940\nucast lo 127.0.0.9\nkeepalive 1\ndeadtime {DEADTIME_S}\n",
    "haresources": f"pete Filesystem::/srv/from::/srv/to::none::bind IPaddr::{ADDRESS}/32/lo\n",
    "authkeys": "auth 1\n1 sha256 an-example-key-of-a-test\n",
}
WITNESS = """\
[Unit]
Description=goes down when {target} does
DefaultDependencies=no
Wants={target}
Before={target}
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/true

[Install]
WantedBy=multi-user.target
"""
WITNESSES = {"network": "network.target", "disks": "remote-fs-pre.target"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    kept = os.environ.get("FAILOVER_KIT_ROOTS")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("systemd")
    yield folder
    if not kept:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    found = packaging_debs.build(tmp_path_factory.mktemp("debs") / "out")
    return {name: found[name] for name in PACKAGES}


@pytest.fixture(scope="module")
def root(place: pathlib.Path, debs: Archives, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Debian with systemd and dbus; the packages, old and new, lie in it, nothing is installed."""
    base = packaging_roots.bootstrap(place / "systemd", NEEDED, place / "systemd.log")
    root = base.copy(tmp_path_factory.mktemp("layer") / "root")
    root.put("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
    root.put("/etc/hostname", "pete\n")
    later = packaging_debs.later(debs, tmp_path_factory.mktemp("later") / "out")
    for archive in (*debs.values(), *later.values()):
        root.put(f"/var/tmp/{archive.name}", archive.read_bytes())
    for name, target in WITNESSES.items():
        root.put(f"/etc/systemd/system/witness-{name}.service", WITNESS.format(target=target))
    root.run(["mkdir", "-p", "/var/log/journal", "/srv/from", "/srv/to"])
    return root


@pytest.fixture(scope="module")
def pete(root: Root) -> Iterator[Machine]:
    with Machine(root, "pete") as machine:
        machine.run(["systemctl", "enable", "--now", *(f"witness-{name}" for name in WITNESSES)])
        yield machine


def install(pete: Machine, version: str) -> str:
    archives = [f"/var/tmp/{name}_{version}_all.deb" for name in PACKAGES]
    done = pete.run(["dpkg", "-i", *archives], timeout_s=1200)
    return done.stdout + done.stderr


def group(pete: Machine) -> dict[str, Any]:
    told = pete.run(["failoverctl", "status", "--json"], check=False)
    found: dict[str, Any] = json.loads(told.stdout)["view"]["groups"][0] if told.stdout else {"state": ""}
    return found


def runs(pete: Machine) -> bool:
    return bool(group(pete)["state"] == "started")


def resources(pete: Machine) -> tuple[bool, bool]:
    """Whether the mount and the address are there."""
    mounted = pete.run(["mountpoint", "-q", "/srv/to"], check=False).returncode == 0
    return mounted, ADDRESS in pete.run(["ip", "-o", "addr", "show", "dev", "lo"]).stdout


def log(pete: Machine) -> str:
    return pete.run(["journalctl", "--unit", "failoverd", "--no-pager"]).stdout


def digests(pete: Machine) -> str:
    return pete.run(["sh", "-c", "find /etc/ha.d -type f -exec stat -c '%a %n' {} + -exec sha256sum {} +"]).stdout


def test_the_packages_start_and_enable_nothing(pete: Machine) -> None:
    install(pete, VERSION)
    assert pete.unit("LoadState") == "loaded"
    assert (pete.unit("ActiveState"), pete.unit("UnitFileState")) == ("inactive", "disabled")
    verified = pete.run(["systemd-analyze", "verify", "failoverd.service"], check=False)
    assert "failoverd" not in verified.stdout + verified.stderr


def test_started_it_is_active_by_its_own_word(pete: Machine) -> None:
    pete.run(["mkdir", "-p", "-m", "700", "/etc/ha.d"])
    for name, text in FILES.items():
        pete.run(["sh", "-c", f'umask 077; printf %s "$1" >/etc/ha.d/{name}', "put", text])
    pete.run(["systemctl", "enable", "--now", "failoverd"])
    # `systemctl start` has returned, so it answers; 2: without its peer nothing runs.
    assert pete.run(["failoverctl", "status"], check=False).returncode == 2
    assert (pete.unit("Type"), pete.unit("ActiveState")) == ("notify", "active")
    assert pete.unit("StatusText") == "node pete, peer elsewhere"
    pete.until(
        "the peer may be declared dead",
        lambda: pete.run(["failoverctl", "confirm-dead", "--yes", "elsewhere"], check=False).returncode == 0,
    )
    pete.until("the group runs", lambda: runs(pete))
    assert resources(pete) == (True, True)


def test_one_that_hangs_is_restarted_by_the_watchdog_and_adopts(pete: Machine) -> None:
    pid, restarts = pete.unit("MainPID"), int(pete.unit("NRestarts"))
    pete.run(["kill", "-STOP", pid])
    pete.until("another failoverd runs", lambda: pete.unit("MainPID") not in (pid, "0"))
    pete.until("it runs the group", lambda: runs(pete))
    assert int(pete.unit("NRestarts")) == restarts + 1
    assert f"Watchdog timeout (limit {DEADTIME_S}s)!" in log(pete)
    assert "found running, adopted" in log(pete)
    assert resources(pete) == (True, True)


def test_an_upgrade_leaves_it_and_its_resources_running_and_says_so(pete: Machine) -> None:
    pid = pete.unit("MainPID")
    said = install(pete, NEXT)
    assert f"the failoverd that runs here is still that of version {VERSION}" in said
    assert "install.md, 'Upgrade'" in said
    assert pete.unit("MainPID") == pid
    assert (pete.unit("NeedDaemonReload"), pete.unit("UnitFileState")) == ("no", "enabled")
    assert runs(pete)
    assert resources(pete) == (True, True)
    # As docs/howto/upgrade.md says: the new one under the same resources.
    pete.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "failoverd"])
    pete.until("another failoverd runs", lambda: pete.unit("MainPID") not in (pid, "0"))
    pete.until("it runs the group", lambda: runs(pete))
    assert pete.run(["failoverd", "--version"]).stdout == f"failoverd {NEXT}\n"
    assert resources(pete) == (True, True)


def test_the_package_cannot_be_removed_from_under_what_a_killed_failoverd_left(pete: Machine) -> None:
    """Nobody else knows what holds the disk. It is started again and ended in good order, or the node is booted."""
    drop_in = "/run/systemd/system/failoverd.service.d"
    pete.run(["sh", "-ec", f"mkdir {drop_in}; printf '[Service]\nRestart=no\n' >{drop_in}/none.conf"])
    pete.run(["systemctl", "daemon-reload"])
    assert pete.run(["failoverd", "--left"], check=False).returncode == 3
    pete.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "failoverd"])
    pete.until("it is not started again", lambda: pete.unit("ActiveState") == "failed")
    removed = pete.run(["dpkg", "--remove", *reversed(PACKAGES)], check=False, timeout_s=600)
    assert removed.returncode == 1
    assert "failoverd has ended and may have left running here: " in removed.stderr
    assert resources(pete) == (True, True)
    assert pete.run(["failoverd", "--left"], check=False).returncode == 7
    pete.run(["sh", "-ec", f"rm -r {drop_in}; systemctl daemon-reload; systemctl start failoverd"])
    pete.until("the group runs", lambda: runs(pete))
    assert resources(pete) == (True, True)


def test_at_the_end_the_group_goes_first_and_dbus_network_and_disks_last(pete: Machine, root: Root) -> None:
    pete.run(["systemctl", "start", "dbus.service"])
    pete.power_off()
    shown = root.run(["journalctl", "--directory", "/var/log/journal", "--no-pager", "-o", "short-monotonic"])
    lines = [line.partition("] ")[2] for line in shown.stdout.splitlines()]

    def last(words: str) -> int:
        return max((number for number, line in enumerate(lines) if re.search(words, line)), default=-1)

    stopping, gone = last("Stopping failoverd.service"), last("Stopped failoverd.service")
    stopped = last(r"failoverd\[\d+\]: .*group .*: .*stopped")
    after = {
        "dbus": last("Stopp(ing|ed) dbus.service"),
        "network": last("Stopping witness-network.service"),
        "disks": last("Stopping witness-disks.service"),
    }
    shown_end = "\n".join(lines[-60:])
    assert -1 not in (stopping, stopped, gone, *after.values()), f"{stopping} {stopped} {gone} {after}\n{shown_end}"
    assert stopping < stopped < gone, shown_end
    assert all(gone < number for number in after.values()), f"{gone} {after}\n{shown_end}"


def test_after_a_boot_it_is_active_and_purge_leaves_etc_ha_d(root: Root) -> None:
    with Machine(root, "pete") as pete:
        assert pete.unit("ActiveState") == "active", "it was enabled"
        files = digests(pete)
        assert "/etc/ha.d/authkeys" in files
        pete.run(["dpkg", "--purge", *reversed(PACKAGES)], timeout_s=1200)
        assert digests(pete) == files
        assert pete.unit("LoadState") == "not-found"
        gone = "test ! -e /var/lib/failover-kit && test ! -e /run/failover-kit && ! command -v failoverd"
        pete.run(["sh", "-c", gone])
        assert pete.run(["pgrep", "-f", "failoverd"], check=False).stdout == ""
