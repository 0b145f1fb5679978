"""What `make install` puts where, and that it runs from there."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pexpect
import pytest

from failover_kit.ocf.agent import STATE_DIR
from failover_kit.rehearsal import kit
from failover_kit.rehearsal.node import WITNESSED

TOP = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = "usr/share/failover-kit/failover_kit"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    dest = tmp_path_factory.mktemp("dest")
    subprocess.run(
        ["make", "-C", str(TOP), "install", f"DESTDIR={dest}"], check=True, capture_output=True, timeout=120
    )
    return dest


EXECUTABLES = {
    "usr/lib/ocf/resource.d/failover-kit/IPaddr": "#!/usr/bin/python3 -IS",
    "usr/lib/ocf/resource.d/failover-kit/Filesystem": "#!/usr/bin/python3 -IS",
    "usr/sbin/fence_wti_ips800": "#!/usr/bin/python3 -I",
    "usr/sbin/failoverd": "#!/usr/bin/python3 -I",
    "usr/sbin/failoverctl": "#!/usr/bin/python3 -I",
    "usr/bin/wti-emulator": "#!/usr/bin/python3 -I",
    "usr/bin/failover-rehearsal": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/stonith": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/hb_standby": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/hb_takeover": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/cl_status": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/heartbeat": "#!/usr/bin/python3 -I",
    "usr/lib/failover-kit/compat/resource.d/failover-kit": "#!/usr/bin/python3 -IS",
    "usr/lib/stonith/plugins/external/failover-kit-wti": "#!/usr/bin/python3 -I",
}


@pytest.mark.parametrize(("path", "shebang"), EXECUTABLES.items())
def test_executables_are_launchers_with_the_right_interpreter(
    tree: pathlib.Path, path: str, shebang: str
) -> None:
    text = (tree / path).read_text()
    assert text.splitlines()[0] == shebang
    assert (tree / path).stat().st_mode & 0o777 == 0o755
    assert len(text.splitlines()) < 40, "a launcher is compiled at each call: keep it short"


def test_every_module_is_installed_with_its_bytecode(tree: pathlib.Path) -> None:
    source = {
        p.relative_to(TOP / "lib" / "failover_kit") for p in (TOP / "lib" / "failover_kit").rglob("*.py")
    }
    there = {p.relative_to(tree / LIBRARY) for p in (tree / LIBRARY).rglob("*.py")}
    assert there == source
    for module in there:
        cached = (tree / LIBRARY / module.parent / "__pycache__").glob(f"{module.stem}.*.pyc")
        assert list(cached), f"{module} has no bytecode: an agent would compile it at each call"


def test_bytecode_names_the_installed_path_and_not_the_staging_one(tree: pathlib.Path) -> None:
    cached = next((tree / LIBRARY / "__pycache__").glob("__init__.*.pyc"))
    assert str(tree).encode() not in cached.read_bytes()


def test_nothing_else_is_installed_that_belongs_to_other_packages(tree: pathlib.Path) -> None:
    found = {str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file() or p.is_symlink()}
    assert "usr/sbin/fence_wti" not in found
    assert "usr/sbin/stonith" not in found
    assert os.readlink(tree / "usr/lib/failover-kit/compat/fence_wti") == "/usr/sbin/fence_wti_ips800"


def test_the_installed_stonith_knows_its_own_plugins_and_runs(tree: pathlib.Path) -> None:
    command = [str(tree / "usr/lib/failover-kit/compat/stonith"), "-L"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    ours = {f"external/failover-kit-{name}" for name in ("wti", "wti-file", "agent")}
    assert ours | {"wti_nps"} <= set(done.stdout.split())


def test_every_command_file_and_agent_has_its_manual_page(tree: pathlib.Path) -> None:
    pages = {p.relative_to(tree / "usr/share/man").as_posix() for p in (tree / "usr/share/man").rglob("*.?")}
    agents = {p.name for p in (tree / "usr/lib/ocf/resource.d/failover-kit").iterdir()}
    places = {"man1": "usr/bin", "man8": "usr/sbin"}
    commands = {f"{man}/{p.name}.{man[-1]}" for man, place in places.items() for p in (tree / place).iterdir()}
    files = {f"man5/failover-kit-{name}.5" for name in ("ha.cf", "haresources", "authkeys")}
    files.add("man8/failover-kit-compat.8")  # of the commands whose own names belong to other packages' pages
    assert pages == {f"man7/ocf_failover-kit_{name}.7" for name in agents} | commands | files


def test_completion_is_where_bash_completion_looks_by_name(tree: pathlib.Path) -> None:
    scripts = tree / "usr/share/bash-completion/completions"
    assert {p.name for p in scripts.iterdir()} == {p.name for p in (tree / "usr/sbin").iterdir()}
    for script in scripts.iterdir():
        asked = ["bash", "--norc", "-uc", f'. "$1"; complete -p {script.name}', "bash", str(script)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == f"complete -F _{script.name} {script.name}\n"


def test_the_examples_are_there(tree: pathlib.Path) -> None:
    examples = tree / "usr/share/doc/failover-kit/examples"
    wanted = {"ha.cf", "haresources", "authkeys.example", "failoverd.init", "failover-watch.service"}
    wanted |= {"watch-authorized_keys.example", "mon/failover.alert", "mon/mon.cf.example"}
    assert {p.relative_to(examples).as_posix() for p in examples.rglob("*") if p.is_file()} == wanted


def test_the_marks_of_the_agents_have_a_place_at_each_boot(tree: pathlib.Path) -> None:
    """The agents' own constant and the line for systemd-tmpfiles are one path."""
    lines = (tree / "usr/lib/tmpfiles.d/failover-kit.conf").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [f"d {STATE_DIR} 1755 root root"]


def test_the_installed_rehearsal_knows_where_its_programs_are(tree: pathlib.Path) -> None:
    root = str(tree / "usr")
    for name in ("failoverd", "failoverctl", "rehearsal", "wti-emulator"):
        assert os.access(kit.program(root, name), os.X_OK)
        assert os.access(kit.program(str(TOP), name), os.X_OK)
    for name in WITNESSED:
        assert os.access(os.path.join(root, kit.agents(root), name), os.X_OK)


def test_another_prefix_runs_from_there_and_the_unit_names_it(tmp_path: pathlib.Path) -> None:
    command = ["make", "-C", str(TOP), "install", f"DESTDIR={tmp_path}", "PREFIX=/usr/local"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    for program in ("sbin/failoverd", "sbin/failoverctl", "sbin/fence_wti_ips800"):
        run = [str(tmp_path / "usr/local" / program), "--version"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    unit = (tmp_path / "lib/systemd/system/failoverd.service").read_text()
    assert "ExecStart=/usr/local/sbin/failoverd " in unit
    page = unit.partition("Documentation=file://")[2].partition("\n")[0]
    assert (tmp_path / page.lstrip("/")).is_file(), f"the unit names {page}"


def test_what_is_installed_is_everybodys_to_read_whatever_the_umask_of_root(tmp_path: pathlib.Path) -> None:
    command = ["make", "-C", str(TOP), "install", "install-compat", f"DESTDIR={tmp_path}/root"]
    subprocess.run(command, check=True, capture_output=True, timeout=600, umask=0o077)
    for path in (tmp_path / "root").rglob("*"):
        assert path.is_symlink() or path.stat().st_mode & 0o444 == 0o444, path
        assert not path.is_dir() or path.stat().st_mode & 0o111 == 0o111, path


def test_network_disks_and_dbus_come_before_the_unit_and_go_after_it(tree: pathlib.Path) -> None:
    """tests/labrun/test_systemd_deb.py shows that a machine's end follows it."""
    unit = (tree / "lib/systemd/system/failoverd.service").read_text()
    after = {word for line in unit.splitlines() if line.startswith("After=") for word in line[6:].split()}
    assert {"network.target", "local-fs.target", "remote-fs-pre.target", "dbus.service"} <= after
    assert {"blk-availability.service", "resource-agents-deps.target"} <= after
    assert "remote-fs.target" not in after, "a mount of the service itself would wait for it, and it for the mount"


@pytest.mark.parametrize("target", ["rehearsal", "test"])
def test_setup_refuses_what_it_cannot_use_with_one_line_each(target: str, tmp_path: pathlib.Path) -> None:
    """Not root, not Linux, no apt: one clear line each, exit 2."""
    for name, text in {"uname": "echo Plan9", "id": "echo 1000"}.items():
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", str(TOP / "tools" / "setup.sh"), target],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"make {target}: this is Plan9; a Linux machine is needed (namespaces, XFS)",
        f"make {target}: not root; run it as root (namespaces, mounts and packages need it)",
        f"make {target}: no apt-get; a Debian-like machine is needed (Debian 12 or newer)",
    ]


@pytest.fixture
def bare_machine(tmp_path: pathlib.Path) -> tuple[dict[str, str], pathlib.Path]:
    """A PATH on which nothing is installed and apt-get only writes down that it was called."""
    called = tmp_path / "called"
    tools = {"dpkg-query": "exit 1", "apt-get": f'echo "$@" >> {called}', "uname": "echo Linux", "id": "echo 0"}
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}, called


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("", 2), ("y", 0)])
def test_setup_lists_what_is_missing_and_asks_on_a_terminal(
    bare_machine: tuple[dict[str, str], pathlib.Path], answer: str, code: int
) -> None:
    env, called = bare_machine
    child = pexpect.spawn("/bin/sh", [str(TOP / "tools" / "setup.sh"), "rehearsal"], env=env, timeout=120)
    child.expect_exact("  xfsprogs")
    child.expect_exact("[y/N] ")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert called.exists() == (code == 0)


@pytest.mark.parametrize("extra", [{}, {"YES": "1"}])
def test_setup_goes_on_by_itself_without_a_terminal(
    bare_machine: tuple[dict[str, str], pathlib.Path], extra: dict[str, str]
) -> None:
    env, called = bare_machine
    subprocess.run(
        ["/bin/sh", str(TOP / "tools" / "setup.sh"), "rehearsal"],
        env={**env, **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert "install" in called.read_text()
    assert "python3-pexpect" in called.read_text()
