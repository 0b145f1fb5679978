"""Where images are kept: one folder per kind and content key, published by one rename, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from lab.image.tools import BuildError

FILES = ("vmlinuz", "initrd", "root.img", "id_ed25519", "known_hosts")
RECEIPT = "built.json"
IN_USE = "in-use"
NOT_IN_IMAGES = ("boot.py", "project.py")
"""Modules beside the build that decide nothing of what is in an image."""
LOCK_WAIT_S = 1800

Say = Callable[[str], None]


def root(checkout: str) -> str:
    """The cache's folder: $FAILOVER_KIT_LAB_CACHE, else .lab/cache of the checkout. Not created here."""
    return os.path.abspath(os.environ.get("FAILOVER_KIT_LAB_CACHE") or os.path.join(checkout, ".lab", "cache"))


def content_key(kind: str, folders: Sequence[str], versions: Mapping[str, str]) -> str:
    """16 hex digits over all that an image is made of: files of the build and the guest, package versions."""
    digest = hashlib.sha256(f"{kind}\0".encode())
    for folder in folders:
        for path in _files(folder):
            name = os.path.relpath(path, folder)
            digest.update(f"{name}\0{_mode(path)}\0".encode())
            digest.update(hashlib.sha256(_content(path)).digest())
        digest.update(b"\0folder\0")
    for package in sorted(versions):
        digest.update(f"{package}={versions[package]}\0".encode())
    return digest.hexdigest()[:16]


def receipt(folder: str) -> dict[str, list[int]]:
    """Size and time of change of each file of an image: what ``sound`` compares."""
    return {name: _measure(os.path.join(folder, name)) for name in FILES}


def write_receipt(folder: str) -> None:
    """The last file that a build writes."""
    with open(os.path.join(folder, RECEIPT), "w", encoding="ascii") as file:
        json.dump(receipt(folder), file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def sound(folder: str) -> str:
    """'' when the image in ``folder`` is complete and as it was built, else what is wrong with it."""
    try:
        with open(os.path.join(folder, RECEIPT), encoding="ascii") as file:
            noted = json.load(file)
    except FileNotFoundError:
        return "it was never finished" if os.path.isdir(folder) else "there is none"
    except (OSError, ValueError) as error:
        return f"its {RECEIPT} cannot be read ({error})"
    for name in FILES:
        try:
            now = _measure(os.path.join(folder, name))
        except FileNotFoundError:
            return f"{name} is missing"
        if now != noted.get(name):
            return f"{name} was changed after it was built"
    return ""


@contextlib.contextmanager
def locked(cache: str, say: Say, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Only one build in ``cache`` at a time. The kernel drops the lock when its holder dies."""
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "lock"), "a", encoding="ascii") as file:
        if not _try_lock(file.fileno()):
            say(f"another run builds an image in {cache}; waiting for it")
            _wait_for_lock(file.fileno(), cache, wait_s)
        yield


def hold(folder: str) -> int:
    """A descriptor that keeps ``folder`` from being swept away; it ends with the process, or by os.close."""
    descriptor = os.open(os.path.join(folder, IN_USE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def sweep(cache: str, kind: str, keep: str) -> list[str]:
    """Remove what is left of builds that died, and older images of ``kind`` that nobody holds. Needs the lock."""
    removed = []
    for name in sorted(os.listdir(cache)):
        path = os.path.join(cache, name)
        dead_build = name.startswith(f"building-{kind}-")
        older = name.startswith(f"{kind}-") and name != keep
        if not os.path.isdir(path) or not (dead_build or (older and not _held(path))):
            continue
        remove_tree(path)
        removed.append(name)
    return removed


def publish(work: str, folder: str) -> None:
    """Give a finished build its name; one that is broken goes first. Needs the lock."""
    if os.path.isdir(folder):
        remove_tree(folder)
    os.rename(work, folder)
    descriptor = os.open(os.path.dirname(folder), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: str) -> None:
    """Remove ``path``. BuildError when something is mounted in it: removing would reach through the mount."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[1].replace("\\040", " ") for line in file]
    inside = [point for point in points if point == path or point.startswith(f"{path}/")]
    if inside:
        raise BuildError(f"{inside[0]} is a mount point; run `umount {inside[0]}`, then try again")
    shutil.rmtree(path)


def _files(folder: str) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        counted = (name for name in sorted(names) if not name.endswith(".pyc") and name not in NOT_IN_IMAGES)
        yield from (os.path.join(where, name) for name in counted)


def _mode(path: str) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "link"
    return "program" if mode & 0o100 else "file"


def _content(path: str) -> bytes:
    if os.path.islink(path):
        return os.readlink(path).encode()
    with open(path, "rb") as file:
        return file.read()


def _measure(path: str) -> list[int]:
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_lock(descriptor: int, cache: str, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while not _try_lock(descriptor):
        if time.monotonic() > end:
            raise BuildError(f"another run has held {cache}/lock for {wait_s:.0f} s; `fuser {cache}/lock` finds it")
        time.sleep(0.2)


def _held(path: str) -> bool:
    try:
        descriptor = os.open(os.path.join(path, IN_USE), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)
