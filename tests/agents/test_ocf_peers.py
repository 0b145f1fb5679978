"""The cluster world's own tools on our agents: ocf-tester and crm_resource, from the installed layout."""

import os
import subprocess
import xml.etree.ElementTree as ET

import pytest

from agents.agent_worlds import PATH, sh

PROVIDER = "usr/lib/ocf/resource.d/failover-kit"


def ocf_tester(agent, prefix, parameters, state_dir):
    options = [word for name, value in parameters.items() for word in ("-o", f"{name}={value}")]
    return subprocess.run(
        [*prefix, "ocf-tester", "-n", "tested", *options, str(agent)],
        env={"PATH": PATH, "HA_RSCTMP": str(state_dir)},
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
    )


@pytest.mark.root
def test_ocf_tester_passes_ipaddr(network, installed, tmp_path):
    prefix = ["ip", "netns", "exec", network.ns("a")]
    result = ocf_tester(installed / PROVIDER / "IPaddr", prefix, {"ip": "10.77.0.9"}, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed all tests" in result.stdout


@pytest.mark.root
@pytest.mark.parametrize("fstype", ["xfs", "ext4"])
def test_ocf_tester_passes_filesystem(disks, installed, tmp_path, fstype):
    disk = disks(fstype)
    parameters = {"device": disk.device, "directory": disk.base / "mnt", "fstype": fstype}
    result = ocf_tester(installed / PROVIDER / "Filesystem", [], parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed all tests" in result.stdout


@pytest.mark.root
def test_ocf_tester_is_not_easily_pleased(installed, tmp_path):
    """The tester itself must be able to fail, or its word is worth nothing."""
    result = ocf_tester(installed / PROVIDER / "IPaddr", [], {"ip": "not-an-address"}, tmp_path)
    assert result.returncode != 0


def crm_resource(installed, *args):
    """crm_resource in a mount namespace where our installed tree lies over /usr."""
    script = 'mount -t overlay none -o "lowerdir=$0/usr:/usr" /usr && exec crm_resource "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, str(installed), *args]
    return sh(*argv, check=False)


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("IPaddr", ["ip=192.0.2.10"], 0),
        ("IPaddr", ["ip=192.0.2.300"], 6),
        ("IPaddr", ["cidr_netmask=24"], 6),
        ("Filesystem", ["device=/dev/sdz9", "directory=/mnt/x"], 0),
        ("Filesystem", ["device=sdz9", "directory=/mnt/x"], 6),
        ("Filesystem", ["device=/dev/sdz9", "directory=/"], 6),
        ("killnfsd", [], 0),
        ("nfsserver", [], 0),
        ("nfsserver", ["nfs_shared_infodir=/mnt/e0.0/.nfs", "nfs_ip=192.0.2.220"], 0),
        ("nfsserver", ["nfs_ip=clusterb"], 6),
    ],
)
def test_crm_resource_validates(installed, name, options, code):
    words = [word for option in options for word in ("--option", option)]
    argv = ("--validate", "--class", "ocf", "--provider", "failover-kit", "--agent", name, *words)
    result = crm_resource(installed, *argv)
    assert result.returncode == code, result.stdout + result.stderr


CIB = """<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources>
<primitive id="vip" class="ocf" provider="failover-kit" type="IPaddr"><instance_attributes id="a">
<nvpair id="ip" name="ip" value="192.0.2.9"/><nvpair id="mask" name="cidr_netmask" value="24"/>
<nvpair id="nic" name="nic" value="eth0"/>
</instance_attributes></primitive></resources><constraints/></configuration><status/></cib>
"""


@pytest.mark.root
def test_pacemaker_s_own_executor_runs_ipaddr(installed, network, tmp_path):
    """crm_resource --force-…: Pacemaker's environment, process group and reading of exit codes."""
    cib = tmp_path / "cib.xml"
    cib.write_text(CIB)
    script = (
        'mount -t overlay none -o "lowerdir=$0/usr:/usr" /usr; mount -t tmpfs none /run; export CIB_file=$1; shift;'
        ' for verb in "$@"; do crm_resource -r vip --force-$verb >&2; echo $?; done'
    )
    verbs = ["check", "start", "start", "check", "stop", "stop", "check"]
    namespace = ["ip", "netns", "exec", network.ns("a"), "unshare", "-m"]
    result = sh(*namespace, "sh", "-c", script, installed, cib, *verbs)
    assert result.stdout.split() == ["7", "0", "0", "0", "0", "0", "7"], result.stderr


@pytest.mark.root
@pytest.mark.parametrize("name", ["IPaddr", "Filesystem", "exportfs", "killnfsd", "nfsserver"])
def test_metadata_as_nobody_from_the_installed_tree(installed, name):
    result = sh("su", "nobody", "-s", "/bin/sh", "-c", f"{installed}/{PROVIDER}/{name} meta-data")
    root = ET.fromstring(result.stdout)
    assert root.findtext("version") == "1.1"
    assert not list(installed.rglob("__pycache__")), "the installed tree is not written to"


@pytest.mark.root
def test_installed_agent_runs_from_any_directory(installed, tmp_path):
    environment = {"PATH": PATH, "OCF_RESKEY_ip": "192.0.2.10"}
    for path in (installed / PROVIDER / "IPaddr", os.path.relpath(installed / PROVIDER / "IPaddr", tmp_path)):
        result = subprocess.run([path, "monitor"], cwd=tmp_path, env=environment, check=False, timeout=60)
        assert result.returncode == 7
