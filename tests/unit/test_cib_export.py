"""export-cib: what ha.cf and haresources are under Pacemaker, by Pacemaker's own schemas and tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from lxml import etree

from failover_kit.cib.corosync import Here, corosync_conf
from failover_kit.cib.model import Cluster, Fate, Ids
from failover_kit.cib.resources import Agents
from failover_kit.cib.translate import Wishes, cluster_of
from failover_kit.cib.writexml import as_text, as_xml
from failover_kit.manager import hacf, haresources
from failover_kit.manager.callers import Search
from failover_kit.manager.config import ClusterConfig

TESTS = Path(__file__).parents[1]
KIT = TESTS.parent
PROGRAM = str(KIT / "bin" / "failoverctl")
SCHEMAS = Path("/usr/share/pacemaker")
SECRET = "s3cret-Of-The-Switch"

needs_pacemaker = pytest.mark.skipif(shutil.which("crm_verify") is None, reason="no crm_verify")
needs_schemas = pytest.mark.skipif(not (SCHEMAS / "pacemaker-3.9.rng").exists(), reason="no schemas of Pacemaker")
needs_pcs = pytest.mark.skipif(shutil.which("pcs") is None, reason="no pcs")
needs_crm = pytest.mark.skipif(shutil.which("crm") is None, reason="no crm (package crmsh)")

NODES = "node pete mclaws\nucast eth1 192.168.1.1\nucast eth1 192.168.1.2\n"
DEVICE = f"fence_device benjamin fence_wti_ips800 ip=192.0.2.9 password={SECRET} plug.pete=1 plug.mclaws=5\n"
GROUP = "pete Filesystem::/dev/sdb1::/srv::xfs IPaddr::192.0.2.5/24/eth0\n"


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """A node with nothing on it but our agents; a test puts there what it needs."""
    for name in ("resource.d", "init.d", "units"):
        (tmp_path / name).mkdir()
    program = tmp_path / "systemctl"
    program.write_text("")
    program.chmod(0o755)
    return Search(
        ocf_own=(str(KIT / "ocf"),),
        scripts=(str(tmp_path / "resource.d"), str(tmp_path / "init.d")),
        init=str(tmp_path / "init.d"),
        units=(str(tmp_path / "units"),),
        systemctl=str(program),
    )


def config_of(ha_cf: str = NODES + DEVICE, resources: str = GROUP) -> ClusterConfig:
    parsed = hacf.parse(ha_cf)
    assert parsed.value is not None, parsed.problems
    groups = haresources.parse(resources, parsed.value.nodes)
    assert groups.value is not None, groups.problems
    return replace(parsed.value, groups=groups.value)


def exported(search: Search, ha_cf: str = NODES + DEVICE, resources: str = GROUP, **wishes: object) -> Cluster:
    return cluster_of(config_of(ha_cf, resources), search, Wishes(**wishes))  # type: ignore[arg-type]


def agents_of(cluster: Cluster) -> list[str]:
    return [member.agent for group in cluster.groups for member in group.members]


def remarks(cluster: Cluster, fate: Fate) -> str:
    return "\n".join(str(remark) for remark in cluster.remarks if remark.fate is fate)


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.fixture(params=["howto", "howto-ucast", "everything"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / "ha.d"
    shutil.copytree(TESTS / "data" / "config" / request.param, copy)
    (copy / "authkeys").chmod(0o600)
    return copy


def failoverctl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], input=stdin, capture_output=True, text=True, timeout=60, check=False)


# --- by Pacemaker's own judgement ---------------------------------------------------------------------------


@needs_pacemaker
@pytest.mark.parametrize("agents", ["ours", "clusterlabs"])
def test_crm_verify_has_nothing_to_say(directory: Path, agents: str) -> None:
    done = failoverctl("export-cib", "--config-dir", str(directory), "--agents", agents)
    assert done.returncode == 0, done.stderr
    argv = ["crm_verify", "--xml-pipe"]
    judged = subprocess.run(argv, input=done.stdout, text=True, capture_output=True, timeout=60, check=False)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


@needs_schemas
@pytest.mark.parametrize("version", ["pacemaker-3.0", "pacemaker-3.9"])
def test_the_schemas_hold(directory: Path, version: str) -> None:
    done = failoverctl("export-cib", "--config-dir", str(directory))
    schema = etree.RelaxNG(etree.parse(str(SCHEMAS / f"{version}.rng")))
    schema.assertValid(etree.fromstring(done.stdout.encode()))


@needs_pacemaker
def test_crm_simulate_starts_it_at_home_in_order_and_fences_who_is_lost(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "cib.xml"
    path.write_text(as_text(exported(search)))

    def simulate(*words: str, source: Path = path) -> str:
        argv = ["crm_simulate", "-x", str(source), "-S", "-q", "1", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    after = tmp_path / "after.xml"
    told = simulate("-u", "pete", "-u", "mclaws", "-O", str(after))
    starts = [line.split()[3] for line in told.splitlines() if "action:" in line and " start on pete" in line]
    assert starts[:2] == ["Filesystem-sdb1", "IPaddr-192.0.2.5"]
    assert "fence-pete-benjamin start on mclaws" in told
    lost = simulate("--node-fail", "pete", source=after)
    fenced, started = lost.index("Fencing pete (reboot)"), lost.index("Filesystem-sdb1 start on mclaws")
    assert fenced < started
    failed = tmp_path / "failed.xml"
    monitor, stop = "Filesystem-sdb1_monitor_10000@pete=1", "Filesystem-sdb1_stop_0@pete=1"
    simulate("-i", monitor, "-F", stop, "-O", str(failed), source=after)
    assert "Fencing pete (reboot)" in simulate(source=failed)


# Devices of both kinds on two levels, and a monitor with a depth: what no other test exports at once.
IN_FULL = (
    f"{NODES}{DEVICE}fence_device walter fence_ipmilan ip=192.0.2.10 plug.pete=1\n"
    "fence_level pete 1 benjamin walter\nfence_level mclaws 1 benjamin\nfence_delay 38500ms\n"
)
DEEP = "pete Filesystem::/dev/sdb1::/srv::xfs::op_monitor_depth=10 IPaddr::192.0.2.5::op_monitor_interval=0\n"
REMARK = "a remark; with 'signs' $HOME -- and more"


def an_empty_cib(folder: Path) -> Path:
    path = folder / "cib-of-a-tool.xml"
    path.write_text(subprocess.run(["cibadmin", "--empty"], capture_output=True, text=True, check=True).stdout)
    return path


def test_a_pcs_script_ends_with_its_first_error(search: Search, tmp_path: Path) -> None:
    """Also when it is run as "sh FILE", which does not look at the first line."""
    from failover_kit.cib.commands import as_pcs

    script, calls = tmp_path / "script", tmp_path / "calls"
    script.write_text(as_pcs(exported(search)))
    program(tmp_path, "fake")
    (tmp_path / "fake").write_text(f"#!/bin/sh\necho call >>{calls}\nexit 1\n")
    done = subprocess.run(["sh", str(script)], env={"PCS": str(tmp_path / "fake")}, timeout=60, check=False)
    assert done.returncode == 1
    assert calls.read_text() == "call\n"


@pytest.mark.release
@needs_pcs
@needs_pacemaker
def test_the_pcs_commands_make_the_same_cluster(search: Search, tmp_path: Path) -> None:
    """Every pcs is seconds of work on a busy machine: in the release check alone."""
    from failover_kit.cib.commands import as_pcs

    script, file = tmp_path / "script", an_empty_cib(tmp_path)
    cluster = exported(search, IN_FULL, DEEP, agents=Agents.CLUSTERLABS)
    assert dict(cluster.properties)["priority-fencing-delay"] == "39s"  # a fraction is refused
    script.write_text(as_pcs(cluster, [REMARK]))
    # --force: this machine has neither the units nor our agents where Pacemaker looks.
    environment = {**os.environ, "PCS": f"pcs -f {file} --force"}
    subprocess.run(["sh", str(script)], env=environment, capture_output=True, timeout=300, check=True)
    assert facts_of(etree.parse(str(file))) == facts_of(as_xml(cluster).getroottree())


@pytest.mark.release
@needs_crm
@needs_pacemaker
@pytest.mark.parametrize("agents", list(Agents))
def test_the_crm_lines_make_the_same_cluster(search: Search, tmp_path: Path, agents: Agents) -> None:
    """As for pcs. Whether crm takes the lines unforced is asked in tests/system/test_crmsh.py."""
    from failover_kit.cib.commands import as_crm

    lines, file = tmp_path / "lines", an_empty_cib(tmp_path)
    cluster = exported(search, IN_FULL, DEEP, agents=agents)
    lines.write_text(as_crm(cluster, [REMARK]))
    environment = {**os.environ, "HOME": str(tmp_path), "CIB_file": str(file)}
    argv = ["crm", "--force", "configure", "load", "update", str(lines)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts_of(etree.parse(str(file))) == facts_of(as_xml(cluster).getroottree()), done.stderr


def facts_of(tree: etree._ElementTree) -> set[tuple[object, ...]]:
    """What a CIB says, without the ids of its parts."""
    found: set[tuple[object, ...]] = set()
    for primitive in tree.iterfind(".//primitive"):
        owner = primitive.getparent()
        found.add((primitive.get("id"), primitive.get("class"), primitive.get("provider"), primitive.get("type")))
        found.add((primitive.get("id"), "in", owner.get("id") or ""))
        for op in primitive.iterfind("operations/op"):
            if op.get("name") in ("start", "stop", "monitor"):
                facts = tuple(op.get(name) for name in ("name", "interval", "timeout", "on-fail"))
                found.add((primitive.get("id"), *facts))
    for pair in tree.iterfind(".//nvpair"):
        owner = pair.getparent().getparent()
        of_op = owner.tag == "op"
        name = owner.getparent().getparent().get("id") if of_op else owner.get("id")
        found.add((name or owner.tag, of_op, pair.get("name"), pair.get("value")))
    for place in tree.iterfind(".//rsc_location"):
        found.add((place.get("rsc"), place.get("node"), place.get("score")))
    for level in tree.iterfind(".//fencing-level"):
        found.add((level.get("target"), level.get("index"), level.get("devices")))
    return found


# --- what becomes of what -----------------------------------------------------------------------------------


def test_times_depth_and_failures_are_carried(search: Search) -> None:
    resources = (
        "pete Filesystem::/dev/sdb1::/srv::xfs::op_stop_timeout=120::op_monitor_depth=20::op_monitor_interval=30s"
        " 192.0.2.5::op_monitor_interval=0\n"
    )
    cluster = exported(search, NODES + DEVICE + "op_timeout 90\nmonitor_failures 3\n", resources)
    disk, address = cluster.groups[0].members
    assert [(op.name, op.interval_ms, op.timeout_ms, op.depth, op.on_fail) for op in disk.operations] == [
        ("start", 0, 90_000, 0, ""),
        ("stop", 0, 120_000, 0, "fence"),
        ("monitor", 30_000, 90_000, 20, ""),
    ]
    # Left away, pcs would add the monitor of the agent's meta-data; with interval 0 it is the probe's time alone.
    assert [(op.name, op.interval_ms, op.timeout_ms) for op in address.operations] == [
        ("start", 0, 90_000),
        ("stop", 0, 90_000),
        ("monitor", 0, 90_000),
    ]
    assert dict(cluster.groups[0].meta)["migration-threshold"] == "3"


@pytest.mark.parametrize(("word", "stickiness"), [("off", "1000"), ("on", "0")])
def test_failback_is_stickiness_against_home(search: Search, word: str, stickiness: str) -> None:
    cluster = exported(search, f"auto_failback {word}\n{NODES}{DEVICE}")
    assert dict(cluster.groups[0].meta)["resource-stickiness"] == stickiness
    # More would be INFINITY, and crm_resource --move could not move it.
    assert int(stickiness) < 1_000_000
    assert cluster.home_score == "100"


def test_the_names_of_options_follow_the_version(search: Search) -> None:
    old = dict(exported(search).properties)
    assert old["stonith-enabled"] == "true"
    for version in ((2, 1), (3, 0), (3, 0, 1)):
        assert dict(exported(search, version=version).properties) == old
    new = dict(exported(search, version=(3, 0, 2)).properties)
    assert {name for name in new if "stonith" in name} == set()
    assert (new["fencing-enabled"], new["fencing-action"]) == ("true", "reboot")


def test_without_a_device_fencing_stays_on_and_it_is_said(search: Search) -> None:
    cluster = exported(search, NODES)
    assert dict(cluster.properties)["stonith-enabled"] == "true"
    assert "fencing of pete" in remarks(cluster, Fate.LEFT_OUT)
    assert cluster.left_out()


def test_a_device_is_never_run_on_its_victim_and_levels_stand(search: Search) -> None:
    devices = DEVICE + (
        f"fence_device walter fence_wti_ips800 ip=192.0.2.10 password={SECRET} plug.pete=1,2 plug.mclaws=5\n"
        "fence_level pete 1 benjamin walter\nfence_level mclaws 1 benjamin\nfence_level mclaws 2 walter\n"
    )
    cluster = exported(search, NODES + devices)
    assert [(level.victim, level.index, level.devices) for level in cluster.levels] == [
        ("pete", 1, ("fence-pete-benjamin", "fence-pete-walter")),
        ("mclaws", 1, ("fence-mclaws-benjamin",)),
        ("mclaws", 2, ("fence-mclaws-walter",)),
    ]
    walter = next(f.primitive for f in cluster.fences if f.primitive.id == "fence-pete-walter")
    assert dict(walter.parameters)["pcmk_host_map"] == "pete:1,2"
    places = as_xml(cluster).findall(".//rsc_location")
    banned = {(place.get("rsc"), place.get("node")) for place in places if place.get("score") == "-INFINITY"}
    assert banned == {(fence.primitive.id, fence.victim) for fence in cluster.fences}


WALTER = {
    "a plug nothing can hold": (Agents.OURS, r"ip=192.0.2.10 password_file=/w plug.pete=1\3 plug.mclaws=5"),
    "a serial line": (Agents.CLUSTERLABS, "serial=/dev/ttyS1 password_file=/w plug.pete=1 plug.mclaws=5"),
}


@pytest.mark.parametrize("why", list(WALTER))
def test_half_a_level_is_no_level(search: Search, why: str) -> None:
    """What is left of it would be taken for a proof: fenced takes any device for a victim without topology."""
    agents, line = WALTER[why]
    devices = f"{DEVICE}fence_device walter fence_wti_ips800 {line}\nfence_level pete 1 benjamin walter\n"
    cluster = exported(search, NODES + devices + "fence_level mclaws 1 benjamin\n", agents=agents)
    assert [(level.victim, level.devices) for level in cluster.levels] == []
    assert [fence.primitive.id for fence in cluster.fences] == ["fence-mclaws-benjamin"]
    out = remarks(cluster, Fate.LEFT_OUT)
    assert "fence_level pete 1" in out
    assert "fencing of pete" in out


def test_what_is_left_of_a_level_serves_where_another_level_has_it(search: Search) -> None:
    devices = DEVICE + (
        f"fence_device walter fence_wti_ips800 {WALTER['a serial line'][1]}\n"
        "fence_level pete 1 benjamin walter\nfence_level pete 2 benjamin\nfence_level mclaws 1 benjamin\n"
    )
    cluster = exported(search, NODES + devices, agents=Agents.CLUSTERLABS)
    assert [(level.victim, level.index, level.devices) for level in cluster.levels] == [
        ("pete", 2, ("fence-pete-benjamin",)),
    ]
    assert [fence.primitive.id for fence in cluster.fences] == ["fence-pete-benjamin", "fence-mclaws-benjamin"]
    assert "fencing of pete" not in remarks(cluster, Fate.LEFT_OUT)


def as_fenced_reads(host_map: str) -> dict[str, str]:
    """build_port_aliases of Pacemaker 2.1.2 to 2.1.x (daemons/fenced/fenced_commands.c), sign by sign."""
    found, name, last, at = {}, None, 0, 0
    while at <= len(host_map):
        sign = host_map[at : at + 1]
        if sign == "\\":
            at += 1
        elif sign and sign in "=:":
            name, last = (host_map[last:at] if at > last else name), at + 1
        elif sign == "" or sign in "; \t":
            if name is not None:
                found[name] = host_map[last:at].replace("\\", "")
            name, last = None, at + 1
        at += 1
    return found


@pytest.mark.parametrize("plug", ["1:3", "1:3,1:4", "a=b", "a;b", "a b"])
def test_signs_of_a_plug_are_escaped_where_fenced_knows_how(search: Search, plug: str) -> None:
    """A map read otherwise would cut somebody else's plug."""
    device = f'fence_device walter fence_apc ip=192.0.2.10 "plug.pete={plug}" plug.mclaws=5\n'
    maps = [dict(fence.primitive.parameters)["pcmk_host_map"] for fence in exported(search, NODES + device).fences]
    assert [as_fenced_reads(text) for text in maps] == [{"pete": plug}, {"mclaws": "5"}]
    for version in ((2, 0), (2, 1, 1), (3, 0)):
        cluster = exported(search, NODES + device, version=version)
        assert [fence.victim for fence in cluster.fences] == ["mclaws"]
        assert "pcmk_host_map cannot hold" in remarks(cluster, Fate.LEFT_OUT)


def test_both_nodes_serve_so_one_of_them_has_a_head_start(search: Search) -> None:
    cluster = exported(search, resources=GROUP + "mclaws IPaddr::192.0.2.6/24/eth0\n")
    delays = {fence.victim: dict(fence.primitive.parameters).get("pcmk_delay_base") for fence in cluster.fences}
    assert delays == {"pete": "18s", "mclaws": None}
    assert dict(cluster.properties)["priority-fencing-delay"] == "36s"


def test_two_groups_of_one_home_can_be_apart_too(search: Search) -> None:
    """Stickiness keeps them where they are; the nodes' priorities are equal then, and both shot at once."""
    cluster = exported(search, resources=GROUP + "pete IPaddr::192.0.2.6/24/eth0\n")
    delays = [dict(fence.primitive.parameters).get("pcmk_delay_base") for fence in cluster.fences]
    assert delays == ["18s", None]


def test_the_head_start_is_on_one_device_alone(search: Search) -> None:
    """fenced waits before each device of a level: twice half the head start would be all of it."""
    levels = "fence_level pete 1 benjamin walter\nfence_level pete 2 tom\nfence_level mclaws 1 benjamin\n"
    boxes = "".join(f"fence_device {name} fence_apc ip={name} plug.pete=1\n" for name in ("walter", "tom"))
    cluster = exported(search, NODES + DEVICE + boxes + levels, GROUP + "mclaws IPaddr::192.0.2.6/24/eth0\n")
    delays = {f.primitive.id: dict(f.primitive.parameters).get("pcmk_delay_base") for f in cluster.fences}
    assert {name for name, delay in delays.items() if delay} == {"fence-pete-benjamin"}


def test_a_device_has_time_to_start_and_a_failed_start_is_forgotten(search: Search) -> None:
    """Pacemaker gives a start 20 s, our agent on a serial line may take more; its failure would stay for ever."""
    for fence in exported(search).fences:
        assert [(op.name, op.interval_ms, op.timeout_ms) for op in fence.primitive.operations] == [
            ("start", 0, 60_000),
            ("monitor", 300_000, 60_000),
        ]
        assert fence.primitive.meta == (("failure-timeout", "600s"),)
    names = [one.get("name") for one in as_xml(exported(search)).iterfind(".//primitive/meta_attributes/nvpair")]
    assert names == ["failure-timeout"] * 2


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("op_timeout 30\n", 90),
        ("op_timeout 120\n", 120),
        ("op_timeout 90500ms\n", 91),
        ("fence_device walter fence_apc ip=192.0.2.10 power_timeout=60 login_timeout=30\n", 30 + 6 + 120 + 15),
        ("fence_device walter fence_wti_ips800 ip=192.0.2.10 password_file=/w timeout=200\n", 215),
        ("fence_device walter fence_wti_ips800 serial=/dev/ttyS1 password_file=/w\n", 90),
        ("fence_device walter fence_wti_ips800 serial=/dev/ttyS1 baud=2400 password_file=/w\n", 140),
    ],
)
def test_fencing_may_take_what_failoverd_or_the_device_would(search: Search, line: str, seconds: int) -> None:
    device = "" if line.startswith("fence_device") else DEVICE
    assert dict(exported(search, NODES + line + device).properties)["stonith-timeout"] == f"{seconds}s"


def test_times_of_properties_are_whole_seconds(search: Search) -> None:
    """Pacemaker cuts them down, and pcs 0.11 refuses a fraction."""
    cluster = exported(search, NODES + DEVICE + "fence_delay 38500ms\ninitdead 60001ms\n")
    found = dict(cluster.properties)
    assert (found["priority-fencing-delay"], found["dc-deadtime"]) == ("39s", "61s")


# --- programs behind names ----------------------------------------------------------------------------------


def test_a_unit_an_init_script_and_a_name_that_is_nowhere(search: Search) -> None:
    units, init = Path(search.units[0]), Path(search.init)
    (units / "web.service").write_text("")
    (units / "nfs-common.service").symlink_to("/dev/null")
    for name in ("web", "nfs-common"):
        program(init, name)
    cluster = exported(search, resources="pete IPaddr::192.0.2.5 web nfs-common nowhere\n")
    assert agents_of(cluster)[1:] == ["systemd:web", "lsb:nfs-common", "systemd:nowhere"]
    assert "nowhere" in remarks(cluster, Fate.TO_DO)
    assert "exit code of its status" in remarks(cluster, Fate.TO_DO)


def test_a_script_of_heartbeat_is_left_out_until_something_stands_in(search: Search) -> None:
    program(Path(search.scripts[0]), "recordd")
    resources = "pete IPaddr::192.0.2.5 recordd\n"
    cluster = exported(search, resources=resources)
    assert agents_of(cluster) == ["ocf:failover-kit:IPaddr"]
    assert "--map recordd=" in remarks(cluster, Fate.LEFT_OUT)
    assert cluster.left_out()
    parsed = haresources.parse("x lsb:recordd\n", None)
    assert parsed.value is not None
    cluster = exported(search, resources=resources, stand_ins={"recordd": parsed.value[0].resources[0]})
    assert agents_of(cluster)[1] == "lsb:recordd"
    assert not cluster.left_out()


def test_names_that_heartbeat_brought_are_the_agents_behind_them(search: Search) -> None:
    program(Path(search.scripts[0]), "apache")
    cluster = exported(search, resources="pete IPaddr::192.0.2.5 apache::/srv/web.conf\n")
    assert agents_of(cluster)[1] == "ocf:heartbeat:apache"
    assert cluster.groups[0].members[1].parameters == (("configfile", "/srv/web.conf"),)


def test_clusterlabs_agents_say_what_they_lack(search: Search) -> None:
    resources = "pete Filesystem::/dev/sdb1::/srv exportfs::/srv::192.0.2.0/24::rw killnfsd IPaddr::192.0.2.5\n"
    cluster = exported(search, resources=resources, agents=Agents.CLUSTERLABS)
    assert agents_of(cluster) == ["ocf:heartbeat:IPaddr2"]
    out = remarks(cluster, Fate.LEFT_OUT)
    assert "needs fstype" in out
    assert "exportfs" in out
    assert "killnfsd" in remarks(cluster, Fate.DROPPED)


def test_a_group_that_lacks_a_resource_is_not_started(search: Search, tmp_path: Path) -> None:
    """Without its disk a service would write below the mount point."""
    resources = "pete Filesystem::/dev/sdb1::/srv IPaddr::192.0.2.5\nmclaws IPaddr::192.0.2.6 killnfsd\n"
    cluster = exported(search, resources=resources, agents=Agents.CLUSTERLABS)
    roles = [dict(group.meta).get("target-role") for group in cluster.groups]
    assert roles == ["Stopped", None]  # killnfsd is no part of the service: systemd stops nfsd
    told = remarks(cluster, Fate.TO_DO)
    assert "Filesystem:/dev/sdb1 is not in it, so it has target-role=Stopped" in told
    assert all("target-role" not in dict(group.meta) for group in exported(search).groups)
    if shutil.which("crm_simulate"):
        path = tmp_path / "cib.xml"
        path.write_text(as_text(cluster))
        argv = ["crm_simulate", "-x", str(path), "-S", "-q", "1", "-u", "pete", "-u", "mclaws"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "192.0.2.6 start on mclaws" in done
        assert "192.0.2.5 start" not in done


@pytest.mark.parametrize(("unit", "carried"), [
    ("web.target", False), ("swapfile.swap", False), ("srv.automount", False),
    ("web.socket", True), ("srv.mount", True), ("php8.1-fpm", True),
])  # fmt: skip
def test_units_that_pacemaker_does_not_know_are_left_out(search: Search, unit: str, carried: bool) -> None:
    """It would ask systemd for web.target.service."""
    cluster = exported(search, resources=f"pete IPaddr::192.0.2.5 systemd:{unit}\n")
    assert (f"systemd:{unit}" in agents_of(cluster)) == carried
    assert ("write a .service" in remarks(cluster, Fate.LEFT_OUT)) != carried
    if not carried:
        assert dict(cluster.groups[0].meta)["target-role"] == "Stopped"


# --- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agents", list(Agents))
def test_no_secret_is_in_anything_that_is_printed(search: Search, agents: Agents) -> None:
    from failover_kit.cib.commands import as_crm, as_pcs

    cluster = exported(search, agents=agents)
    said = [str(remark) for remark in cluster.remarks]
    for text in (as_text(cluster, tuple(said)), as_pcs(cluster, said), as_crm(cluster, said), repr(cluster)):
        assert SECRET not in text
    kind = "password_file" if agents is Agents.OURS else "password_script"
    assert all(kind in dict(fence.primitive.parameters) for fence in cluster.fences)


@pytest.mark.parametrize(
    "name", ["apikey", "api-key", "api_key", "hexadecimal_kg", "hexadecimal-kg", "access_key", "secret_key"]
)
def test_secrets_by_all_the_names_of_fence_agents_stay_out(search: Search, name: str) -> None:
    device = f"fence_device cloud fence_x ip=192.0.2.9 {name}={SECRET}\n"
    resources = f"pete ocf:a:b::{name}={SECRET} IPaddr::192.0.2.5\n"
    cluster = exported(search, NODES + device, resources)
    said = tuple(str(remark) for remark in cluster.remarks)
    assert SECRET not in as_text(cluster, said)
    assert name in remarks(cluster, Fate.LEFT_OUT)
    assert SECRET in as_text(exported(search, NODES + device, with_secrets=True))


@pytest.mark.parametrize("agents", list(Agents))
@pytest.mark.parametrize(
    "resource",
    [
        "Filesystem:://nas/share::/srv::cifs::OPTIONS",
        "ocf:heartbeat:Filesystem::options=OPTIONS::device=//nas/share::directory=/srv::fstype=cifs",
    ],
)
@pytest.mark.parametrize("word", ["password", "pass", "PASSWORD2"])
def test_the_password_of_a_cifs_mount_stays_out(search: Search, agents: Agents, resource: str, word: str) -> None:
    """mount.cifs(8): in the kernel's list of options two commas are one comma of the password."""
    options = f"username=u,{word}={SECRET},,{SECRET},ro"
    cluster = exported(search, resources=f"pete {resource.replace('OPTIONS', options)}\n", agents=agents)
    said = tuple(str(remark) for remark in cluster.remarks)
    assert SECRET not in as_text(cluster, said)
    assert dict(cluster.groups[0].members[0].parameters)["options"] == "username=u,ro"
    assert "credentials=FILE" in remarks(cluster, Fate.LEFT_OUT)


def test_secrets_only_into_a_file_of_root_s(tmp_path: Path) -> None:
    (tmp_path / "ha.cf").write_text(NODES + DEVICE)
    (tmp_path / "haresources").write_text(GROUP)
    (tmp_path / "authkeys").write_text("auth 1\n1 sha1 0123456789abcdef\n")
    (tmp_path / "authkeys").chmod(0o600)
    where = ("export-cib", "--config-dir", str(tmp_path), "--with-secrets")
    refused = failoverctl(*where)
    assert (refused.returncode, refused.stdout) == (2, "")
    output = tmp_path / "cib.xml"
    pcs = failoverctl(*where, "--format", "pcs", "--output", str(output))
    assert pcs.returncode == 2
    assert not output.exists()
    done = failoverctl(*where, "--output", str(output))
    assert done.returncode == 0
    assert SECRET not in done.stdout + done.stderr
    assert SECRET in output.read_text()
    assert output.stat().st_mode & 0o777 == 0o600


# --- ids, comments, corosync --------------------------------------------------------------------------------


def test_ids_are_legal_and_given_once() -> None:
    ids = Ids()
    made = [ids.make("Filesystem", "a:b/c"), ids.make("Filesystem", "a b c"), ids.make("1"), ids.make("é")]
    assert made == ["Filesystem-a-b-c", "Filesystem-a-b-c-2", "_1", "_"]


def test_addresses_stand_in_corosync_conf_only_where_the_node_knows_them() -> None:
    """Exchanged, each node would go by the other's name, and shoot itself."""
    config = config_of()
    assert "ADDRESS-OF-pete-ON-eth1" in corosync_conf(config, None)
    elsewhere = Here("mclaws", {"eth1": [IPv4Interface("10.0.0.1/24")]})
    assert "ADDRESS-OF-pete-ON-eth1" in corosync_conf(config, elsewhere)
    for node, own, pete_s, mclaws_s in (
        ("mclaws", "192.168.1.1", "192.168.1.2", "192.168.1.1"),
        ("mclaws", "192.168.1.2", "192.168.1.1", "192.168.1.2"),
        ("pete", "192.168.1.1", "192.168.1.1", "192.168.1.2"),
        ("pete", "192.168.1.2", "192.168.1.2", "192.168.1.1"),
    ):
        text = corosync_conf(config, Here(node, {"eth1": [IPv4Interface(f"{own}/24")]}))
        pete, mclaws = text.partition("name: mclaws")[::2]
        assert f"ring0_addr: {pete_s}\n" in pete
        assert f"ring0_addr: {mclaws_s}\n" in mclaws
    assert "token: 30000" in text
    assert "wait_for_all: 1" in text


def test_the_report_alone_and_wrong_words() -> None:
    done = failoverctl("export-cib", "--map", "recordd=recordd")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not NAME=" in done.stderr
    assert failoverctl("export-cib", "--pacemaker", "1.1").returncode == 2


def test_ping_nodes_are_told_of_one_by_one(search: Search) -> None:
    pings = "ping 192.0.2.1\nping_group switches 192.0.2.2 192.0.2.3\n"
    told = remarks(exported(search, NODES + DEVICE + pings), Fate.DROPPED)
    assert "ping node 192.0.2.1: clone ocf:pacemaker:ping" in told
    assert "ping node switches: clone ocf:pacemaker:ping" in told
    assert "ping_failover" not in told
    told = remarks(exported(search, NODES + DEVICE + pings + "ping_failover on\n"), Fate.DROPPED)
    assert "ping_failover: it is that location rule" in told
    assert "ping" not in remarks(exported(search), Fate.DROPPED)


def test_an_alert_script_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "alerts.d").mkdir()
    program(tmp_path / "alerts.d", "mail.sh")
    (tmp_path / "alerts.d" / "mail.sh.conf").write_text("level=warning\n")
    (tmp_path / "ha.cf").write_text(NODES + DEVICE)
    (tmp_path / "haresources").write_text(GROUP)
    (tmp_path / "authkeys").write_text("auth 1\n1 sha1 0123456789abcdef\n")
    (tmp_path / "authkeys").chmod(0o600)
    done = failoverctl("export-cib", "--config-dir", str(tmp_path), "--report")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if "alert " in line] != []
    assert "mail.sh.conf" not in done.stdout
