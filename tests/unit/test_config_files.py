"""The three files together: the HOWTO's own load, and whatever keeps a directory from loading is said at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from failover_kit.manager import configfiles
from failover_kit.manager.config import (
    AuthMethod,
    ConfigError,
    LoadedConfig,
    ResourceKind,
    SerialLink,
    UcastLink,
    serial_fits,
)

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data" / "config"

Place = Callable[[str], Path]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Copies a directory of examples to where modes can be set as on a real node."""

    def copy(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(DATA / name, target)
        (target / "ha.cf").chmod(0o600)
        (target / "haresources").chmod(0o644)
        (target / "authkeys").chmod(0o600)
        return target

    return copy


def problems(directory: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configfiles.load(str(directory))
    assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
    return str(caught.value).replace(str(directory), "DIR").split("\n")


def noted(loaded: LoadedConfig) -> list[str]:
    return [str(note) for note in loaded.notes]


def test_howtos_own_files_load(place: Place) -> None:
    loaded = configfiles.load(str(place("howto")))
    config = loaded.config
    assert config.nodes == ("pete", "mclaws")
    assert config.links == (SerialLink(device="/dev/ttyS0", baud=9600),)
    timing = config.timing
    assert (timing.keepalive_ms, timing.warntime_ms, timing.deadtime_ms) == (1_000, 5_000, 10_000)
    assert config.auto_failback is False
    (group,) = config.home_groups("pete")
    assert config.group("205.185.197.220") is group
    assert config.home_groups("mclaws") == ()
    assert [resource.name for resource in group.resources] == [
        "IPaddr:205.185.197.220",
        "Filesystem:/dev/etherd/e0.0",
        "killnfsd",
        "nfs-common",
        "nfs-kernel-server",
    ]
    assert {resource.kind for resource in group.resources} == {ResourceKind.SCRIPT}
    assert [device.name for (device,) in config.devices_for("mclaws")] == ["benjamin.example"]
    assert config.can_fence("pete")
    assert (loaded.authkeys.method, loaded.authkeys.sign_key.reveal()) == (AuthMethod.HMAC_SHA256, b"SECRET")
    assert noted(loaded) == [
        "ha.cf:8:1: stonith_host: the switch is asked for a plug named like the node, so it serves both nodes; "
        "NODE in these lines limits nothing",
        "ha.cf:12:1: use_logd has no meaning here: messages go to the journal and to syslog",
        "authkeys:2:8: key 1 is short; 16 or more random characters cannot be guessed",
    ]


def test_howtos_variant_without_serial_cable_loads_and_resolves(place: Place) -> None:
    config = configfiles.load(str(place("howto-ucast"))).config
    assert config.links == (UcastLink(interface="eth1", peer_address=None, port=694),)
    resolved = configfiles.resolve_links(
        config,
        "pete",
        {"eth2": [IPv4Interface("205.185.197.218/24")], "eth1": [IPv4Interface("192.168.1.1/24")]},
        {"mclaws": ["205.185.197.217", "192.168.1.2"], "pete": ["192.168.1.1"]},
    )
    assert resolved.links == (UcastLink(interface="eth1", peer_address="192.168.1.2", port=694),)
    assert resolved.digest == config.digest


def test_everything_that_has_a_meaning(place: Place) -> None:
    loaded = configfiles.load(str(place("everything")))
    config = loaded.config
    assert config.timing.keepalive_ms == 200
    assert [level.devices for level in config.fence_levels] == [
        ("benjamin", "walter"),
        ("pete-bmc",),
        ("benjamin", "walter"),
    ]
    assert dict(config.fence_devices[0].parameters)["password"] == 'pass # word "8"'
    assert [(group.name, group.home) for group in config.groups] == [
        ("192.0.2.30", "pete"),
        ("192.0.2.31", "mclaws"),
    ]
    assert config.groups[0].resources[1].monitor_interval_ms == 5_000
    assert (config.boot_alone, config.auto_failback, config.watchdog_device) == (True, True, "/dev/watchdog")
    assert loaded.authkeys.sign_index == 2
    for secret in ("pass # word", "changeme", "new-key-new-key"):
        assert secret not in repr(loaded)


def test_shipped_examples_load(tmp_path: Path) -> None:
    for name in ("ha.cf", "haresources"):
        shutil.copy(REPOSITORY / "etc" / name, tmp_path / name)
    shutil.copy(REPOSITORY / "etc" / "authkeys.example", tmp_path / "authkeys")
    (tmp_path / "ha.cf").chmod(0o600)
    (tmp_path / "authkeys").chmod(0o600)
    assert problems(tmp_path) == [
        "authkeys:7:10: key 1 is the one of the example, which everybody knows; write one of your own"
    ]
    keys = (tmp_path / "authkeys").read_text()
    (tmp_path / "authkeys").write_text(keys.replace("replace-this-by-a-key-of-your-own", 32 * "9f"))
    assert configfiles.load(str(tmp_path)).config.groups


def test_nothing_there_names_all_three_files(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        f"{name}: not found in DIR; create it (/usr/share/doc/failover-kit/examples has examples), "
        "or use --config-dir"
        for name in ("ha.cf", "haresources", "authkeys")
    ]


def test_problems_of_all_files_come_together(place: Place) -> None:
    directory = place("howto")
    (directory / "ha.cf").write_text("keepaliv 1\nnode pete mclaws\nserial /dev/ttyS0\n")
    (directory / "haresources").write_text("jim nfs\n")
    (directory / "authkeys").write_text("auth 3\n")
    assert problems(directory) == [
        "ha.cf:1:1: unknown directive keepaliv; did you mean keepalive?",
        "haresources:1:1: jim is no node of ha.cf; use pete or mclaws",
        "authkeys:1:6: auth 3 names no key line of this file; add a line 3 sha1 KEY",
    ]


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o601])
def test_authkeys_open_to_others(place: Place, mode: int) -> None:
    directory = place("howto")
    (directory / "authkeys").chmod(mode)
    assert problems(directory) == [
        f"authkeys: DIR/authkeys is open to others (mode {mode:04o}); chmod 600 DIR/authkeys, and change the keys"
    ]


@pytest.mark.root
def test_authkeys_of_another_user(place: Place) -> None:
    directory = place("howto")
    os.chown(directory / "authkeys", 65534, 65534)
    assert problems(directory) == [
        "authkeys: DIR/authkeys belongs to user 65534; chown root DIR/authkeys, and change the keys"
    ]


def test_ha_cf_that_everybody_may_write(place: Place) -> None:
    directory = place("howto")
    (directory / "ha.cf").chmod(0o666)
    assert problems(directory) == ["ha.cf: DIR/ha.cf can be written by everybody (mode 0666); chmod o-w DIR/ha.cf"]


def test_password_in_a_readable_ha_cf_is_noted(place: Place) -> None:
    directory = place("howto")
    (directory / "ha.cf").chmod(0o644)
    (note,) = (line for line in noted(configfiles.load(str(directory))) if "password" in line)
    assert note == (
        "ha.cf:8:1: a password stands here and the file is readable by others (mode 0644); chmod 600 ha.cf"
    )


def test_what_is_not_a_file(place: Place) -> None:
    directory = place("howto")
    (directory / "ha.cf").unlink()
    os.mkfifo(directory / "ha.cf")  # opening it must not wait for a writer
    (directory / "haresources").unlink()
    (directory / "haresources").mkdir()
    (directory / "authkeys").unlink()
    (directory / "authkeys").symlink_to("authkeys")
    assert problems(directory) == [
        "ha.cf: DIR/ha.cf is no regular file; put the file itself there",
        "haresources: cannot read 'DIR/haresources': Is a directory; it must be a file that root can read",
        "authkeys: cannot open 'DIR/authkeys': Too many levels of symbolic links; it must be a file that root can "
        "read",
    ]


def test_not_utf8_and_too_large(place: Place) -> None:
    directory = place("howto")
    (directory / "ha.cf").write_bytes(b"# n\xc3\xa9\nnode p\xe9te\n")
    (directory / "haresources").write_bytes(b"#" * (configfiles.MAX_FILE_BYTES + 1))
    assert problems(directory) == [
        "ha.cf:2:7: not UTF-8; save the file as plain ASCII or UTF-8 text",
        "haresources: larger than 64 KiB; this cannot be haresources",
    ]


def test_crc_only_where_every_link_is_serial(place: Place) -> None:
    directory = place("howto")
    (directory / "authkeys").write_text("auth 1\n1 sha1 a-key-that-is-long-enough\n2 crc\n")
    configfiles.load(str(directory))
    (directory / "ha.cf").write_text("node pete mclaws\nserial /dev/ttyS0\nucast eth1 192.0.2.1\n")
    assert problems(directory) == [
        "authkeys:3:1: key 2 is crc, and anybody on the network of ha.cf line 3 (ucast eth1) could forge beats; "
        "use sha1 with a key"
    ]


@pytest.mark.parametrize(
    "line", ["ucast6 eth1 fe80::1", "bcast eth1", "mcast eth1 239.0.0.43", "mcast6 eth1 ff12::43"]
)
def test_crc_on_no_network_whatever_it_is_called(place: Place, line: str) -> None:
    directory = place("howto")
    (directory / "authkeys").write_text("auth 1\n1 crc\n")
    (directory / "ha.cf").write_text(f"node pete mclaws\nserial /dev/ttyS0\n{line}\n")
    words = " ".join(line.split()[:2])
    assert problems(directory) == [
        f"authkeys:2:1: key 1 is crc, and anybody on the network of ha.cf line 3 ({words}) could forge beats; "
        "use sha1 with a key"
    ]


@pytest.mark.parametrize(
    ("own", "peer", "said"),
    [
        ([], ["192.168.1.2"], "interface eth1 has no IPv4 address here"),
        (["192.168.1.1/24"], ["10.0.0.2"], "the name mclaws has no address in 192.168.1.0/24"),
        (["192.168.1.1/24"], [], "the name mclaws has no address in 192.168.1.0/24"),
        (["192.168.1.1/24"], ["192.168.1.1"], "the name mclaws has no address in 192.168.1.0/24"),
        (
            ["192.168.1.1/24"],
            ["192.168.1.3", "192.168.1.2"],
            "mclaws has several addresses there (192.168.1.2, 192.168.1.3)",
        ),
    ],
)
def test_ucast_without_address_in_doubt_names_the_line_to_write(
    place: Place, own: list[str], peer: list[str], said: str
) -> None:
    config = configfiles.load(str(place("howto-ucast"))).config
    with pytest.raises(ConfigError) as caught:
        configfiles.resolve_links(config, "pete", {"eth1": [IPv4Interface(a) for a in own]}, {"mclaws": peer})
    assert str(caught.value) == (
        f"ha.cf:5:1: ucast eth1 without an address: {said}; write ucast eth1 ADDRESS, with the address of mclaws "
        "on eth1"
    )


@pytest.mark.parametrize(("own", "peer"), [("192.0.2.1/30", "192.0.2.2"), ("192.0.2.1/31", "192.0.2.0")])
def test_network_with_room_for_two_needs_no_name(place: Place, own: str, peer: str) -> None:
    config = configfiles.load(str(place("howto-ucast"))).config
    resolved = configfiles.resolve_links(config, "pete", {"eth1": [IPv4Interface(own)]}, {})
    assert resolved.links == (UcastLink(interface="eth1", peer_address=peer, port=694),)


def test_one_ha_cf_for_both_nodes(place: Place) -> None:
    config = configfiles.load(str(place("everything"))).config
    assert [link.name for link in config.links] == ["ttyS0", "eth1", "eth1"]
    (serial, udp) = configfiles.links_to_peer(config, {"192.168.1.2", "127.0.0.1"})
    assert serial.name == "ttyS0"
    assert udp == UcastLink(interface="eth1", peer_address="192.168.1.1", port=10694)


def test_own_ipv6_addresses_are_told_by_their_interface(place: Place) -> None:
    """The same fe80:: address may be this node's on one cable and the peer's on another."""
    directory = place("howto")
    lines = "ucast6 eth1 fe80::1\nucast6 eth2 fe80::1\nucast6 eth2 2001:db8::1\nmcast eth1 239.0.0.43\n"
    (directory / "ha.cf").write_text(f"node pete mclaws\n{lines}")
    config = configfiles.load(str(directory)).config
    links = configfiles.links_to_peer(config, {"fe80::1%eth1", "2001:db8::1", "fe80::1"})
    assert [link.name for link in links] == ["eth2/ucast6", "eth1/mcast"]
    assert getattr(links[0], "peer_address", "") == "fe80::1"


def test_serial_arithmetic_of_rule_22() -> None:
    assert serial_fits(768, 9600, 1000) is None
    assert serial_fits(769, 9600, 1000) == (
        "a beat of 769 bytes takes 769 x 10 bits / 9600 baud = 802 ms on the serial line, more than 80 % of "
        "keepalive (800 of 1000 ms); set baud 19200 on both nodes or set keepalive to at least 1003ms"
    )
    assert serial_fits(769, 19200, 1000) is None
    assert serial_fits(769, 9600, 1003) is None
    refusal = serial_fits(2000, 460800, 20)
    assert refusal is not None
    assert refusal.endswith("(16 of 20 ms); set keepalive to at least 55ms")
    assert serial_fits(100, 9600, 1) is not None
