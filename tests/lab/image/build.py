"""``ensure``: an image of a kind, from the cache or made now."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.image import apt, cache, disks, recipe, tools, tree
from lab.image.tools import BuildError

Say = Callable[[str], None]

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ("apt-get", "chroot", "cpio", "dpkg-deb", "mke2fs", "mmdebstrap", "setpriv", "ssh-keygen", "unshare")
ROOM_MIB = 2048
"""The tree, the archives of its packages, and the image lie side by side for a while: 1.2 GB were seen."""
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


@dataclass(frozen=True)
class Image:
    """Files to boot guests of one kind from. Paths; ``root`` is read-only: run on a copy or a qcow2 over it.

    ``key`` is the private ssh key of root in the guests, ``known`` a known_hosts file with their host key
    under every address of 10.9.0.0/24. ``hold`` keeps the files from being swept away by a newer build for
    as long as the process that called ``ensure`` lives.
    """

    kind: str
    kernel: str
    initrd: str
    root: str
    key: str
    known: str
    hold: int


def ensure(kind: str, say: Say) -> Image:
    """The image of ``kind`` (``recipe.KINDS``), built when there is none of the current content. Needs root.

    ``say`` gets one sentence for each stage. Raises BuildError with the failing tool's last lines and a remedy.
    """
    if kind not in recipe.KINDS:
        raise BuildError(f"no image is called {kind}; there are {', '.join(recipe.KINDS)}")
    if os.uname().machine != "x86_64":
        raise BuildError(f"this machine is {os.uname().machine}; guests are made of its packages, and x86_64")
    if os.geteuid() != 0:
        raise BuildError("an image is made by root (file owners, chroot); run this as root")
    store = cache.root(CHECKOUT)
    with cache.locked(store, say):
        kernel, versions = _versions(kind, store, say)
        name = f"{kind}-{cache.content_key(kind, (HERE, tree.GUEST_FILES), versions)}"
        folder = os.path.join(store, name)
        wrong = cache.sound(folder)
        if wrong:
            if os.path.isdir(folder):
                say(f"The {kind} image in {folder} is not used: {wrong}.")
            _build(kind, kernel, versions, folder, say)
        cache.sweep(store, kind, keep=name)
        return _image(kind, folder)


def _versions(kind: str, store: str, say: Say) -> tuple[str, dict[str, str]]:
    """(the kernel's package, candidate versions). Fetches the package lists when the machine has none."""
    try:
        kernel = apt.kernel_package()
        return kernel, apt.candidates((*recipe.PACKAGES[kind], kernel))
    except BuildError:
        say("This machine's package lists are missing or old; fetching them (apt-get update).")
        apt.update(os.path.join(store, "apt-update.log"))
        kernel = apt.kernel_package()
        return kernel, apt.candidates((*recipe.PACKAGES[kind], kernel))


def _build(kind: str, kernel: str, versions: dict[str, str], folder: str, say: Say) -> None:
    """Make the image in a folder beside its place, then rename. A failure leaves only the log."""
    store = os.path.dirname(folder)
    log = os.path.join(store, f"build-{kind}.log")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    cache.sweep(store, kind, keep=os.path.basename(folder))
    work = tempfile.mkdtemp(prefix=f"building-{kind}-", dir=store)
    begun = time.monotonic()
    try:
        _make(kind, kernel, versions[kernel], work=work, log=log, say=say)
        cache.write_receipt(work)
        cache.publish(work, folder)
    finally:
        if os.path.isdir(work):
            cache.remove_tree(work)
    say(f"The {kind} image is built: {time.monotonic() - begun:.1f} s in all, kept in {folder}.")


def _make(kind: str, kernel: str, version: str, *, work: str, log: str, say: Say) -> None:
    """All files of an image into ``work``."""
    tools.check_installed(PROGRAMS)
    tools.check_room(work, ROOM_MIB)
    disks.check_static()
    release = apt.codename()
    scratch = os.path.join(work, "scratch")
    os.makedirs(scratch)
    with _stage(say, f"Fetched the kernel {kernel} {version}"):
        archive = apt.download(kernel, version, scratch, log)
    files = os.path.join(scratch, "root")
    sources = _write(scratch, "lab.sources", apt.sources(release))
    options = _write(scratch, "apt.conf", apt.acquire_options(tools.output(["apt-config", "dump", "Acquire"])))
    with _stage(say, f"Unpacked {len(recipe.PACKAGES[kind])} packages of {release} and what they need"):
        tree.bootstrap(files, kind, release, sources=sources, options=options, log=log)
    with _stage(say, "Added the kernel's modules, the lab's files and the boot order"):
        vmlinuz, modules = tree.add_kernel(files, archive, os.path.join(scratch, "kernel"), log)
        key = os.path.join(work, "id_ed25519")
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "failover-kit-lab", "-f", key]
        tools.run(argv, log=log, timeout_s=60)
        host_key = tree.dress(files, kind, f"{key}.pub", log)
        _write(work, "known_hosts", f"10.9.0.* {host_key}\n")
    with _stage(say, "Made the initrd and the root file system"):
        init = os.path.join(tree.GUEST_FILES, "initrd", "init")
        disks.initrd(modules, init, recipe.INITRD_MODULES, os.path.join(work, "initrd"), log)
        shutil.copy(vmlinuz, os.path.join(work, "vmlinuz"))
        image = os.path.join(work, "root.img")
        disks.ext4(files, image, recipe.ROOT_MIB, log, journal=True, label="lab-root")
        os.chmod(image, 0o444)
    cache.remove_tree(scratch)


@contextlib.contextmanager
def _stage(say: Say, done: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    say(f"{done}: {time.monotonic() - begun:.1f} s.")


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # a proxy's password may be in it
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _image(kind: str, folder: str) -> Image:
    hold = cache.hold(folder)
    kernel, initrd, root, key, known = (os.path.join(folder, name) for name in cache.FILES)
    return Image(kind=kind, kernel=kernel, initrd=initrd, root=root, key=key, known=known, hold=hold)
