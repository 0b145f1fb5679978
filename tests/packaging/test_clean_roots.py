"""The Debian packages in minimal systems of their own, beside the real heartbeat, fence-agents and cluster-glue.

A release check: each system takes minutes to make. `make packages-test` runs them; nothing is installed or started
on the machine itself. FAILOVER_KIT_ROOTS=DIRECTORY keeps the systems for the next run.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

import packaging_debs
import packaging_roots
from failover_kit import VERSION
from packaging_debs import NEXT
from packaging_roots import Root

TOP = pathlib.Path(__file__).resolve().parents[2]
DIVERTED = {
    "/usr/sbin/fence_wti": "fence-agents",
    "/usr/share/man/man8/fence_wti.8.gz": "fence-agents",
    "/usr/sbin/stonith": "cluster-glue",
    "/usr/bin/cl_status": "heartbeat",
    "/usr/share/heartbeat/hb_standby": "heartbeat",
    "/usr/share/heartbeat/hb_takeover": "heartbeat",
}
NEEDED = ("iproute2", "kmod", "mount", "procps", "python3", "python3-serial", "xfsprogs")
PEERS = ("cluster-glue", "fence-agents", "heartbeat", "libxml2-utils", "resource-agents", "systemd")

pytestmark = [
    pytest.mark.root,
    pytest.mark.release,
    pytest.mark.skipif(os.geteuid() != 0, reason="mmdebstrap and chroot as root"),
]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    kept = os.environ.get("FAILOVER_KIT_ROOTS")
    folder = pathlib.Path(kept) if kept else tmp_path_factory.mktemp("roots")
    for name in ("ours", "source", "later"):
        shutil.rmtree(folder / name, ignore_errors=True)
    yield folder
    if not kept:
        shutil.rmtree(folder)  # a gigabyte


@pytest.fixture(scope="session")
def debs(place: pathlib.Path) -> dict[str, pathlib.Path]:
    """Built in a system that has what debian/control asks for, and nothing else."""
    control = (TOP / "debian" / "control").read_text()
    wanted = re.findall(r"^Build-Depends: (.*)$", control, re.M)[0].replace("-compat (= 13)", "")
    names = [re.sub(r"[:( ].*", "", word.strip()) for word in wanted.split(",")]
    root = packaging_roots.bootstrap(place / "build", ["build-essential", "fakeroot", *names], place / "build.log")
    argv = ["sh", str(TOP / "tools" / "packages.sh"), "source", str(place / "source")]
    subprocess.run(argv, check=True, timeout=600)
    archive = next((place / "source").glob("*.tar.gz"))
    root.put(f"/var/tmp/{archive.name}", archive.read_bytes())
    build = 'cd /var/tmp && tar -xzf *.tar.gz && cd failover-kit-*/ && dpkg-buildpackage -us -uc -b && rm -r "$PWD"'
    root.run(["sh", "-ec", build], timeout_s=900)
    found = sorted((root.layer / "upper/var/tmp").glob("*.deb"))
    return {archive.name.partition("_")[0]: archive for archive in found}


@pytest.fixture(scope="session")
def later(place: pathlib.Path, debs: dict[str, pathlib.Path]) -> dict[str, pathlib.Path]:
    return packaging_debs.later(debs, place / "later")


@pytest.fixture(scope="session")
def peers(place: pathlib.Path) -> Root:
    """What our packages need, and the packages whose names ours take."""
    return packaging_roots.bootstrap(place / "peers", [*NEEDED, *PEERS], place / "peers.log")


@pytest.fixture(scope="session")
def ours(place: pathlib.Path, peers: Root, debs: dict[str, pathlib.Path]) -> Root:
    root = peers.copy(place / "ours")
    root.install(*debs.values())
    return root


@pytest.fixture
def fresh(tmp_path: pathlib.Path, ours: Root) -> Iterator[Root]:
    yield ours.copy(tmp_path / "fresh")
    shutil.rmtree(tmp_path / "fresh")


# --- a minimal Debian ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bare(place: pathlib.Path) -> Root:
    return packaging_roots.bootstrap(place / "bare", [], place / "bare.log")


def test_apt_finds_everything_that_the_packages_need(
    bare: Root, tmp_path: pathlib.Path, debs: dict[str, pathlib.Path]
) -> None:
    """No Python, no make, no Recommends: what the control file asks for is enough to run."""
    root = bare.copy(tmp_path / "root")
    for archive in debs.values():
        root.put(f"/var/tmp/{archive.name}", archive.read_bytes())
    names = [f"/var/tmp/{archive.name}" for archive in debs.values()]
    root.run(["apt-get", "update", "-q"], network=True, timeout_s=600)
    root.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *names], network=True, timeout_s=900)
    for command in ("failoverd", "failoverctl", "fence_wti_ips800", "fence_wti"):
        assert root.run([command, "--version"]).stdout.split()[-1] == VERSION
    agent = "/usr/lib/ocf/resource.d/failover-kit/IPaddr"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    assert '<resource-agent name="IPaddr"' in root.run([*nobody, agent, "meta-data"]).stdout
    played = root.run(["failover-rehearsal", "--scene", "1", "--html", ""], timeout_s=300).stdout
    assert "PASSED" in played and "FAILED" not in played
    assert root.run(["stonith", "-L"]).returncode == 0


@pytest.fixture
def readme(bare: Root, tmp_path: pathlib.Path) -> Root:
    """A minimal Debian after the one line of the README, with the source in /root."""
    line = re.search(r"`(apt-get install [^`]*)`", (TOP / "README.md").read_text())
    assert line is not None
    root = bare.copy(tmp_path / "root")
    root.run(["apt-get", "update", "-q"], network=True, timeout_s=600)
    root.run([*line[1].split(), "-y"], network=True, timeout_s=900)
    root.put("/usr/sbin/policy-rc.d", packaging_roots.STARTS_NOTHING, 0o755)
    source = tmp_path / "source"
    subprocess.run(["sh", str(TOP / "tools" / "packages.sh"), "source", str(source)], check=True, timeout=300)
    archive = next(source.glob("*.tar.gz"))
    root.put(f"/root/{archive.name}", archive.read_bytes())
    root.run(["sh", "-ec", "cd /root && tar -xzf *.tar.gz"])
    return root


IN_SOURCE = "cd /root/failover-kit-*/ && "


def test_make_rehearsal_sets_up_a_minimal_debian_and_plays(readme: Root) -> None:
    """With the network it installs what it needs, then, cut off from it, the first scene passes."""
    begin = "YES=1 make rehearsal ARGS=--help"
    said = readme.run(["sh", "-ec", IN_SOURCE + begin], network=True, timeout_s=1800).stdout
    assert "usage: rehearsal" in said
    assert "make rehearsal needs these packages, which are not installed:" in said
    play = "make rehearsal ARGS=\"--scene 1 --html ''\""
    played = readme.run(["sh", "-ec", IN_SOURCE + play], timeout_s=900).stdout
    assert "Scene 1" in played
    assert "PASSED" in played and "FAILED" not in played


# --- the installed packages ------------------------------------------------------------------------------


def declared_tests() -> list[str]:
    text = (TOP / "debian" / "tests" / "control").read_text()
    return [name for line in re.findall(r"^Tests: (.*)$", text, re.M) for name in line.split()]


@pytest.mark.parametrize("name", declared_tests())
def test_of_debian_tests(ours: Root, tmp_path: pathlib.Path, name: str) -> None:
    root = ours.copy(tmp_path / "root")
    root.put(f"/root/{name}", (TOP / "debian" / "tests" / name).read_bytes(), 0o755)
    root.run([f"/root/{name}"], timeout_s=400)


def test_installation_starts_and_enables_nothing(ours: Root) -> None:
    assert ours.run(["failoverctl", "status"], check=False).returncode == 5
    wants = "find /etc/systemd /etc/rc?.d -name '*failoverd*'"
    assert ours.run(["sh", "-c", wants]).stdout == ""


# --- names of others --------------------------------------------------------------------------------------


def test_names_are_ours_while_compat_is_installed_and_theirs_afterwards(peers: Root, fresh: Root) -> None:
    def fingerprint(root: Root) -> dict[str, str]:
        return {path: root.run(["sha256sum", path]).stdout.split()[0] for path in DIVERTED}

    theirs = fingerprint(peers)
    for path in DIVERTED:
        target = fresh.run(["readlink", "-f", path]).stdout.strip()
        own = ("/usr/lib/failover-kit/compat/", "/usr/sbin/fence_wti_ips800")
        assert target.startswith(own) or path.endswith(".gz")
    assert all(fingerprint(fresh)[path] != theirs[path] for path in DIVERTED)
    assert fresh.run(["fence_wti", "--version"]).stdout == f"fence_wti {VERSION}\n"
    assert "external/failover-kit-wti" in fresh.run(["stonith", "-L"]).stdout
    assert fresh.run(["/usr/share/heartbeat/hb_standby"], check=False).returncode == 5, "no failoverd runs"
    # An upgrade, of ours or of theirs, changes nothing of that.
    fresh.run(["dpkg", "--audit"])
    fresh.run(["dpkg", "--remove", "failover-kit-compat"])
    assert fingerprint(fresh) == theirs
    assert fresh.run(["dpkg-divert", "--list", "failover-kit-compat"]).stdout == ""
    for package in ("fence-agents", "cluster-glue", "heartbeat"):
        assert fresh.run(["dpkg", "--verify", package]).stdout == ""


def test_peers_that_come_and_go_while_the_names_are_ours(fresh: Root, debs: dict[str, pathlib.Path]) -> None:
    """Removed, theirs go from where they were diverted to; ours stay."""
    fresh.run(["dpkg", "--purge", "--force-depends", "heartbeat"])
    assert fresh.run(["readlink", "-f", "/usr/bin/cl_status"]).stdout == "/usr/lib/failover-kit/compat/cl_status\n"
    assert fresh.run(["test", "-e", "/usr/bin/cl_status.failover-kit-diverted"], check=False).returncode == 1
    fresh.install(debs["failover-kit-compat"])  # over itself
    fresh.run(["dpkg", "--purge", "failover-kit-compat"])
    assert fresh.run(["test", "-e", "/usr/bin/cl_status"], check=False).returncode == 1
    assert fresh.run(["test", "-e", "/usr/sbin/stonith"]).returncode == 0


# --- upgrade, removal, purge ------------------------------------------------------------------------------

UNDER_RESOURCES = r"""
set -eu
cd /tmp
pair() { failover-rehearsal enter "$@"; }
state() { pair "$1" /usr/sbin/failoverctl status --json || [ $? -le 2 ]; }
attempts() { pair pete grep -c " $1 begin" /run/rehearsal/ledger || true; }
until_true() {
    n=0
    until "$@"; do n=$((n + 1)); [ $n -lt 60 ] || { cat /tmp/said; exit 1; }; sleep 1; done
}
failover-rehearsal --scene 1 --keep --html '' >/tmp/said 2>&1 &
n=0
until grep -q 'keeps running' /tmp/said; do
    n=$((n + 1)); [ $n -lt 120 ] && kill -0 $! || { cat /tmp/said; exit 1; }; sleep 1
done
# The oldest: a child that is just forked has its parent's name.
pids() { pair "$1" pidof -x failoverd | awk '{ print $NF }'; }
echo "pids before: $(pids pete) $(pids mclaws)"
echo "starts before: $(attempts start), stops before: $(attempts stop)"
dpkg -i /var/tmp/*+next_all.deb
echo "pids after: $(pids pete) $(pids mclaws)"
echo "starts after: $(attempts start), stops after: $(attempts stop)"
state pete >/tmp/state-upgraded
# As systemd does it after `systemctl kill --signal=KILL --kill-whom=main failoverd`: killed, and started at once.
pair pete sh -c 'kill -KILL $(pidof -x failoverd)'
setsid failover-rehearsal enter pete /usr/sbin/failoverd >/tmp/pete.log 2>&1 &
running() { state pete 2>/dev/null | tr -d ' \n' | grep -q '"peer_state":"up".*"state":"started"'; }
until_true running
echo "starts at last: $(attempts start), stops at last: $(attempts stop)"
echo "pids at last: $(pids pete) $(pids mclaws)"
echo "version at last: $(pair pete /usr/sbin/failoverd --version)"
cat /tmp/pete.log
"""


def said(text: str, what: str) -> str:
    found = re.search(rf"^{what}: (.*)$", text, re.M)
    assert found is not None, text
    return found[1]


def test_an_upgrade_touches_neither_the_running_failoverd_nor_its_resources(
    fresh: Root, later: dict[str, pathlib.Path]
) -> None:
    """Two nodes of a rehearsal run the installed programs; the packages are replaced under them."""
    for archive in later.values():
        fresh.put(f"/var/tmp/{archive.name}", archive.read_bytes())
    text = fresh.run(["sh", "-c", UNDER_RESOURCES], timeout_s=500).stdout
    assert said(text, "pids after") == said(text, "pids before")
    assert said(text, "starts after").endswith("stops after: 0")
    assert said(text, "starts after").split(",")[0] == said(text, "starts before").split(",")[0]
    # Restarted under its resources: adopted, nothing stopped or started again.
    assert said(text, "starts at last") == said(text, "starts before").replace("before", "at last")
    assert said(text, "pids at last") != said(text, "pids before")
    assert said(text, "version at last") == f"failoverd {NEXT}"
    assert "found running, adopted under epoch" in text
    assert not said(text, "starts before").startswith("0"), "the ledger counts"


RECORDING = '#!/bin/sh\necho "$@" >>/var/tmp/systemctl\n'


def systemd_pretends(root: Root) -> None:
    """A system whose systemctl only writes down what it is told."""
    root.put("/usr/bin/systemctl", RECORDING, 0o755)
    root.put("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)


def orders(root: Root, command: str) -> list[str]:
    """What ``command`` made systemctl do with failoverd."""
    root.run(["sh", "-ec", f": >/var/tmp/systemctl; mkdir -p /run/systemd/system; {command}"])
    lines = root.run(["cat", "/var/tmp/systemctl"]).stdout.splitlines()
    return [line for line in lines if "failoverd" in line or "daemon-reload" in line]


def test_what_systemd_is_told(fresh: Root, later: dict[str, pathlib.Path]) -> None:
    """An upgrade: to read the unit again, and nothing about failoverd. Removal: to stop it."""
    systemd_pretends(fresh)
    for archive in later.values():
        fresh.put(f"/var/tmp/{archive.name}", archive.read_bytes())
    upgrade = orders(fresh, "dpkg -i /var/tmp/*+next_all.deb")
    assert upgrade and all("daemon-reload" in line for line in upgrade)
    removal = orders(fresh, "dpkg --remove failover-kit-compat failover-kit-rehearsal failover-kit")
    assert any(re.search(r"\bstop\b.*failoverd\.service", line) for line in removal)


def test_a_failoverd_that_does_not_end_keeps_its_package(fresh: Root) -> None:
    """Nobody else knows what still holds the disk."""
    script = (
        "set -e; mkdir -p /etc/ha.d; cd /etc/ha.d; "
        'printf "node $(uname -n) elsewhere\\nudpport 6940\\nucast lo 127.0.0.9\\n" >ha.cf; '
        'echo "$(uname -n) IPaddr::198.51.100.7/32/lo" >haresources; '
        'printf "auth 1\\n1 sha256 an-example-key-of-a-test\\n" >authkeys; chmod 600 authkeys; '
        "failoverd 2>/var/tmp/failoverd.log & n=0; "
        "until [ -S /run/failover-kit/control.sock ]; do n=$((n+1)); [ $n -lt 30 ]; sleep 1; done; "
        "if dpkg --remove failover-kit-compat failover-kit-rehearsal failover-kit; then exit 9; fi; "
        "failoverctl --version; failoverctl status >/dev/null || [ $? = 2 ]; kill %1; wait %1; "
        "dpkg --remove failover-kit"
    )
    done = fresh.run(["bash", "-c", script], timeout_s=200)
    assert "failoverd runs on this node; failoverctl status says what it holds" in done.stderr


def test_a_diversion_of_the_administrators_is_named_and_stays(
    peers: Root, tmp_path: pathlib.Path, debs: dict[str, pathlib.Path]
) -> None:
    """The second of the six: what was diverted before is given back, and dpkg is not left half-way."""
    root = peers.copy(tmp_path / "root")
    root.install(*(archive for name, archive in debs.items() if name != "failover-kit-compat"))
    root.run(["dpkg-divert", "--local", "--rename", "--add", "/usr/sbin/fence_wti"])
    root.put("/var/tmp/compat.deb", debs["failover-kit-compat"].read_bytes())
    done = root.run(["dpkg", "-i", "/var/tmp/compat.deb"], check=False)
    assert done.returncode == 1 and "/usr/sbin/fence_wti is diverted already" in done.stderr
    assert root.run(["dpkg", "--audit"]).stdout == ""
    assert root.run(["dpkg-divert", "--list", "failover-kit-compat"]).stdout == ""
    assert root.run(["dpkg-divert", "--listpackage", "/usr/sbin/fence_wti"]).stdout == "LOCAL\n"


def test_purge_removes_what_failoverd_wrote_and_leaves_the_configuration(fresh: Root, peers: Root) -> None:
    listing = "cd /etc/ha.d && find . -type f | sort | xargs sha256sum"
    before = peers.run(["sh", "-c", listing]).stdout
    fresh.run(
        ["sh", "-ec", "echo mine >/etc/ha.d/ha.cf; mkdir -p /var/lib/failover-kit/journal /etc/ha.d/alerts.d"]
    )
    fresh.run(["sh", "-ec", "echo mine >/etc/ha.d/alerts.d/mine"])
    names = ["failover-kit-compat", "failover-kit-rehearsal", "failover-kit", "failover-kit-agents"]
    fresh.run(["dpkg", "--remove", *names])
    assert fresh.run(["test", "-d", "/var/lib/failover-kit"], check=False).returncode == 0
    fresh.run(["dpkg", "--purge", *names])
    assert fresh.run(["cat", "/etc/ha.d/ha.cf", "/etc/ha.d/alerts.d/mine"]).stdout == "mine\nmine\n"
    fresh.run(["rm", "-r", "/etc/ha.d/ha.cf", "/etc/ha.d/alerts.d"])
    assert fresh.run(["sh", "-c", listing]).stdout == before
    left = "find / -xdev -path /var/lib/dpkg -prune -o -path /var/tmp -prune -o -name '*failover*' -print"
    assert fresh.run(["sh", "-c", left]).stdout == ""
