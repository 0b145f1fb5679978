"""What the kernel says of NFS mounts and locks, read; and the clocks. Texts as a Debian 12 guest printed them."""

from __future__ import annotations

import pytest

from lab.client import clocks, locks
from lab.client.clocks import ClockMap
from lab.client.lock_watch import listening
from lab.client.locks import Holder, State
from lab.client.mounts import complaints, nfs_mounts, not_grown
from lab.client.scene import reclaimed

MOUNTSTATS = """\
device rootfs mounted on / with fstype rootfs
device /dev/vda mounted on / with fstype ext4
device 192.0.2.220:/mnt/e0.0 mounted on /mnt/v3 with fstype nfs statvers=1.1
\topts:\trw,vers=3,rsize=65536,wsize=65536,namlen=255,hard,proto=tcp,timeo=10,retrans=2,sec=sys,local_lock=none
\tage:\t88
\tcaps:\tcaps=0xf,wtmult=4096,dtsize=65536,bsize=0,namlen=255
\tevents:\t0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\x20
\tbytes:\t0 0 0 0 0 0 0 0\x20
\tRPC iostats version: 1.1  p/v: 100003/3 (nfs)
\txprt:\ttcp 928 1 2 0 88 7 7 0 7 0 2 0 0
\tper-op statistics
\t        NULL: 1 1 0 44 24 22 7 29 0
\t     GETATTR: 2 2 0 176 224 0 16 16 0
\t        READ: 5 5 0 0 0 0 0 0 0
\t       WRITE: 0 0 0 0 0 0 0 0 0
\t READDIRPLUS: 0 0 0 0 0 0 0 0 0

device clusterb:/mnt/e0.0 mounted on /mnt/v\\0404 with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.1,rsize=65536,hard,proto=tcp,clientaddr=192.0.2.10,local_lock=none
\tnfsv4:\tbm0=0xfdffbfff,bm1=0x40fdbe3e,bm2=0x803,acl=0x3,sessions,pnfs=not configured,lease_time=10,lease_expired=0
\tper-op statistics
\t       WRITE: 58 58 0 997944 10672 23 696 736 0
\tOPEN_DOWNGRADE: 0 0 0 0 0 0 0 0 0
\t        LOCK: 1 1 0 0 0 0 0 0 0
device tmpfs mounted on /tmp with fstype tmpfs
"""
MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
192.0.2.220:/mnt/e0.0 /mnt/v3 nfs rw,relatime,vers=3,hard,mountaddr=192.0.2.220,local_lock=none,addr=192.0.2.220 0 0
clusterb:/mnt/e0.0 /mnt/v\\0404 nfs4 rw,vers=4.1,hard,clientaddr=192.0.2.10,local_lock=none,addr=192.0.2.218 0 0
"""


def test_mounts_are_read_with_version_server_and_counts() -> None:
    found = nfs_mounts(MOUNTSTATS, MOUNTS)
    assert list(found) == ["/mnt/v3", "/mnt/v 4"]
    assert (found["/mnt/v3"].version, found["/mnt/v3"].server) == ("3", "192.0.2.220")
    assert found["/mnt/v3"].operations == {"NULL": 1, "GETATTR": 2, "READ": 5, "WRITE": 0, "READDIRPLUS": 0}
    assert (found["/mnt/v 4"].version, found["/mnt/v 4"].operations["WRITE"]) == ("4.1", 58)


def test_the_right_mount_has_no_complaint_and_every_wrong_one_has() -> None:
    found = nfs_mounts(MOUNTSTATS, MOUNTS)
    assert complaints(found["/mnt/v3"], "/mnt/v3", "3", "192.0.2.220") == []
    assert "wanted is 4.1" in complaints(found["/mnt/v3"], "/mnt/v3", "4.1", "192.0.2.220")[0]
    assert "served by 192.0.2.218" in complaints(found["/mnt/v 4"], "/mnt/v 4", "4.1", "192.0.2.220")[0]
    assert "is not an NFS mount" in complaints(found.get("/mnt/e"), "/mnt/e", "3", "192.0.2.220")[0]


def test_a_mount_over_an_nfs_mount_hides_it() -> None:
    over = MOUNTSTATS + "device tmpfs mounted on /mnt/v3 with fstype tmpfs\n"
    assert "/mnt/v3" not in nfs_mounts(over, MOUNTS)


def test_operations_that_did_not_grow_are_named() -> None:
    before = nfs_mounts(MOUNTSTATS)["/mnt/v3"]
    after = nfs_mounts(MOUNTSTATS.replace("READ: 5 5", "READ: 9 9"))["/mnt/v3"]
    assert not_grown(before, after, ("READ", "WRITE")) == ["WRITE"]


LOCKS = """\
1: DELEG  ACTIVE    READ 299 98:00:655508 0 EOF
2: POSIX  ADVISORY  WRITE 299 98:00:140 0 EOF
2: -> POSIX  ADVISORY  WRITE 811 98:00:140 0 EOF
3: POSIX  ADVISORY  READ 299 98:00:141 0 EOF
4: FLOCK  ADVISORY  WRITE 177 00:16:10 0 EOF
5: OFDLCK ADVISORY  WRITE -1 98:00:142 0 EOF
6: POSIX  ADVISORY  WRITE 12 <none>:0 0 EOF
"""


def test_only_held_posix_write_locks_are_holders() -> None:
    assert locks.holders(LOCKS) == [Holder(299, (0x98, 0), 140)]


@pytest.mark.parametrize(
    ("refused", "listed", "state", "said"),
    [
        (None, [], State.FREE, "would be granted"),
        (1, [Holder(1, (8, 1), 5)], State.HELD, "held by systemd"),
        (None, [Holder(1, (8, 1), 5)], State.UNKNOWN, "F_GETLK has none"),
        (1, [], State.UNKNOWN, "/proc/locks has none"),
        (99, [Holder(99, (8, 1), 5)], State.UNKNOWN, "of this machine"),
        (55, [Holder(55, (8, 1), 5)], State.HELD, "thread that has ended"),
    ],
)
def test_verdicts(
    refused: int | None, listed: list[Holder], state: State, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "thread_name", {1: "systemd", 99: "vim", 55: ""}.__getitem__)
    found = locks.verdict("/f", refused, listed, ("systemd",))
    assert found.state is state
    assert said in found.why


def test_listening_reads_ports_in_hexadecimal(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = tmp_path / "tcp"
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    table.write_text(head + "   0: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n")
    assert listening(2049, (str(table),))
    assert not listening(2048, (str(table),))
    table.write_text(head + "   0: 0100007F:0801 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0\n")
    assert not listening(2049, (str(table), str(tmp_path / "missing")))


# -- clocks ---------------------------------------------------------------------------------------------------


def test_the_shortest_round_trip_sets_the_offset_and_its_bound() -> None:
    host = iter([1_000, 1_400, 2_000, 2_060, 3_000, 3_900])
    guest = iter(["500.21 9.9\n", "501.03 9.9\n", "502.40 9.9\n"])
    found = clocks.measure(lambda: next(guest), lambda: next(host), rounds=3)
    assert found == ClockMap(501_030 - 2_030, 30 + clocks.STEP_MS)
    assert found.guest_ms(2_030) == 501_030
    assert found.host_ms(501_030) == 2_030


def test_a_clock_that_jumped_does_not_agree() -> None:
    assert ClockMap(5_000, 40).agrees(ClockMap(5_080, 40), 0)
    assert not ClockMap(5_000, 40).agrees(ClockMap(5_081, 40), 499)
    assert ClockMap(5_000, 40).agrees(ClockMap(5_081, 40), 500)


def test_no_round_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="one round"):
        clocks.measure(lambda: "1.00 1\n", lambda: 0, rounds=0)


# -- reclaims -------------------------------------------------------------------------------------------------


def seen(*events: tuple[int, str, bool]) -> list[dict[str, object]]:
    absent = [(0, thing, False) for thing in ("address", "server", "lock v3.data")]
    return [{"what": "seen", "t": t, "thing": thing, "there": there} for t, thing, there in [*absent, *events]]


def reclaim_ms(*events: tuple[int, str, bool]) -> int | None:
    (one,) = reclaimed(seen(*events), {"v3.data": "v3"})
    return one.ms


def test_the_reclaim_counts_from_the_later_of_address_and_server() -> None:
    assert reclaim_ms((100, "server", True), (900, "address", True), (1_500, "lock v3.data", True)) == 600
    assert reclaim_ms((100, "address", True), (900, "server", True), (1_500, "lock v3.data", True)) == 600


def test_a_lock_never_seen_has_no_time() -> None:
    assert reclaim_ms((100, "server", True), (900, "address", True)) is None


def test_a_lock_that_went_away_again_has_no_time() -> None:
    events = [
        (100, "server", True),
        (200, "address", True),
        (300, "lock v3.data", True),
        (400, "lock v3.data", False),
    ]
    assert reclaim_ms(*events) is None


def test_a_service_that_went_away_again_has_no_time() -> None:
    events = [(100, "server", True), (200, "address", True), (300, "lock v3.data", True), (400, "server", False)]
    assert reclaim_ms(*events) is None


def test_a_restarted_server_counts_from_its_return() -> None:
    events = [(100, "server", True), (200, "address", True), (300, "server", False), (5_000, "server", True)]
    assert reclaim_ms(*events, (7_500, "lock v3.data", True)) == 2_500


def test_a_lock_that_was_there_all_the_time_was_not_reclaimed() -> None:
    lines = [{"what": "seen", "t": 5, "thing": t, "there": True} for t in ("address", "server", "lock v3.data")]
    assert reclaimed(lines, {"v3.data": "v3"})[0].ms is None
