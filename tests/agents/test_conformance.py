"""Every agent held to the published contracts: the schemas, Pacemaker's reading of them, Pacemaker's executor."""

import os
from importlib import import_module
from pathlib import Path

import pytest
from lxml import etree

from agents.agent_worlds import PATH, sh
from agents.test_ocf_peers import crm_resource, ocf_tester
from failover_kit.ocf.metadata import document

PROVIDER = "usr/lib/ocf/resource.d/failover-kit"
NAMES = ["IPaddr", "Filesystem", "nfsserver", "exportfs", "killnfsd"]
# pcs checks an agent that says <version>1.1 against this before it believes a word of it.
PCS_SCHEMA = Path("/usr/share/pcs/data/ocf-1.1.rng")
# What ocf-tester validates against: the DTD of 1.0.
DTD = Path("/usr/share/resource-agents/ra-api-1.dtd")
RIGHT = {
    "IPaddr": ["ip=192.0.2.10", "nic=eth0"],
    "Filesystem": ["device=/dev/sdz9", "directory=/mnt/x"],
    "nfsserver": ["nfs_shared_infodir=/mnt/e0.0/.nfs", "nfs_ip=192.0.2.220"],
    "exportfs": ["directory=/mnt/e0.0", "clientspec=192.0.2.0/24", "fsid=1"],
    "killnfsd": ["unit=nfs-server.service"],
}
WRONG = {
    "IPaddr": ["arp_count=many", "link_status=maybe", "broadcast=x"],
    "Filesystem": ["directory=mnt", "force_unmount=perhaps"],
    "nfsserver": ["threads=0", "lease_time=5", "nfs_ip=clusterb"],
    "exportfs": ["directory=mnt", "fsid=-1"],
    "killnfsd": ["unit=a/b"],
}


def agent_of(name):
    return import_module(f"failover_kit.agents.{name.lower()}").AGENT


@pytest.mark.skipif(not PCS_SCHEMA.exists(), reason=f"no {PCS_SCHEMA}: the package pcs")
@pytest.mark.parametrize("name", NAMES)
def test_the_schema_of_1_1_that_pcs_has(name):
    schema = etree.RelaxNG(etree.parse(PCS_SCHEMA))
    text = document(agent_of(name))
    schema.assertValid(etree.fromstring(text.encode()))
    with pytest.raises(etree.DocumentInvalid):
        schema.assertValid(etree.fromstring(text.replace('lang="en"', 'tongue="en"').encode()))


@pytest.mark.skipif(not DTD.exists(), reason=f"no {DTD}: the package resource-agents")
@pytest.mark.parametrize("name", NAMES)
def test_the_dtd_of_1_0_that_ocf_tester_has(name, tmp_path):
    """By the document's own DOCTYPE: its internal subset is what makes a document of 1.1 pass."""
    (tmp_path / DTD.name).write_bytes(DTD.read_bytes())
    path = tmp_path / "metadata.xml"
    path.write_text(document(agent_of(name)))
    etree.parse(path, etree.XMLParser(dtd_validation=True, load_dtd=True, no_network=True))
    path.write_text(document(agent_of(name)).replace("reloadable CDATA", "another CDATA"))
    with pytest.raises(etree.XMLSyntaxError):
        etree.parse(path, etree.XMLParser(dtd_validation=True, load_dtd=True, no_network=True))


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_pacemaker_lists_shows_and_validates(installed, name):
    assert name in crm_resource(installed, "--list-agents", "ocf:failover-kit").stdout.split()
    result = crm_resource(installed, "--show-metadata", f"ocf:failover-kit:{name}")
    assert result.returncode == 0, result.stderr
    assert f'<resource-agent name="{name}"' in result.stdout
    for options, code in ((RIGHT[name], 0), (spoilt(name), 6)):
        result = validate(installed, name, options)
        assert result.returncode == code, result.stdout + result.stderr


def spoilt(name):
    """The right parameters, some of them replaced by wrong ones."""
    wrong = {option.partition("=")[0]: option for option in WRONG[name]}
    return [*wrong.values(), *(option for option in RIGHT[name] if option.partition("=")[0] not in wrong)]


def validate(installed, name, options, *more):
    words = [word for option in options for word in ("--option", option)]
    argv = ("--validate", "--class", "ocf", "--provider", "failover-kit", "--agent", name, *words, *more)
    return crm_resource(installed, *argv)


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_parameter_is_in_the_one_reason(installed, name):
    output = validate(installed, name, spoilt(name), "--output-as=xml").stdout
    for option in WRONG[name]:
        parameter, _, value = option.partition("=")
        assert f"{parameter}: '{value}' " in output


CIB = """<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources>
<primitive id="tested" class="ocf" provider="failover-kit" type="{name}"><instance_attributes id="a">
{pairs}</instance_attributes></primitive></resources><constraints/></configuration><status/></cib>
"""
LIFE = ["check", "start", "start", "check", "stop", "stop", "check"]


def life(installed, tmp_path, name, **parameters):
    """The exit codes of crm_resource --force-…, in a mount namespace where our installed tree lies over /usr."""
    pairs = "".join(f'<nvpair id="{key}" name="{key}" value="{value}"/>\n' for key, value in parameters.items())
    cib = tmp_path / "cib.xml"
    cib.write_text(CIB.format(name=name, pairs=pairs))
    script = (
        'mount -t overlay none -o "lowerdir=$0/usr:/usr" /usr; mount -t tmpfs none /run; export CIB_file=$1; shift;'
        ' for verb in "$@"; do crm_resource -r tested --force-$verb >&2; echo $?; done'
    )
    result = sh("unshare", "-m", "sh", "-c", script, installed, cib, *LIFE, timeout=180)
    return result.stdout.split(), result.stderr


@pytest.mark.root
@pytest.mark.parametrize("fstype", ["xfs", "ext4"])
def test_pacemaker_s_own_executor_runs_filesystem(installed, disks, tmp_path, fstype):
    disk = disks(fstype)
    # Mounted and unmounted inside the executor's mount namespace; the disk is free again for us afterwards.
    codes, said = life(
        installed, tmp_path, "Filesystem", device=disk.device, directory=disk.base / "mnt", fstype=fstype
    )
    assert codes == ["7", "0", "0", "0", "0", "0", "7"], said
    os.close(os.open(disk.device, os.O_RDONLY | os.O_EXCL))


@pytest.mark.root
@pytest.mark.skipif(not Path("/usr/sbin/exportfs").exists(), reason="no exportfs(8): nfs-kernel-server")
def test_pacemaker_s_own_executor_runs_exportfs(installed, own_mounts, tmp_path):
    sh("mount", "-t", "tmpfs", "none", "/var/lib/nfs")
    Path("/var/lib/nfs/etab").touch()
    directory = tmp_path / "exported"
    directory.mkdir()
    codes, said = life(
        installed, tmp_path, "exportfs", directory=directory, clientspec="192.0.2.0/24", options="rw,sync", fsid="1"
    )
    assert codes == ["7", "0", "0", "0", "0", "0", "7"], said


@pytest.mark.root
def test_ocf_tester_passes_ipaddr_over_ipv6(network, installed, tmp_path):
    prefix = ["ip", "netns", "exec", network.ns("a")]
    parameters = {"ip": "2001:db8::9", "cidr_netmask": "64", "nic": "eth0"}
    result = ocf_tester(installed / PROVIDER / "IPaddr", prefix, parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed all tests" in result.stdout


@pytest.mark.root
def test_a_log_on_a_disk_that_hangs_holds_up_no_agent(disks, installed, tmp_path):
    """HA_LOGFILE on a frozen filesystem, where open(2) does not come back. The agent answers all the same."""
    disk = disks("ext4")
    (disk.base / "log").mkdir()
    sh("mount", disk.device, disk.base / "log")
    frozen = disk.base / "log"
    agent = installed / PROVIDER / "IPaddr"
    settings = [f"HA_RSCTMP={tmp_path}", f"HA_LOGFILE={frozen}/ha-log", "OCF_RESKEY_CRM_meta_interval=1"]
    sh("fsfreeze", "-f", frozen)
    try:
        for _ in range(3):
            result = sh("env", "-i", f"PATH={PATH}", *settings, agent, "monitor", check=False)
            assert (result.returncode, result.stderr) == (1, "ocf-exit-reason:ip: is required but not set\n")
            stop = sh("env", "-i", f"PATH={PATH}", *settings, agent, "stop", check=False)
            assert stop.returncode == 0
            assert "WARNING: nothing to stop" in stop.stderr
        assert len(stuck(agent)) == 1, "one child may hang, not one for each line"
    finally:
        sh("fsfreeze", "-u", frozen)
    while stuck(agent):
        pass
    sh("umount", frozen)


def stuck(agent):
    """Processes of the agent that are still there."""
    found = []
    for name in os.listdir("/proc"):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes() if name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(agent) in command:
            found.append(name)
    return found
