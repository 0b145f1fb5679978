"""Made-up status objects for the tests of the control socket and of failoverctl."""

from __future__ import annotations

import dataclasses
from typing import Any

from failover_kit.manager.records import ClusterView, GroupView, LinkView, PingView
from failover_kit.manager.states import GroupState
from failover_kit.manager.status import LinkHealth, Status

NOW_MS = 100_000_000

WEB = GroupView(
    name="web", home="pete", state=GroupState.STARTED, right=4, held=True, peer_state=GroupState.STOPPED,
    peer_right=0, grant=0, parked="", failed_here=False, doing="runs here under epoch 4", since_ms=NOW_MS - 61_000,
)  # fmt: skip

HEALTHY = ClusterView(
    now_ms=NOW_MS,
    node="pete",
    peer="mclaws",
    boot_id="2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51",
    nonce="6f1d0a7b52c94e83",
    peer_state="up",
    peer_since_ms=NOW_MS - 7_200_000,
    peer_heard_ago_ms=400,
    peer_hears_us=True,
    peer_ready=True,
    peer_leaving=False,
    peer_boot_id="77aa0000-3b05-4d0c-9d0a-9e2b4f7f9a51",
    ready="",
    contact=True,
    leaving=False,
    links=(LinkView(name="ttyS0", up=True, heard_ago_ms=400), LinkView(name="eth1", up=True, heard_ago_ms=410)),
    groups=(WEB,),
    can_fence=True,
    fence_running_since_ms=None,
    fence_attempts=0,
    fence_last="",
    fence_next_ms=None,
    on_owed=False,
    config_differs=False,
    health="healthy",
    reason="both nodes are up",
    speaks="1.1",
    peer_release="1",
    peer_speaks="1.1",
)

SILENT = dataclasses.replace(
    HEALTHY,
    peer_state="silent",
    peer_since_ms=NOW_MS - 12_000,
    peer_heard_ago_ms=17_000,
    peer_hears_us=False,
    peer_ready=False,
    links=(
        LinkView(name="ttyS0", up=False, heard_ago_ms=17_000), LinkView(name="eth1", up=None, heard_ago_ms=None)
    ),
    groups=(
        dataclasses.replace(
            WEB, state=GroupState.STOPPED, right=0, held=False, peer_state=None,
            doing="not started: mclaws is not fenced: plug 2 of benjamin reads ON",
        ),
    ),
    fence_attempts=3,
    fence_last="plug 2 of benjamin reads ON",
    fence_next_ms=NOW_MS + 4_000,
    health="no-service",
    reason="group web runs on no node: not started: mclaws is not fenced: plug 2 of benjamin reads ON",
    todo=(
        "repair the power switch of mclaws, or its way there; the shot is repeated by itself",
        "if mclaws is off for certain, run: failoverctl confirm-dead mclaws",
    ),
)  # fmt: skip


PINGS = dataclasses.replace(
    HEALTHY,
    pings=(
        PingView(name="192.0.2.1", reached=True, since_ms=NOW_MS - 61_000),
        PingView(name="printers", reached=False, since_ms=NOW_MS - 5_000),
        PingView(name="2001:db8::1", reached=None, since_ms=NOW_MS - 1_000),
    ),
    peer_reaches=2,
    health="degraded",
    reason="ping node printers does not answer",
)


def status_of(view: ClusterView = HEALTHY, **fields: Any) -> Status:
    """A status around ``view``."""
    links = tuple(LinkHealth(name=link.name, error="", refused=0) for link in view.links)
    return dataclasses.replace(
        Status(version="1", wall_ms=1_795_000_000_000, view=view, links=links), **fields
    )
