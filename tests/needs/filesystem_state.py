"""What Filesystem says about a mount, and how it finds it."""

import errno
import os
from pathlib import Path

from agents.agent_worlds import sh
from needs.catalogue import Outcome, need
from needs.world import mount_hung, mounted

PROBES = 20
CONFIGURED = 6  # OCF_ERR_CONFIGURED: Pacemaker gives the resource up on every node


@need("4", source="#1370")
def need_04_probe_with_missing_parent_1370(world):
    """The mount point's parent does not exist, or is a link that leads to itself: stopped, on any node."""
    disk = world.disk()
    (world.base / "loop").symlink_to("loop")
    answers = []
    for place in (world.base / "no" / "such" / "mnt", world.base / "loop" / "mnt"):
        agent = world.filesystem(disk, place)
        answers += [agent.act("monitor", interval_s=0), agent.act("monitor"), agent.act("stop")]
    codes = [answer.code for answer in answers]
    return Outcome(codes == [7, 7, 0] * 2, f"probe, monitor, stop: {codes[:3]} and {codes[3:]}")


@need("7", source="#1337")
def need_07_consistent_mount_table_under_load_1337(world):
    """Others mount and unmount without a pause, next to many mounts: no probe may miss ours."""
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point)
    for number in range(world.many):
        place = world.place(f"many/{number}")
        sh("mount", "-t", "tmpfs", "none", place)
    start = agent.act("start")
    places = " ".join(str(world.place(f"churn/{number}")) for number in range(20))
    churn = (
        f"while :; do for place in {places}; do mount -t tmpfs none $place; done;"
        f" for place in {places}; do umount $place; done; done"
    )
    for _ in range(2):
        world.background("sh", "-c", churn)
    codes = [agent.act("monitor", interval_s=0).code for _ in range(PROBES)]
    wrong = [code for code in codes if code != 0]
    seen = f"{len(wrong)} of {PROBES} probes wrong, {world.many} other mounts"
    return Outcome(start.code == 0 and not wrong, f"{seen}{f', said {set(wrong)}' if wrong else ''}")


@need("8", source="#2138 #2159")
def need_08_local_fault_is_not_fatal_2138_2159(world):
    """The disk is not on this node, or something else is at the mount point: start fails, but never with 6."""
    point = world.place("mnt")
    missing = world.agent("Filesystem", device="/dev/fk-no-such-disk", directory=point, fstype="ext4")
    absent = [missing.act("start", timeout_s=2), missing.act("monitor", interval_s=0), missing.act("stop")]
    foreign = world.disk()
    sh("mount", foreign.device, point)
    agent = world.filesystem(world.disk(), point)
    taken = [agent.act("start"), agent.act("monitor", interval_s=0), agent.act("stop")]
    seen = f"no disk: {', '.join(map(str, absent))}; taken: {', '.join(map(str, taken))}"
    safe = foreign.mounts() == [str(point)]
    holds = absent[0].code in (1, 5) and taken[0].code in (1, 5) and safe
    holds = holds and not any(answer.code == CONFIGURED for answer in absent + taken)
    return Outcome(holds, seen + ("" if safe else ", and the other filesystem was unmounted"))


@need("9", source="#1695")
def need_09_monitor_says_what_hangs_1695(world):
    """The filesystem stops answering; the monitor that writes a file must say so before its time is up."""
    point = world.place("mnt")
    disk = world.disk()
    agent = world.filesystem(disk, point, fstype="")
    mount_hung(point, disk.device)
    answer = agent.act("monitor", timeout_s=3, patience_s=30, level=20)
    return Outcome(answer.code == 1 and bool(answer.reason()), f"{answer}: {answer.reason() or 'no reason given'}")


@need("D1")
def defect_mountpoint_used_as_regex(world):
    """Something is mounted on aXb; the resource belongs on a.b."""
    other, point = world.place("aXb"), world.place("a.b")
    sh("mount", "-t", "tmpfs", "none", other)
    agent = world.filesystem(world.disk(), point)
    before, start = agent.act("monitor"), agent.act("start")
    is_there = mounted(point)
    after, stop = agent.act("monitor"), agent.act("stop")
    codes = [answer.code for answer in (before, start, after, stop)]
    holds = codes == [7, 0, 0, 0] and is_there and not mounted(point) and mounted(other)
    done = "mounted" if is_there else "not mounted"
    return Outcome(holds, f"{before}, {start} and {done}, {after}, {stop}")


@need("D2")
def defect_mountpoint_used_as_format(world):
    """The mount point has %s in its name."""
    point = world.place("50%s off")
    agent = world.filesystem(world.disk(), point)
    answers = [agent.act(verb) for verb in ("start", "monitor", "stop", "monitor")]
    still = mounted(point)
    holds = [answer.code for answer in answers] == [0, 0, 0, 7] and not still
    return Outcome(holds, ", ".join(map(str, answers)) + (", still mounted" if still else ""))


@need("D3", source="#2106")
def defect_result_of_an_earlier_command_kept(world):
    """Started twice with force_unmount=safe,move while the hidden directory of that mode exists."""
    point = world.place("mnt")
    world.place(".mnt")
    agent = world.filesystem(world.disk(), point, force_unmount="safe,move")
    answers = [agent.act(verb) for verb in ("start", "start", "monitor", "stop")]
    holds = [answer.code for answer in answers] == [0, 0, 0, 0]
    return Outcome(holds, ", ".join(map(str, answers)))


@need("D6")
def defect_xfs_that_was_shut_down_is_running(world):
    """The kernel shut the XFS down, every access fails: monitor at levels 0, 10 and 20."""
    world.needs("xfs_io", "mkfs.xfs")
    point = world.place("mnt")
    agent = world.filesystem(world.disk("xfs"), point, fstype="xfs")
    start = agent.act("start")
    sh("xfs_io", "-x", "-c", "shutdown", point)
    try:
        os.listdir(point)
        return Outcome(False, "the filesystem still answers: this showed nothing")
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    codes = [agent.act("monitor", level=level).code for level in (0, 10, 20)]
    return Outcome(start.code == 0 and codes == [1, 1, 1], f"monitor {codes}")


@need("D11")
def defect_only_with_gawk(world):
    """awk and gawk are mawk, as on a small Debian."""
    world.needs("mawk")
    if Path("/usr/bin/gawk").exists():
        sh("mount", "--bind", "/usr/bin/mawk", "/usr/bin/gawk")
    network = world.network()
    agent = world.agent("IPaddr", ["ip", "netns", "exec", network.ns("a")], ip="10.77.0.9")
    answers = [agent.act(verb) for verb in ("start", "monitor", "stop", "monitor")]
    return Outcome([answer.code for answer in answers] == [0, 0, 0, 7], ", ".join(map(str, answers)))
