"""A monitor imports a short, known list of modules: its cost is the interpreter's own start-up."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SHARED = {
    "failover_kit", "failover_kit.agents", "failover_kit.kernel", "failover_kit.ocf", "failover_kit.ocf.agent",
    "failover_kit.ocf.codes", "failover_kit.ocf.runner", "failover_kit.spec", "failover_kit.spec.deadline",
    "failover_kit.spec.parameter", "failover_kit.spec.values",
}  # fmt: skip
# Frozen into the interpreter, and still a tenth of a whole monitor.
OS = {"os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc"}
MONITOR = {
    "IPaddr": SHARED | {
        "_socket", "_struct", "failover_kit.agents.ipaddr", "failover_kit.kernel.addresses",
        "failover_kit.kernel.links", "failover_kit.kernel.netlink",
    },
    "Filesystem": SHARED | OS | {
        "select", "failover_kit.agents.filesystem", "failover_kit.agents.filesystem_block",
        "failover_kit.agents.filesystem_seen", "failover_kit.agents.filesystem_source",
        "failover_kit.kernel.blockdev", "failover_kit.kernel.mounts", "failover_kit.kernel.paths",
    },
    "killnfsd": SHARED | OS | {"failover_kit.agents.killnfsd", "failover_kit.kernel.nfsd"},
    "nfsserver": SHARED | OS | {
        "select", "failover_kit.agents.nfsserver", "failover_kit.kernel.mounts", "failover_kit.kernel.nfsd",
        "failover_kit.kernel.paths", "failover_kit.kernel.processes",
    },
}  # fmt: skip

# Runs the launcher as it stands and prints what it imported on top of the bare interpreter.
PROBE = """
import posix
import sys
bare = set(sys.modules)
path = sys.argv[1]
sys.argv = sys.argv[1:]
def leave(code):
    sys.stderr.write(" ".join(sorted(set(sys.modules) - bare)) + "\\n")
    sys.exit(code)
posix._exit = leave
exec(compile(open(path).read(), path, "exec"), {"__file__": path, "__name__": "__main__"})
"""


def imported(agent, verb, **environ):
    result = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", PROBE, ROOT / "ocf" / agent, verb],
        env={f"OCF_RESKEY_{name}": value for name, value in environ.items()},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return result.returncode, set(result.stderr.split())


def test_ipaddr_monitor():
    code, modules = imported("IPaddr", "monitor", ip="192.0.2.9")
    assert (code, modules) == (7, MONITOR["IPaddr"])


def test_filesystem_monitor():
    code, modules = imported("Filesystem", "monitor", device="/dev/null-disk", directory="/no/where")
    assert (code, modules) == (7, MONITOR["Filesystem"])


def test_killnfsd_monitor():
    code, modules = imported("killnfsd", "monitor")
    assert (code, modules) == (7, MONITOR["killnfsd"])


def test_nfsserver_monitor():
    code, modules = imported("nfsserver", "monitor", nfs_shared_infodir="/mnt/no-such-disk/.nfs")
    assert (code, modules) == (7, MONITOR["nfsserver"])


@pytest.mark.parametrize("agent", ["IPaddr", "Filesystem", "killnfsd", "nfsserver"])
def test_metadata_adds_its_texts_only(agent):
    code, modules = imported(agent, "meta-data")
    texts = {f"failover_kit.agents.{agent.lower()}_text", "failover_kit.ocf.metadata"}
    assert code == 0
    assert texts <= modules
    assert not modules & {"re", "enum", "typing", "dataclasses", "argparse", "logging", "subprocess", "socket"}
