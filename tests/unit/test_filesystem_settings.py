"""What the settings of Filesystem mean, without a look at any host; what a mount table says of each kind."""

import os
from types import SimpleNamespace

import pytest

from failover_kit.agents import (
    filesystem,
    filesystem_bind,
    filesystem_reload,
    filesystem_seen,
    filesystem_source,
    filesystem_stop,
    filesystem_users,
)
from failover_kit.agents.filesystem_users import Ladder
from failover_kit.kernel import blockdev, mounts, processes
from failover_kit.kernel.attempts import GivenUp
from failover_kit.kernel.mounts import MountTable
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.parameter import check_all
from failover_kit.spec.values import shown

ROOT = b"22 1 254:0 / / rw - ext4 /dev/root rw\n"


def call(tmp_path, **parameters):
    values, problems = check_all(filesystem.AGENT.parameters, {"directory": "/mnt/x", **parameters})
    assert problems == []
    return Call(filesystem.AGENT, values, Deadline(20_000), environ={"HA_RSCTMP": str(tmp_path)})


@pytest.mark.parametrize(
    ("device", "options", "kind"),
    [
        ("/dev/sda1", "", filesystem_source.BLOCK),
        ("UUID=00000000-0000-4000-8000-000000000000", "noatime", filesystem_source.BLOCK),
        ("/dev/disk/by-path/pci-0000:00:1f.2", "", filesystem_source.BLOCK),
        ("nas:/export", "", filesystem_source.NETWORK),
        ("[2001:db8::1]:/", "vers=4.2", filesystem_source.NETWORK),
        ("//nas/share", "", filesystem_source.NETWORK),
        ("mon1:6789,mon2:6789:/", "", filesystem_source.NETWORK),
        ("/srv/dir", "ro,bind", filesystem_source.BIND),
    ],
)
def test_kinds(tmp_path, device, options, kind):
    assert filesystem_source.kind_of(call(tmp_path, device=device, options=options).values) == kind


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("//nas", "//server/share"),
        ("2001:db8::1:/x", "in brackets"),
        ("[2001:db8::1:/x", "like"),
        ("nas", "neither"),
    ],
)
def test_devices_that_are_nearly_right(device, words):
    with pytest.raises(ValueError, match=words):
        filesystem_source.check_device(device)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"device": "/dev/sda1", "fstype": "nfs"}, "fstype: nfs"),
        ({"device": "nas:/x", "fstype": "xfs"}, "fstype: xfs"),
        ({"device": "/srv/x", "fstype": "none"}, "options must have bind"),
        ({"device": "/srv/x", "fstype": "xfs", "options": "bind"}, "fstype: xfs"),
        ({"device": "/srv/x", "options": "rbind"}, "rbind takes other mounts along"),
        ({"device": "/srv/x", "options": "bind,uquota,usrquota"}, "uquota, usrquota cannot be set"),
        ({"device": "nas:/x", "options": "bind"}, "absolute path"),
        ({"device": "/mnt/x/", "options": "bind"}, "bound to itself"),
        ({"device": "/srv/x", "options": "bind,ro,x-systemd.automount,_netdev"}, ""),
        ({"device": "nas:/x", "fstype": "nfs4", "options": "vers=4.2,ro"}, ""),
    ],
)
def test_what_does_not_go_together(tmp_path, parameters, words):
    wrong = "; ".join(filesystem.AGENT.consistency(call(tmp_path, **parameters).values))
    assert words in wrong
    assert bool(words) == bool(wrong)


def test_words_that_are_not_understood_are_named():
    with pytest.raises(ValueError, match="has 'fuser' in it; understood are yes, safe and no, then move"):
        filesystem_source.check_force("safe,fuser")
    with pytest.raises(ValueError, match="has 'STOP' in it"):
        filesystem_source.check_signals("TERM STOP")
    assert filesystem_source.check_signals("SIGTERM  HUP") == "TERM HUP"
    for prefix in ("/etc/", "a/../../x", ".."):
        with pytest.raises(ValueError, match="not a path inside"):
            filesystem_source.check_prefix(prefix)


@pytest.mark.parametrize(
    ("options", "answer"), [("ro", True), ("", False), ("ro,noatime,rw", False), ("errors=ro", False)]
)
def test_read_only(options, answer):
    assert filesystem_source.read_only(options) is answer


def test_attributes_of_a_mount():
    assert filesystem_bind.attributes_of("bind,ro,nosuid") == (3, 0)
    assert filesystem_bind.attributes_of("ro,rw") == (0, 1)
    assert filesystem_bind.attributes_of("noatime,relatime,noexec") == (8, 0x70)
    assert filesystem_bind.attributes_of("strictatime") == (0x20, 0x70)


def test_only_attributes_of_the_mount_change_in_place():
    filesystem_reload.refuse_others("noatime,uquota", "ro,uquota,nofail")
    with pytest.raises(AgentError, match="logbufs=8, uquota cannot be changed"):
        filesystem_reload.refuse_others("noatime,uquota", "noatime,logbufs=8")


@pytest.mark.parametrize(
    ("text", "line"),
    [("/mnt/ünï", "/mnt/ünï"), ("a\nb\tc", "a\\012b\\011c"), ("\udcff", "\\377"), ("\u202e", "\\342\\200\\256")],
)
def test_a_name_in_a_message_stays_one_line(text, line):
    assert shown(text) == line
    problems = check_all(filesystem.AGENT.parameters, {"device": f"x{text}", "directory": "/m"})[1]
    assert f"'x{line}' is neither" in str(problems[0])


def seen(tmp_path, monkeypatch, lines, **parameters):
    table = MountTable(ROOT + lines)
    monkeypatch.setattr(mounts, "table", lambda path="", device=0: table)
    monkeypatch.setattr(mounts, "real_path", lambda path, known: path)
    return filesystem_seen.observe(call(tmp_path, **parameters))


@pytest.mark.parametrize(
    ("line", "device", "running"),
    [
        (b"nfs4 nas:/export", "nas:/export", True),
        (b"nfs4 nas:/export", "nas:/export/", True),
        (b"nfs4 nas:/export/sub", "nas:/export", False),
        (b"nfs4 nas:/exportX", "nas:/export", False),
        (b"nfs4 [2001:db8::1]:/a\\040b", "[2001:db8::1]:/a b", True),
        (b"cifs //nas/data\\0431", "//nas/data#1", True),
        (b"tmpfs nas:/export", "nas:/export", False),
    ],
)
def test_what_a_server_has_is_told_by_its_name(tmp_path, monkeypatch, line, device, running):
    found = seen(tmp_path, monkeypatch, b"42 22 0:50 / /mnt/x rw - " + line + b" rw\n", device=device)
    assert (found.mount is not None) == running
    assert (found.foreign is None) == running


@pytest.mark.parametrize(
    ("line", "running"),
    [
        (b"42 22 7:1 /dir /mnt/x rw - ext4 /dev/loop1 rw\n", True),
        (b"42 22 7:1 /dir//deleted /mnt/x rw - ext4 /dev/loop1 rw\n", True),
        (b"42 22 7:1 /dir2 /mnt/x rw - ext4 /dev/loop1 rw\n", False),
        (b"42 22 7:1 / /mnt/x rw - ext4 /dev/loop1 rw\n", False),
        (b"42 22 254:0 /srv/dir /mnt/x rw - ext4 /dev/root rw\n", False),
    ],
)
def test_a_bind_mount_is_told_by_device_and_root(tmp_path, monkeypatch, line, running):
    home = b"41 22 7:1 / /srv rw - ext4 /dev/loop1 rw\n"
    found = seen(tmp_path, monkeypatch, home + line, device="/srv/dir", options="bind")
    assert (found.mount is not None) == running
    assert found.elsewhere == []


def test_a_filesystem_on_top_of_the_disk_counts_as_its_own(monkeypatch):
    """A multipath device: the disk itself has no filesystem, what is made of it has."""
    numbers = {"/sys/class/block/dm-0/dev": "253:0", "/sys/class/block/dm-1/dev": "253:1"}
    holders = {"/sys/dev/block/8:1/holders": ["dm-0"], "/sys/dev/block/253:0/holders": ["dm-1"]}
    monkeypatch.setattr(blockdev, "_read", lambda path: numbers.get(path, ""))
    monkeypatch.setattr(blockdev, "_entries", lambda path: holders.get(path, []))
    monkeypatch.setattr(blockdev, "kernel_name", lambda device: f"minor{os.minor(device)}")
    monkeypatch.setattr(blockdev, "filesystem_lives", lambda device: device == os.makedev(253, 1))
    assert blockdev.living_filesystem(os.makedev(8, 1)) == "minor1"
    monkeypatch.setattr(blockdev, "filesystem_lives", lambda device: False)
    assert blockdev.living_filesystem(os.makedev(8, 1)) == ""


def test_the_signals_of_a_ladder(tmp_path):
    asked = call(tmp_path, device="/dev/x", term_signals="INT TERM", kill_signals="QUIT KILL", signal_delay="2")
    ladder = Ladder(asked, Deadline(60_000))
    due = []
    for now_ms in (10_000, 11_000, 12_000, 14_000):
        number = ladder._due(7, False, now_ms)
        due.append(number)
        if number:
            ladder._told[7, False] = (ladder._told.get((7, False), (0, 0))[0] + 1, now_ms)
    assert due == [2, 0, 15, 0]
    ladder._told[7, True] = (2, 14_000)
    assert ladder._due(7, True, 14_000) == 9, "the last kill signal again and again"


def test_journals(tmp_path):
    image = tmp_path / "image"
    data = bytearray(2048)
    data[1080:1082] = b"\x53\xef"
    image.write_bytes(data)
    assert blockdev.lacks_journal(image)
    data[1024 + 92] = 4
    image.write_bytes(data)
    assert not blockdev.lacks_journal(image)


NFS = b"42 22 0:50 / /mnt/x rw - nfs4 nas:/export rw\n"


class Hanging:
    """Attempts whose first work hangs; what the others are to do is written down and not done."""

    def __init__(self):
        self.asked = []

    def run(self, what, work, deadline):
        self.asked.append(what)
        if len(self.asked) == 1:
            raise GivenUp(f"{what} did not answer")
        return work()


def test_a_server_s_filesystem_is_forced_only_when_it_hangs(monkeypatch):
    done = []
    monkeypatch.setattr(filesystem_stop.mounting, "unmount", lambda point, abort: done.append((point, abort)))
    targets = [MountTable(ROOT + NFS).at("/mnt/x")]
    hung = set()
    assert filesystem_stop.unmount_all(targets, Hanging(), Deadline(10_000), hung, False) is None
    assert (done, hung) == ([("/mnt/x", True)], {42})
    patient = Hanging()
    patient.asked.append("nothing hangs")
    assert filesystem_stop.unmount_all(targets, patient, Deadline(10_000), set(), False) is None
    assert done[1:] == [("/mnt/x", False)]
    assert filesystem_stop.unmount_all(targets, patient, Deadline(10_000), set(), True) is None
    assert done[2:] == [("/mnt/x", True)], "users are being killed already"


def test_links_behind_a_server_that_hangs_are_believed_by_their_text(tmp_path, monkeypatch):
    rules = []
    monkeypatch.setattr(
        filesystem_users.users, "Reached", lambda mounts, by_text: rules.append(by_text) or SimpleNamespace()
    )
    monkeypatch.setattr(filesystem_users.users, "users", lambda places: [])
    targets = [MountTable(ROOT + NFS).at("/mnt/x")]
    ladder = Ladder(call(tmp_path, device="nas:/export"), Deadline(60_000))
    claim = filesystem_seen.Claim(lambda table: targets)
    attempts = Hanging()
    assert ladder.act(claim, targets, attempts, Deadline(60_000)) == []
    assert ladder.act(claim, targets, attempts, Deadline(60_000)) == []
    assert rules == [True]
    with pytest.raises(GivenUp):
        ladder.act(claim, targets, Hanging(), Deadline(60_000))


def test_mounts_of_a_server_below_a_disk_are_not_asked(monkeypatch):
    below = b"43 42 0:50 / /mnt/x/dead rw - nfs4 nas:/export rw\n"
    table = MountTable(ROOT + b"42 22 7:1 / /mnt/x rw - ext4 /dev/loop1 rw\n" + below)
    places = filesystem_users.places_of(table.standing_on([table.at("/mnt/x")]), os.makedev(7, 1))
    assert places.points == {"/mnt/x", "/mnt/x/dead"}
    links = {"/proc/9/cwd": "/mnt/x/dead", "/proc/9/root": "/", "/proc/9/fd/3": "/mnt/x/dead/file"}
    for module in (processes, filesystem_users.users):
        monkeypatch.setattr(module, "links_of", lambda pid: links)
    monkeypatch.setattr(os, "readlink", lambda link: links.get(link, "another namespace"))

    def never(path):
        raise AssertionError("stat may hang here")

    monkeypatch.setattr(os, "stat", never)
    assert not places.used_by(9)
