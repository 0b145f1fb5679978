"""failoverctl check and init as programs: what they print, what they exit with, what they never do."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pexpect
import pytest

from check_world import AUTHKEYS, HA_CF, HARESOURCES, World
from failover_kit.check import newfiles
from failover_kit.check.catalogue import RULES, as_markdown
from failover_kit.check.findings import Finding, Severity
from failover_kit.check.newpair import Answers, Impossible, NetworkLink, Switch, texts_of
from failover_kit.cli import initcmd
from failover_kit.cli.checkscreen import render, summary
from failover_kit.cli.screen import Style
from failover_kit.manager.config import ConfigError

ROOT = Path(__file__).parents[2]
PROGRAM = str(ROOT / "bin" / "failoverctl")
PAIR = (
    "--node", "pete", "--node", "mclaws", "--serial", "/dev/ttyS0", "--link", "eth1=192.168.1.1,192.168.1.2",
    "--switch", "benjamin=192.0.2.219", "--plug", "pete=1", "--plug", "mclaws=5", "--disk", "/dev/etherd/e0.0",
    "--mount", "/mnt/e0.0", "--clients", "192.0.2.0/24", "--address", "192.0.2.220/24/eth0",
)  # fmt: skip


def ctl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "--socket", "/nonexistent/control.sock", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def ha_d(tmp_path: Path) -> Path:
    """A directory with a configuration that loads."""
    folder = tmp_path / "ha.d"
    folder.mkdir()
    for name, text in (("ha.cf", HA_CF), ("haresources", HARESOURCES), ("authkeys", AUTHKEYS)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return folder


# --- check ----------------------------------------------------------------------------------------------


def test_check_prints_json_and_exits_1_for_what_this_machine_lacks(ha_d: Path) -> None:
    done = ctl("check", "--json", "--config-dir", str(ha_d), "--node", "pete", "--local")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["findings"]
    assert "device-missing" in {row["id"] for row in found}
    assert set(found[0]) == {"id", "severity", "node", "place", "fact", "why", "fix"}
    assert "not-compared" not in {row["id"] for row in found}


def test_check_of_a_broken_configuration_exits_6_with_all_its_faults(ha_d: Path) -> None:
    (ha_d / "ha.cf").write_text(HA_CF.replace("deadtime 10", "deadtime soon"))
    (ha_d / "authkeys").chmod(0o644)
    done = ctl("check", "--config-dir", str(ha_d), "--node", "pete")
    assert done.returncode == 6
    assert done.stdout.startswith("configuration: 2 errors\n")
    assert "config-error" in done.stdout


def test_facts_of_one_node_are_compared_on_the_other_through_a_pipe(ha_d: Path) -> None:
    facts = ctl("check", "--facts", "--config-dir", str(ha_d), "--node", "mclaws")
    assert facts.returncode == 0, facts.stderr
    (ha_d / "ha.cf").write_text(HA_CF.replace("deadtime 10", "deadtime 12"))
    done = ctl(
        "check", "--config-dir", str(ha_d), "--node", "pete", "--peer-facts", "-", "--json", stdin=facts.stdout
    )
    assert done.returncode == 1, done.stderr
    assert "files-differ" in {row["id"] for row in json.loads(done.stdout)["findings"]}


def test_own_facts_and_noise_are_no_facts_of_the_peer(ha_d: Path) -> None:
    facts = ctl("check", "--facts", "--config-dir", str(ha_d), "--node", "pete").stdout
    words = ("check", "--config-dir", str(ha_d), "--node", "pete", "--peer-facts", "-")
    own = ctl(*words, stdin=facts)
    assert (own.returncode, own.stdout) == (2, "")
    assert "the other node is mclaws" in own.stderr
    assert ctl(*words, stdin="ssh: connect to host mclaws: No route to host\n").returncode == 2
    absent = ctl(*words[:-1], "/nonexistent/facts")
    assert absent.returncode == 2
    assert absent.stderr == (
        "failoverctl: --peer-facts /nonexistent/facts: No such file or directory; "
        "make it on the other node: failoverctl check --facts\n"
    )


def test_explain_says_why_and_lists_all() -> None:
    one = ctl("check", "--explain", "address-first")
    assert one.returncode == 0
    assert one.stdout.startswith("address-first (warning): ")
    assert len(ctl("check", "--explain", "all").stdout.splitlines()) == len(RULES)
    unknown = ctl("check", "--explain", "adress-first")
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_the_page_has_the_catalogue_as_it_is() -> None:
    """Regenerate with: python3 -c 'from failover_kit.check.catalogue import as_markdown; print(as_markdown())'"""
    assert as_markdown() in (ROOT / "docs" / "check.md").read_text()


def test_a_screen_of_80_columns_with_the_reason_said_once() -> None:
    rows = [
        Finding(
            id="one-medium",
            severity=Severity.WARNING,
            place=f"ha.cf:{line}",
            fact="a \x1b[2J b",
            fix="do it",
            node="pete",
        )
        for line in (1, 2)
    ]
    text = render("pete", rows, Style(colour=False, width=80))
    assert text.startswith("pete: 2 warnings\n\n  WARNING  one-medium  pete ha.cf:1\n")
    assert text.count("why  ") == 1
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    coloured = render("pete", rows, Style(colour=True, width=80))
    assert "\x1b[33mWARNING\x1b[0m" in coloured


def test_a_command_is_never_wrapped() -> None:
    command = "ssh mclaws failoverctl check --facts | failoverctl check --peer-facts -"
    row = Finding(id="x", severity=Severity.ADVICE, place="", fact="f", fix=f"run: {command}")
    text = render("pete", [row], Style(width=80))
    assert f"       do  run:\n           {command}\n" in text


def test_the_sum_in_words() -> None:
    def some(*severities: Severity) -> list[Finding]:
        return [Finding(id="x", severity=severity, place="", fact="", fix="") for severity in severities]

    assert summary([]) == "nothing found"
    assert summary(some(Severity.ERROR, Severity.ADVICE)) == "1 error, 1 piece of advice"
    assert summary(some(*[Severity.ERROR] * 2, *[Severity.ADVICE] * 2)) == "2 errors, 2 pieces of advice"


# --- init -----------------------------------------------------------------------------------------------


def test_init_writes_three_files_that_load_and_never_shows_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "ha.d"
    done = ctl("init", "--config-dir", str(folder), *PAIR)
    assert done.returncode == 0, done.stderr
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)}
    assert modes == {"ha.cf": 0o644, "haresources": 0o644, "authkeys": 0o600}
    key = (folder / "authkeys").read_text().split()[-1]
    assert len(key) == 64
    assert key not in done.stdout + done.stderr
    again = ctl("init", "--config-dir", str(tmp_path / "b"), *PAIR)
    assert (tmp_path / "b" / "authkeys").read_text().split()[-1] != key
    assert again.returncode == 0


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_directories_that_init_makes_have_safe_modes_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "a" / "b" / "ha.d"
    argv = [PROGRAM, "init", "--config-dir", str(folder), *PAIR]
    done = subprocess.run(argv, umask=umask, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for made in (folder, folder.parent, folder.parent.parent):
        assert oct(stat.S_IMODE(made.stat().st_mode)) == oct(0o755), made
    assert stat.S_IMODE((folder / "authkeys").stat().st_mode) == 0o600


def test_agents_are_nobody_elses_to_write_whatever_the_umask_is(tmp_path: Path) -> None:
    argv = [PROGRAM, "install-agents", "--root", str(tmp_path)]
    done = subprocess.run(argv, umask=0, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    made = [Path(place) / name for place, folders, files in os.walk(tmp_path) for name in (*folders, *files)]
    assert len(made) > 100
    # The sources of a checkout keep the modes that they have there.
    ours = [path for path in made if path.is_dir() and "failover_kit" not in path.parts]
    ours += [path for path in made if path.suffix == ".pyc"]
    open_to_others = [str(path) for path in ours if stat.S_IMODE(path.lstat().st_mode) & 0o022]
    assert not open_to_others


def test_the_files_go_to_whoever_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def goals(host: str) -> list[str]:
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=host))
        steps = initcmd._steps("/etc/ha.d", answers())
        return [step.rpartition(" ")[2] for step in steps if step.startswith("scp")]

    assert goals("Pete") == ["mclaws:/etc/ha.d/"]
    assert goals("mclaws") == ["pete:/etc/ha.d/"]
    assert goals("laptop") == ["pete:/etc/ha.d/", "mclaws:/etc/ha.d/"]


def test_what_init_writes_is_clean_for_check(tmp_path: Path) -> None:
    world = World(tmp_path / "pete")
    for name in ("ha.cf", "haresources", "authkeys"):
        world.remove(f"/etc/ha.d/{name}")
    folder = tmp_path / "pete" / "etc" / "ha.d"
    done = ctl("init", "--config-dir", str(folder), *PAIR)
    assert done.returncode == 0, done.stderr
    found = world.findings()
    assert {f.id for f in found if f.severity is not Severity.ADVICE} == set()
    assert {f.id for f in found} <= {"one-fence-way", "no-daemon", "watchdog-none"}


def test_init_leaves_files_alone_and_with_force_keeps_a_backup_and_the_key(ha_d: Path) -> None:
    before = {name: (ha_d / name).read_text() for name in os.listdir(ha_d)}
    refused = ctl("init", "--config-dir", str(ha_d), *PAIR)
    assert refused.returncode == 3
    assert "--force" in refused.stderr
    assert {name: (ha_d / name).read_text() for name in os.listdir(ha_d)} == before

    forced = ctl("init", "--config-dir", str(ha_d), *PAIR, "--force")
    assert forced.returncode == 0, forced.stderr
    backups = {name.partition(".before-")[0]: name for name in os.listdir(ha_d) if ".before-" in name}
    assert {name: (ha_d / backup).read_text() for name, backup in backups.items()} == {
        name: before[name] for name in ("ha.cf", "haresources")
    }
    assert (ha_d / "authkeys").read_text() == before["authkeys"]

    renewed = ctl("init", "--config-dir", str(ha_d), *PAIR, "--force", "--new-key")
    assert renewed.returncode == 0, renewed.stderr
    assert (ha_d / "authkeys").read_text() != before["authkeys"]
    (copy,) = [name for name in os.listdir(ha_d) if name.startswith("authkeys.before-")]
    assert stat.S_IMODE((ha_d / copy).stat().st_mode) == 0o600


def test_a_dry_run_writes_nothing_and_hides_the_key(tmp_path: Path) -> None:
    done = ctl("init", "--dry-run", "--config-dir", str(tmp_path / "ha.d"), *PAIR)
    assert done.returncode == 0, done.stderr
    assert "1 sha256 ***" in done.stdout
    assert "ucast eth1 192.168.1.1" in done.stdout
    assert os.listdir(tmp_path) == []


def test_init_asks_on_a_terminal_for_what_is_missing(tmp_path: Path) -> None:
    child = pexpect.spawn(PROGRAM, ["init", "--config-dir", str(tmp_path / "ha.d")], timeout=60, encoding="utf-8")
    for question, answer in (
        ("home", "pete"),
        ("other node", "mclaws"),
        ("Serial line", "/dev/ttyS0"),
        ("Interface", "eth1"),
        ("Address of pete", "192.168.1.1"),
        ("Address of mclaws", "192.168.1.2"),
        ("Shared disk", "/dev/etherd/e0.0"),
        ("mounted", ""),
        ("Address of the service", "192.0.2.220/24/eth0"),
        ("power switch", "benjamin=192.0.2.219"),
        ("Plug of pete", "1"),
        ("Plug of mclaws", "5"),
    ):
        child.expect(question)
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert "Filesystem::/dev/etherd/e0.0::/srv/data::xfs" in (tmp_path / "ha.d" / "haresources").read_text()


def answers(**changes: object) -> Answers:
    plain: dict[str, object] = {
        "nodes": ("pete", "mclaws"),
        "serial": ("/dev/ttyS0",),
        "networks": (NetworkLink(interface="eth1", addresses=("192.168.1.1", "192.168.1.2")),),
        "switch": Switch(
            name="benjamin", address="192.0.2.219", plugs=("1", "5"), password_file="/etc/ha.d/benjamin"
        ),
        "disk": "/dev/etherd/e0.0",
        "mount": "/srv",
        "address": "192.0.2.220/24/eth0",
    }
    return Answers(**{**plain, **changes})  # type: ignore[arg-type]


def a_switch(**changes: object) -> Switch:
    plain = {"name": "b", "address": "192.0.2.219", "plugs": ("1", "5"), "password_file": "/etc/b"}
    return Switch(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"nodes": ("pete", "Pete")}, "names of their own"),
        ({"nodes": ("pete", "mc laws")}, "uname -n"),
        ({"serial": (), "networks": ()}, "--link"),
        ({"serial": ()}, "--one-link"),
        ({"networks": (NetworkLink(interface="eth1", addresses=("192.168.1.1", "192.168.1.1")),)}, "of its own"),
        ({"networks": (NetworkLink(interface="eth1", addresses=("192.168.1.1", "mclaws")),)}, "IPv4"),
        ({"switch": None}, "--no-fence"),
        ({"switch": a_switch(plugs=("1", "1"))}, "correct --plug"),
        ({"switch": a_switch(plugs=("1+2", "2+3"))}, "correct --plug"),
        ({"switch": a_switch(plugs=("1", ""))}, "--plug mclaws=NUMBER"),
        ({"switch": a_switch(password_file="benjamin")}, "absolute path"),
        ({"disk": "", "mount": "", "address": ""}, "--disk"),
        ({"mount": ""}, "--mount"),
        ({"mount": "srv"}, "absolute path"),
        ({"mount": "/"}, "absolute path"),
        ({"clients": ("*",), "address": ""}, "--address"),
        ({"address": "cluster/24"}, "ADDRESS/PREFIX/INTERFACE"),
        ({"address": "192.168.1.1/24"}, "belongs to no node"),
        ({"address": "192.0.2.219/24"}, "nobody else"),
        ({"address": "192.0.2.0/24"}, "host's address"),
        ({"address": "192.0.2.255/24"}, "host's address"),
        ({"address": "192.0.2.220/33"}, "prefix length"),
        ({"disk": "/dev/my disk"}, "another name"),
        ({"services": ("apache2\npete evil",)}, "another name"),
        ({"disk": "/dev/sdb#1"}, "another name"),
        ({"deadtime": "10\nboot_alone yes"}, "another name"),
        ({"switch": a_switch(password_file="/etc/b\nfence_trust b")}, "another name"),
        ({"fence_lines": ("x y\nboot_alone yes",)}, "for each device"),
    ],
)
def test_answers_that_cannot_be_are_refused_with_the_remedy(changes: dict[str, object], remedy: str) -> None:
    with pytest.raises(Impossible, match=remedy):
        texts_of(answers(**changes), "k" * 64)


def test_all_that_is_impossible_is_said_at_once() -> None:
    with pytest.raises(Impossible) as caught:
        texts_of(answers(nodes=("pete", "pete"), serial=(), mount="srv"), "k")
    assert len(caught.value.reasons) == 3


@pytest.mark.parametrize("changes", [{"deadtime": "1"}, {"deadtime": "soon"}, {"baud": 1234}])
def test_what_the_parsers_refuse_is_not_written(changes: dict[str, object]) -> None:
    texts = texts_of(answers(**changes), "k" * 64)
    with pytest.raises(ConfigError):
        newfiles.validate(newfiles.as_files(texts))


def test_two_supplies_and_other_devices() -> None:
    lines = ("pete-bmc fence_ipmilan ip=192.0.2.8 plug.pete=x",)
    texts = texts_of(answers(switch=a_switch(plugs=("1+2", "5+6")), fence_lines=lines), "k" * 64)
    assert "plug.pete=1,2 plug.mclaws=5,6\n" in texts.ha_cf
    assert f"fence_device {lines[0]}\n" in texts.ha_cf


def test_several_clients_are_given_the_same_file_handles() -> None:
    texts = texts_of(answers(clients=("192.0.2.0/24", "@lab")), "k" * 64)
    group = newfiles.validate(newfiles.as_files(texts)).config.groups[0]
    assert [resource.args[-1] for resource in group.resources if resource.type == "exportfs"] == ["1", "1"]
    assert group.resources[-1].type == "IPaddr"


def test_a_repr_of_the_texts_has_no_key() -> None:
    assert "s3cr3t" not in repr(texts_of(answers(), "s3cr3t" * 8))


def test_a_failed_write_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ha.cf").write_text("old\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(newfiles.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        newfiles.install(str(tmp_path), {"ha.cf": "new\n", "haresources": "new\n"})
    assert os.listdir(tmp_path) == ["ha.cf"]
    assert (tmp_path / "ha.cf").read_text() == "old\n"
