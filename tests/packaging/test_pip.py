"""`pip install .` in a virtual environment, and the agents that `failoverctl install-agents` places."""

from __future__ import annotations

import importlib.util
import marshal
import os
import pathlib
import shutil
import subprocess

import pytest

from failover_kit import VERSION
from packaging_trees import differences, read, without

TOP = pathlib.Path(__file__).resolve().parents[2]
CLEAN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """bin/ of an environment with the project in it; made from a copy, because a build writes into its source."""
    folder = tmp_path_factory.mktemp("pip")
    source = folder / "source"
    shutil.copytree(
        TOP,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".git", ".venv", ".lab", "build", "dist", "__pycache__", ".*_cache"),
    )
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(folder / "env")], check=True)
    # Run-time libraries are the distribution's: no dependencies are fetched, only what builds a wheel.
    argv = [
        str(folder / "env/bin/pip"),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        str(source),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "env" / "bin"


@pytest.mark.parametrize("command", ["failoverctl", "failoverd", "fence_wti_ips800"])
def test_the_commands_are_there(bin_dir: pathlib.Path, command: str) -> None:
    argv = [str(bin_dir / command), "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, env=CLEAN)
    assert done.stdout == f"{command} {VERSION}\n"


def test_the_emulator_is_there(bin_dir: pathlib.Path) -> None:
    argv = [str(bin_dir / "wti-emulator"), "--help"]
    assert subprocess.run(argv, capture_output=True, timeout=60, check=False, env=CLEAN).returncode == 0


def place(command: str | pathlib.Path, root: pathlib.Path) -> subprocess.CompletedProcess[str]:
    argv = [str(command), "install-agents", "--root", str(root)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=CLEAN)


def test_the_agents_are_placed_as_make_install_places_them(bin_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dest, root = tmp_path / "dest", tmp_path / "root"
    subprocess.run(
        ["make", "-C", str(TOP), "install", f"DESTDIR={dest}"], check=True, capture_output=True, timeout=300
    )
    root.mkdir()
    for _ in range(2):  # the second time over the first
        done = place(bin_dir / "failoverctl", root)
        assert done.returncode == 0, done.stderr
    parts = ("usr/lib/", "usr/sbin/fence", "usr/share/failover-kit/failover_kit/")
    whole = read(dest)
    wanted = {path: entry for path, entry in whole.items() if path.startswith(parts)}
    others = (r"usr/lib/tmpfiles\.d/", "usr/lib/systemd/", "usr/lib/failover-kit/compat/(hb_|cl_status|heartbeat)")
    assert differences(without(wanted, *others), read(root)) == []
    # They need nothing of the environment: the system's own interpreter runs them.
    agent = root / "usr/lib/ocf/resource.d/failover-kit/IPaddr"
    done = subprocess.run(
        [str(agent), "meta-data"], capture_output=True, text=True, timeout=60, check=True, env=CLEAN
    )
    assert '<resource-agent name="IPaddr"' in done.stdout


def test_a_copy_with_other_times_keeps_its_bytecode(tmp_path: pathlib.Path) -> None:
    """Images and rsync without -t: a .pyc that names its source's time would be stale in each agent's call."""
    root = tmp_path / "root"
    root.mkdir()
    assert place(TOP / "bin" / "failoverctl", root).returncode == 0
    module = root / "usr/share/failover-kit/failover_kit/ocf/runner.py"
    os.utime(module, (1, 1))
    cached = pathlib.Path(importlib.util.cache_from_source(str(module)))
    data = cached.read_bytes()
    assert data[4:8] == b"\x01\0\0\0", "PEP 552: hash-based and not checked"
    assert marshal.loads(data[16:]).co_filename == "/usr/share/failover-kit/failover_kit/ocf/runner.py"


def test_a_root_that_is_not_there_is_a_clear_error(tmp_path: pathlib.Path) -> None:
    done = place(TOP / "bin" / "failoverctl", tmp_path / "no")
    assert done.returncode == 2
    assert done.stderr == f"failoverctl: {tmp_path}/no: no such directory; make it, or correct --root\n"


def test_files_of_the_debian_package_are_left_to_it(tmp_path: pathlib.Path) -> None:
    """dpkg would neither know of the change nor undo it."""
    listing = tmp_path / "var/lib/dpkg/info/failover-kit-agents.list"
    listing.parent.mkdir(parents=True)
    listing.touch()
    done = place(TOP / "bin" / "failoverctl", tmp_path)
    assert done.returncode == 3
    assert "remove the package first, or give another --root" in done.stderr
    assert not (tmp_path / "usr").exists()
