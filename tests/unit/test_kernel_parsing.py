"""What is read from the kernel, as pure functions: mount table, routes, frames, superblocks, devices."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.kernel import arp, attempts, blockdev, mounts, netlink, processes, routes
from failover_kit.spec import deadline
from failover_kit.spec.deadline import Deadline

TABLE = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
30 22 0:25 / /proc rw - proc proc rw
41 22 7:0 / /mnt/aXb rw - xfs /dev/loop0 rw,inode64
42 22 7:1 / /mnt/a.b rw,noatime shared:5 master:1 - ext4 /dev/loop1 ro
43 42 7:2 / /mnt/a.b/in\040side rw - ext4 /dev/loop2 rw
44 22 7:1 /sub /srv/bind rw - ext4 /dev/loop1 rw
45 42 0:50 / /mnt/a.b rw - tmpfs cover rw
46 22 0:51 / /net rw - nfs4 server:/x rw
47 46 7:3 / /net/disk rw - xfs /dev/loop3 rw
48 22 0:52 / /mnt/aXb2 rw - tmpfs tmpfs rw
"""


def table(text=TABLE):
    return mounts.MountTable(text)


def test_fields_of_a_line():
    mount = table().of_device(os.makedev(7, 1))[0]
    assert (mount.id, mount.parent, mount.point, mount.root) == (42, 22, "/mnt/a.b", "/")
    assert (mount.fstype, mount.source) == ("ext4", "/dev/loop1")
    assert (mount.options, mount.super_options) == (["rw", "noatime"], ["ro"])


def test_a_dot_is_a_dot():
    assert table().at("/mnt/aXb").source == "/dev/loop0"
    assert table().at("/mnt/a.b").source == "cover", "the topmost mount is what one sees"
    assert table().at("/mnt/a") is None
    assert table(TABLE.replace(b"/mnt/a.b", b"/mnt/other")).at("/mnt/a.b") is None


@pytest.mark.parametrize("written", [rb"server:/a\040b/c#1", rb"server:/a\040b/c\0431"])
def test_a_source_with_a_number_sign_is_found(written):
    """nfs_show_devname() leaves # alone, mangle() does not; of the other one stop and monitor said "stopped"."""
    known = table(TABLE + b"49 22 0:53 / /srv/n rw - nfs4 " + written + b" rw\n")
    assert [mount.point for mount in known.of_source("server:/a b/c#1/")] == ["/srv/n"]
    assert known.of_source("server:/a b/c") == []


def test_all_mounts_of_a_device_and_what_stands_on_them():
    found = table().standing_on(table().of_device(os.makedev(7, 1)))
    order = mounts.unmount_order(found)
    assert {mount.id for mount in found} == {42, 43, 44, 45}
    assert [mount.id for mount in order].index(42) > [mount.id for mount in order].index(43)
    assert [mount.id for mount in order].index(42) > [mount.id for mount in order].index(45)


def test_device_numbers_are_not_prefixes():
    text = b"41 22 7:10 / /a rw - xfs /dev/loop10 rw\n42 22 17:1 / /b rw - xfs /dev/x rw\n"
    assert table(text).of_device(os.makedev(7, 1)) == []


def test_reached_locally_and_hidden():
    assert table().reached_locally(table().at("/mnt/aXb"))
    assert not table().reached_locally(table().at("/net/disk"))
    assert table().covered_by(table().at("/mnt/aXb")) is None
    assert table().covered_by(table().at("/net/disk")) is None
    hidden = table(TABLE + b"60 22 0:60 / /mnt rw - fuse hung rw\n")
    assert hidden.covered_by(hidden.at("/mnt/aXb")).source == "hung"


@settings(deadline=None)
@given(
    st.text(
        alphabet=st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
    )
)
def test_any_path_is_found_again(name):
    path = "/mnt/" + name.replace("/", "_")
    line = b"41 22 7:0 / " + mounts.escape(path) + b" rw - xfs /dev/loop0 rw\n"
    assert table(TABLE + line).at(path).point == path


def test_unescape_of_every_code():
    assert mounts.unescape(rb"a\040b\011c\012d\134e\043f") == "a b\tc\nd\\e#f"


def test_a_restless_table_is_read_until_it_stands_still(monkeypatch):
    """Regression: with 80 filesystems mounted at once 1 in 100 readings missed one."""
    readings = [(table(b""), False), (table(b""), False), (table(), True)]
    monkeypatch.setattr(mounts, "read", lambda: readings.pop(0))
    assert mounts.table("/mnt/aXb").at("/mnt/aXb") is not None
    readings = [(table(), False)]
    assert mounts.table("/mnt/aXb").at("/mnt/aXb") is not None, "seen once is there"
    readings = [(table(b""), False)] * 50
    assert mounts.table("/mnt/aXb").at("/mnt/aXb") is None, "a table that never rests does not hang us"


def test_the_real_table_has_a_root():
    assert mounts.table("/").at("/").point == "/"


def test_real_path_follows_links_and_survives_what_is_broken(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "up").symlink_to("real/../link")
    (tmp_path / "loop").symlink_to("loop")
    known = table(b"")
    assert mounts.real_path(f"{tmp_path}/link/x", known) == f"{tmp_path}/real/x"
    assert mounts.real_path(f"{tmp_path}/up/x", known) == f"{tmp_path}/real/x"
    assert mounts.real_path("/no/such/path", known) == "/no/such/path"
    assert mounts.real_path(f"{tmp_path}/loop/x", known).startswith("/")
    (tmp_path / "real" / "hidden").symlink_to("/")
    dead = table(b"9 1 0:9 / " + os.fsencode(f"{tmp_path}/real") + b" rw - nfs4 dead:/x rw\n")
    assert mounts.real_path(f"{tmp_path}/link/hidden", dead) == f"{tmp_path}/real/hidden", "not looked at"


def route(destination, prefix, ifindex, metric=0, gateway=False):
    number = int.from_bytes(bytes(map(int, destination.split("."))), "big")
    return routes.Route(number, prefix, ifindex, metric=metric, gateway=gateway)


def best(*known, address="10.1.1.9"):
    found = routes.best(list(known), bytes(map(int, address.split("."))))
    return found.ifindex if found else None


def test_longest_prefix_then_lowest_metric_then_the_kernel_s_order():
    """Regression: the peer sorted routes without a metric by their first octet."""
    assert best(route("10.1.1.0", 24, 2, 100), route("10.1.1.0", 24, 3)) == 3
    assert best(route("10.1.1.0", 24, 3), route("10.1.1.0", 24, 2, 100)) == 3
    assert best(route("10.0.0.0", 8, 1), route("10.1.1.0", 24, 2, 1000)) == 2
    assert best(route("10.1.2.0", 24, 1)) is None


def test_routes_that_lead_away_do_not_count():
    assert best(route("0.0.0.0", 0, 1), route("10.1.1.0", 24, 2, gateway=True)) is None


def test_netlink_attributes_round_trip_and_bounds():
    data = netlink.attribute(1, b"abc") + netlink.attribute(0x8002, b"") + netlink.attribute(3, b"xyzw")
    assert netlink.attributes(b"head" + data, 4) == {1: b"abc", 2: b"", 3: b"xyzw"}
    assert netlink.attributes(data[:5], 0) == {}
    assert netlink.attributes(b"\0\0\0\0", 0) == {}


def test_announcements_are_whole_ethernet_frames():
    mac, ip = bytes.fromhex("020000000001"), bytes((192, 0, 2, 9))
    request, reply = (arp.announcement(mac, ip, operation) for operation in (1, 2))
    assert len(request) == len(reply) == 60
    head = b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + ip
    assert request.startswith(head + bytes(6) + ip)
    assert reply[21] == 2
    assert reply[32:42] == mac + ip


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("/dev/sda1", "path", "/dev/sda1"),
        ("UUID=2D3F5A10-0000-4000-8000-00000000abcd", "uuid", "2d3f5a10-0000-4000-8000-00000000abcd"),
        ('UUID="2d3f5a10-0000-4000-8000-00000000abcd"', "uuid", "2d3f5a10-0000-4000-8000-00000000abcd"),
        ("-U 2d3f5a10-0000-4000-8000-00000000abcd", "uuid", "2d3f5a10-0000-4000-8000-00000000abcd"),
        ("--uuid=2d3f5a10-0000-4000-8000-00000000abcd", "uuid", "2d3f5a10-0000-4000-8000-00000000abcd"),
        ("LABEL=home disk", "label", "home disk"),
        ("-Lhome", "label", "home"),
        ("--label home", "label", "home"),
    ],
)
def test_device_spellings(text, kind, value):
    tag = blockdev.parse_tag(text)
    assert (tag.kind, tag.value) == (kind, value)


@pytest.mark.parametrize("text", ["sda1", "UUID=", "UUID=123", "-U", "server:/path", "/", "LABEL="])
def test_not_a_device(text):
    with pytest.raises(ValueError, match="is n"):
        blockdev.parse_tag(text)


def test_superblocks():
    uuid = bytes(range(16))
    xfs = bytearray(2048)
    xfs[:4], xfs[32:48], xfs[108:112] = b"XFSB", uuid, b"home"
    ext = bytearray(2048)
    ext[1080:1082], ext[1128:1144], ext[1144:1148] = b"\x53\xef", uuid, b"data"
    text = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert blockdev.superblock(bytes(xfs)) == ("xfs", text, "home")
    assert blockdev.superblock(bytes(ext)) == ("ext", text, "data")
    assert blockdev.superblock(bytes(2048)) is None
    assert blockdev.superblock(b"") is None


def test_udev_escapes_labels():
    assert blockdev.udev_link(blockdev.Tag("label", "a b/ü")) == "/dev/disk/by-label/a\\x20b\\x2fü"


def test_self_init_and_ancestors_are_never_touched():
    spared = processes.untouchable()
    assert {1, os.getpid(), os.getppid()} <= spared
    assert processes.status(os.getpid()).parent == os.getppid()
    assert processes.status(2**22 + 1) is None


def test_a_bind_mount_of_the_root_filesystem_does_not_make_everybody_a_user():
    """Regression (peers' issue 1304): every process maps its C library from the root filesystem."""
    root = os.stat("/").st_dev
    other = os.makedev(7, 99)
    places = processes.Places(["/mnt/a.b", "/mnt/a.b/usr"], [other, root], other)
    assert not any(places.used_by(pid) for pid in (os.getpid(), 1))
    assert processes.Places([], [root], root).used_by(os.getpid()), "the needle for maps does find things"


def test_attempts_bring_back_text_and_errors():
    helpers = attempts.Attempts()
    assert helpers.run("a", lambda: "text: with ü", Deadline(10_000)) == "text: with ü"

    def fail():
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(FileNotFoundError, match="No such file"):
        helpers.run("b", fail, Deadline(10_000))
    with pytest.raises(OSError, match="helper process died"):
        helpers.run("c", lambda: os._exit(9), Deadline(10_000))
    assert helpers.leftovers() == []


def test_an_attempt_that_hangs_is_given_up_and_remembered():
    receiver, sender = os.pipe()
    helpers = attempts.Attempts()
    with pytest.raises(attempts.GivenUp, match="reading nothing did not answer"):
        helpers.run("reading nothing", lambda: os.read(receiver, 1).decode(), Deadline(1))
    os.close(sender)
    os.close(receiver)
    while helpers.leftovers():
        pass


def test_loops_keep_time_for_a_last_try(monkeypatch):
    monkeypatch.setattr(deadline, "boottime_ms", lambda: 73_000)  # no time passes
    assert attempts.loop_deadline(Deadline(60_000)).total_ms == 54_000
    assert attempts.loop_deadline(Deadline(1_000)).total_ms == 750
    assert attempts.loop_deadline(Deadline(100)).total_ms == 50
