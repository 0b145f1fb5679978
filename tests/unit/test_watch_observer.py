"""When a watcher asks, by a clock made here."""

from __future__ import annotations

from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.watch.asking import AskError, Target
from failover_kit.watch.observer import Observer
from failover_kit.watch.watcher import Watcher

AGAIN_MS = 60_000
INTERVAL_MS = 10_000


class FakeProbe:
    def __init__(self, text: str) -> None:
        self.text = text
        self.says = ""

    def failure(self, timeout_ms: int) -> str:
        return self.says


class FakeNodes:
    """The pair, as the test says."""

    def __init__(self) -> None:
        self.epoch = 3
        self.unreachable = ""
        self.answer = Answer(code=ExitCode.DONE, text="mclaws runs web")
        self.asked: list[int] = []

    def target(self) -> Target:
        if self.unreachable:
            raise AskError(ExitCode.NO_DAEMON, self.unreachable)
        return Target("mclaws", "mclaws", "pete", self.epoch)

    def take_over(self, target: Target) -> Answer:
        self.asked.append(target.epoch)
        return self.answer


class Scene:
    def __init__(self, failures: int = 3, *, dry_run: bool = False) -> None:
        self.service, self.gateway, self.nodes = FakeProbe("tcp:pete:80"), FakeProbe("ping:192.0.2.1"), FakeNodes()
        self.now_ms = 0
        self.said: list[str] = []
        self.watcher = Watcher(
            [self.service],
            [self.gateway],
            self.nodes,
            Observer(failures=failures, again_ms=AGAIN_MS),
            timeout_ms=1,
            dry_run=dry_run,
            say=lambda said: self.said.append(said.text),
            now_ms=lambda: self.now_ms,
        )

    def looks(self, *answers: str) -> list[tuple[ExitCode, bool]]:
        """One look for each letter: "+" it answers, "-" it does not."""
        results = []
        for letter in "".join(answers):
            self.service.says = "Connection refused" if letter == "-" else ""
            results.append(self.watcher.look())
            self.now_ms += INTERVAL_MS
        return results


def test_n_failures_in_a_row_and_not_one_less() -> None:
    scene = Scene()
    scene.looks("+--+--+--")
    assert scene.nodes.asked == []
    assert scene.looks("-") == [(ExitCode.DONE, True)]
    assert scene.nodes.asked == [3]
    assert scene.said[-2:] == [
        "asks mclaws to take it over from pete (epoch 3)",
        "done, says mclaws: mclaws runs web",
    ]


def test_one_sentence_for_each_change() -> None:
    scene = Scene()
    scene.looks("++--++")
    assert scene.said == [
        "does not answer: tcp:pete:80: Connection refused",
        "answers again after 2 looks without an answer",
    ]


def test_a_silent_witness_means_that_the_fault_is_ours() -> None:
    scene = Scene()
    scene.gateway.says = "no echo"
    scene.looks("-" * 30)
    assert scene.nodes.asked == []
    assert len([line for line in scene.said if "the fault is probably between here and there" in line]) == 1
    scene.gateway.says = ""
    scene.looks("-" * 7)
    assert scene.nodes.asked == [3]


def test_the_witness_is_not_asked_while_all_is_well() -> None:
    scene = Scene()
    scene.gateway.says = "no echo"
    scene.looks("++++")
    assert scene.said == []


def test_a_takeover_that_cures_nothing_is_not_followed_by_another() -> None:
    scene = Scene()
    scene.looks("-" * 100)
    assert scene.nodes.asked == [3]
    assert scene.said[-1].startswith("does not answer after the takeover either")


def test_it_is_armed_again_by_n_good_answers_in_a_row() -> None:
    scene = Scene()
    scene.looks("---", "++-++-", "---")
    assert scene.nodes.asked == [3]
    scene.nodes.epoch = 4
    scene.looks("+++")
    assert "watching as before" in scene.said[-1]
    scene.looks("---")
    assert scene.nodes.asked == [3, 4]


def test_a_refusal_is_not_argued_with() -> None:
    scene = Scene()
    scene.nodes.answer = Answer(code=ExitCode.REFUSED, text="held off for another 500 s")
    assert scene.looks("---")[-1] == (ExitCode.REFUSED, True)
    scene.looks("-" * (AGAIN_MS // INTERVAL_MS - 1))
    assert scene.nodes.asked == [3]
    scene.looks("-")
    assert scene.nodes.asked == [3, 3]


def test_a_group_that_moved_by_itself_gets_its_own_count() -> None:
    scene = Scene()
    scene.looks("--")
    scene.nodes.epoch = 4
    assert scene.looks("-") == [(ExitCode.REFUSED, True)]
    assert scene.nodes.asked == [] and "moved by itself meanwhile (epoch 3 to 4)" in scene.said[-1]
    scene.looks("-")
    assert scene.nodes.asked == []
    scene.looks("-")
    assert scene.nodes.asked == [4]


def test_no_node_is_reached() -> None:
    scene = Scene()
    scene.nodes.unreachable = "no node answers: pete: no route"
    assert scene.looks("---")[-1] == (ExitCode.NO_DAEMON, True)
    scene.looks("-" * 20)
    assert [line for line in scene.said if line.startswith("no takeover: no node answers")] != []
    scene.nodes.unreachable = ""
    scene.looks("-" * 6)
    assert scene.nodes.asked == [3]


def test_a_dry_run_asks_nothing() -> None:
    scene = Scene(dry_run=True)
    scene.looks("-" * 40)
    assert scene.nodes.asked == [] and any("would ask mclaws" in line for line in scene.said)


def test_mon_has_counted() -> None:
    scene = Scene()
    assert scene.watcher.ask() is ExitCode.DONE
    scene.gateway.says = "no echo"
    assert scene.watcher.ask() is ExitCode.REFUSED
    assert scene.nodes.asked == [3]
