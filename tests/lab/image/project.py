"""The project as a disk: what ``make install`` installs, copied to / by the guest's initrd when it changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping

from lab.image import disks, tools
from lab.image.build import CHECKOUT

ID = ".project-id"
FILES = ".project-files"
COMPAT = "/usr/lib/failover-kit/compat"
LINKS = {
    # The HOWTO calls both by name; a package puts them there where the originals are not installed. In the images
    # with Pacemaker and Heartbeat cluster-glue is, and its names are left to it.
    "usr/sbin/stonith": f"{COMPAT}/stonith",
    "usr/sbin/fence_wti": f"{COMPAT}/fence_wti",
}
INIT_SCRIPT = ("etc/failoverd.init", "etc/init.d/failoverd")
_SPARE_MIB = 8


def build(rundir: str, checkout: str = CHECKOUT, links: Mapping[str, str] = LINKS) -> str:
    """The path of ``rundir``/project.img, an ext4 of ``checkout`` and ``links``; BuildError with make's last lines.

    In its root lie ``.project-id``, a digest of all the rest, and ``.project-files``, the list of its files:
    the guest's initrd copies only what is new to it and removes what a newer project no longer has.
    """
    log = os.path.join(rundir, "project.log")
    image = os.path.join(rundir, "project.img")
    with tempfile.TemporaryDirectory(prefix="project-", dir=rundir) as scratch:
        tree = os.path.join(scratch, "tree")
        os.mkdir(tree)
        install(tree, checkout, log, links)
        files = sorted(_files(tree))
        _write(os.path.join(tree, FILES), "".join(f"{name}\n" for name in files))
        _write(os.path.join(tree, ID), f"{digest(tree, files)}\n")
        fresh = os.path.join(scratch, "project.img")
        disks.ext4(tree, fresh, _mib(tree, files), log, journal=False, label="project")
        os.replace(fresh, image)
    return image


def install(tree: str, checkout: str, log: str, links: Mapping[str, str] = LINKS) -> None:
    """``make install`` of ``checkout`` into ``tree``, with the names on PATH that the HOWTO uses."""
    argv = ["make", "--no-print-directory", "-C", checkout, "install", f"DESTDIR={tree}"]
    tools.run(argv, log=log, timeout_s=900, remedy="run `make install DESTDIR=/tmp/somewhere` and look")
    for name, target in links.items():
        path = os.path.join(tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.lexists(path):
            os.symlink(target, path)
    source, place = INIT_SCRIPT
    os.makedirs(os.path.dirname(os.path.join(tree, place)), exist_ok=True)
    shutil.copy(os.path.join(checkout, source), os.path.join(tree, place))
    os.chmod(os.path.join(tree, place), 0o755)
    merge_usr(tree)
    for where, folders, _ in os.walk(tree):
        for folder in folders:
            os.chmod(os.path.join(where, folder), 0o755)


def merge_usr(tree: str) -> None:
    """Move bin, sbin and lib below usr: in the guest these are links, and a folder cannot be copied over a link."""
    for name in ("bin", "sbin", "lib"):
        path = os.path.join(tree, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.copytree(path, os.path.join(tree, "usr", name), symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(path)


def digest(tree: str, files: list[str]) -> str:
    """Names, modes, contents and link targets; not times, which each ``make install`` makes anew.

    Compiled Python is left out: it holds its source's time.
    """
    total = hashlib.sha256()
    for name in files:
        path = os.path.join(tree, name)
        mode = os.lstat(path).st_mode
        if name.endswith(".pyc"):
            continue
        total.update(f"{name}\0{mode:o}\0".encode())
        if stat.S_ISLNK(mode):
            total.update(os.readlink(path).encode())
        else:
            with open(path, "rb") as file:
                total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()


def _files(tree: str) -> Iterator[str]:
    for where, folders, names in os.walk(tree):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in [*names, *links]:
            yield os.path.relpath(os.path.join(where, name), tree)


def _mib(tree: str, files: list[str]) -> int:
    """Room for all files in blocks of 4 KiB, and some more for the file system itself."""
    blocks = sum(os.lstat(os.path.join(tree, name)).st_size // 4096 + 2 for name in files)
    return blocks * 4096 * 5 // 4 // (1 << 20) + _SPARE_MIB


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
