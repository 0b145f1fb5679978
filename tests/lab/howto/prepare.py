"""Steps 1, 2, 8, 9, 16 and 18: what is done on the machines before the cluster starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import plan
from lab.howto import files, readings
from lab.howto.pair import BOOT_S, COMMAND_S, INIT, Pair, both
from lab.report import Step, Table

if TYPE_CHECKING:
    from lab.guest import Guest

OCF_FOLDER = "/usr/lib/ocf/resource.d/failover-kit"
LINKS = "ls -d /etc/rc?.d/* 2>/dev/null || true\n"
PROCESSES = "ps -e -o comm=\n"


def unconfigured(table: Table, pair: Pair) -> None:
    """Steps 1 and 2, on machines as they come out of the installation."""
    with table.step("1", "failoverd without configuration says what is missing and exits 6") as step:
        for node in pair.nodes:
            for argv in (["failoverd"], [INIT, "start"]):
                told = node.run(argv, timeout_s=COMMAND_S, check=False)
                text = told.stdout + told.stderr
                names = [f"{name}: not found in /etc/ha.d" for name in ("ha.cf", "haresources", "authkeys")]
                step.check(f"{node.name}: {' '.join(argv)} exits 6", told.code == 6, seen=f"{told.code}: {text[-200:]}")
                step.check("it names all three files", not readings.lacking(text, names), seen=told.last_line())
            running = node.run(["pgrep", "-x", "failoverd"], check=False).stdout.split()
            step.check("and nothing was started", not running, seen=str(running))
    with table.step("2", "the agents are installed on both nodes") as step:
        for node in pair.nodes:
            for agent in files.AGENTS:
                told = node.run([f"{OCF_FOLDER}/{agent}", "meta-data"], timeout_s=COMMAND_S, check=False)
                good = told.code == 0 and f'<resource-agent name="{agent}"' in told.stdout
                step.check(f"{node.name}: {agent} describes itself", good, seen=f"exit {told.code}")


def disk(table: Table, pair: Pair) -> None:
    """Step 8: one disk, seen by both; a filesystem on it, and the state of NFS."""
    with table.step("8", "the AoE disk is up on both nodes, XFS is made on one") as step:
        for node in pair.nodes:
            listed = readings.aoe_devices(node.run(["aoe-stat"], timeout_s=COMMAND_S).stdout)
            seen = listed.get("e0.0")
            step.check(f"{node.name}: aoe-stat shows e0.0 up, over eth3", seen is not None and seen.state == "up" and seen.interfaces == ("eth3",), seen=str(seen))
        begun = pair.lab.now_ms()
        step.did(f"pete: mkfs -t xfs {plan.SHELF_DEVICE}")
        pair.pete.run(["mkfs", "-t", "xfs", plan.SHELF_DEVICE], timeout_s=COMMAND_S)
        writes = sum(frame.kind == "write" for frame in pair.lab.shelf.frames(mac_of="pete", since_ms=begun))
        step.check("the shelf's witness saw pete write", writes > 0, seen=f"{writes} frames")
        argv = ["blkid", "-p", "-o", "value", "-s", "UUID", plan.SHELF_DEVICE]
        uuid = readings.one_uuid(result.stdout for result in pair.on_both(argv))
        step.fact(f"both nodes read the UUID {uuid}")


def boot_links(table: Table, pair: Pair) -> None:
    """Step 9: what the cluster starts must not start by itself, shown by a boot."""
    with table.step("9", "the NFS scripts lose their boot links on both nodes") as step:
        for node in pair.nodes:
            before = readings.daemons_of_nfs(node.sh(PROCESSES).stdout)
            step.check(f"{node.name}: before, NFS starts at boot", "rpc.statd" in before, seen=", ".join(before))
            for service in files.BOOT_SERVICES:
                had = readings.boot_links(node.sh(LINKS).stdout, service)
                step.did(f"{node.name}: update-rc.d -f {service} remove  ({len(had)} links)")
                node.run(["update-rc.d", "-f", service, "remove"], timeout_s=COMMAND_S)
                left = readings.boot_links(node.sh(LINKS).stdout, service)
                step.check(f"{node.name}: no link of {service} is left", bool(had) and not left, seen=str(left))
        reboot(step, pair)
        for node in pair.nodes:
            after = readings.daemons_of_nfs(node.sh(PROCESSES).stdout)
            step.check(f"{node.name}: after a boot nothing of NFS runs", not after, seen=", ".join(after) or "nothing")


def reboot(step: Step, pair: Pair) -> None:
    """Both nodes, by their own ``reboot``."""
    boots = {node.name: node.boot for node in pair.nodes}
    for node in pair.nodes:
        step.did(f"{node.name}: reboot")
        node.spawn(["reboot"], log="/dev/null")

    def booted(node: Guest) -> str:
        from lab.howto.pair import until

        until(f"{node.name} boots", lambda: "" if node.boot > boots[node.name] else "still the old boot", BOOT_S)
        node.wait_ready(BOOT_S)
        return node.name

    for node in pair.nodes:
        booted(node)
        step.check(f"{node.name} has booted once", node.boot == boots[node.name] + 1, seen=f"boot {node.boot}")
    pair.say("  both nodes are up again")


STATE = f"""\
mount -t xfs {plan.SHELF_DEVICE} {plan.MOUNT_POINT}
cp -a /var/lib/nfs {files.STATE_DIR}
: > {files.STATE_DIR}/etab
umount {plan.MOUNT_POINT}
"""
LINK = f"""\
mv /var/lib/nfs /var/lib/nfs.local
ln -s {files.STATE_DIR} /var/lib/nfs
"""
UNLINK = """\
test -L /var/lib/nfs
rm /var/lib/nfs
mv /var/lib/nfs.local /var/lib/nfs
"""


def exports(table: Table, pair: Pair) -> None:
    """Step 16: mount point and exports on both, and the state of NFS on the shared disk."""
    with table.step("16", "mount point and /etc/exports on both nodes") as step:
        step.did(f"both: mkdir {plan.MOUNT_POINT}; /etc/exports: {files.EXPORTS.strip()}")
        pair.on_both(["mkdir", "-p", plan.MOUNT_POINT])
        pair.put_on_both("/etc/exports", files.EXPORTS)
        texts = {node.get("/etc/exports") for node in pair.nodes}
        step.check("both have the same exports", texts == {files.EXPORTS.encode()})
        for node in pair.nodes:
            step.check(f"{node.name}: nothing is mounted there", not pair.mounted(node))


def nfs_state(table: Table, pair: Pair) -> None:
    """Not in the document: without it no client keeps a lock over a takeover. What docs/lab.md explains."""
    with table.step("16", "the state of NFS moves with the disk") as step:
        step.did(f"pete: /var/lib/nfs copied to {files.STATE_DIR} on the disk, which is unmounted again")
        pair.pete.sh(STATE, timeout_s=COMMAND_S)
        step.did(f"both: /var/lib/nfs is a link to {files.STATE_DIR}")
        pair.script_on_both(LINK)
        step.did(f"both: {files.NFS_CONF_PATH}: lease and grace {files.GRACE_S} s, the cluster's name for NFSv3 clients")
        pair.put_on_both(files.NFS_CONF_PATH, files.NFS_CONF)
        step.did(f"both: {files.DEFAULTS_PATH}: nfsd starts under the host name {plan.CLUSTER}, its scope for NFSv4.1 clients")
        for node in pair.nodes:
            node.put(files.DEFAULTS_PATH, node.get(files.DEFAULTS_PATH).decode() + files.SCOPE)
        for node in pair.nodes:
            step.check(f"{node.name}: the disk is unmounted", not pair.mounted(node))


def cable_test(table: Table, pair: Pair) -> None:
    """Step 18: the null-modem cable in both directions, and that a pulled one is noticed."""
    with table.step("18", "the serial cable, in both directions") as step:
        for listener in pair.nodes:
            speaker = pair.other(listener)
            heard = _heard(pair, speaker, listener)
            step.did(f"{listener.name}: cat /dev/ttyS0; {speaker.name}: echo hello there > /dev/ttyS0")
            step.check(f"{listener.name} reads it", heard == "hello there", seen=repr(heard))
        pair.lab.panel.cut("pete")
        heard = _heard(pair, pair.pete, pair.mclaws)
        pair.lab.panel.join("pete", "mclaws")
        step.check("with the cable pulled nothing is heard", heard == "", seen=repr(heard))


def _heard(pair: Pair, speaker: Guest, listener: Guest) -> str:
    both(pair.nodes, lambda node: node.sh("stty -F /dev/ttyS0 9600 raw -echo\n"))
    listener.spawn(["timeout", "8", "cat", "/dev/ttyS0"], log="/run/heard")
    speaker.sh("sleep 2; stty -F /dev/ttyS0 9600 raw -echo; echo hello there > /dev/ttyS0\n")
    listener.sh("sleep 7\n", timeout_s=60)
    return listener.get("/run/heard").decode("ascii", "replace").strip()
