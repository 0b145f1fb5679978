"""What an operator could have done, or can do now, for each kind of episode."""

from __future__ import annotations

from failover_kit.explain.facts import Episode, Step, Topic
from failover_kit.explain.times import span
from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode


def advice_for(episode: Episode, topic: Topic) -> tuple[str, ...]:
    """In the order of use; empty when nothing could have been better."""
    found = [*_silence(episode, topic), *_fencing(episode, topic), *_resources(episode)]
    if any(reply.code is ExitCode.REFUSED for _, reply in episode.replies):
        found.append("what was refused changed nothing; repair or await what the refusal names, then repeat it")
    if episode.has("persist-failed"):
        found.append("free space in, or repair, the state directory: without it no start, no grant and no shot")
    if episode.has("config-differs"):
        found.append("copy ha.cf, haresources and authkeys to the other node: until then no planned moves")
    if episode.has("paused"):
        found.append("look why the node did not run: load, memory, a debugger, a suspended virtual machine")
    return tuple(dict.fromkeys(found))


def _silence(episode: Episode, topic: Topic) -> list[str]:
    peer = episode.life.config.peer
    found = []
    if episode.links_before:
        names = " and ".join(episode.links_before)
        found.append(f"repair {names}: one link was left, and its failure looked like that of {peer}")
    same_boot = episode.back_ms is not None and episode.back_boot == episode.gone_boot and bool(episode.gone_boot)
    if episode.has("peer-silent") and same_boot and not episode.has("fencing"):
        found.append(f"look at the cables, and at load and pauses of {peer}: it lived and was only not heard")
    no_shot = episode.first("no-shot")
    if topic is Topic.SILENCE and no_shot is not None and law.NO_CONTACT in no_shot.text:
        found.append(
            f"boot {peer}; or see that it is off and run: failoverctl confirm-dead {peer}; with boot_alone yes in "
            "ha.cf one shot would have been allowed"
        )
    elif no_shot is not None and "no fence device" in no_shot.text:
        found.append(f"add a fence_device to ha.cf; without one only failoverctl confirm-dead {peer} helps")
    if topic is Topic.TAKEOVER:
        found += _waiting(episode)
        found.append(f"look on {peer} for the cause; failoverctl explain there tells how its journal ends")
    if topic in (Topic.TAKEOVER, Topic.FENCE) and episode.back_ms is None:
        found.append(f"boot {peer}: until it is heard, a second failure is not covered")
    return found


def _waiting(episode: Episode) -> list[str]:
    """Where most of a takeover was spent, when waiting was most of it."""
    waits = {p.step: p.took_ms or 0 for p in episode.phases if p.step in (Step.SILENCE, Step.DELAY)}
    works = sum(p.took_ms or 0 for p in episode.phases if p.step not in waits and not p.inside and p.good)
    waited = sum(waits.values())
    if waited <= works:
        return []
    return [
        f"{span(waited)} of it was waiting (deadtime, fence_delay); what shorter times would cost and bring: "
        "failoverctl budget --what-if deadtime=SECONDS"
    ]


def _fencing(episode: Episode, topic: Topic) -> list[str]:
    peer = episode.life.config.peer
    found = []
    if topic is Topic.FENCE_FAILED or episode.has("fence-failed"):
        found.append(f"look at the switch: failoverctl fence --test {peer}; a second fence_level is tried next")
        if not episode.has("fenced"):
            found.append(f"if {peer} is off for certain: failoverctl confirm-dead {peer}")
    if episode.has("confirmed-dead"):
        found.append("a fence device in ha.cf would have proved it without you")
    if episode.has("power-on-failed"):
        found.append(f"switch {peer} on by hand when its power does not return")
    if episode.has("heard-after-off"):
        found.append("check which outlets feed which node, both supplies, then: failoverctl fence --prove")
    if episode.has("conflict-"):
        found.append("stop nothing by hand on either node; compare both journals before anything is started")
    return found


def _resources(episode: Episode) -> list[str]:
    node = episode.life.config.node
    found = []
    if episode.has("stop-failed-"):
        found.append(
            "see what kept the resource from stopping (the reason above names it); op_stop_timeout=SECONDS at the "
            "resource, if it only needed longer"
        )
    if episode.has("start-failed"):
        found.append(f"repair the resource named above on {node}, then run there: failoverctl takeover")
    elif episode.has("parked"):
        found.append(f"a parked group stays away from {node} until you run there: failoverctl takeover")
    if episode.has("monitor-failed"):
        found.append("look into the log of the resource at the time of the failed monitor")
    if episode.has("probe-"):
        found.append(f"stop by hand what runs on {node} without a right, and disable it at boot")
    return found
