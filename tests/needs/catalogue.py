"""The list: what users need (1 to 21) and defects that were reproduced (D1 to D11), with the scenario of each.

A scenario is a function that is given a world with one side's agents, and says what happened and whether the
need is met. The judgement stands in it once, and is the same for both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from needs.world import World

NEEDS = {
    "1": "stop costs nothing when idle",
    "2": "many users are ended fast",
    "3": "never block on an unrelated dead server",
    "4": "stop and probe when the path does not answer",
    "5": "never kill the innocent",
    "6": "users that are started again and again",
    "7": "a consistent mount table under load",
    "8": "a local fault is not fatal for the cluster",
    "9": "monitor says what is wrong before it times out",
    "10": "NFSv4 locks are reclaimed",
    "11": "notify after exports and address",
    "12": "nfsserver, its helpers and systemd",
    "13": "no unbounded wait",
    "14": "gratuitous ARP that peers accept",
    "15": "IPv6 duplicate address detection",
    "16": "choice of interface and route",
    "17": "what a lost link means",
    "18": "exportfs tells the truth",
    "19": "the wait for leases",
    "20": "connections to an address that went",
    "21": "a start that takes for ever",
    "D1": "mount point used as a regular expression",
    "D2": "mount point used as a format",
    "D3": "result of an earlier command kept",
    "D4": "hung filesystem hangs the agent",
    "D5": "stop fails with many users",
    "D6": "XFS that was shut down is running",
    "D7": "metric of a route misread",
    "D8": "lost carrier reads as stopped",
    "D9": "IPv6 start while tentative",
    "D10": "failures of nfsserver's helpers lost",
    "D11": "only with gawk",
}


class Outcome(NamedTuple):
    """``holds``: whether the need is met; ``seen``: what happened, with figures, in one line."""

    holds: bool
    seen: str


class Need(NamedTuple):
    """One scenario; ``rows`` are keys of NEEDS, ``source`` where it was reported (ClusterLabs' tracker)."""

    name: str
    rows: tuple[str, ...]
    source: str
    scenario: Callable[[World], Outcome]

    def story(self) -> str:
        """What is done, in a line: the first of the scenario's documentation."""
        return (self.scenario.__doc__ or "").partition("\n")[0]


class InLab(NamedTuple):
    """What only a kernel NFS server shows: tests of ours in virtual machines; the peer is not run there."""

    rows: tuple[str, ...]
    source: str
    story: str
    tests: tuple[str, ...]


_SCENARIOS: list[Need] = []
_NFS = "tests/labrun/test_agents_nfs.py"
_SYSTEMD = "tests/labrun/test_agents_nfs_systemd.py"
_EXPORTFS = "tests/labrun/test_agents_exportfs.py"

LAB = (
    InLab(
        ("10", "11"),
        "#1644 #1688 #443",
        "Locks of NFSv3 and NFSv4 clients survive a move and a power cut; the address comes last",
        (f"{_NFS}::test_locks_of_nfsv3_and_nfsv4_survive_a_move_and_a_power_cut",),
    ),
    InLab(
        ("12", "D10"),
        "#835",
        "A helper that died (mountd, statd, ...) is a failure, not stopped",
        (f"{_NFS}::test_a_dead_helper_is_a_failure_and_stop_and_start_mend_it",),
    ),
    InLab(
        ("12",),
        "#914 #2009 #2164",
        "The agent owns the server, with units and init scripts about",
        (
            f"{_SYSTEMD}::test_nfsserver_takes_over_from_the_units_and_gives_nothing_back",
            f"{_SYSTEMD}::test_a_unit_started_while_the_resource_runs_is_stopped_with_it",
            f"{_NFS}::test_a_server_that_somebody_else_started_is_not_running_and_not_stopped",
        ),
    ),
    InLab(
        ("12",),
        "#122 #1300 #1611 #2005",
        "Nothing keeps the disk or /var/lib/nfs busy after stop, wherever the last action was killed",
        (f"{_NFS}::test_an_action_killed_at_any_moment_leaves_what_the_next_one_can_use",),
    ),
    InLab(
        ("13", "19"),
        "#1045 azure-docs#116990",
        "The lease is waited out and not longer",
        (f"{_EXPORTFS}::test_the_lease_is_waited_out_and_not_longer",),
    ),
    InLab(
        ("18",),
        "#821",
        "An etab that survived a power cut",
        (f"{_EXPORTFS}::test_821_an_etab_that_survived_a_power_cut",),
    ),
    InLab(
        ("19",),
        "#430",
        "Lease and grace time are what was declared",
        (f"{_NFS}::test_what_was_declared_is_what_the_kernel_has",),
    ),
)


def need(*rows: str, source: str = "") -> Callable[[Callable[[World], Outcome]], Callable[[World], Outcome]]:
    """Puts a scenario on the list. Its name is the name of its test."""

    def enter(scenario: Callable[[World], Outcome]) -> Callable[[World], Outcome]:
        _SCENARIOS.append(Need(scenario.__name__, rows, source, scenario))
        return scenario

    return enter


def scenarios() -> list[Need]:
    """All scenarios, in the order of NEEDS."""
    from needs import addresses, exports, filesystem_state, filesystem_stop  # noqa: F401 - they enter themselves

    order = list(NEEDS)
    return sorted(_SCENARIOS, key=lambda one: (order.index(one.rows[0]), one.name))
