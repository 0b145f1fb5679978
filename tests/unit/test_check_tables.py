"""The host's tables, read as the programs read them; no text of them ends in a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from check_world import World, compare
from failover_kit.check import tables
from failover_kit.check.catalogue import RULES
from failover_kit.check.examine import Unreadable
from failover_kit.check.managed import Export

SEEDS = range(60)

PIECES = (
    "/dev/etherd/e0.0",
    "/mnt/e0.0",
    "UUID=",
    "UUID=4d6b",
    '"',
    "\\",
    "\\040",
    "\\777",
    "\\9",
    "#",
    " ",
    "\t",
    "\n",
    "\\\n",
    "\r",
    "\0",
    "(",
    ")",
    ",",
    "=",
    "fsid=",
    "fsid=1",
    "fsid=99999999999999999999",
    "rw",
    "async",
    "mp",
    "-",
    "-rw",
    "*",
    "@group",
    "[::1]",
    "ARRAY",
    "array",
    "<ignore>",
    "/dev/md0",
    "/dev/md/0",
    "name=",
    "DEVICE",
    "AUTO -all",
    "xfs",
    "defaults",
    "noauto",
    "0 0",
    "swap",
    "none",
    "T0:23:respawn:/sbin/getty -L ttyS0",
    "::::",
    "console=ttyS0",
    "HandlePowerKey=",
    "[Login]",
    "Where=/mnt/e0.0",
    "What=",
    "auto_activation_volume_list = [",
    "]",
    "Wants=",
    "%i",
    "\N{SNOWMAN}",
    "\x1b[2J",
)

FILES = (
    "/etc/fstab",
    "/etc/exports",
    "/etc/exports.d/x.exports",
    "/etc/mdadm/mdadm.conf",
    "/etc/aoe/fs.conf",
    "/etc/aoe/md.conf",
    "/etc/inittab",
    "/proc/cmdline",
    "/etc/systemd/logind.conf",
    "/etc/lvm/lvm.conf",
    "/etc/hosts",
    "/etc/acpi/events/powerbtn",
    "/etc/systemd/system/a.mount",
    "/lib/systemd/system/nfs-server.service",
    "/etc/systemd/system/multi-user.target",
)


def noise(source: random.Random) -> str:
    return "".join(source.choice(PIECES) + source.choice(("", " ", "\n")) for _ in range(source.randrange(60)))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_tables_never_end_in_a_traceback(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    world = World(tmp_path)
    for path in FILES:
        text = noise(source).encode("utf-8")
        if source.random() < 0.3:
            text += bytes(source.randrange(256) for _ in range(40))
        world.write(path, "")
        (world.root / path.lstrip("/")).write_bytes(text)
    for finding in world.findings():
        assert finding.fact


HA_CF_LINES = (
    "serial /dev/ttyS0",
    "serial /dev/ttyS1",
    "ucast eth1",
    "ucast eth1 192.168.1.2",
    "ucast eth0 192.0.2.217",
    "ucast eth7 192.0.2.217",
    "keepalive 2",
    "deadtime 5",
    "warntime 4",
    "initdead 5",
    "auto_failback on",
    "use_logd yes",
    "boot_alone yes",
    "watchdog /dev/none",
    "fence_trust bmc",
    "fence_action off",
    "stonith_host * wti_nps benjamin changeme",
    "fence_device bmc fence_ipmilan ip=bmc username=x password=y",
    "fence_device s fence_wti_ips800 ip=192.0.2.9 password=secret plug.pete=a1,b2 plug.mclaws=9999999999",
    "fence_device glue external/ipmi hostname=pete ipaddr=192.0.2.9",
    "fence_level pete 1 bmc",
    "fence_level pete 2 s",
    "fence_level mclaws 1 s bmc",
    "fence_delay 60",
)
RESOURCES = (
    "IPaddr::192.0.2.220",
    "192.0.2.221/24/eth0",
    "Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs",
    "Filesystem::-Ux::/srv",
    "Filesystem::LABEL=a::/srv/b",
    "Filesystem::tmpfs::/tmp/x::tmpfs",
    "Raid1::/etc/raid::/dev/md0",
    "Raid1",
    "LVM",
    "LVM::vg",
    "exportfs::/mnt/e0.0::*::rw,async::1",
    "exportfs::/srv",
    "nfsserver",
    "killnfsd",
    "apache2",
    "ocf:heartbeat:exportfs::directory=/mnt/e0.0::clientspec=*::options=rw::fsid=x",
    "ocf:heartbeat:Filesystem::device=/dev/sdb",
    "ocf:heartbeat:Raid1::raiddev=/dev/md/x",
    "ocf:heartbeat:exportfs::directory=/a /b::fsid=1",
    "ocf:heartbeat:LVM",
    "ocf:heartbeat:Filesystem::device=-L::directory=/",
    "MailTo::root@x::subject",
    "ocf:x:IPaddr2::ip=1",
)


@pytest.mark.parametrize("seed", range(80))
def test_random_configurations_that_load_never_end_in_a_traceback(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    world = World(tmp_path)
    lines = [source.choice(HA_CF_LINES[:6]), *source.sample(HA_CF_LINES[6:], source.randrange(4))]
    world.write("/etc/ha.d/ha.cf", "\n".join(["node pete mclaws", "baud 19200", *lines]) + "\n")
    groups = [
        f"{source.choice(('pete', 'mclaws'))} {' '.join(source.sample(RESOURCES, source.randrange(1, 4)))}"
        for _ in range(source.randrange(1, 3))
    ]
    world.write("/etc/ha.d/haresources", "\n".join(groups) + "\n")
    try:
        found = compare(world, world)
    except Unreadable as error:
        found = error.findings
    assert found
    assert all(finding.fact and finding.id in RULES for finding in found)


def test_files_that_are_no_files_are_no_trouble(tmp_path: Path) -> None:
    import os

    world = World(tmp_path)
    os.mkfifo(tmp_path / "etc/fstab")
    (tmp_path / "etc/exports").mkdir()
    world.link("/etc/inittab", "inittab")
    assert world.findings()


# --- fstab(5) -------------------------------------------------------------------------------------------


def fstab(text: str) -> list[tables.FstabEntry]:
    return list(tables.fstab(list(enumerate(text.splitlines(), 1))))


def test_fstab_spells_blanks_in_octal_and_quotes_tags() -> None:
    (entry,) = fstab(r'uuid="ABCD-EF" /srv/my\040disk/ xfs defaults 0 0')
    assert (entry.spec, entry.directory, entry.at_boot) == ("UUID=abcd-ef", "/srv/my disk", True)


@pytest.mark.parametrize(
    ("options", "at_boot"),
    [
        ("defaults", True),
        ("noauto", False),
        ("noauto,x-systemd.automount", True),
        ("nofail", True),
        ("ro,noauto", False),
    ],
)
def test_what_is_mounted_at_boot(options: str, at_boot: bool) -> None:
    (entry,) = fstab(f"/dev/sdb1 /srv xfs {options} 0 0")
    assert entry.at_boot is at_boot


def test_swap_is_no_filesystem() -> None:
    assert fstab("/dev/etherd/e0.0 none swap sw 0 0") == []


# --- exports(5) -----------------------------------------------------------------------------------------


def test_exports_with_defaults_quotes_and_continuations() -> None:
    text = '# all\n"/srv/my disk" -rw,fsid=3 a(ro) \\\n  b\n/srv/x\n'
    assert list(tables.exports(text, "/etc/exports")) == [
        Export("/srv/my disk", "a", ("rw", "fsid=3", "ro"), "/etc/exports:2"),
        Export("/srv/my disk", "b", ("rw", "fsid=3"), "/etc/exports:2"),
        Export("/srv/x", "*", (), "/etc/exports:4"),
    ]


def test_fsid_root_is_zero_and_the_last_one_counts() -> None:
    assert Export("/", "*", ("fsid=4", "fsid=root"), "").fsid == "0"


# --- mdadm.conf(5) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/dev/md0", "/dev/md/0", True),
        ("/dev/md/0", "md0", True),
        ("/dev/md/home", "home", True),
        ("/dev/md0", "/dev/md1", False),
        ("/dev/md/home", "/dev/md0", False),
    ],
)
def test_spellings_of_an_array(one: str, other: str, same: bool) -> None:
    assert tables.same_array(one, other) is same


def test_inittab_names_the_line_of_a_getty_and_no_other() -> None:
    text = ["id:2:initdefault:", "T0:23:respawn:/sbin/getty -L ttyS0 9600", "T1:23:respawn:/sbin/getty -L ttyS1"]
    assert list(tables.inittab_lines(list(enumerate(text, 1)), "/dev/ttyS0")) == [2]
