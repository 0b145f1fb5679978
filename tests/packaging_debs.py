"""Our Debian packages as files: built out of this tree, and once more with a higher version number."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from failover_kit import VERSION

TOP = pathlib.Path(__file__).resolve().parents[1]
NEXT = f"{VERSION}+next"
BUILDERS = ("dpkg-buildpackage", "dh", "dh_python3")

Archives = dict[str, pathlib.Path]
"""Package to its archive."""


def missing() -> str:
    """Why packages cannot be built on this machine, or ""."""
    gone = [program for program in BUILDERS if shutil.which(program) is None]
    return f"needs {', '.join(gone)} (packages build-essential, debhelper, dh-python)" if gone else ""


def build(folder: pathlib.Path) -> Archives:
    """All packages, by ``tools/packages.sh``, into ``folder``, which is made. AssertionError with what it said."""
    argv = ["/bin/sh", str(TOP / "tools" / "packages.sh"), "deb", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return {archive.name.partition("_")[0]: archive for archive in sorted(folder.glob("*.deb"))}


def later(archives: Archives, folder: pathlib.Path) -> Archives:
    """The same packages with the version number NEXT, packed beside their trees in ``folder``, which is made."""
    made = {}
    folder.mkdir()
    for name, archive in archives.items():
        tree, fresh = folder / name, folder / f"{name}_{NEXT}_all.deb"
        subprocess.run(["dpkg-deb", "-R", str(archive), str(tree)], check=True, timeout=60)
        changed = [tree / "DEBIAN/control", tree / "usr/share/failover-kit/failover_kit/__init__.py"]
        for path in (path for path in changed if path.exists()):
            path.write_text(path.read_text().replace(VERSION, NEXT))
        argv = ["dpkg-deb", "-Znone", "-b", str(tree), str(fresh)]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        made[name] = fresh
    return made
