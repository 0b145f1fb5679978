"""``make chaos``: a nemesis against a real pair on this machine.

    .venv/bin/python tests/chaos [--minutes N] [--seed N | --schedule FILE] [--kit DIR] [--save FILE]

Needs root, cgroup2 and what the rehearsal needs. Exit codes: 0 every round ended well and nothing is left behind,
1 not so (seed, schedule, status, logs and the command that repeats it are printed), 2 usage or something is
missing here, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "lib")]

from chaos import schedule  # noqa: E402 - the path is known only now
from chaos.campaign import Campaign, Failed, trouble_of  # noqa: E402
from chaos.schedule import Round  # noqa: E402
from failover_kit.rehearsal import needs, rundir  # noqa: E402
from failover_kit.rehearsal.events import Diary  # noqa: E402
from failover_kit.rehearsal.main import STAGE_ERRORS  # noqa: E402
from failover_kit.rehearsal.plan import Setup  # noqa: E402
from failover_kit.rehearsal.play import replay_journals  # noqa: E402
from failover_kit.rehearsal.stage import SceneFailed, Stage  # noqa: E402
from failover_kit.rehearsal.world import World  # noqa: E402

KIT = str(TESTS.parent)
SETUP = Setup("one group, short limits, small state disks", op_timeout_ms=10_000, state_bytes=64 << 20)
"""``op_timeout`` is shorter than the rehearsal's, so that a hung agent is over within a round, and longer than a
busy machine needs."""

ALIKE = "all decisions came out alike"
"""What ``failoverctl replay`` says when it found no difference, be there gaps or not."""

PASSED, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(prog="tests/chaos", description="Random faults against a real pair.")
    minutes = "draw a schedule for so long, and begin no round later (%(default)s)"
    options.add_argument("--minutes", type=float, default=3, metavar="N", help=minutes)
    options.add_argument("--seed", type=int, metavar="N", help="draw this schedule (default: a new one each time)")
    options.add_argument("--schedule", metavar="FILE", help="play this one; it is played to its end")
    options.add_argument("--save", metavar="FILE", help="write the schedule there before it is played")
    options.add_argument("--kit", metavar="DIR", default=KIT, help="the tree whose failoverd is tried (this one)")
    return options.parse_args(argv)


def say(text: str) -> None:
    print(text, flush=True)


def main(argv: list[str]) -> int:
    options = parse(argv)
    lacking = needs.missing()
    if shutil.which("tc", path=needs.PATH) is None:
        lacking.append("tc is missing; apt install iproute2")
    for line in lacking:
        print(f"chaos: {line}", file=sys.stderr)
    if lacking:
        return USAGE
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    try:
        rounds = chosen(options, seed)
    except (OSError, ValueError) as error:
        print(f"chaos: {options.schedule}: {error}", file=sys.stderr)
        return USAGE
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    source = f"schedule {options.schedule}" if options.schedule else f"seed {seed}"
    drawn = schedule.text(rounds, source)
    within = "" if options.schedule else f", {options.minutes:g} minutes"
    say(f"chaos: {source}, {len(rounds)} rounds{within}\n{drawn}")
    if options.save:
        Path(options.save).write_text(drawn, encoding="utf-8")
    minutes = None if options.schedule else options.minutes
    return perform(rounds, minutes, source, os.path.abspath(options.kit))


def chosen(options: argparse.Namespace, seed: int) -> list[Round]:
    """The rounds to play. OSError, ValueError when the file is none."""
    if options.schedule:
        return schedule.parse(Path(options.schedule).read_text(encoding="utf-8"))
    return schedule.draw(seed, options.minutes)


def interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def perform(rounds: list[Round], minutes: float | None, source: str, kit: str) -> int:
    """One pair from an empty stage to an empty stage."""
    code = FAILED
    place = rundir.RunDir()
    try:
        world = World(place.path, kit, Diary(), SETUP)
        try:
            if not world.cgroup:
                raise SceneFailed("there is no cgroup2 that can be written: nodes cannot be made to hang")
            code = play(Stage(world), rounds, minutes, source)
        finally:
            undisturbed()
            world.close()
    except KeyboardInterrupt:
        say("chaos: interrupted")
        code = INTERRUPTED
    except (*STAGE_ERRORS, SceneFailed) as error:
        say(f"chaos: the stage broke down: {error}")
    except Exception:  # the program's outermost: the stage is taken down, too
        traceback.print_exc()
        say("chaos: this is a bug in tests/chaos")
    finally:
        undisturbed()
        place.close()
    left = rundir.left_behind(place.path)
    for trace in left:
        say(f"chaos: left behind: {trace}")
    if not left:
        say("chaos: nothing is left behind (namespaces, mounts, loop device, processes)")
    return code or (FAILED if left else PASSED)


def undisturbed() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def play(stage: Stage, rounds: list[Round], minutes: float | None, source: str) -> int:
    campaign = Campaign(stage, SETUP.op_timeout_ms, say)
    begin_s = time.monotonic()
    try:
        campaign.run(rounds, minutes)
        for replay in replay_journals(stage):
            say(f"journal of {replay.node}: {replay.sentence}")
            # A full disk costs the journal entries, which a gap says: what is there must come out alike.
            if not replay.alike and ALIKE not in replay.sentence:
                raise Failed(0, f"the journal of {replay.node} does not replay alike")
    except Failed as failed:
        tell_failure(stage, rounds, failed, source)
        return FAILED
    tell(campaign, (time.monotonic() - begin_s) / 60)
    return PASSED


def tell(campaign: Campaign, minutes: float) -> None:
    """The sums of a campaign that went well."""
    played = campaign.played
    if not played:
        return
    faults = sum(len(one.faults) for one in played)
    say(f"chaos: {len(played)} rounds with {faults} faults in {minutes:.1f} minutes: never two holders,")
    say(f"  {len(campaign.stage.world.acknowledgements().read())} acknowledged records, none lost")
    bound_s = campaign.bound.ms / 1000
    ways = {"served": [one.service_ms for one in played], "at rest": [one.rest_ms for one in played]}
    for what, times in ways.items():
        worst, median = max(times) / 1000, statistics.median(times) / 1000
        say(f"  {what} after a heal: median {median:.1f} s, worst {worst:.1f} s, bound {bound_s:g} s")
    helped = [what for one in played for what in one.helped]
    say(f"  shots: {campaign.audit.shots}, of them {campaign.audit.by_load} for a silence of the busy machine's")
    say(f"  the operator was needed {len(helped)} times in {sum(bool(one.helped) for one in played)} rounds")
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(campaign.codes.items()))
    say(f"  exit codes of orders (-9: their node died, or nobody waited longer): {codes or 'none'}")


def tell_failure(stage: Stage, rounds: list[Round], failed: Failed, source: str) -> None:
    """Everything one needs to look into it, and the way to see it again."""
    say(f"chaos: FAILED: {failed}")
    for line in trouble_of(stage):
        say(line)
    again = "--schedule FILE" if source.startswith("schedule") else source.replace("seed", "--seed")
    say(f"--- again: tests/chaos {again}; or tests/chaos --schedule FILE with any of the rounds up to here:")
    say(schedule.text(rounds[: failed.number or None], source))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
