"""Step 21: the client mounts the cluster address, copies files, and begins to write, read and walk."""

from __future__ import annotations

import posixpath

from lab import plan
from lab.client.audit import prove_writer
from lab.client.evidence import Evidence
from lab.howto.pair import COMMAND_S, Pair
from lab.report import Step, Table

MOUNTS = {"/mnt/v3": "3", "/mnt/v4": "4.1"}
WRITERS = {"v3": "/mnt/v3", "v4": "/mnt/v4"}
SOURCE, COPIED = "/usr/lib/python3.11/json /usr/lib/python3.11/email", "copied"
PACE_MS = "150"


def mount_and_copy(table: Table, pair: Pair) -> Evidence:
    """Mount by both versions, copy a tree, start the programs that run to the end of the story."""
    with table.step("21", "the client mounts clusterb by NFSv3 and NFSv4.1 and copies files") as step:
        return _mount_and_copy(step, pair, pair.lab.rundir)


def _mount_and_copy(step: Step, pair: Pair, rundir: str) -> Evidence:
    client = pair.kokone
    evidence = Evidence(
        client,
        rundir,
        server=plan.CLUSTER_ADDRESS,
        export=plan.MOUNT_POINT,
        say=pair.say,
        now_ms=pair.lab.now_ms,
    )
    evidence.install(*pair.nodes)
    for point, version in MOUNTS.items():
        options = f"vers={version},hard"
        source = f"{plan.CLUSTER}:{plan.MOUNT_POINT}"
        step.did(f"kokone: mount -t nfs -o {options} {source} {point}")
        client.run(["mkdir", "-p", point])
        client.run(["mount", "-t", "nfs", "-o", options, source, point], timeout_s=COMMAND_S)
        found = evidence.uses_nfs(point, version)
        step.check(f"{point} is NFS {version} from {plan.CLUSTER_ADDRESS}", True, seen=f"{found.fstype} {found.version}")
    step.did(f"kokone: cp -a {SOURCE} /mnt/v3/{COPIED}")
    client.sh(COPY, timeout_s=COMMAND_S * 2)
    sums = client.sh(SUMS, timeout_s=COMMAND_S * 2).stdout.split()
    step.check("what was copied by v3 reads the same by v4.1", len(sums) == 2 and sums[0] == sums[1], seen=" ".join(sums))
    count = client.sh(f"find /mnt/v4/{COPIED} -type f | wc -l\n", timeout_s=COMMAND_S).stdout.strip()
    step.check("and there is something to compare", int(count) > 10, seen=f"{count} files")
    for name, point in WRITERS.items():
        evidence.start_writer(name, point, extra=("--pace-ms", PACE_MS))
    evidence.start_reader("r3", "/mnt/v3", of="v3")
    evidence.start_reader("r4", "/mnt/v4", of="v4")
    evidence.start_walker("find", "/mnt/v4", COPIED)
    evidence.wait_going_on()
    step.did("kokone: a writer with a locked file, a reader by each version, and find and wc through the copied tree")
    return evidence


COPY = f"""\
mkdir /mnt/v3/{COPIED}
cp -a {SOURCE} /mnt/v3/{COPIED}
find /mnt/v3/{COPIED} -name __pycache__ -prune -exec rm -rf {{}} +
sync
"""
SUMS = f"""\
for top in /mnt/v3 /mnt/v4; do
    cd $top/{COPIED}
    find . -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-64
done
"""


def promises_kept(step: Step, evidence: Evidence, pair: Pair, node_name: str) -> None:
    """While the writers go on: everything acknowledged until now is on the disk of the serving node."""
    node = pair.lab.guests[node_name]
    for name, program in evidence.programs.items():
        if program.kind != "writer":
            continue
        diary = evidence.client.get(program.diary).decode("ascii", "replace")
        node.sh("echo 1 > /proc/sys/vm/drop_caches\n", timeout_s=COMMAND_S)
        data = node.get(posixpath.join(evidence.export, program.data))
        proof = prove_writer(name, diary, data)
        found = [str(finding) for finding in proof.findings if finding.kind != "unfinished"]
        step.check(
            f"all {proof.answers} records acknowledged to {name} so far are on the disk of {node_name}",
            not found,
            expected="every acknowledged record on the disk, whole, once and in order",
            seen="; ".join(found[:5]) if found else f"{proof.bytes} bytes",
        )
