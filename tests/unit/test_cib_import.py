"""import-cib: what of a CIB two files can say, and that the rest is said; what was exported comes back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from failover_kit.cib.hostmap import host_map
from failover_kit.cib.imported import Importer, Terms
from failover_kit.cib.readxml import NotACib, Reader, as_ms
from failover_kit.cib.resources import Agents
from failover_kit.manager import hacf, haresources

TESTS = Path(__file__).parents[1]
PROGRAM = str(TESTS.parent / "bin" / "failoverctl")
LINKS = ("ucast eth1 192.168.1.1", "ucast eth1 192.168.1.2")

NODES = '<node id="1" uname="pete"/><node id="2" uname="mclaws"/>'


def imported(resources: str, constraints: str = "", **given: Any) -> tuple[str, str, str]:
    """ha.cf, haresources, and what was left out; ``given`` as for told_of."""
    ha_cf, lines, told = told_of(resources, constraints, **given)
    return ha_cf, lines, "\n".join(line for line in told.splitlines() if line.startswith("left out"))


def told_of(
    resources: str, constraints: str = "", *, rest: str = "", agents: Agents = Agents.CLUSTERLABS,
    nodes: str = NODES, properties: str = "", status: str = "",
) -> tuple[str, str, str]:  # fmt: skip
    """ha.cf, haresources, and all remarks."""
    reader = Reader()
    cib = (
        f"<cib><configuration><crm_config>{properties}</crm_config><nodes>{nodes}</nodes>"
        f"<resources>{resources}</resources>"
        f"<constraints>{constraints}</constraints>{rest}</configuration><status>{status}</status></cib>"
    )
    importer = Importer(reader.read(cib.encode()), Terms(links=LINKS, agents=agents), reader)
    ha_cf, lines = importer.texts()
    return ha_cf, lines, "\n".join(str(remark) for remark in importer.remarks)


def pairs(tag: str, *named: str, inside: str = "") -> str:
    """A set of name-value pairs."""
    found = "".join(
        f'<nvpair id="p-{tag}-{number}" name="{name.partition("=")[0]}" value="{name.partition("=")[2]}"/>'
        for number, name in enumerate(named)
    )
    return f'<{tag} id="set-{tag}">{inside}{found}</{tag}>'


def with_meta(element: str, *named: str) -> str:
    """A primitive or group with meta attributes."""
    head, sign, rest = element.partition(">")
    return head + sign + pairs("meta_attributes", *named) + rest


def device_lines(ha_cf: str) -> list[str]:
    return [line for line in ha_cf.splitlines() if line.startswith(("fence_device", "fence_level"))]


def primitive(name: str, agent: str, parameters: str = "", ops: str = "") -> str:
    parts = agent.split(":")
    provider = f'provider="{parts[1]}"' if len(parts) == 3 else ""
    pairs = "".join(
        f'<nvpair id="{name}-{index}" name="{pair.partition("=")[0]}" value="{pair.partition("=")[2]}"/>'
        for index, pair in enumerate(parameters.split())
    )
    return (
        f'<primitive id="{name}" class="{parts[0]}" {provider} type="{parts[-1]}">'
        f'<instance_attributes id="{name}-i">{pairs}</instance_attributes>'
        f"<operations>{ops}</operations></primitive>"
    )


ADDRESS = primitive("vip", "ocf:heartbeat:IPaddr2", "ip=192.0.2.5 cidr_netmask=24",
                    '<op id="m" name="monitor" interval="10" timeout="20s"/>')  # fmt: skip
DEVICES = primitive("fence-pete", "stonith:fence_wti", "ip=192.0.2.9 password=s3cret pcmk_host_map=pete:1")
DEVICES += primitive("fence-mclaws", "stonith:fence_wti", "ip=192.0.2.9 password=s3cret pcmk_host_map=mclaws:5")


@pytest.mark.parametrize("name", ["howto-ucast", "everything"])
def test_what_was_exported_comes_back(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "ha.d"
    shutil.copytree(TESTS / "data" / "config" / name, directory)
    (directory / "authkeys").chmod(0o600)

    def run(*words: str, stdin: str = "") -> str:
        argv = [PROGRAM, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("export-cib", "--config-dir", str(directory))
    back = tmp_path / "back"
    back.mkdir()
    run("import-cib", "--link", "eth1=192.168.1.1,192.168.1.2", "--output-dir", str(back), stdin=first)
    shutil.copy2(directory / "authkeys", back)
    second = run("export-cib", "--config-dir", str(back))
    same = ("<group", "<primitive", "<op ", "<rsc_location", "<fencing-level")

    def told(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip().startswith(same)]

    assert told(second) == told(first)


def test_a_group_a_lone_primitive_and_a_device_for_both() -> None:
    web = primitive("web", "systemd:nginx", ops='<op id="w" name="stop" interval="0" timeout="2min"/>')
    place = '<rsc_location id="l" rsc="g" node="mclaws" score="50"/>'
    ha_cf, lines, left = imported(f'<group id="g">{ADDRESS}</group>{web}{DEVICES}', place)
    assert lines.splitlines() == [
        "mclaws ocf:heartbeat:IPaddr2::ip=192.0.2.5::cidr_netmask=24::op_monitor_timeout=20s",
        "pete systemd:nginx::op_monitor_interval=0s::op_stop_timeout=120s",
    ]
    device = "fence_device fence-pete fence_wti ip=192.0.2.9 password_script=/etc/ha.d/fence-pete.password.sh "
    assert device + "plug.pete=1 plug.mclaws=5\n" in ha_cf
    assert left == ""
    parsed = hacf.parse(ha_cf)
    assert parsed.value is not None
    assert haresources.parse(lines, parsed.value.nodes).value is not None


def test_ours_in_the_place_of_theirs() -> None:
    ha_cf, lines, left = imported(ADDRESS + DEVICES, agents=Agents.OURS)
    assert lines.startswith("pete ocf:failover-kit:IPaddr::ip=192.0.2.5")
    assert "fence_wti_ips800 ip=192.0.2.9 password_file=" in ha_cf
    assert left == ""


def test_no_secret_comes_out() -> None:
    secret = primitive("db", "ocf:heartbeat:pgsql", "monitor_password=s3cret pgport=5433")
    options = "options=username=u,pass=s3cret,,s3cret,ro"
    share = primitive("share", "ocf:heartbeat:Filesystem", f"device=//nas/x directory=/srv fstype=cifs {options}")
    cloud = primitive("cloud", "stonith:fence_ibm_vpc", "apikey=s3cret hexadecimal-kg=s3cret pcmk_host_list=pete")
    ha_cf, lines, left = imported(secret + ADDRESS + share + DEVICES + cloud)
    assert "s3cret" not in ha_cf + lines + left
    assert "db, monitor_password" in left
    assert "options=username=u,ro" in lines
    assert "credentials=FILE" in left
    assert "fence device cloud, apikey, hexadecimal-kg" in left


@pytest.mark.parametrize(
    ("resources", "constraints", "what"),
    [
        ('<clone id="c">' + ADDRESS + "</clone>", "", "clone c"),
        ('<primitive id="t" template="x"/>', "", "primitive t"),
        (ADDRESS, '<rsc_order id="o" first="vip" then="x"/>', "rsc_order o"),
        (ADDRESS, '<rsc_colocation id="k" rsc="vip" with-rsc="x" score="1"/>', "rsc_colocation k"),
        (ADDRESS, '<rsc_location id="r" rsc="vip"><rule id="q" score="1"/></rsc_location>', "rsc_location r"),
        (primitive("x", "ocf:a:b", "p=a\\b"), "", "primitive x, p"),
        (primitive("s", "service:nginx"), "", "primitive s"),
        (ADDRESS, "", "fence devices"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(resources: str, constraints: str, what: str) -> None:
    devices = "" if what == "fence devices" else DEVICES
    left = imported(resources + devices, constraints)[2]
    assert f"left out: {what}" in left


def test_failback_is_on_where_home_outweighs_staying() -> None:
    place = '<rsc_location id="l" rsc="vip" node="pete" score="50"/>'
    assert "auto_failback on\n" in imported(ADDRESS + DEVICES, place)[0]
    pair = '<nvpair id="s" name="resource-stickiness" value="100"/>'
    stays = f'<rsc_defaults><meta_attributes id="d">{pair}</meta_attributes></rsc_defaults>'
    assert "auto_failback off\n" in imported(ADDRESS + DEVICES, place, rest=stays)[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "not XML"),
        ("<html/>", "no CIB"),
        ("<cib><configuration><nodes/></configuration></cib>", "0 nodes"),
        ('<cib><configuration><nodes><node id="1" uname="pete&#10;fence_delay 0"/><node id="2" uname="b"/></nodes>'
         "</configuration></cib>", "name"),
        ('<!DOCTYPE cib [<!ENTITY x SYSTEM "file:///etc/passwd">]><cib><configuration/></cib>', "document type"),
    ],
)
def test_what_is_no_cib_of_two_nodes(text: str, why: str) -> None:
    with pytest.raises(NotACib, match=why):
        Reader().read(text.encode())


def test_a_file_that_is_none_is_named_with_what_to_give(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_text("uname: pete\n")
    for given, why in (
        (tmp_path / "absent", "No such file or directory; name a file with what cibadmin --query prints"),
        (noise, "not XML: Start tag expected, '<' not found, line 1, column 1; give what cibadmin --query prints"),
    ):
        argv = [PROGRAM, "import-cib", str(given)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"failoverctl: {given}: {why}\n"


def test_times_as_pacemaker_writes_them() -> None:
    assert [as_ms(text) for text in ("10", "10s", "500ms", "2min", "1h", "PT10S", "x")] == [
        10_000, 10_000, 500, 120_000, 3_600_000, None, None,
    ]  # fmt: skip


def test_files_that_exist_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ha.cf").write_text("mine\n")
    cib = f"<cib><configuration><nodes>{NODES}</nodes><resources>{ADDRESS}</resources></configuration></cib>"
    done = subprocess.run(
        [PROGRAM, "import-cib", "--output-dir", str(tmp_path)],
        input=cib, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert (tmp_path / "ha.cf").read_text() == "mine\n"


# --- fence devices ------------------------------------------------------------------------------------------

SWITCH = "ip=192.0.2.9 password_file=/w"


def outlets(*plugs: str) -> str:
    """A device of one switch for each of node:plug."""
    return "".join(
        primitive(f"d{number}", "stonith:fence_wti", f"{SWITCH} pcmk_host_map={plug}")
        for number, plug in enumerate(plugs)
    )


def topology(*levels: str) -> str:
    """``pete 1 d0,d1``: fencing levels."""
    elements = "".join(
        f'<fencing-level id="l{number}" target="{words[0]}" index="{words[1]}" devices="{words[2]}"/>'
        for number, words in enumerate(level.split() for level in levels)
    )
    return f"<fencing-topology>{elements}</fencing-topology>"


def test_two_plugs_of_one_level_are_one_device_with_both() -> None:
    """The second took the place of the first: one of two supplies was cut, and read OFF."""
    levels = topology("pete 1 d0,d1", "mclaws 1 d2")
    ha_cf, _, left = imported(ADDRESS + outlets("pete:1", "pete:2", "mclaws:5"), rest=levels)
    assert device_lines(ha_cf) == [
        "fence_device d0 fence_wti ip=192.0.2.9 password_file=/w plug.pete=1,2 plug.mclaws=5",
        "fence_level pete 1 d0",
        "fence_level mclaws 1 d0",
    ]
    assert left == ""
    assert hacf.parse(ha_cf).problems == ()


@pytest.mark.parametrize("levels", [("pete 1 d0", "pete 2 d1"), ("pete 1 d0,d1", "pete 2 d0"), ()])
def test_two_plugs_that_are_not_cut_together_stay_apart(levels: tuple[str, ...]) -> None:
    lines = device_lines(imported(ADDRESS + outlets("pete:1", "pete:2"), rest=topology(*levels))[0])
    assert [line.rpartition(" ")[2] for line in lines if line.startswith("fence_device")] == [
        "plug.pete=1",
        "plug.pete=2",
    ]
    written = [line.removeprefix("fence_level ") for line in lines if line.startswith("fence_level")]
    assert written == [level.replace(",", " ") for level in levels]


@pytest.mark.parametrize("text", ["pete=1;mclaws=5", "PETE:1 mclaws=5", "pete:1;;mclaws:5;", "pete:1\tmclaws:5"])
def test_plugs_as_fenced_reads_them(text: str) -> None:
    device = primitive("d", "stonith:fence_wti", f"{SWITCH} pcmk_host_map=MAP").replace("MAP", text)
    assert device_lines(imported(ADDRESS + device)[0])[0].endswith("plug.pete=1 plug.mclaws=5")


@pytest.mark.parametrize(
    ("text", "plugs"),
    [
        ("pete:1\\:3;mclaws:a\\ b", {"pete": "1:3", "mclaws": "a b"}),
        ("pete:a\\=b", {"pete": "a=b"}),
        ("pete:a=b", {"a": "b"}),
        ("pete:1;pete:2", {"pete": "2"}),
        ("pete", {}),
        ("pete:1\\\\2", {"pete": "12"}),
    ],
)
def test_the_map_of_hosts_is_read_as_fenced_reads_it(text: str, plugs: dict[str, str]) -> None:
    assert host_map(text) == plugs


def test_a_plug_of_the_agent_s_own_is_the_plug_of_the_node_it_names() -> None:
    """fenced leaves it as it is, and the map does not count."""
    one = primitive("a", "stonith:fence_wti", f"{SWITCH} plug=1 pcmk_host_list=pete")
    two = primitive("b", "stonith:fence_wti", f"{SWITCH} port=5 pcmk_host_map=mclaws:7")
    assert device_lines(imported(ADDRESS + one + two)[0]) == [
        "fence_device a fence_wti ip=192.0.2.9 password_file=/w plug.pete=1 plug.mclaws=5"
    ]


def test_a_device_for_other_machines_is_none_of_the_pair() -> None:
    """It was asked for both nodes, and cut whoever had their names there."""
    other = primitive("old", "stonith:fence_wti", "ip=192.0.2.77 pcmk_host_list=oldnode")
    ha_cf, _, left = imported(ADDRESS + DEVICES + other)
    assert "192.0.2.77" not in ha_cf
    assert "fence device old: it cuts oldnode" in left


@pytest.mark.parametrize("what", ["its device is left out", "it is a pattern"])
def test_half_a_level_leaves_its_node_without_a_device(what: str) -> None:
    """Without a level the device that is left would be the only one, and be believed alone."""
    gone = primitive("gone", "stonith:fence_x", "ip=192.0.2.8 pcmk_host_argument=vm pcmk_host_list=pete")
    levels = topology("pete 1 d0,gone", "mclaws 1 d1")
    if what == "it is a pattern":
        levels = levels.replace('target="pete"', 'target-pattern="pe.*"')
    ha_cf, _, left = imported(ADDRESS + outlets("pete:1", "mclaws:5") + gone, rest=levels)
    assert device_lines(ha_cf) == [
        "fence_device d0 fence_wti ip=192.0.2.9 password_file=/w plug.mclaws=5",
        "fence_level mclaws 1 d0",
    ]
    assert "fencing of pete: no level of it fits whole" in left
    parsed = hacf.parse(ha_cf).value
    assert parsed is None or not parsed.can_fence("pete")


@pytest.mark.parametrize(
    "parameter",
    [
        "pcmk_reboot_action=off", "pcmk_off_action=reboot", "pcmk_off_timeout=200s", "pcmk_reboot_timeout=200",
        "pcmk_status_action=list", "pcmk_off_retries=1", "pcmk_action_limit=-1",
    ],
)  # fmt: skip
def test_what_fenced_makes_of_a_device_is_said(parameter: str) -> None:
    device = primitive("d", "stonith:fence_wti", f"{SWITCH} pcmk_host_map=pete:1;mclaws:5 {parameter}")
    assert f"left out: fence device d, {parameter}" in imported(ADDRESS + device)[2]


@pytest.mark.parametrize("parameter", ["pcmk_delay_base=5s", "action=off", "pcmk_host_check=none"])
def test_what_matters_less_of_a_device_is_said_too(parameter: str) -> None:
    device = primitive("d", "stonith:fence_wti", f"{SWITCH} pcmk_host_map=pete:1;mclaws:5 {parameter}")
    assert f"not carried: fence device d, {parameter}" in told_of(ADDRESS + device)[2]


@pytest.mark.parametrize("index", ["²", "٣", "9" * 5000, "-1", ""])
def test_the_number_of_a_level_is_one_to_nine(index: str) -> None:
    levels = topology("pete X d0").replace('"X"', f'"{index}"')
    assert "left out: fencing-level l0" in imported(ADDRESS + outlets("pete:1", "mclaws:5"), rest=levels)[2]


# --- what is not carried is said ----------------------------------------------------------------------------


@pytest.mark.parametrize("meta", ["target-role=Stopped", "target-role=stopped", "is-managed=no", "maintenance=1"])
@pytest.mark.parametrize("where", ["group", "member", "alone", "defaults"])
def test_what_is_stopped_or_unmanaged_there_is_not_started_here(meta: str, where: str) -> None:
    web = primitive("web", "systemd:nginx")
    rest = ""
    if where == "alone":
        resources, what = with_meta(web, meta), "primitive web"
    elif where == "defaults":
        resources, what = web, "primitive web"
        rest = f"<rsc_defaults>{pairs('meta_attributes', meta)}</rsc_defaults>"
    elif where == "member":
        resources, what = f'<group id="g">{web}{with_meta(primitive("db", "systemd:db"), meta)}</group>', "group g"
    else:
        resources, what = with_meta(f'<group id="g">{web}</group>', meta), "group g"
    _, lines, left = imported(resources + DEVICES, rest=rest)
    assert lines == ""
    assert f"left out: {what}: " in left
    assert meta.partition("=")[0] in left


def test_a_device_that_is_switched_off_is_no_device() -> None:
    off = with_meta(primitive("old", "stonith:fence_x", "ip=192.0.2.77 pcmk_host_list=pete"), "target-role=Stopped")
    ha_cf, _, left = imported(ADDRESS + DEVICES + off)
    assert "192.0.2.77" not in ha_cf
    assert "left out: fence device old: target-role=Stopped" in left


@pytest.mark.parametrize(("kind", "meta"), [("fence_scsi", "priority=1"), ("fence_x", "provides=unfencing")])
def test_a_device_that_needs_unfencing_is_left_out(kind: str, meta: str) -> None:
    scsi = with_meta(primitive("scsi", f"stonith:{kind}", "devices=/dev/sdb pcmk_host_list=pete"), meta)
    ha_cf, _, left = imported(ADDRESS + DEVICES + scsi)
    assert kind not in ha_cf.replace("fence_wti", "")
    assert "left out: fence device scsi" in left


MEMBERS = f'<group id="g">{ADDRESS}{primitive("web", "systemd:nginx")}</group>'
RULE = '<rule id="r" score="1"/>'
STANDBY = pairs("instance_attributes", "standby=on")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"properties": pairs("cluster_property_set", "maintenance-mode=true")}, "property maintenance-mode=true"),
        ({"properties": pairs("cluster_property_set", "stop-all-resources=1")}, "property stop-all-resources=1"),
        ({"properties": pairs("cluster_property_set", "stonith-enabled=true", inside=RULE)},
         "crm_config, set-cluster_property_set"),
        ({"nodes": NODES.replace('uname="pete"/>', f'uname="pete">{STANDBY}</node>')}, "node pete, standby=on"),
        ({"status": f'<node_state id="1" uname="pete"><transient_attributes id="1">{STANDBY}</transient_attributes>'
          "</node_state>"}, "node pete, standby=on"),
        ({"rest": '<alerts><alert id="mail" path="/a"/></alerts>'}, "alert mail"),
        ({"constraints": '<rsc_location id="l" rsc="web" node="pete" score="-INFINITY"/>'},
         "rsc_location l, web on pete: a member of g"),
        ({"constraints": '<rsc_location id="l" rsc="vip" node="pete" score="50"/>'}, "rsc_location l, vip on pete"),
        ({"resources": with_meta(MEMBERS, "remote-node=guest")}, "group g, remote-node=guest"),
        ({"resources": MEMBERS.replace('<group id="g">', '<group id="g">' + pairs("instance_attributes", "ip=1"))},
         "group g: parameters of a group"),
        ({"resources": ADDRESS + primitive("far", "ocf:pacemaker:remote", "server=far")}, "primitive far: a"),
        ({"rest": f"<rsc_defaults>{pairs('meta_attributes', 'a=b', inside=RULE)}</rsc_defaults>"},
         "rsc_defaults, set-meta_attributes"),
    ],
)  # fmt: skip
def test_what_changes_the_cluster_is_left_out_and_said(given: dict[str, str], what: str) -> None:
    resources = given.get("resources", MEMBERS)
    rest = {key: value for key, value in given.items() if key != "resources"}
    assert f"left out: {what}" in imported(resources + DEVICES, **rest)[2]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"rest": '<tags><tag id="t"><obj_ref id="vip"/></tag></tags>'}, "not carried: tag t"),
        ({"rest": '<acls><acl_role id="r"/></acls>'}, "not carried: acl_role r"),
        ({"constraints": '<rsc_location id="l" rsc="gone" node="pete" score="5"/>'}, "rsc_location l, gone"),
        ({"constraints": '<rsc_location id="l" rsc="g" node="old" score="5"/>'}, "rsc_location l, g on old"),
        ({"constraints": '<rsc_location id="l" rsc="fence-pete" node="mclaws" score="5"/>'}, "location l, fence"),
        ({"resources": with_meta(MEMBERS, "multiple-active=block")}, "group g, multiple-active=block"),
        ({"resources": with_meta(MEMBERS, "failure-timeout=5min")}, "changed: group g, failure-timeout=5min"),
        ({"rest": f"<rsc_defaults>{pairs('meta_attributes', 'failure-timeout=60')}</rsc_defaults>"},
         "changed: rsc_defaults, failure-timeout=60"),
        ({"rest": f"<op_defaults>{pairs('meta_attributes', 'on-fail=block')}</op_defaults>"}, "on-fail=block"),
        ({"resources": primitive("w", "systemd:w", ops='<op id="s" name="start" interval="0" enabled="false"/>')},
         "w, op start enabled=false"),
        ({"resources": primitive("w", "systemd:w", ops='<op id="s" name="reload" interval="0"/>')}, "w, op reload"),
        ({"properties": pairs("cluster_property_set", "stonith-timeout=200s")}, "property stonith-timeout=200s"),
    ],
)  # fmt: skip
def test_what_there_is_no_word_for_is_said(given: dict[str, str], what: str) -> None:
    rest = {key: value for key, value in given.items() if key != "resources"}
    assert what in told_of(given.get("resources", MEMBERS) + DEVICES, **rest)[2]


def test_a_monitor_that_is_disabled_is_none() -> None:
    ops = '<op id="m" name="monitor" interval="10" enabled="false"/>'
    for op in (ops, ops.replace('enabled="false"', 'role="Stopped"')):
        assert imported(primitive("web", "systemd:w", ops=op))[1] == "pete systemd:w::op_monitor_interval=0s\n"


def test_the_default_time_of_operations_counts() -> None:
    rest = f"<op_defaults>{pairs('meta_attributes', 'timeout=240s')}</op_defaults>"
    monitor = '<op id="m" name="monitor" interval="10" timeout="20s"/>'
    line = "pete systemd:w::op_monitor_timeout=20s::op_start_timeout=240s::op_stop_timeout=240s\n"
    _, lines, _ = imported(primitive("web", "systemd:w", ops=monitor), rest=rest)
    assert sorted(lines.strip().split("::")) == sorted(line.strip().split("::"))


def test_scores_of_one_place_add_up() -> None:
    places = "".join(
        f'<rsc_location id="{name}" rsc="vip" node="{node}" score="{score}"/>'
        for name, node, score in (("a", "pete", "50"), ("b", "mclaws", "40"), ("c", "mclaws", "30"))
    )
    assert imported(ADDRESS + DEVICES, places)[1].startswith("mclaws ")


def test_a_line_that_lacks_a_member_is_a_comment() -> None:
    """A service would start without its disk."""
    share = primitive("share", "ocf:heartbeat:Filesystem", "device=/dev/sdb1 directory=a\\b fstype=xfs")
    _, lines, left = imported(f'<group id="g">{share}{ADDRESS}</group>{primitive("w", "systemd:w")}{DEVICES}')
    first, second = lines.splitlines()
    assert first.startswith("# lacks share: pete ocf:heartbeat:IPaddr2::")
    assert second.startswith("pete systemd:w")
    assert "left out: group g: its line lacks share" in left


@pytest.mark.parametrize("value", ["x::op_stop_timeout=1", "x::force_clones=yes", "::device=/dev/sdc", "x::b"])
def test_a_value_never_becomes_another_parameter(value: str) -> None:
    share = primitive("share", "ocf:heartbeat:Filesystem", f"device=/dev/sdb1 directory={value} fstype=xfs")
    _, lines, left = imported(share + ADDRESS + DEVICES)
    assert "share" not in lines
    assert lines.startswith("pete ocf:heartbeat:IPaddr2")
    assert "left out: primitive share" in left


@pytest.mark.parametrize("unit", ["web::op_stop_timeout=1", "web mclaws", "web&#10;mclaws 192.0.2.9"])
def test_the_name_of_a_unit_never_becomes_more(unit: str) -> None:
    _, lines, left = imported(primitive("web", "systemd:UNIT").replace("UNIT", unit) + ADDRESS + DEVICES)
    assert lines.count("\n") == 1
    assert "web" not in lines
    assert "left out: primitive web" in left


def test_an_ipv6_address_reads_back_as_itself() -> None:
    _, lines, left = imported(primitive("six", "ocf:heartbeat:IPaddr2", "ip=2001:db8::5 cidr_netmask=64") + DEVICES)
    assert lines.startswith("pete ocf:heartbeat:IPaddr2::ip=2001:db8::5::cidr_netmask=64")
    assert left == ""


def test_without_the_package_for_xml_it_is_named(tmp_path: Path) -> None:
    """One sentence, and not the exit code of something left out."""
    (tmp_path / "lxml").mkdir()
    (tmp_path / "lxml" / "__init__.py").write_text("raise ModuleNotFoundError('none', name='lxml')\n")
    config = tmp_path / "ha.d"
    shutil.copytree(TESTS / "data" / "config" / "howto-ucast", config)
    (config / "authkeys").chmod(0o600)
    code = (
        "import sys; sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]\n"
        "from failover_kit.cli.failoverctl import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    lib = str(TESTS.parent / "lib")
    export = ("export-cib", "--config-dir", str(config))
    for words in (export, ("import-cib", "/dev/null")):
        argv = [sys.executable, "-c", code, str(tmp_path), lib, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (6, "")
        assert done.stderr == "failoverctl: XML needs the Python module lxml; install the package python3-lxml\n"
    pcs = [sys.executable, "-c", code, str(tmp_path), lib, *export, "--format", "pcs"]
    assert subprocess.run(pcs, capture_output=True, text=True, timeout=60, check=False).returncode in (0, 1)
