"""crmsh's own judgement of what export-cib prints for it, with our agents where Pacemaker looks for them.

crm asks each agent for its meta-data and holds parameters, timeouts and actions against them. Nothing is
forced. That the lines make the cluster of the CIB is asked in tests/unit/test_cib_export.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
KIT = TESTS.parent
CTL = str(KIT / "bin" / "failoverctl")
NODES = '<nodes><node id="1" uname="pete"/><node id="2" uname="mclaws"/></nodes>'
PLACE = """\
set -e
kit=$1 folder=$2
shift 2
cover() {
    mkdir -p "$folder/under$1"
    mount --rbind "$1" "$folder/under$1"
    mount -t tmpfs tmpfs "$1"
    for path in "$folder/under$1"/*; do [ ! -e "$path" ] || ln -s "$path" "$1/"; done
}
cover /usr/sbin
ln -sf "$kit/stonith/fence_wti_ips800" /usr/sbin/fence_wti_ips800
cover /usr/lib/ocf/resource.d
ln -sfn "$kit/ocf" /usr/lib/ocf/resource.d/failover-kit
cover /etc/init.d
for name in nfs-common nfs-kernel-server postfix apache2; do
    rm -f "/etc/init.d/$name"
    printf '#!/bin/sh\\n### BEGIN INIT INFO\\n# Provides: %s\\n### END INIT INFO\\n' "$name" >"/etc/init.d/$name"
    chmod 755 "/etc/init.d/$name"
done
[ ! -d /var/log/crmsh ] || mount -t tmpfs tmpfs /var/log/crmsh
"$@"
"""
"""In a mount namespace of the command's own. Links and no overlay, which a container may not allow; init scripts,
because for the meta-data of a unit Pacemaker asks systemd, which does not run here."""

TOOLS = ("crm", "cibadmin", "crm_resource", "unshare")


def missing() -> str:
    """Why this cannot run here, or ""."""
    if os.geteuid() != 0:
        return "needs root for a mount namespace"
    gone = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(gone)} (packages crmsh, pacemaker, pacemaker-cli-utils)" if gone else ""


pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing() or "runs")]


class Shadow:
    """A CIB in a file with both nodes in it, and a place to ask crm about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cib = folder / "cib.xml"
        self.cib.write_text(self.run("cibadmin", "--empty"))
        self.run("cibadmin", "--modify", "--scope", "nodes", "--xml-text", NODES)

    def run(self, *argv: str) -> str:
        """A command's standard output. AssertionError when it fails or speaks of an error."""
        apart = ["unshare", "--mount", "--propagation", "private"]
        inside = ["sh", "-c", PLACE, "sh", str(KIT), str(self.folder)]
        own = {"HOME": str(self.folder), "CIB_file": str(self.cib), "TMPDIR": str(self.folder), "TERM": "dumb"}
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **own}
        done = subprocess.run(
            [*apart, *inside, *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        told = f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, told
        assert "ERROR" not in done.stdout + done.stderr, told
        return done.stdout


def configuration(name: str, folder: Path) -> Path:
    """One of the parser's examples, as its files must be on a node."""
    copy = folder / "ha.d"
    shutil.copytree(TESTS / "data" / "config" / name, copy)
    for path in copy.iterdir():
        path.chmod(0o600)
    return copy


@pytest.mark.parametrize(
    ("name", "agents"),
    [
        ("howto", "ours"),
        pytest.param("howto-ucast", "clusterlabs", marks=pytest.mark.release),
        pytest.param("everything", "ours", marks=pytest.mark.release),
        pytest.param("everything", "clusterlabs", marks=pytest.mark.release),
    ],
)
def test_crm_takes_the_lines_unforced_and_verifies_them(tmp_path: Path, name: str, agents: str) -> None:
    shadow = Shadow(tmp_path)
    directory = str(configuration(name, tmp_path))
    asked = [CTL, "export-cib", "--config-dir", directory, "--agents", agents, "--format", "crm"]
    units = ("nfs-common", "nfs-kernel-server") if name != "everything" else ("postfix", "apache2")
    stand_ins = [word for unit in units for word in ("--map", f"{unit}=lsb:{unit}")]
    lines = tmp_path / "lines"
    lines.write_text(shadow.run(*asked, *stand_ins))
    shadow.run("crm", "configure", "load", "update", str(lines))
    shadow.run("crm", "configure", "verify")
    taken = shadow.cib.read_text()
    assert taken.count("<primitive ") == lines.read_text().count("\nprimitive ") > 0


def test_crm_refuses_a_parameter_that_our_agent_does_not_have(tmp_path: Path) -> None:
    """It is our meta-data that it reads: without them it would take, or refuse, everything."""
    shadow = Shadow(tmp_path)
    lines = tmp_path / "lines"
    lines.write_text('primitive a ocf:failover-kit:IPaddr params ip="192.0.2.1" colour="red"\n')
    with pytest.raises(AssertionError, match='parameter "colour" is not known'):
        shadow.run("crm", "configure", "load", "update", str(lines))
