"""The story's order: preparation, the document's round, the recommended round, the end.

``Choice`` says what of it is played. Whatever is chosen, the preparation comes first and the proofs last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.howto import client, configure, files, prepare, rounds, scenes, switch
from lab.howto.pair import BOOT_S, Pair
from lab.report import Table

if TYPE_CHECKING:
    from lab.guest import Guest

MOVE, POWER_CUT = "move", "power-cut"
SCENES = (MOVE, POWER_CUT)
DOCUMENT, RECOMMENDED = "document", "recommended"
ROUNDS = (DOCUMENT, RECOMMENDED)
PARTS = {DOCUMENT: "as in the document", RECOMMENDED: "as we recommend"}

SCENE_ROWS = {MOVE: "22", POWER_CUT: "23"}
"""The rows of the HOWTO that only these scenes take up."""

STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    MOVE: (("22", "standby on pete while the client reads and writes"), ("22", "takeover back on pete")),
    POWER_CUT: (
        ("23", "the power cord is pulled from pete, which is active"),
        ("23", "pete has power again, and returns as the passive node"),
    ),
}
"""The steps of a scene, promised before they are played so that one that is not reached is missed."""


@dataclass(frozen=True)
class Choice:
    """What is played; everything by default."""

    scenes: tuple[str, ...] = SCENES
    rounds: tuple[str, ...] = ROUNDS

    @property
    def whole(self) -> bool:
        return self.scenes == SCENES and self.rounds == ROUNDS

    def turns(self) -> list[str]:
        """The nodes in the order in which they write, as the witness must see it. A round starts on pete."""
        order: list[str] = []
        for _ in self.rounds:
            one = ["pete"]
            one += ["mclaws", "pete"] if MOVE in self.scenes else []
            one += ["mclaws"] if POWER_CUT in self.scenes else []
            order += one[1:] if order and order[-1] == one[0] else one
        return order

    def active_at_the_end(self) -> str:
        return self.turns()[-1]


def promise(table: Table, choice: Choice) -> None:
    """Note the steps that must not go missing, and excuse rows that were not asked for."""
    for one in choice.rounds:
        for scene in choice.scenes:
            for number, title in STEPS[scene]:
                table.plan(number, title, part=PARTS[one])
    for scene in SCENES:
        if scene not in choice.scenes:
            table.by_hand(
                SCENE_ROWS[scene], f"not played in this run, which was asked for {', '.join(choice.scenes)} only"
            )


def play(table: Table, pair: Pair, choice: Choice) -> None:
    """Everything that was chosen; StepFailed and other errors as they come, recorded in the table."""
    promise(table, choice)
    table.part("preparation")
    pair.say("booting pete, mclaws and kokone")
    pair.lab.boot(timeout_s=BOOT_S)
    machines(table, pair)
    prepared(table, pair)
    begun_ms = pair.lab.shelf.mark()
    for number, one in enumerate(choice.rounds):
        table.part(PARTS[one])
        if number == 0:
            first_round(table, pair, one)
        else:
            rounds.change(table, pair, pair.lab.guests["mclaws" if POWER_CUT in choice.scenes else "pete"])
        if MOVE in choice.scenes:
            scenes.move(table, pair)
        if POWER_CUT in choice.scenes:
            scenes.power_cut(table, pair)
    table.part("the end")
    active = pair.lab.guests[choice.active_at_the_end()]
    rounds.finish(table, pair, active, begun_ms, choice.turns())


def prepared(table: Table, pair: Pair) -> None:
    """From machines as they are installed to a pair that is ready to be configured."""
    steps: tuple[Callable[[Table, Pair], None], ...] = (
        switch.setup,
        prepare.unconfigured,
        prepare.disk,
        prepare.boot_links,
        prepare.exports,
        switch.stonith,
        prepare.cable_test,
    )
    for step in steps:
        step(table, pair)


def first_round(table: Table, pair: Pair, name: str) -> None:
    """The document's files (checked in every run), then the service of the chosen round, and the client."""
    configure.three_files(table, pair, files.HARESOURCES)
    if name == DOCUMENT:
        prepare.nfs_state(table, pair)
        scenes.start(table, pair)
    else:
        pair.put_on_both("/etc/exports", "")
        rounds.start_recommended(table, pair)
    scenes.look(table, pair)
    client.mount_and_copy(table, pair)
    for node in pair.nodes:
        # Configuration, not data: "/" is the node's own disk, and the shared one is left alone.
        node.run(["sync", "-f", "/"], timeout_s=120)


PACKAGES = ("nfs-kernel-server", "xfsprogs", "aoetools", "sysvinit-core")


def machines(table: Table, pair: Pair) -> None:
    """What the guests are, for the head of the table."""
    for guest in pair.lab.guests.values():
        facts = machine_facts(guest)
        table.machine(guest.name, **facts)


def machine_facts(guest: Guest) -> dict[str, str]:
    """Kernel and package versions of a guest."""
    kernel = guest.run(["uname", "-r"]).stdout.strip()
    form = "${binary:Package} ${Version}\\n"
    listed = guest.run(["dpkg-query", "-W", "-f", form, *PACKAGES], check=False).stdout
    versions = dict(line.split(" ", 1) for line in listed.splitlines() if " " in line)
    return {"kernel": kernel, **{name: versions[name] for name in PACKAGES if versions.get(name)}}
