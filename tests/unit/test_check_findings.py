"""Every kind of finding: once where it is found, and not on a node that has nothing wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from check_world import HA_CF, UUID, Change, World, compare, with_status
from failover_kit.check import daemon_rules
from failover_kit.check.catalogue import RULES
from failover_kit.check.examine import Unreadable
from failover_kit.check.findings import Severity
from failover_kit.check.probes import Disk, Mounted
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.records import LinkView, PingView, ProofState, ProofView
from failover_kit.manager.states import GroupState
from status_examples import HEALTHY, WEB, status_of

HA_CF_PATH, HARESOURCES_PATH = "/etc/ha.d/ha.cf", "/etc/ha.d/haresources"
CLEAN_ADVICE = {"one-fence-way", "no-daemon"}
DEVICE = "fence_device benjamin fence_wti_ips800 ip=192.0.2.219 password_file=/etc/ha.d/benjamin.password"
GROUP = "Filesystem:e0.0"


def ha_cf(old: str, new: str) -> Change:
    return lambda world: world.edit(HA_CF_PATH, old, new)


def haresources(old: str, new: str) -> Change:
    return lambda world: world.edit(HARESOURCES_PATH, old, new)


def has(path: str, text: str, mode: int = 0o644) -> Change:
    return lambda world: world.write(path, text, mode)


def link(path: str, target: str = "../x") -> Change:
    return lambda world: world.link(path, target)


def disk(**facts: object) -> Change:
    return lambda world: setattr(world.probes, "disk_answer", Disk(**facts))  # type: ignore[arg-type]


def both(*changes: Change) -> Change:
    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change


def board(world: World) -> None:
    """pete's own management board beside the switch: its power button matters."""
    world.write("/usr/sbin/fence_ipmilan", "#!/bin/sh\n", 0o755)
    line = (
        "fence_device pete-bmc fence_ipmilan ip=192.0.2.21 username=ha password_file=/etc/ha.d/benjamin.password\n"
    )
    levels = "fence_level pete 1 benjamin\nfence_level pete 2 pete-bmc\nfence_level mclaws 1 benjamin\n"
    world.edit(HA_CF_PATH, "fence_device benjamin", line + levels + "fence_device benjamin")


def asked(status_view: dict[str, object], **more: object) -> Change:
    def change(world: World) -> None:
        with_status(world, dataclasses.replace(status_of(HEALTHY), **more), **status_view)  # type: ignore[arg-type]

    return change


def one_way_link(*, up: bool) -> LinkView:
    return LinkView(name="ttyS0", up=up, heard_ago_ms=20_000, peer_hears=not up, one_way="in words")


def foreign_service(name: str) -> Change:
    """A script of its own at the end of the group, before the address."""
    return both(haresources("IPaddr::", f"{name} IPaddr::"), has(f"/etc/init.d/{name}", "#!/bin/sh\n", 0o755))


PROVED = {"proof": ProofView(state=ProofState.PROVED, wall_ms=1)}
AUTO_OFF = "AUTO -all\n"
RAID = both(
    haresources("Filesystem::/dev/etherd/e0.0", "Filesystem::/dev/md0"), has("/etc/mdadm/mdadm.conf", AUTO_OFF)
)

CASES: list[tuple[str, Change, str]] = [
    ("config-note", ha_cf("baud", "use_logd yes\nbaud"), "ha.cf:6"),
    ("config-writable", lambda w: (w.root / "etc/ha.d/haresources").chmod(0o664), HARESOURCES_PATH),
    ("secret-copy", has("/etc/ha.d/authkeys~", "auth 1\n1 sha1 x\n"), "/etc/ha.d/authkeys~"),
    (
        "key-short",
        lambda w: w.edit("/etc/ha.d/authkeys", "0123456789abcdef0123456789abcdef", "SECRET"),
        "authkeys:2",
    ),
    ("key-short", lambda w: w.edit("/etc/ha.d/authkeys", "0123456789abcdef0123456789abcdef", "x7f"), "authkeys:2"),
    (
        "key-crc",
        both(
            ha_cf("ucast eth1 192.168.1.1\nucast eth1 192.168.1.2", "serial /dev/ttyS1"),
            lambda w: w.tree.devices.add("/dev/ttyS1"),
            lambda w: w.edit("/etc/ha.d/authkeys", "sha256 0123456789abcdef0123456789abcdef", "crc"),
        ),
        "authkeys:2",
    ),
    (
        "address-first",
        haresources("pete Filesystem", "pete IPaddr::192.0.2.221/24/eth0 Filesystem"),
        "haresources:1:6",
    ),
    ("resource-unusable", haresources("IPaddr::", "no-such-script IPaddr::"), "haresources:4:6"),
    ("one-medium", ha_cf("baud 9600\nserial /dev/ttyS0\n", ""), "ha.cf:6"),
    (
        "one-medium",
        both(
            ha_cf("serial /dev/ttyS0", "ucast eth1.5 192.168.5.2"),
            lambda w: w.probes.interfaces.update({"eth1.5": ("192.168.5.1/24",)}),
        ),
        "ha.cf:7",
    ),
    ("files-differ", asked({**PROVED, "config_differs": True}), "ha.cf"),
    ("ucast-no-address", ha_cf("ucast eth1 192.168.1.1\nucast eth1 192.168.1.2", "ucast eth1"), "ha.cf:8"),
    ("link-interface", lambda w: w.probes.interfaces.pop("eth1"), "ha.cf:8"),
    ("link-interface", lambda w: w.probes.interfaces.update(eth1=()), "ha.cf:8"),
    ("ping-own", ha_cf("baud", "ping 192.0.2.1 192.0.2.220\nbaud"), "ha.cf:6"),
    ("ping-own", ha_cf("baud", "ping_group g 192.0.2.1 192.0.2.218\nbaud"), "ha.cf:6"),
    ("ping-peer", ha_cf("baud", "ping 192.0.2.1 192.168.1.2\nbaud"), "ha.cf:6"),
    ("ping-peer", ha_cf("baud", "ping 192.0.2.1 192.0.2.217\nbaud"), "ha.cf:6"),
    ("ping-one", ha_cf("baud", "ping 192.0.2.1\nbaud"), "ha.cf:6"),
    (
        "ping-silent",
        both(
            ha_cf("baud", "ping 192.0.2.1\nping_group g 192.0.2.2 192.0.2.3\nbaud"),
            asked({**PROVED, "pings": (PingView(name="g", reached=False, since_ms=0),)}),
        ),
        "ha.cf:7",
    ),
    ("serial-device", lambda w: w.tree.devices.remove("/dev/ttyS0"), "ha.cf:7"),
    (
        "serial-shared",
        link("/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"),
        "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service",
    ),
    ("serial-shared", has("/etc/inittab", "T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n"), "/etc/inittab:1"),
    ("serial-shared", has("/proc/cmdline", "quiet console=ttyS0,115200n8\n"), "/proc/cmdline"),
    ("serial-too-slow", ha_cf("keepalive 1", "keepalive 100ms"), "ha.cf:7"),
    ("deadtime-few-beats", ha_cf("keepalive 1", "keepalive 4"), "ha.cf:3"),
    (
        "deadtime-short",
        both(ha_cf("keepalive 1\ndeadtime 10", "keepalive 300ms\ndeadtime 1.5"), ha_cf("9600", "115200")),
        "ha.cf:3",
    ),
    ("warntime-late", ha_cf("deadtime 10", "deadtime 10\nwarntime 9"), "ha.cf:4"),
    ("initdead-short", ha_cf("initdead 60", "initdead 20"), "ha.cf:4"),
    ("takeover-slow", ha_cf("deadtime 10", "deadtime 30"), "ha.cf:3"),
    ("fence-agent-missing", ha_cf("fence_wti_ips800", "fence_nowhere"), "ha.cf:10:1"),
    ("fence-by-name", ha_cf(" plug.pete=1 plug.mclaws=5", ""), "ha.cf:10"),
    ("circuits", ha_cf("plug.mclaws=5", "plug.mclaws=2"), "ha.cf:10"),
    (
        "plug-shared",
        both(
            has("/etc/hosts", "192.0.2.219 benjamin.example\n"),
            ha_cf(
                "plug.pete=1 plug.mclaws=5\n",
                "plug.pete=1\nfence_device walter fence_wti_ips800 ip=benjamin.example "
                "password_file=/etc/ha.d/benjamin.password plug.mclaws=1\n",
            ),
        ),
        "ha.cf:11",
    ),
    ("bmc-alone", ha_cf(DEVICE, DEVICE.replace("wti_ips800", "ipmilan")), "ha.cf:10"),
    ("soft-off", both(board, has("/etc/systemd/logind.conf", "[Login]\n")), "/etc/systemd/logind.conf"),
    (
        "soft-off",
        both(
            board,
            has("/etc/systemd/logind.conf.d/ha.conf", "[Login]\nHandlePowerKey=ignore\n"),
            has("/etc/acpi/events/powerbtn", "event=button/power\naction=/sbin/poweroff\n"),
        ),
        "/etc/acpi/events/powerbtn",
    ),
    ("fence-address-dns", ha_cf("ip=192.0.2.219", "ip=benjamin.example"), "ha.cf:10"),
    (
        "example-password",
        both(
            ha_cf("password_file=/etc/ha.d/benjamin.password", "password=changeme"),
            lambda w: (w.root / "etc/ha.d/ha.cf").chmod(0o600),
        ),
        "ha.cf:10",
    ),
    ("password-readable", ha_cf("password_file=/etc/ha.d/benjamin.password", "password=k2pD9vQw"), "ha.cf:10"),
    ("password-file", lambda w: w.remove("/etc/ha.d/benjamin.password"), "ha.cf:10"),
    ("password-file", lambda w: (w.root / "etc/ha.d/benjamin.password").chmod(0o644), "ha.cf:10"),
    ("fence-unproved", asked({"proof": ProofView(state=ProofState.NEVER, text="never; go")}), ""),
    ("fence-unproved", asked({"proof": ProofView(state=ProofState.OUTDATED, text="old lines; go")}), ""),
    ("fence-proof-old", asked(PROVED, proof_age_ms=daemon_rules.PROOF_OLD_MS + 1), ""),
    ("fence-proof-failed", asked({"proof": ProofView(state=ProofState.FAILED, text="it lived on")}), ""),
    (
        "link-silent",
        asked({**PROVED, "links": (LinkView(name="ttyS0", up=False, heard_ago_ms=20_000),)}),
        "ha.cf:7",
    ),
    ("link-one-way", asked({**PROVED, "links": (one_way_link(up=True),)}), "ha.cf:7"),
    ("link-one-way", asked({**PROVED, "links": (one_way_link(up=False),)}), "ha.cf:7"),
    (
        "boot-enabled",
        link("/etc/systemd/system/multi-user.target.wants/nfs-server.service"),
        "/etc/systemd/system/multi-user.target.wants/nfs-server.service",
    ),
    (
        "boot-enabled",
        both(foreign_service("smbd"), link("/etc/rc2.d/S20smbd", "../init.d/smbd")),
        "/etc/rc2.d/S20smbd",
    ),
    ("other-manager", link("/etc/rc3.d/S75heartbeat", "../init.d/heartbeat"), "/etc/rc3.d/S75heartbeat"),
    ("other-manager", lambda w: setattr(w.probes, "running", "Heartbeat runs on this node (pid 7); stop it"), ""),
    (
        "not-enabled",
        lambda w: w.remove("/etc/systemd/system/multi-user.target.wants/failoverd.service"),
        "/etc/systemd/system",
    ),
    ("fstab-entry", has("/etc/fstab", "# disk\n/dev/etherd/e0.0 /data xfs defaults 0 0\n"), "/etc/fstab:2"),
    ("fstab-entry", has("/etc/fstab", f'UUID="{UUID.upper()}" /data xfs defaults 0 0\n'), "/etc/fstab:1"),
    ("fstab-entry", has("/etc/fstab", "LABEL=data /data xfs noauto 0 0\n"), "/etc/fstab:1"),
    ("fstab-entry", has("/etc/fstab", "/dev/sdb1 /mnt/e0.0/ xfs defaults 0 0\n"), "/etc/fstab:1"),
    ("aoe-fs-conf", has("/etc/aoe/fs.conf", "/dev/etherd/e0.0 /mnt/e0.0 xfs\n"), "/etc/aoe/fs.conf:1"),
    (
        "aoe-md-conf",
        both(RAID, has("/etc/aoe/md.conf", "ARRAY /dev/md0 devices=/dev/etherd/e0.0\n")),
        "/etc/aoe/md.conf:1",
    ),
    (
        "mdadm-array",
        both(RAID, has("/etc/mdadm/mdadm.conf", "DEVICE partitions\n")),
        "/etc/mdadm/mdadm.conf",
    ),
    (
        "mdadm-array",
        both(RAID, has("/etc/mdadm/mdadm.conf", AUTO_OFF + "ARRAY /dev/md/0 UUID=1:2\n")),
        "/etc/mdadm/mdadm.conf:2",
    ),
    (
        "mount-unit",
        has("/etc/systemd/system/mnt-e0.0.mount", "[Mount]\nWhat=/dev/etherd/e0.0\nWhere=/mnt/e0.0\n"),
        "/etc/systemd/system/mnt-e0.0.mount",
    ),
    (
        "lvm-activation",
        both(
            haresources("pete Filesystem", "pete LVM::data Filesystem"),
            has("/etc/ha.d/resource.d/LVM", "#!/bin/sh\n", 0o755),
        ),
        "/etc/lvm/lvm.conf",
    ),
    ("device-missing", disk(problem="No such file or directory", missing=True), "haresources:1:6"),
    ("device-unreadable", disk(problem="Input/output error"), "haresources:1:6"),
    ("device-unknown", disk(bytes=1 << 40), "haresources:1:6"),
    ("device-unstable", haresources("/dev/etherd/e0.0", "/dev/sdb1"), "haresources:1:6"),
    (
        "mounted-by-hand",
        lambda w: w.probes.mounted.append(Mounted("/mnt/e0.0", "/dev/etherd/e0.0", "xfs")),
        "/mnt/e0.0",
    ),
    (
        "mounted-by-hand",
        both(
            asked({**PROVED, "groups": (dataclasses.replace(WEB, name=GROUP, state=GroupState.STOPPED),)}),
            lambda w: w.probes.mounted.append(Mounted("/mnt/e0.0", "/dev/etherd/e0.0", "xfs")),
        ),
        "/mnt/e0.0",
    ),
    ("mount-point-missing", lambda w: (w.root / "mnt/e0.0").rmdir(), "haresources:1:6"),
    ("mount-point-used", lambda w: setattr(w.probes, "hidden", 2), "/mnt/e0.0"),
    ("export-async", haresources("rw,sync", "rw,async"), "haresources:3:6"),
    ("export-no-fsid", has("/etc/exports", "/mnt/e0.0/home *(rw,sync,mp=/mnt/e0.0)\n"), "/etc/exports:1"),
    ("fsid-twice", has("/etc/exports", "/mnt/e0.0/home *(rw,sync,mp=/mnt/e0.0,fsid=1)\n"), "/etc/exports:1"),
    ("export-twice", has("/etc/exports", "\n/mnt/e0.0 192.0.2.0/24(rw,fsid=1,mp)\n"), "/etc/exports:2"),
    ("export-bare", has("/etc/exports", "/mnt/e0.0/home *(rw,sync,fsid=7)\n"), "/etc/exports:1"),
    ("name-unresolved", lambda w: w.probes.names.pop("mclaws"), "/etc/hosts"),
    ("name-loopback", lambda w: w.probes.names.update(mclaws=("127.0.1.1",)), "/etc/hosts"),
    ("clock-unsynchronised", lambda w: setattr(w.probes, "synchronised", False), "/etc/chrony"),
    ("watchdog-none", ha_cf("watchdog /dev/watchdog\n", ""), "ha.cf"),
    ("watchdog-device", lambda w: w.tree.devices.remove("/dev/watchdog"), "ha.cf"),
    ("state-space", lambda w: setattr(w.probes, "free", 32 << 20), "/var/lib/failover-kit"),
    (
        "state-volatile",
        lambda w: w.probes.mounted.append(Mounted("/var/lib", "tmpfs", "tmpfs")),
        "/var/lib/failover-kit",
    ),
]

# What one change cannot but bring along.
COMES_WITH = {
    "bmc-alone": ("fence-agent-missing", "soft-off"),
    "fence-by-name": ("circuits",),
}

ELSEWHERE = {
    "config-error",
    "no-fence",
    "node-name",
    "switch-read",  # below
    *CLEAN_ADVICE,
    # test_check_pair.py:
    "link-address",
    "disk-differs",
    "exports-differ",
    "fsid-differs",
    "clock-differs",
    "not-compared",
    "files-differ",
    "authkeys-differ",
    "version-differs",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ids(world: World) -> set[str]:
    return {finding.id for finding in world.findings()}


def test_a_clean_node_has_nothing_but_advice(world: World) -> None:
    assert ids(world) == CLEAN_ADVICE


@pytest.mark.parametrize(("rule", "change", "place"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_it_is_found_where_it_is_and_nothing_else_with_it(
    world: World, rule: str, change: Change, place: str
) -> None:
    change(world)
    found = [finding for finding in world.findings() if finding.id == rule]
    assert {finding.place for finding in found} == {place}
    assert found[0].fact
    assert found[0].fix
    assert ids(world) <= {rule, *CLEAN_ADVICE, *COMES_WITH.get(rule, ())}


def test_every_kind_has_a_case() -> None:
    assert {case[0] for case in CASES} | ELSEWHERE == set(RULES)


def test_a_pair_without_fencing(world: World) -> None:
    lines = [line for line in HA_CF.splitlines() if not line.startswith("fence_device")]
    world.write(HA_CF_PATH, "\n".join(lines) + "\n")
    assert [f.fact for f in world.findings() if f.id == "no-fence"] == [
        "no fence device cuts mclaws",
        "no fence device cuts pete",
    ]


def test_a_file_that_cannot_be_used_says_so_with_its_place(world: World) -> None:
    world.edit(HARESOURCES_PATH, " \\\n     nfsserver", " \\ \n     nfsserver")
    with pytest.raises(Unreadable) as caught:
        world.subject()
    found = caught.value.findings
    assert [(f.id, f.place) for f in found] == [("config-error", "haresources:1:52")]
    assert "remove it" in found[0].fix


def test_another_machine_s_name(world: World) -> None:
    world.probes.name = "kokone"
    with pytest.raises(Unreadable) as caught:
        world.subject()
    assert [f.id for f in caught.value.findings] == ["node-name"]


def test_the_switch_is_read_by_failoverd_and_its_words_are_kept() -> None:
    bad = Answer(code=ExitCode.FAILED, text="1 of 2 plugs cannot be read\n  benjamin plug 5: no answer")
    found = list(daemon_rules.switch(bad))
    assert [f.id for f in found] == ["switch-read"]
    assert "benjamin plug 5: no answer" in found[0].fact
    assert not list(daemon_rules.switch(Answer(code=ExitCode.DONE, text="all plugs were read")))


# --- what looks like a finding and is none ----------------------------------------------------------------


NOT_FOUND: list[tuple[str, Change]] = [
    ("boot-enabled", link("/etc/rc2.d/K20nfs-kernel-server", "../init.d/nfs-kernel-server")),
    (
        "boot-enabled",  # masked
        both(
            link("/etc/systemd/system/multi-user.target.wants/nfs-server.service"),
            link("/etc/systemd/system/nfs-server.service", "/dev/null"),
        ),
    ),
    (
        "boot-enabled",  # systemd has a unit of that name and does not look at the link
        both(
            link("/etc/rc2.d/S20nfs-kernel-server", "../init.d/nfs-kernel-server"),
            link("/lib/systemd/system/nfs-kernel-server.service", "nfs-server.service"),
            has("/lib/systemd/system/nfs-server.service", "[Unit]\n"),
        ),
    ),
    ("boot-enabled", link("/etc/systemd/system/some-day.target.wants/nfs-server.service")),  # nothing reaches it
    ("boot-enabled", link("/etc/systemd/system/multi-user.target.wants/rpcbind.service")),
    ("fstab-entry", has("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n# /dev/etherd/e0.0 /mnt/e0.0 xfs\n")),
    ("fstab-entry", has("/etc/fstab", "/dev/etherd/e1.0 /mnt/e1.0 xfs defaults 0 0\n")),
    ("mdadm-array", both(RAID, has("/etc/mdadm/mdadm.conf", "ARRAY <ignore> UUID=1:2\nARRAY /dev/md1 UUID=3:4\n"))),
    ("lvm-activation", has("/etc/lvm/lvm.conf", "activation { }\n")),
    ("export-async", has("/etc/exports", "/srv/other *(rw,async)\n")),
    ("export-no-fsid", has("/etc/exports", "/srv/other *(rw)\n")),
    (
        "fence-address-dns",
        both(ha_cf("ip=192.0.2.219", "ip=benjamin.example"), has("/etc/hosts", "192.0.2.219 benjamin.example\n")),
    ),
    ("soft-off", has("/etc/systemd/logind.conf", "[Login]\n")),  # a power switch presses no button
    ("soft-off", both(board, has("/etc/systemd/logind.conf", "[Login]\nHandlePowerKey=ignore\n"))),
    ("serial-shared", has("/proc/cmdline", "console=tty0 console=ttyS1,9600\n")),
    (
        "serial-shared",
        both(
            link("/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"),
            link("/etc/systemd/system/serial-getty@ttyS0.service", "/dev/null"),
        ),
    ),
    ("secret-copy", has("/etc/ha.d/authkeys.old", "auth 1\n1 sha1 x\n", 0o600)),
    (
        "mounted-by-hand",
        both(
            asked({**PROVED, "groups": (dataclasses.replace(WEB, name=GROUP),)}),
            lambda w: w.probes.mounted.append(Mounted("/mnt/e0.0", "/dev/etherd/e0.0", "xfs")),
        ),
    ),
    ("fence-proof-old", asked(PROVED, proof_age_ms=1000)),
    ("address-first", haresources("IPaddr::", "IPaddr::192.0.2.221/24/eth0 IPaddr::")),
    ("ping-one", ha_cf("baud", "ping_group g 192.0.2.1 192.0.2.2\nbaud")),
    ("ping-own", ha_cf("baud", "ping 192.0.2.1 192.0.2.2\nbaud")),
]


@pytest.mark.parametrize(("rule", "change"), NOT_FOUND, ids=[f"{n}-{case[0]}" for n, case in enumerate(NOT_FOUND)])
def test_it_is_not_found_where_it_is_not(world: World, rule: str, change: Change) -> None:
    change(world)
    assert rule not in ids(world)


def test_the_mask_of_an_alias_masks_that_name_alone_and_the_mask_of_the_unit_all_of_them(world: World) -> None:
    world.link("/lib/systemd/system/nfs-kernel-server.service", "nfs-server.service")
    world.write("/lib/systemd/system/nfs-server.service", "[Unit]\n")
    wants = "/etc/systemd/system/multi-user.target.wants"
    world.link(f"{wants}/nfs-server.service", "/lib/systemd/system/nfs-server.service")
    world.link("/etc/systemd/system/nfs-kernel-server.service", "/dev/null")
    assert "boot-enabled" in ids(world)
    world.link("/etc/systemd/system/nfs-server.service", "/dev/null")
    world.link(f"{wants}/nfs-kernel-server.service", "/lib/systemd/system/nfs-kernel-server.service")
    world.remove("/etc/systemd/system/nfs-kernel-server.service")
    assert "boot-enabled" not in ids(world)


def test_an_alias_and_a_unit_that_pulls_it_in_start_a_service(world: World) -> None:
    """The distribution's name is an alias, and nobody enabled it but a unit that requires it."""
    world.link("/lib/systemd/system/nfs-kernel-server.service", "nfs-server.service")
    world.write("/lib/systemd/system/nfs-server.service", "[Unit]\n")
    world.write("/lib/systemd/system/backup.service", "[Unit]\nRequires=nfs-kernel-server.service\n")
    assert "boot-enabled" not in ids(world)
    world.link("/etc/systemd/system/multi-user.target.wants/backup.service", "/lib/systemd/system/backup.service")
    found = [f for f in world.findings() if f.id == "boot-enabled"]
    assert [f.place for f in found] == ["/lib/systemd/system/backup.service"]


def test_without_systemd_the_links_of_the_howto_are_found(world: World) -> None:
    (world.root / "run/systemd/system").rmdir()
    for level in "2345":
        world.link(f"/etc/rc{level}.d/S20nfs-kernel-server", "../init.d/nfs-kernel-server")
    found = [f for f in world.findings() if f.id == "boot-enabled"]
    assert [f.place for f in found] == ["/etc/rc2.d/S20nfs-kernel-server"]
    assert "3 links like this one" in found[0].fact
    assert found[0].fix == "update-rc.d nfs-kernel-server disable"


def test_no_text_of_a_secret_leaves_a_check(world: World) -> None:
    world.edit(HA_CF_PATH, "password_file=/etc/ha.d/benjamin.password", "password=k2pD9vQwZ7")
    world.edit("/etc/ha.d/authkeys", "0123456789abcdef0123456789abcdef", "Tr0ub4dor")
    text = repr(world.facts())
    assert "k2pD9vQwZ7" not in text
    assert "Tr0ub4dor" not in text


def test_noauto_is_a_warning_and_async_after_sync_counts(world: World) -> None:
    world.write("/etc/fstab", "/dev/etherd/e0.0 /mnt/e0.0 xfs noauto 0 0\n")
    found = {f.id: f.severity for f in world.findings()}
    assert found["fstab-entry"] is Severity.WARNING


def test_both_nodes_say_the_same_of_the_common_files_once(tmp_path: Path) -> None:
    pete, mclaws = World(tmp_path / "pete"), World(tmp_path / "mclaws", mclaws=True)
    for world in (pete, mclaws):
        world.edit(HA_CF_PATH, "plug.mclaws=5", "plug.mclaws=2")
    found = [f for f in compare(pete, mclaws) if f.id == "circuits"]
    assert [f.node for f in found] == [""]
