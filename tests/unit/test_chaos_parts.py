"""The parts of tests/chaos that need no root: the schedule, what counts as rest, what the operator does."""

import pytest

from chaos import remedy, schedule
from chaos.deeds import DEEDS
from chaos.schedule import KINDS, ScheduleError
from chaos.views import unrest
from failover_kit.rehearsal.loss import program


def test_a_seed_draws_the_same_schedule_each_time_and_another_seed_another():
    assert schedule.draw(7, 3) == schedule.draw(7, 3)
    assert schedule.draw(7, 3) != schedule.draw(8, 3)


def test_a_longer_schedule_of_a_seed_begins_with_the_shorter_one():
    assert schedule.draw(7, 30)[:5] == schedule.draw(7, 3)[:5]


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_is_read_as_it_was_written(seed):
    rounds = schedule.draw(seed, 30)
    assert schedule.parse(schedule.text(rounds, f"seed {seed}")) == rounds


def test_every_kind_is_drawn_and_can_be_done():
    drawn = {fault.kind for faults in schedule.draw(1, 200) for fault in faults}
    assert drawn == set(KINDS) == set(DEEDS)


@pytest.mark.parametrize(("kinds", "least_ms"), [
    ({"switch", "freeze"}, schedule.OUTLAST_SHOT_MS[0]), ({"switch", "cut-all"}, schedule.OUTLAST_SHOT_MS[0]),
    ({"hang-stop", "order"}, schedule.OUTLAST_STOP_MS[0]),
])  # fmt: skip
def test_minutes_have_faults_that_outlast_every_call(kinds, least_ms):
    rounds = schedule.draw(1, 120)
    pairs = [faults for faults in rounds if {fault.kind for fault in faults} == kinds]
    lasting = [faults for faults in pairs if all(fault.for_ms >= least_ms for fault in faults if fault.for_ms)]
    assert len(lasting) >= len(rounds) // 100


def test_a_loss_is_one_to_sixty_percent():
    losses = {int(f.options["percent"]) for r in schedule.draw(1, 400) for f in r if f.kind == "loss"}
    assert losses <= set(range(1, 61)) and len(losses) > 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no round in it"),
        ("+0.1 for 1 freeze node=active", "line 1: a fault before the first line"),
        ("round 1\n+0.1 for 1 explode", "line 2: expected .* freeze"),
        ("round 1\n+0.1 during 1 freeze", "line 2: expected"),
        ("round 1\n+0.1 for 1 freeze active", "line 2: expected"),
    ],
)
def test_a_line_that_is_no_fault_is_named(text, words):
    with pytest.raises(ScheduleError, match=words):
        schedule.parse(text)


def dropped(text, number):
    """What the program answers when the kernel's random number is that one: True for a drop."""
    lines = [tuple(map(int, line.split())) for line in text.split(",")[1:]]
    assert int(text.split(",")[0]) == len(lines)
    at = value = 0
    while True:
        code, true, false, k = lines[at]
        at += 1
        if code == 0x20:
            assert k == 2**32 - 0x1000 + 56
            value = number
        elif code == 0x25:
            at += true if value > k else false
        else:
            return {2: True, 2**32 - 1: False}[k]


@pytest.mark.parametrize(("percent", "number", "lost"), [
    (100, 2**32 - 1, True), (60, 0, True), (60, 2**32 * 59 // 100, True), (60, 2**32 * 61 // 100, False),
    (1, 2**32 // 50, False), (1, 2**32 // 200, True),
])  # fmt: skip
def test_the_share_of_frames_that_is_lost(percent, number, lost):
    assert dropped(program(percent), number) is lost


def test_there_is_no_loss_of_more_than_all():
    with pytest.raises(ValueError, match="0 to 100"):
        program(101)


def view(node, **changes):
    """A node at rest: pete runs the group."""
    runs = node == "pete"
    group = {"state": "started" if runs else "stopped", "right": 2 * runs, "held": runs, "grant": 0}
    found = {
        "node": node, "peer_state": "up", "peer_hears_us": True, "fence_running_since_ms": None, "on_owed": False,
        "leaving": False, "proof": {"state": "never", "text": ""}, "health": "healthy", "reason": "", "todo": [],
    }  # fmt: skip
    return {**found, "groups": [{**group, **changes.pop("group", {})}], **changes}


def test_a_pair_at_rest():
    assert unrest([view("pete"), view("mclaws")]) == ""


@pytest.mark.parametrize("changes", [
    {"peer_state": "silent"}, {"peer_hears_us": False}, {"fence_running_since_ms": 1}, {"on_owed": True},
    {"leaving": True}, {"proof": {"state": "running", "text": "drill"}}, {"health": "degraded"},
    {"group": {"held": True}}, {"group": {"grant": 4}}, {"group": {"state": "unknown"}},
    {"group": {"state": "started", "right": 3}},
])  # fmt: skip
def test_a_pair_that_is_not(changes):
    assert unrest([view("pete"), view("mclaws", **changes)])


def test_a_node_without_an_answer_is_no_rest():
    assert unrest([view("pete"), "mclaws has no power"]) == "mclaws has no power"


class Hand:
    """A stage that notes what the operator does."""

    def __init__(self, monkeypatch, peer_on=True, outlet="on"):
        self.done = []
        self.world = self.switch = self
        self.outlet = outlet
        self.nodes = {"pete": self.Node("pete", True, self.done), "mclaws": self.Node("mclaws", peer_on, self.done)}
        monkeypatch.setattr(remedy, "Order", lambda _stage, node, *words: self.done.append((node.name, *words)))

    class Node:
        def __init__(self, name, on, done):
            self.name, self.on, self.plan, self.done = name, on, self, done
            self.outlet = 1

        def switch_on(self):
            self.done.append((self.name, "boots"))

    def node(self, name):
        return self.nodes[name]

    def outlet_state(self, _outlet):
        return self.outlet

    def press(self, name, state):
        self.done.append((name, "outlet", state))


@pytest.mark.parametrize(("hint", "done"), [
    ("when the work is done, run: failoverctl maintenance off", ("pete", "maintenance", "off")),
    ("repair group g, then run: failoverctl takeover g", ("pete", "takeover", "g")),
    ("repair group g, then run on mclaws: failoverctl takeover g", ("mclaws", "takeover", "g")),
    ("repair group g here; the next failoverctl takeover here clears this", ("pete", "takeover")),
    ("see the line proof; repair that, then run: failoverctl fence --prove mclaws",
     ("pete", "fence", "--yes", "--prove", "mclaws")),
])  # fmt: skip
def test_the_operator_does_what_status_says(monkeypatch, hint, done):
    hand = Hand(monkeypatch)
    assert remedy.act(hand, [view("pete", todo=[hint])], [])
    assert hand.done == [(*done, "--timeout", "60")]


@pytest.mark.parametrize(("peer_on", "done"), [
    (True, []), (False, [("pete", "confirm-dead", "--yes", "mclaws", "--timeout", "60")]),
])  # fmt: skip
def test_the_operator_confirms_only_what_is_so(monkeypatch, peer_on, done):
    hand = Hand(monkeypatch, peer_on)
    hint = "if mclaws is off for certain, run: failoverctl confirm-dead mclaws"
    remedy.act(hand, [view("pete", todo=[hint])], [])
    assert hand.done == done


def test_the_operator_switches_on_what_is_off(monkeypatch):
    hand = Hand(monkeypatch, peer_on=False, outlet="off")
    hint = "when mclaws is fit again, switch it on and boot it: it joins by itself"
    remedy.act(hand, [view("pete", todo=[hint])], [])
    assert hand.done == [("mclaws", "outlet", "on"), ("mclaws", "boots")]


def test_the_operator_waits_for_what_ends_by_itself(monkeypatch):
    hand = Hand(monkeypatch)
    todo = ["free what keeps group g from stopping; the stop is tried again", "repair link eth1"]
    assert remedy.act(hand, [view("pete", todo=todo)], []) == []
    assert hand.done == []
