"""The link test: both directions of each medium, told apart, by nothing but signed probes."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from failover_kit.check import linktest
from failover_kit.check.linktest import LinkTest
from failover_kit.manager import wire
from failover_kit.manager.config import AuthKeys, AuthMethod, Secret
from failover_kit.manager.links_base import Link
from failover_kit.manager.links_receive import FrameReceiver
from failover_kit.manager.records import Beat


def keys(text: bytes = b"0123456789abcdef") -> AuthKeys:
    return AuthKeys(
        sign_index=1,
        keys=MappingProxyType({1: Secret(text)}),
        methods=MappingProxyType({1: AuthMethod.HMAC_SHA256}),
    )


class Wire(Link):
    """One end of a medium in memory; ``cut`` loses what is sent from here."""

    def __init__(self, name: str) -> None:
        super().__init__(name, lambda _: None)
        self.other: Wire | None = None
        self.cut = False
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)
        if not self.cut and self.other is not None:
            self.other._on_frame(self.other.name, frame, "192.0.2.1")

    def _open_device(self) -> None:
        pass

    def _close_device(self) -> None:
        pass


class Bench:
    """pete and mclaws with two media between them."""

    def __init__(self, other_keys: AuthKeys | None = None) -> None:
        names = ("ttyS0", "eth1")
        self.pete_ends = {name: Wire(name) for name in names}
        self.mclaws_ends = {name: Wire(name) for name in names}
        for name in names:
            self.pete_ends[name].other = self.mclaws_ends[name]
            self.mclaws_ends[name].other = self.pete_ends[name]
        self.pete = LinkTest("pete", "mclaws", keys(), self.pete_ends.values(), 1000)
        self.mclaws = LinkTest("mclaws", "pete", other_keys or keys(), self.mclaws_ends.values(), 1000)
        for test, ends in ((self.pete, self.pete_ends), (self.mclaws, self.mclaws_ends)):
            for end in ends.values():
                end.start(test.take)

    def rounds(self, count: int = 12) -> tuple[bool, bool]:
        done = (False, False)
        for _ in range(count):
            done = (self.pete.round() or done[0], self.mclaws.round() or done[1])
        return done


def seen(test: LinkTest) -> dict[str, tuple[bool, bool | None]]:
    return {name: (tried.to_here, tried.to_there) for name, tried in test.tried.items()}


def test_media_that_work_show_both_directions_on_both_nodes_and_end_the_test() -> None:
    bench = Bench()
    assert bench.rounds() == (True, True)
    assert seen(bench.pete) == seen(bench.mclaws) == {"ttyS0": (True, True), "eth1": (True, True)}


def test_who_has_seen_everything_goes_on_until_the_other_one_has_seen_it_too() -> None:
    bench = Bench()
    rounds = 0
    while not bench.pete.round():
        bench.mclaws.round()
        rounds += 1
    assert rounds >= linktest.LAST_PROBES
    assert seen(bench.mclaws) == {"ttyS0": (True, True), "eth1": (True, True)}


def test_a_cable_with_one_broken_wire_is_told_by_its_direction() -> None:
    bench = Bench()
    bench.pete_ends["ttyS0"].cut = True
    assert bench.rounds() == (False, False)
    assert seen(bench.pete) == {"ttyS0": (True, False), "eth1": (True, True)}
    assert seen(bench.mclaws) == {"ttyS0": (False, None), "eth1": (True, True)}


def test_a_pulled_cable_is_silent_and_the_other_link_does_not_speak_for_it() -> None:
    bench = Bench()
    for ends in (bench.pete_ends, bench.mclaws_ends):
        ends["ttyS0"].cut = True
    bench.rounds()
    assert seen(bench.pete) == {"ttyS0": (False, None), "eth1": (True, True)}


def test_a_node_that_begins_late_is_still_seen() -> None:
    bench = Bench()
    for _ in range(20):
        bench.pete.round()
    assert bench.rounds() == (True, True)


def test_another_key_is_no_sign_of_life() -> None:
    bench = Bench(keys(b"another key that is long"))
    bench.rounds()
    assert seen(bench.pete) == {"ttyS0": (False, None), "eth1": (False, None)}
    assert bench.pete.tried["eth1"].remark


def test_a_looped_plug_is_no_other_node() -> None:
    bench = Bench()
    end = bench.pete_ends["ttyS0"]
    end.other = end
    bench.mclaws_ends["ttyS0"].cut = True
    bench.rounds()
    assert seen(bench.pete)["ttyS0"] == (False, None)
    assert "looped" in bench.pete.tried["ttyS0"].remark


def test_a_recorded_probe_does_not_prove_the_way_there() -> None:
    """Only this run's own random word does."""
    first, second = Bench(), Bench()
    first.rounds()
    old = first.mclaws_ends["eth1"].sent[-1]
    second.pete.take("eth1", old)
    assert seen(second.pete)["eth1"] == (True, False)


def test_a_beat_of_failoverd_is_heard_and_said_to_be_one() -> None:
    bench = Bench()
    beat = Beat(node="mclaws", boot_id="b", nonce="n", counter=1, echoes=(), hears=True, ready=True)
    bench.pete.take("eth1", wire.encode(beat, keys().keys, 1))
    assert seen(bench.pete)["eth1"] == (True, None)
    assert "failoverd runs on mclaws" in bench.pete.tried["eth1"].remark


def test_failoverd_takes_no_probe_for_a_beat() -> None:
    """It is refused before its signature is looked at, whatever stands in it."""
    beats: list[Beat] = []
    notes: list[str] = []
    receiver = FrameReceiver(
        ("pete", "mclaws"),
        "life",
        keys().keys,
        lambda _, beat: beats.append(beat),
        note=notes.append,
        inform=notes.append,
        now_ms=lambda: 0,
    )
    receiver.take("eth1", linktest.encode("mclaws", b"0" * 16, (b"1" * 16,), keys()))
    assert beats == []
    assert receiver.refused == {"eth1": 1}


@pytest.mark.parametrize("size", [0, 1, 3, 4, 9])
def test_a_probe_survives_a_serial_line_with_noise_before_it(size: int) -> None:
    words = [b"%016x" % number for number in range(size)]
    frame = linktest.encode("mclaws", b"a" * 16, words, keys())
    assert wire.StreamDecoder().feed(b"\xff\x00login: " + frame)[-1] == frame
    assert linktest.decode(frame, keys()) == ("mclaws", b"a" * 16, tuple(words[-4:]))
    assert linktest.decode(frame.replace(b"mclaws", b"kokone"), keys()) is None
    assert len(frame) * 10 / 9600 * 1000 < linktest.PROBE_INTERVAL_MS
