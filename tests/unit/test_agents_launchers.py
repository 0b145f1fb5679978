"""The launchers in ocf/ find the package wherever they are called from, as a checkout and as installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHERS = sorted(path.name for path in (ROOT / "ocf").iterdir())


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    base = tmp_path_factory.mktemp("installed")
    agents = base / "usr/lib/ocf/resource.d/failover-kit"
    shutil.copytree(ROOT / "ocf", agents)
    (base / "usr/share/failover-kit").mkdir(parents=True)
    (base / "usr/share/failover-kit/failover_kit").symlink_to(ROOT / "lib/failover_kit")
    return agents


def usage(argv, cwd):
    result = subprocess.run(argv, cwd=cwd, env={}, text=True, capture_output=True, check=False, timeout=60)
    return result.stderr or result.stdout.splitlines()[0].split(" ")[1]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_by_every_path(name, installed, tmp_path):
    for place in (ROOT / "ocf", installed):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(place / name)
        (tmp_path / "short").unlink(missing_ok=True)
        (tmp_path / "short").symlink_to(os.path.relpath(place / name, tmp_path))
        (tmp_path / "folder").unlink(missing_ok=True)
        (tmp_path / "folder").symlink_to(place)
        assert usage([str(place / name), "help"], "/") == name
        assert usage([f"./{name}", "help"], place) == name
        assert usage([f"{tmp_path}/link", "help"], "/") == name
        assert usage(["./short", "help"], tmp_path) == name
        assert usage([f"folder/{name}", "help"], tmp_path) == name
