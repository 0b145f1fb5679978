"""Files that a machine boots from: the initrd, and ext4 file systems made of a folder without mounting anything."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
from collections.abc import Iterator, Sequence

from lab.image import tools
from lab.image.tools import BuildError

BUSYBOX = "/bin/busybox"
ROOT_FEATURES = "^metadata_csum,^64bit,^orphan_file"
"""Checksums of metadata cost an emulated CPU much and find nothing on a file that nobody else writes."""


def ext4(tree: str, image: str, mib: int, log: str, *, journal: bool, label: str) -> None:
    """Make ``image``, an ext4 of ``mib`` MiB with what is in ``tree``, owners and modes included."""
    features = ROOT_FEATURES if journal else f"{ROOT_FEATURES},^has_journal"
    known = "^orphan_file" in features and _knows_orphan_file()
    features = features if known else features.replace(",^orphan_file", "")
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-m", "0", "-L", label]
    # Nothing is left for the guest's kernel to initialise in the background.
    argv += ["-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", tree, image, f"{mib}M"]
    tools.run(argv, log=log, timeout_s=300, remedy="is there room on the disk that holds the cache?")


def initrd(kernel: str, init: str, modules: Sequence[str], image: str, log: str) -> None:
    """Make ``image``: busybox, the script ``init`` and those of ``modules`` that ``kernel`` has not built in.

    ``kernel`` is the folder lib/modules/VERSION with its modules.dep.
    """
    tree = f"{image}.tree"
    for name in ("bin", "dev", "m", "new", "proc", "project", "sys", "run"):
        os.makedirs(os.path.join(tree, name))
    if not os.path.exists(BUSYBOX):
        raise BuildError(tools.missing("busybox-static"))
    shutil.copy(BUSYBOX, os.path.join(tree, "bin", "busybox"))
    shutil.copy(init, os.path.join(tree, "init"))
    order = []
    for path in load_order(kernel, modules):
        name = os.path.basename(path).removesuffix(".xz")
        with open(os.path.join(tree, "m", name), "wb") as file:
            file.write(_module(os.path.join(kernel, path)))
        order.append(name)
    with open(os.path.join(tree, "m", "order"), "w", encoding="ascii") as file:
        file.write(" ".join(order))
    names = sorted(_below(tree))
    argv = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-O", image]
    tools.run(argv, log=log, timeout_s=60, cwd=tree, input_text="".join(f"{name}\n" for name in names))
    shutil.rmtree(tree)


def load_order(kernel: str, modules: Sequence[str]) -> list[str]:
    """Paths below ``kernel`` of ``modules`` and all they need, those needed first. BuildError: not there at all."""
    needs = _dependencies(kernel)
    by_name = {_module_name(path): path for path in needs}
    with open(os.path.join(kernel, "modules.builtin"), encoding="ascii") as file:
        builtin = {_module_name(line.strip()) for line in file}
    order: list[str] = []
    for module in modules:
        if module in builtin:
            continue
        if module not in by_name:
            raise BuildError(f"the kernel in {kernel} has no module {module}; is it one for virtual machines?")
        path = by_name[module]
        # modules.dep(5) lists what a module needs in the order of unloading.
        order += [needed for needed in [*reversed(needs[path]), path] if needed not in order]
    return order


def check_static(program: str = BUSYBOX) -> None:
    """BuildError when busybox needs shared libraries: an initrd has none."""
    try:
        with open(program, "rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise BuildError(tools.missing("busybox-static")) from None
    if b"/ld-linux" in head or b"ld-musl" in head:
        raise BuildError(f"{program} is dynamically linked; install busybox-static in place of busybox")


def _dependencies(kernel: str) -> dict[str, list[str]]:
    with open(os.path.join(kernel, "modules.dep"), encoding="ascii") as file:
        pairs = (line.strip().partition(":") for line in file if ":" in line)
        return {path: needed.split() for path, _, needed in pairs}


def _module_name(path: str) -> str:
    return os.path.basename(path).partition(".ko")[0].replace("-", "_")


def _module(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".ko.xz"):
        return lzma.decompress(data)
    if not path.endswith(".ko"):
        raise BuildError(f"{path}: a kind of compression that the lab does not know; tell its maintainers")
    return data


def _below(tree: str) -> Iterator[str]:
    for where, folders, names in os.walk(tree):
        for name in [*folders, *names]:
            yield os.path.relpath(os.path.join(where, name), tree)


def _knows_orphan_file() -> bool:
    """mke2fs before 1.47 rejects the name even with a ^; 1.47 would switch it on for new file systems."""
    with open("/etc/mke2fs.conf", encoding="utf-8") as file:
        return "orphan_file" in file.read()


def give_to_root(folder: str) -> None:
    """Owner root, programs 755, other files 644, below ``folder``: a checkout has its user's owners and umask."""
    for where, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(where, name)
            os.chown(path, 0, 0, follow_symlinks=False)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, 0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)
