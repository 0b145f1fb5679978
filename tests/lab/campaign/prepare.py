"""From machines as they are installed to a pair that serves NFS with our agents, and a client that writes."""

from __future__ import annotations

from lab import plan
from lab.client.evidence import Evidence
from lab.disasters import files as pair_files
from lab.howto import files
from lab.howto.pair import BOOT_S, COMMAND_S, CTL, SERVE_S, Pair, both, until
from lab.report import Step, Table

FOLDER = "/etc/ha.d"
MOUNTS = {"v3": ("/mnt/v3", "3"), "v4": ("/mnt/v4", "4.1")}
OPTIONS = files.EXPORT_OPTIONS.removesuffix(",fsid=1")

PLANTS = {"async": (f"options={OPTIONS}", f"options={OPTIONS.replace('sync', 'async', 1)}")}
"""Bugs to show that the campaign can fail. async: the server says *on the disk* before it is, exports(5)."""

QUIET = "".join(
    f"update-rc.d -f {service} remove\n/etc/init.d/{service} stop || true\n"
    for service in reversed(files.BOOT_SERVICES)
)
"""NFS must not start by itself, and does not run now."""

SEE_DISK = f"""\
modprobe aoe
i=0
until [ -b {plan.SHELF_DEVICE} ]; do aoe-discover; sleep 0.5; i=$((i+1)); [ $i -lt 200 ]; done
"""


def resources(plant: str) -> str:
    """haresources as we recommend, or with a bug."""
    if not plant:
        return files.RECOMMENDED
    old, new = PLANTS[plant]
    assert old in files.RECOMMENDED
    return files.RECOMMENDED.replace(old, new)


def ha_cf(slow: int) -> str:
    """Two links and the switch. ``slow`` times the deadtime: a starved guest's pauses are not what is tested."""
    text = pair_files.ha_cf(fencing=True)
    for name, ms in (("warntime", pair_files.WARNTIME_MS), ("\ndeadtime", pair_files.DEADTIME_MS)):
        assert f"{name} {ms}ms" in text
        text = text.replace(f"{name} {ms}ms", f"{name} {ms * slow}ms")
    return text.replace(f"initdead {pair_files.INITDEAD_MS}ms", f"initdead {pair_files.INITDEAD_MS * slow}ms")


def serve(table: Table, pair: Pair, *, slow: int, plant: str) -> None:
    """Both nodes up to a healthy pair with pete active."""
    with table.step("prepare", "the switch, the disk and the files; both managers are started") as step:
        pair.say("booting pete, mclaws and kokone")
        pair.lab.boot(timeout_s=BOOT_S * 2)
        pair.lab.panel.join("pete", "mclaws")
        for node in pair.nodes:
            node.sh(f"umask 077; mkdir -p {FOLDER}\nmkdir -p {plan.MOUNT_POINT}\n")
            node.put(pair_files.PASSWORD_FILE, f"{pair_files.PASSWORD}\n", 0o600)
            node.put(f"{FOLDER}/ha.cf", ha_cf(slow), 0o600)
            node.put(f"{FOLDER}/haresources", resources(plant))
            node.put(f"{FOLDER}/authkeys", pair_files.AUTHKEYS, 0o600)
            node.put("/etc/default/failoverd", pair_files.defaults(node.name))
            node.put("/etc/exports", "")
        both(pair.nodes, lambda node: node.sh(QUIET, timeout_s=COMMAND_S * 2))
        both(pair.nodes, lambda node: node.sh(SEE_DISK, timeout_s=COMMAND_S * 2))
        words = ["switch", "setup", "--ip", plan.SWITCH_ADDRESS, "--new-password-file", pair_files.PASSWORD_FILE]
        for node in pair.nodes:
            words += ["--name", f"{node.plan.plug}={node.name}"]
        pair.pete.run([CTL, *words], timeout_s=COMMAND_S * 2)
        pair.pete.run(["mkfs.xfs", "-q", "-f", plan.SHELF_DEVICE], timeout_s=COMMAND_S * 2)
        pair.on_both(["update-rc.d", "failoverd", "defaults"])
        for node in pair.nodes:  # configuration is not what the power cuts shall lose
            node.run(["sync", "-f", "/"], timeout_s=COMMAND_S)
        for line in (ha_cf(slow) + resources(plant)).splitlines():
            step.did(f"both: {line}")
        took = pair.start_managers()
        step.fact(f"the init script returned after {took[0]} ms on pete, {took[1]} ms on mclaws")
        name = active(pair, SERVE_S * 2)
        step.check("both say HEALTHY, and pete, at home, serves", name == "pete", seen=name)


def write(table: Table, pair: Pair, pace_ms: int) -> None:
    """The client mounts by both versions, and writes and reads to the end of the campaign."""
    with table.step("prepare", "the client mounts by NFSv3 and v4.1, and writes under a lock by each") as step:
        pair.evidence = _programs(step, pair, str(pace_ms))


def _programs(step: Step, pair: Pair, pace_ms: str) -> Evidence:
    client = pair.kokone
    evidence = Evidence(
        client,
        pair.lab.rundir,
        server=plan.CLUSTER_ADDRESS,
        export=plan.MOUNT_POINT,
        say=pair.say,
        now_ms=pair.lab.now_ms,
    )
    evidence.install(*pair.nodes)
    for node in pair.nodes:  # what answers for locks must be there after a power cut, too
        node.run(["sync", "-f", "/"], timeout_s=COMMAND_S)
    for name, (point, version) in MOUNTS.items():
        source = f"{plan.CLUSTER}:{plan.MOUNT_POINT}"
        client.run(["mkdir", "-p", point])
        client.run(["mount", "-t", "nfs", "-o", f"vers={version},hard", source, point], timeout_s=SERVE_S)
        evidence.uses_nfs(point, version)
        evidence.start_writer(name, point, extra=("--pace-ms", pace_ms))
        step.did(f"kokone: {point} is NFS {version}; the writer {name} writes and syncs, holding its lock")
    evidence.start_reader("r4", "/mnt/v4", of="v4")
    evidence.wait_going_on(round(SERVE_S))
    return evidence


def active(pair: Pair, limit_s: float) -> str:
    """Until the pair is healthy, whoever serves; the name of who does. Both are asked at once: to ask is an
    interpreter's start, and a starved guest has something better to do."""
    found = ""

    def look() -> str:
        nonlocal found
        statuses = both(pair.nodes, pair.status)
        if wrong := [status for status in statuses if isinstance(status, str)]:
            return "; ".join(wrong)
        states = {}
        for node, status in zip(pair.nodes, statuses, strict=True):
            assert not isinstance(status, str)
            (group,) = status.groups
            states[node.name] = group.state
            if status.exit_code != 0:
                wrong.append(f"{node.name} says {status.health}: {status.reason} (the group: {group.state})")
        if not wrong and sorted(states.values()) != ["started", "stopped"]:
            wrong.append(f"the group is {states}")
        found = next((name for name, state in states.items() if state == "started"), "")
        return "; ".join(wrong)

    until("a healthy pair", look, limit_s, 3.0)
    return found
