"""The guest's root file system as a folder: packages, kernel modules, the lab's own files, what starts at boot."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable

from lab.image import apt, disks, recipe, tools
from lab.image.tools import BuildError

GUEST_FILES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guest")
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


def bootstrap(tree: str, kind: str, release: str, *, sources: str, options: str, log: str) -> None:
    """Unpack and configure the packages of ``kind`` into ``tree``. ``sources``, ``options``: files for apt."""
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--aptopt={options}"]
    argv += ['--aptopt=APT::Sandbox::User "root"', f"--include={','.join(recipe.PACKAGES[kind])}"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.LEFT_OUT]
    argv += [release, tree, sources]
    tools.run(tools.apart(argv), log=log, timeout_s=1800, remedy=apt.UPDATE)
    # How this machine reaches its mirror, perhaps with a password, is none of the guest's business.
    shutil.rmtree(os.path.join(tree, "etc/apt"))
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log", "dev", "tmp"):
        _empty(os.path.join(tree, folder))


def add_kernel(tree: str, archive: str, scratch: str, log: str) -> tuple[str, str]:
    """Unpack the kernel ``archive``: (path of vmlinuz, folder of the modules in ``tree``)."""
    tools.run(["dpkg-deb", "-x", archive, scratch], log=log, timeout_s=300)
    images = glob.glob(os.path.join(scratch, "boot", "vmlinuz-*"))
    if len(images) != 1:
        raise BuildError(f"{archive} holds {len(images)} kernels, not one; see {log}")
    version = os.path.basename(images[0]).removeprefix("vmlinuz-")
    places = [os.path.join(scratch, top, "modules", version) for top in ("lib", "usr/lib")]
    found = [place for place in places if os.path.isdir(place)]
    if len(found) != 1:
        raise BuildError(f"{archive} has no modules of {version}; see {log}")
    modules = os.path.join(tree, "usr/lib/modules", version)
    os.makedirs(os.path.dirname(modules), exist_ok=True)
    shutil.move(found[0], modules)
    in_chroot(tree, ["depmod", "-a", version], log)
    return images[0], modules


def dress(tree: str, kind: str, public_key: str, log: str) -> str:
    """Add the lab's files and decide what starts at boot. Returns the line of the host key for known_hosts."""
    for part in ("common", recipe.INIT[kind]):
        copy = f"{tree}.{part}"
        shutil.copytree(os.path.join(GUEST_FILES, part), copy, symlinks=True)
        disks.give_to_root(copy)
        shutil.copytree(copy, tree, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(copy)
    disks.give_to_root(os.path.join(tree, "etc/ssh/sshd_config.d"))
    # rpc.mountd reads it, and crashed without (Debian leaves it to boot scripts that the guests do without).
    _link(tree, "../proc/self/mounts", "etc/mtab")
    _authorise(tree, public_key)
    if recipe.INIT[kind] == "sysv":
        _dress_sysv(tree, log)
    else:
        _dress_systemd(tree, log)
    if kind in recipe.MANAGERS_DISABLED:
        in_chroot(tree, ["systemctl", "disable", *recipe.MANAGERS_DISABLED[kind]], log)
    return _host_key(tree, log)


def in_chroot(tree: str, argv: list[str], log: str) -> None:
    """Run ``argv`` inside ``tree``."""
    tools.run(tools.apart(["chroot", tree, *argv]), log=log, timeout_s=300)


def _dress_sysv(tree: str, log: str) -> None:
    for script in recipe.SYSV_REPLACED:
        path = os.path.join(tree, "etc/init.d", script)
        if os.path.lexists(path):
            os.unlink(path)
    for link in glob.glob(os.path.join(tree, "etc/rc?.d", "[SK]*")):
        if not os.path.exists(link):
            os.unlink(link)
    for script in recipe.SYSV_DISABLED:
        in_chroot(tree, ["update-rc.d", "-f", script, "remove"], log)
    in_chroot(tree, ["update-rc.d", "lab-early", "defaults"], log)
    _empty(os.path.join(tree, "run"))


def _dress_systemd(tree: str, log: str) -> None:
    in_chroot(tree, ["systemctl", "mask", *recipe.SYSTEMD_MASKED], log)
    in_chroot(tree, ["systemctl", "disable", *recipe.SYSTEMD_DISABLED], log)
    in_chroot(tree, ["systemctl", "enable", *recipe.SYSTEMD_ENABLED], log)
    in_chroot(tree, ["systemctl", "set-default", "multi-user.target"], log)
    masked = os.path.join(tree, "etc/systemd/system-generators")
    os.makedirs(masked, exist_ok=True)
    for path in glob.glob(os.path.join(tree, "usr/lib/systemd/system-generators", "*")):
        if os.path.basename(path) not in recipe.SYSTEMD_GENERATORS_KEPT:
            _link(tree, "/dev/null", f"etc/systemd/system-generators/{os.path.basename(path)}")
    # One for all guests: systemd would make one at the first boot, which takes time and means nothing here.
    with open(os.path.join(tree, "etc/machine-id"), "w", encoding="ascii") as file:
        file.write("fa110fe2000000000000000000000001\n")


def _authorise(tree: str, public_key: str) -> None:
    folder = os.path.join(tree, "root/.ssh")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    shutil.copy(public_key, os.path.join(folder, "authorized_keys"))
    os.chmod(os.path.join(folder, "authorized_keys"), 0o600)


def _host_key(tree: str, log: str) -> str:
    """One ed25519 key, made now: guests that make keys at their first boot are seconds late."""
    for path in glob.glob(os.path.join(tree, "etc/ssh/ssh_host_*")):
        os.unlink(path)
    path = os.path.join(tree, HOST_KEY)
    tools.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path], log=log, timeout_s=60)
    with open(f"{path}.pub", encoding="ascii") as file:
        return " ".join(file.read().split()[:2])


def _empty(folder: str, keep: Iterable[str] = ()) -> None:
    """Remove the contents of ``folder``, but not of folders below /var/log that daemons expect."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name in keep or (os.path.isdir(path) and not os.path.islink(path) and folder.endswith("var/log")):
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _link(tree: str, target: str, name: str) -> None:
    path = os.path.join(tree, name)
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)
