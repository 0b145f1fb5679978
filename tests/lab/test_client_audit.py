"""The audit must be able to fail: each way in which a promise can be broken is found, and named for what it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.client import audit, records
from lab.client.audit import Audit, Proof, Window, prove_other, prove_writer, waits
from lab.client.diary import Entry, entries

RUN = "00aa11bb"
GAP_MS = 100


def line(what: str, t: int, **facts: object) -> str:
    return json.dumps({"what": what, "t": t, **facts}) + "\n"


class Written:
    """A writer's diary and file as they should be; tests break them."""

    def __init__(self, count: int = 12, name: str = "v3") -> None:
        self.name = name
        self.count = count
        self.bodies = [records.encode(name, RUN, number) for number in range(1, count + 1)]
        self.places = [sum(map(len, self.bodies[:index])) for index in range(count)]
        self.head = line("start", 0, role="writer", name=name, run=RUN) + line("opened", 1) + line("locked", 2)
        self.tail = line("ending", 9_998) + line("end", 9_999, acknowledged=count, errors=0)
        self.middle = [self.ack(index) for index in range(count)]

    def ack(self, index: int) -> str:
        end = 1_000 + index * GAP_MS
        place = {"at": self.places[index], "len": len(self.bodies[index])}
        return line("ack", end, seq=index + 1, begin=end - 20, end=end, wall=0, **place)

    @property
    def data(self) -> bytes:
        return b"".join(self.bodies)

    @property
    def diary(self) -> str:
        return self.head + "".join(self.middle) + self.tail

    def proof(self, data: bytes | None = None) -> Proof:
        return prove_writer(self.name, self.diary, self.data if data is None else data)


def kinds(proof: Proof) -> set[str]:
    return {finding.kind for finding in proof.findings}


def test_kept_promises_are_proved() -> None:
    written = Written()
    proof = written.proof()
    assert proof.findings == []
    assert proof.answers == 12
    assert proof.bytes == len(written.data)
    assert "all 12 acknowledged records" in proof.sentence
    assert Audit([proof]).passed


def test_a_tail_that_was_not_acknowledged_may_be_torn() -> None:
    written = Written()
    half = records.encode("v3", RUN, 13)[:777]
    assert written.proof(written.data + half).findings == []


def test_an_acknowledged_record_beyond_the_end_of_the_file_is_lost() -> None:
    written = Written()
    proof = written.proof(written.data[: written.places[-1]])
    assert kinds(proof) == {"lost"}
    assert "record 12" in proof.findings[0].what
    assert "the file ends" in proof.findings[0].what


def test_a_file_that_is_not_there_loses_every_record() -> None:
    proof = Written().proof(b"")
    assert len(proof.findings) == 12
    assert kinds(proof) == {"lost"}
    assert len(Audit([proof]).sentences()) == audit.TOLD_AT_MOST  # 12 findings are told, no "more"


def test_more_findings_than_are_told_are_counted() -> None:
    sentences = Audit([Written(20).proof(b"")]).sentences()
    assert sentences[-1] == "v3: lost: and 8 more"


def test_zeros_in_the_place_of_a_record_are_lost_records() -> None:
    written = Written()
    at, length = written.places[3], len(written.bodies[3])
    proof = written.proof(written.data[:at] + bytes(length) + written.data[at + length :])
    assert {"lost", "foreign"} == kinds(proof)
    assert any("record 4" in finding.what and "zeros" in finding.what for finding in proof.findings)


def test_a_record_cut_out_moves_the_rest_and_is_found() -> None:
    written = Written()
    data = written.data.replace(written.bodies[5], b"")
    proof = written.proof(data)
    assert any(f.kind == "elsewhere" and f.what.startswith("record 6,") for f in proof.findings)


def test_one_flipped_byte_is_a_torn_record() -> None:
    written = Written()
    data = bytearray(written.data)
    data[written.places[2] + 500] ^= 1
    proof = written.proof(bytes(data))
    assert kinds(proof) == {"torn"}
    assert "record 3" in proof.findings[0].what


def test_a_half_written_record_within_the_acknowledged_part_is_torn() -> None:
    written = Written()
    at, length = written.places[7], len(written.bodies[7])
    data = written.data[: at + 300] + bytes(length - 300) + written.data[at + length :]
    assert "torn" in kinds(written.proof(data))


def test_a_record_that_stands_twice_is_a_duplicate() -> None:
    written = Written()
    written.bodies.insert(4, written.bodies[3])
    data = written.data
    written = Written()  # the diary does not know of the second one
    proof = written.proof(data)
    assert "duplicate" in kinds(proof)
    assert any("record 4 stands again" in finding.what for finding in proof.findings)


def test_a_duplicate_that_disturbs_no_acknowledged_place_is_found_too() -> None:
    """The server replayed an append: the diary's places are right, the copy stands in a gap between them."""
    written = Written()
    extra = len(written.bodies[3])
    data = b"".join([*written.bodies[:4], written.bodies[3], *written.bodies[4:]])
    written.places[4:] = [place + extra for place in written.places[4:]]
    written.middle = [written.ack(index) for index in range(12)]
    assert kinds(written.proof(data)) == {"duplicate"}


def test_two_records_that_changed_places_are_found() -> None:
    written = Written()
    swapped = written.bodies[:]
    swapped[1], swapped[2] = swapped[2], swapped[1]
    proof = written.proof(b"".join(swapped))
    assert {"order", "elsewhere"} <= kinds(proof)


def test_order_is_seen_even_where_every_place_is_as_the_diary_says() -> None:
    written = Written()
    swapped = [written.bodies[0], written.bodies[2], written.bodies[1], *written.bodies[3:]]
    places = {1: len(written.bodies[0]) + len(written.bodies[2]), 2: len(written.bodies[0])}
    for index, at in places.items():
        written.places[index] = at
    written.middle = [written.ack(index) for index in range(12)]
    proof = written.proof(b"".join(swapped))
    assert "order" in kinds(proof)
    assert "diary" in kinds(proof)


def test_records_of_another_run_are_foreign() -> None:
    written = Written()
    other = records.encode("v3", "ffffffff", 4)
    data = written.data.replace(written.bodies[3], other)
    assert {"foreign", "elsewhere"} <= kinds(written.proof(data))


def test_bytes_between_records_are_foreign() -> None:
    written = Written()
    junk = b"x" * 64
    data = b"".join([*written.bodies[:4], junk, *written.bodies[4:]])
    written.places[4:] = [place + len(junk) for place in written.places[4:]]
    written.middle = [written.ack(index) for index in range(12)]
    assert kinds(written.proof(data)) == {"foreign"}


def test_an_error_at_the_client_is_never_excused() -> None:
    written = Written()
    error = line("error", 1_555, during="fsync", seq=99, errno=5, name="EIO", message="Input/output error")
    written.middle.insert(6, error)
    proof = written.proof()
    assert kinds(proof) == {"error"}
    assert str(proof.findings[0]) == "v3: error: fsync of seq 99: EIO (Input/output error) at 1555 ms"
    assert proof.errors == 1


def test_no_acknowledgement_at_all_is_a_finding() -> None:
    written = Written()
    written.middle = []
    assert kinds(written.proof()) == {"nothing"}


def test_an_empty_diary_proves_nothing() -> None:
    proof = prove_writer("v3", "", b"")
    assert {"diary", "unfinished", "nothing", "lock"} == kinds(proof)


def test_a_diary_that_breaks_off_is_a_finding_even_when_all_it_says_is_true() -> None:
    written = Written()
    written.tail = '{"what":"try","t":99'  # the line under way is forgiven, the missing end is not
    proof = written.proof()
    assert kinds(proof) == {"unfinished"}


def test_a_line_that_is_not_of_a_diary_proves_nothing() -> None:
    written = Written()
    written.middle[3] = "\0\0\0\0\n"
    assert "diary" in kinds(written.proof())


def test_a_writer_that_never_got_its_lock_is_a_finding() -> None:
    written = Written()
    written.head = line("start", 0, role="writer", name="v3", run=RUN) + line("opened", 1)
    assert kinds(written.proof()) == {"lock"}
    assert prove_writer("v3", written.diary, written.data, lock=False).findings == []


def test_an_audit_without_a_writer_tested_nothing() -> None:
    assert not Audit([]).passed
    reader = prove_other(
        "r3", "reader", line("start", 0, role="reader") + line("read", 1, end=1, begin=0) + line("end", 2)
    )
    assert reader.findings == []
    assert not Audit([reader]).passed


def test_what_a_reader_found_otherwise_is_a_finding() -> None:
    text = line("start", 0, role="reader") + line("read", 1, begin=0, end=1)
    text += line("differs", 5, kind="held", seq=7, why="10 of 20 bytes") + line("end", 9)
    proof = prove_other("r3", "reader", text)
    assert [str(finding) for finding in proof.findings] == ["r3: differs: held 7 10 of 20 bytes"]


def test_a_walker_that_made_one_round_compared_nothing() -> None:
    text = line("start", 0, role="walker") + line("file", 1, path="a", begin=0, end=1) + line("round", 2)
    proof = prove_other("find", "walker", text + line("end", 9))
    assert kinds(proof) == {"nothing"}


def test_a_diary_of_another_kind_of_program_is_refused() -> None:
    assert "diary" in kinds(prove_other("r3", "reader", Written().diary))


# -- pauses ---------------------------------------------------------------------------------------------------


def waited(ends: list[int], window: Window) -> Proof:
    proof = Proof("v3", "writer")
    lines: list[Entry] = [{"what": "ack", "t": end, "begin": end - 30, "end": end} for end in ends]
    waits(proof, lines, [window])
    return proof


def test_the_longest_pause_of_a_scene_is_found() -> None:
    proof = waited([100, 200, 300, 5_300, 5_400], Window("cut", 150, 5_400))
    (one,) = proof.waited
    assert (one.ms, one.begin_ms, one.answers) == (5_000, 300, 4)
    assert proof.findings == []


def test_a_pause_that_reaches_out_of_the_scene_counts_whole() -> None:
    (one,) = waited([100, 5_000, 5_100, 9_000], Window("cut", 4_000, 6_000)).waited
    assert one.ms == 4_900
    (one,) = waited([100, 4_500, 9_000], Window("cut", 4_400, 6_000)).waited
    assert one.ms == 4_500


def test_a_scene_without_an_answer_tested_nothing() -> None:
    proof = waited([100, 9_000], Window("cut", 1_000, 6_000))
    assert kinds(proof) == {"nothing"}
    assert proof.waited[0].ms == 8_900
    assert kinds(waited([], Window("cut", 1_000, 6_000))) == {"nothing"}


def test_the_longest_single_request_is_told_apart_from_the_programs_own_time() -> None:
    lines: list[Entry] = [
        {"what": "ack", "t": 100, "begin": 50, "end": 100},
        {"what": "ack", "t": 4_000, "begin": 3_900, "end": 4_000},  # the client's own disk took the time
    ]
    proof = Proof("v3", "writer")
    waits(proof, lines, [Window("cut", 0, 5_000)])
    assert (proof.waited[0].ms, proof.waited[0].longest_ms) == (3_900, 100)


# -- properties -----------------------------------------------------------------------------------------------

WRITTEN = Written(6)


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN.data) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(at: int, change: int) -> None:
    data = bytearray(WRITTEN.data)
    data[at] ^= change
    assert WRITTEN.proof(bytes(data)).findings


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN.data) - 1))
def test_every_cut_is_found(end: int) -> None:
    assert WRITTEN.proof(WRITTEN.data[:end]).findings


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_every_other_order_is_found(order: list[int]) -> None:
    data = b"".join(WRITTEN.bodies[index] for index in order)
    assert bool(WRITTEN.proof(data).findings) is (order != list(range(6)))


# -- records and diaries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [1, 4, 5, 10, 99_999_999])
def test_a_record_says_what_it_is(sequence: int) -> None:
    body = records.encode("v4", RUN, sequence)
    found = records.decode(b"junk" + body, 4)
    assert (found.name, found.run, found.sequence, found.length, found.fault) == (
        "v4",
        RUN,
        sequence,
        len(body),
        "",
    )


@settings(deadline=None)
@given(st.integers(0, len(WRITTEN.bodies[0]) - 1), st.integers(1, 255))
def test_a_record_with_a_changed_byte_is_none(at: int, change: int) -> None:
    """By its own checksum, without knowing what was written."""
    body = bytearray(WRITTEN.bodies[0])
    body[at] ^= change
    assert records.decode(bytes(body), 0).fault


def test_records_are_of_a_page_or_small_and_end_anywhere() -> None:
    sizes = [len(records.encode("v3", RUN, number)) for number in range(1, 101)]
    assert sum(size > 4_000 for size in sizes) == 80
    assert sum(size < 400 for size in sizes) == 20
    assert len({sum(sizes[:n]) % 4_096 for n in range(100)}) > 90


def test_entries_of_a_diary_forgive_only_the_line_under_way() -> None:
    assert [e["what"] for e in entries('{"what":"a","t":1}\n{"what":"b"', "d")] == ["a"]
    for bad in ("[]\n", '{"what":1,"t":1}\n', '{"t":1}\n', '{"what":"a","t":1.5}\n', "\n"):
        with pytest.raises(Exception, match="d:1"):
            list(entries(bad, "d"))
