"""import-cib: what of a CIB two files can say, and that the rest is said; what was exported comes back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from failover_kit.cib.imported import Importer, Terms
from failover_kit.cib.model import Fate
from failover_kit.cib.readxml import NotACib, Reader, as_ms
from failover_kit.cib.resources import Agents
from failover_kit.manager import hacf, haresources

TESTS = Path(__file__).parents[1]
PROGRAM = str(TESTS.parent / "bin" / "failoverctl")
LINKS = ("ucast eth1 192.168.1.1", "ucast eth1 192.168.1.2")

NODES = '<node id="1" uname="pete"/><node id="2" uname="mclaws"/>'


def imported(
    resources: str, constraints: str = "", *, rest: str = "", agents: Agents = Agents.CLUSTERLABS
) -> tuple[str, str, str]:
    """ha.cf, haresources, and what was left out."""
    reader = Reader()
    cib = (
        f"<cib><configuration><crm_config/><nodes>{NODES}</nodes><resources>{resources}</resources>"
        f"<constraints>{constraints}</constraints>{rest}</configuration><status/></cib>"
    )
    importer = Importer(reader.read(cib.encode()), Terms(links=LINKS, agents=agents), reader)
    ha_cf, lines = importer.texts()
    return ha_cf, lines, "\n".join(str(r) for r in importer.remarks if r.fate is Fate.LEFT_OUT)


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
    ha_cf, lines, left = imported(secret + ADDRESS + DEVICES)
    assert "s3cret" not in ha_cf + lines + left
    assert "db, monitor_password" in left


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
