"""Stopping a Filesystem: who must be ended, who must not, and what must not be waited for."""

import re
import signal

from agents.agent_worlds import eventually, sh
from needs.catalogue import Outcome, need
from needs.world import alive, dwellers, hangs, mount_hung, mounted

IDLE = 10


@need("1", source="#1907 #1917")
def need_01_stop_of_idle_filesystems_1907_1917(world):
    """Ten filesystems without users are stopped: no other process is looked at, nothing is slept."""
    world.needs("strace")
    places = [world.place(f"m{number}") for number in range(IDLE)]
    agents = [world.filesystem(world.disk(size_mib=4), place) for place in places]
    codes = {agent.act("start").code for agent in agents}
    trace = world.base / "trace"
    # The first is watched, which makes it slow; the others give the figures.
    watch = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=%file,nanosleep,clock_nanosleep"]
    answers = [agents[0].act("stop", prefix=watch)] + [agent.act("stop") for agent in agents[1:]]
    codes |= {answer.code for answer in answers}
    lines = trace.read_text()
    others = set(re.findall(r'"/proc/(\d+)/', lines)) - {line.split()[0] for line in lines.splitlines()}
    slept = sum(map(int, re.findall(r"nanosleep.*{tv_sec=(\d+),", lines)))
    took = sum(answer.took_s for answer in answers[1:]) / (IDLE - 1)
    seen = f"exit {' '.join(map(str, codes))}, {len(others)} other processes looked at, {slept} s slept"
    figures = f"{took:.2f} s and {answers[1].started} processes a stop"
    return Outcome(codes == {0} and not others and slept < 1, f"{seen}, {figures}")


@need("2", "D5", "5", source="#1042 #1978 #2084")
def need_02_many_users_are_ended_and_no_others(world):
    """A crowd works on the mount, as many elsewhere; default settings; less than a process per user is started."""
    point, elsewhere = world.place("mnt"), world.place("elsewhere")
    agent = world.filesystem(world.disk(), point, fast_stop="no")
    start = agent.act("start")
    world.crowd(world.many, point)
    world.crowd(world.many, elsewhere)
    stop = agent.act("stop", timeout_s=120, patience_s=125)
    left, others = len(dwellers(point)), len(dwellers(elsewhere))
    gone = not mounted(point)
    holds = (start.code, stop.code, left) == (0, 0, 0) and gone
    holds = holds and others >= world.many and stop.started < world.many
    seen = f"{world.many} users: {stop} after {stop.took_s:.2f} s, {stop.started} processes started"
    return Outcome(holds, f"{seen}, {left} users left, {max(world.many - others, 0)} others harmed")


@need("3", source="#344 #423")
def need_03_an_unrelated_dead_server_blocks_nothing_423(world):
    """A dead server is mounted elsewhere and somebody hangs in it; our disk has a user."""
    dead, point = world.place("dead"), world.place("mnt")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    mount_hung(dead)
    stuck = world.background("stat", dead / "file")
    hangs(stuck, "fuse")
    user = world.sleeper(point)
    monitor, stop = agent.act("monitor"), agent.act("stop")
    codes = [answer.code for answer in (start, monitor, stop)]
    holds = codes == [0, 0, 0] and not mounted(point) and not alive(user) and alive(stuck)
    seen = f"{monitor}, {stop}, the mount {'stays' if mounted(point) else 'is gone'}"
    return Outcome(holds, f"{seen}, who hangs there was {'left alone' if alive(stuck) else 'killed'}")


@need("4", source="#1325")
def need_04_stop_when_the_path_gives_eio_1325(world):
    """The XFS was shut down by the kernel, so every look at its path fails; it has a user."""
    world.needs("xfs_io", "mkfs.xfs")
    point = world.place("mnt")
    agent = world.filesystem(world.disk("xfs"), point, fstype="xfs")
    start = agent.act("start")
    user = world.sleeper(point)
    sh("xfs_io", "-x", "-c", "shutdown", point)
    stop = agent.act("stop")
    still = mounted(point)
    seen = f"{stop}, {'still mounted' if still else 'unmounted'}, user {'lives' if alive(user) else 'ended'}"
    return Outcome((start.code, stop.code, still) == (0, 0, False), seen)


@need("4", source="#1325")
def need_04_stop_when_the_parent_gives_eio_1325(world):
    """The filesystem that the mount point is in was shut down by the kernel; ours is well, and has a user."""
    world.needs("xfs_io", "mkfs.xfs")
    parent = world.place("parent")
    sh("mount", world.disk("xfs").device, parent)
    point = world.place("parent/mnt")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    user = world.sleeper(point)
    sh("xfs_io", "-x", "-c", "shutdown", parent)
    stop = agent.act("stop")
    still = mounted(point)
    seen = f"{stop}, {'still mounted' if still else 'unmounted'}, user {'lives' if alive(user) else 'ended'}"
    return Outcome((start.code, stop.code, still) == (0, 0, False), seen)


@need("5", source="#1304")
def need_05_never_kill_the_innocent_1304_bind_mount(world):
    """A directory of another filesystem is bound below ours; who uses that filesystem elsewhere is innocent."""
    point, shared, parent = world.place("mnt"), world.place("shared"), world.place("parent")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    sh("mount", world.disk().device, shared)
    (shared / "dir").mkdir()
    (point / "bind").mkdir()
    sh("mount", "--bind", shared / "dir", point / "bind")
    innocent = [world.sleeper(place) for place in (shared, shared / "dir", parent)]
    guilty = [world.sleeper(place) for place in (point, point / "bind")]
    stop = agent.act("stop")
    killed = sum(not alive(child) for child in innocent)
    left = sum(alive(child) for child in guilty)
    holds = (start.code, stop.code, killed, left) == (0, 0, 0, 0) and mounted(shared)
    return Outcome(holds, f"{stop}, {killed} of 3 innocent killed, {left} of 2 users left")


@need("5", source="#1304")
def need_05_never_kill_the_innocent_1304_bind_resource(world):
    """The resource itself is a bind mount (an agent may refuse that); the source's filesystem has other users."""
    shared, point = world.place("shared"), world.place("mnt")
    sh("mount", world.disk().device, shared)
    (shared / "dir").mkdir()
    agent = world.agent("Filesystem", device=shared / "dir", directory=point, fstype="none", options="bind")
    start = agent.act("start")
    innocent = [world.sleeper(place) for place in (shared, shared / "dir", world.base)]
    user = world.sleeper(point)
    stop = agent.act("stop")
    killed = sum(not alive(child) for child in innocent)
    holds = (stop.code, killed) == (0, 0) and not mounted(point) and mounted(shared)
    holds = holds and alive(user) != (start.code == 0)
    return Outcome(holds, f"{start}, {stop}, {killed} of 3 innocent killed")


@need("5", source="#1944")
def need_05_never_kill_the_innocent_1944_unmounted_meanwhile(world):
    """Somebody else unmounts between the agent's failed unmount and its look for users; the parent has users."""
    world.needs("strace")
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    user = world.sleeper(point)
    innocent = [world.sleeper(world.base), world.sleeper(world.place("neighbour"))]
    # The agent is held up for long enough just before it looks: ours on the way back from its first umount2(),
    # the peer on its way into fuser(1).
    trace = world.base / "trace"
    window, sign = ("umount2:delay_exit", "EBUSY") if world.side == "ours" else ("execve:delay_enter", "fuser")
    hold = ["strace", "-f", "-qq", "-o", trace, "-e", f"inject={window}=1500000:when=1"]
    hold += [] if world.side == "ours" else ["-e", "trace=execve", "-P", "/usr/bin/fuser"]
    race = f"until grep {sign} {trace}; do sleep 0.02; done; kill -9 {user.pid}; until umount {point}; do :; done"
    racer = world.background("bash", "-c", race)
    stop = agent.act("stop", prefix=hold)
    raced = not alive(racer) and racer.returncode == 0
    killed = sum(not alive(child) for child in innocent)
    holds = (start.code, stop.code, killed) == (0, 0, 0) and not mounted(point) and raced
    return Outcome(holds, f"{stop}, {killed} of 2 innocent killed{'' if raced else ', the race was not run'}")


@need("6", source="#2106")
def need_06_users_that_are_started_again_2106(world):
    """A supervisor elsewhere starts a new user as soon as the last one is killed."""
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point, fast_stop="yes")
    start = agent.act("start")
    script = f"cd /; while :; do (cd {point} 2>/dev/null && mountpoint -q . && exec sleep 600); done"
    supervisor = world.background("bash", "-c", script)
    eventually(lambda: dwellers(point), "the first user is there")
    stop = agent.act("stop", timeout_s=20, patience_s=25)
    still = mounted(point)
    holds = (start.code, stop.code, still) == (0, 0, False) and alive(supervisor)
    return Outcome(holds, f"{stop} after {stop.took_s:.1f} s, {'still mounted' if still else 'unmounted'}")


@need("13", source="#1045")
def need_13_a_stop_that_cannot_end_says_why_1045(world):
    """A file of the mount is on its way between two processes, so no process shows it and none can be ended."""
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point, fast_stop="no")
    start = agent.act("start")
    program = (
        "import os, socket, sys, time\n"
        "left, right = socket.socketpair()\n"
        "fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)\n"
        "socket.send_fds(left, [b'x'], [fd])\n"
        "os.close(fd)\n"
        "open(sys.argv[2], 'w').close()\n"
        "time.sleep(600)\n"
    )
    ready = world.base / "sent"
    holder = world.background("/usr/bin/python3", "-c", program, point / "file", ready, cwd="/")
    eventually(ready.exists, "the file is on its way")
    stop = agent.act("stop", timeout_s=4)
    holds = (start.code, stop.code) == (0, 1) and bool(stop.reason()) and alive(holder) and mounted(point)
    return Outcome(holds, f"{stop}: {stop.reason() or 'no reason given'}")


@need("D4", "3")
def defect_hung_filesystem_hangs_the_agent(world):
    """The filesystem of the resource itself never answers again: monitor answers, stop unmounts it."""
    point = world.place("mnt")
    disk = world.disk()
    agent = world.filesystem(disk, point, fstype="")
    mount_hung(point, disk.device)
    monitor, stop = agent.act("monitor", timeout_s=3, patience_s=30), agent.act("stop", timeout_s=20, patience_s=30)
    gone = not mounted(point)
    holds = monitor.code in (0, 1) and stop.code == 0 and gone
    return Outcome(holds, f"{monitor}, {stop}, {'unmounted' if gone else 'still mounted'}")


@need("D4")
def defect_hung_filesystem_below_ours_hangs_the_agent(world):
    """A dead server is mounted below our directory and somebody hangs in it: stop takes both mounts away."""
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    (point / "dead").mkdir()
    mount_hung(point / "dead")
    stuck = world.background("stat", point / "dead" / "file")
    hangs(stuck, "fuse")
    monitor, stop = agent.act("monitor"), agent.act("stop", timeout_s=20, patience_s=30)
    gone = not mounted(point)
    holds = [answer.code for answer in (start, monitor, stop)] == [0, 0, 0] and gone
    return Outcome(holds, f"{monitor}, {stop}, {'unmounted' if gone else 'still mounted'}")


@need("1")
def need_01_users_that_end_when_asked_are_not_waited_for_longer(world):
    """Users that end at SIGTERM are asked and not killed, and waited for no longer than it takes them."""
    point = world.place("mnt")
    agent = world.filesystem(world.disk(), point)
    start = agent.act("start")
    users = [world.sleeper(point) for _ in range(3)]
    stop = agent.act("stop")
    signals = {signal.Signals(-child.wait(60)).name for child in users}
    holds = (start.code, stop.code) == (0, 0) and signals == {"SIGTERM"}
    return Outcome(holds, f"{stop} after {stop.took_s:.2f} s, users ended by {', '.join(sorted(signals))}")
