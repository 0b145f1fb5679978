"""The section of docs/measurements.md that this bench writes, and where it stands there."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from drivers import DRIVERS
from report import MINIMUM_RUNS, POWER_LOSS, SWITCHOVER, Results, as_markdown

TITLE = "## Failovers"
PICTURE = "pictures/failover.svg"
"""Beside the page that is written."""

HEAD = f"""{TITLE}

    make bench-failover ARGS="--runs 7 --minutes 60 --write docs/measurements.md"

As root, about an hour and a half, of which *all cores busy* takes one hour. That command writes this section and
its picture. Each manager gets two nodes in namespaces of their own on one stage: an XFS and an address, one network
link, one emulated switch whose relays move at once, and a client in a third namespace that asks the address every
10 ms. They take turns, each run with a new pair: A B C D, A B C D, ... failoverd and Heartbeat have keepalive 20 ms
and deadtime 500 ms, corosync a token of 500 ms, keepalived (the address alone, no disk, no fence) an advertisement
interval that makes it as quick. A manager that did not do it is a failure, not a time.

- **Gap**: the longest time in which the client had no answer. Moments are seen from outside, by what the kernel of
  the node says. They count from the order, or from the moment when everything of the active node was killed.
- **Power loss**: *asked* is when the switch was told to cut the node, *proved* its last answer before the start.
  failoverd reads the plugs back before it starts anything. *takeover* is from *proved* to the address.
  Here the survivor is not at home, so it lets the other node shoot first and waits twice `fence_delay` (rule 10 of
  the protocol); nearly all of its time before *asked* is that wait. The home node waits half as long.
- **Idle**: keepalive 1 s, deadtime 10 s (corosync: a token of 1 s), half a minute, the mean of both nodes. CPU is
  that of everything in a node's control group. *The manager's own* leaves out the resource agents that it starts
  every 10 s to look at its resources. Heartbeat never looks at what it started; a monitor is at least an
  interpreter's start, and two of them every 10 s cost about what all of Heartbeat does (docs/design/0049).
- **All cores busy**: an endless loop for each processor, nothing wrong, deadtime 500 ms. Nobody may be shot and
  nothing may move. *Counted as lost* is how often a node said that it did not hear the other one for deadtime.

![Phases of a switchover and of a takeover, beside the peers]({PICTURE})

"""


def unfit(results: Results) -> str:
    """Why these results must not be published, or ""."""
    if results.failures:
        return f"{len(results.failures)} failures: {results.failures[0].splitlines()[0]}"
    missing = [
        who for who in DRIVERS if any((what, who) not in results.samples for what in (SWITCHOVER, POWER_LOSS))
    ]
    if missing:
        return f"{missing[0]} was not measured; tools/setup.sh test installs it"
    few = [f"{what}, {who}" for (what, who), samples in results.samples.items() if len(samples) < MINIMUM_RUNS]
    return f"fewer than {MINIMUM_RUNS} runs of {few[0]}" if few else ""


def section(results: Results, facts: Mapping[str, str]) -> str:
    """Everything from the title on."""
    return HEAD + as_markdown(results, facts)


def put(page: str, text: str) -> str:
    """``page`` with ``text`` in the place of the section that is there, else behind all others."""
    lines = page.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")] + [len(lines)]
    for begin, end in pairwise(starts):
        if lines[begin].rstrip() == TITLE:
            after = "".join(lines[end:])
            return "".join(lines[:begin]) + text.rstrip("\n") + "\n" + (f"\n{after}" if after else "")
    return page.rstrip("\n") + "\n\n" + text
