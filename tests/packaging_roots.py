"""Clean roots: a minimal Debian made by mmdebstrap out of the machine's own package sources, and what runs in one.

Nothing of the host is changed: whatever is mounted or started belongs to namespaces that end with the command.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

from lab.image import apt, tools

ENTER = """\
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4" && cd "$4" &&
mount --rbind /dev dev && mount -t proc proc proc && mount -t sysfs sysfs sys && mount -t tmpfs tmpfs run &&
mount -t cgroup2 cgroup2 sys/fs/cgroup &&
{ [ "$5" = network ] || ip link set lo up; } && shift 5 &&
pivot_root . . && umount -l . && cd / && exec "$@"
"""
"""In a mount namespace of the command's own. A root that is no mount point of its own would show in mountinfo."""
STARTS_NOTHING = "#!/bin/sh\nexit 101\n"
"""policy-rc.d: invoke-rc.d and deb-systemd-invoke ask it, and 101 means no."""


class Root:
    """A Debian: what mmdebstrap made, and over it a layer of this root's own. ``copy`` costs nothing."""

    def __init__(self, base: pathlib.Path, layer: pathlib.Path, log: pathlib.Path) -> None:
        self.base, self.layer, self.log = base, layer, log
        for name in ("upper", "work", "root"):
            (layer / name).mkdir(parents=True, exist_ok=True)

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 120, check: bool = True, network: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` inside, as root, alone on the machine: own mounts, pids, host name and (unless ``network``,
        which apt needs) network. Its whole process tree is gone when this returns. AssertionError when it fails.
        """
        apart = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid"]
        apart += ["--fork", "--kill-child", "--uts", "--ipc", *([] if network else ["--net"])]
        places = [self.base, *(self.layer / name for name in ("upper", "work", "root"))]
        command = [*apart, "sh", "-c", ENTER, "sh", *map(str, places), "network" if network else "alone", *argv]
        env = tools.environment() | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}-> {done.returncode}\n")
        if check:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            assert done.returncode == 0, f"{' '.join(argv)} exited {done.returncode}:\n{tail}"
        return done

    def put(self, name: str, text: str | bytes, mode: int = 0o644) -> None:
        """A file of this root; its folder must be there."""
        path = self.layer / "upper" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)

    def copy(self, layer: pathlib.Path) -> Root:
        """The same system once more."""
        subprocess.run(["cp", "-a", str(self.layer), str(layer)], check=True, timeout=300)
        return Root(self.base, layer, self.log)

    def install(self, *archives: pathlib.Path) -> str:
        """dpkg -i of ``archives``, whose dependencies are there; what it says."""
        for archive in archives:
            self.put(f"/var/tmp/{archive.name}", archive.read_bytes())
        done = self.run(["dpkg", "-i", *(f"/var/tmp/{archive.name}" for archive in archives)], timeout_s=300)
        return done.stdout + done.stderr


def bootstrap(folder: pathlib.Path, packages: Sequence[str], log: pathlib.Path) -> Root:
    """A minimal system with ``packages`` in ``folder``. Raises lab's BuildError with the tool's last lines."""
    scratch = folder.parent
    if (folder / "made").exists():  # by an earlier run, which was told to keep it
        return _dressed(folder, log)
    release = apt.codename()
    sources = _private(scratch / f"{folder.name}.sources", apt.sources(release))
    options = _private(
        scratch / f"{folder.name}.conf", apt.acquire_options(tools.output(["apt-config", "dump", "Acquire"]))
    )
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--aptopt={options}"]
    argv += ['--aptopt=APT::Sandbox::User "root"', *([f"--include={','.join(packages)}"] if packages else [])]
    argv += ["--dpkgopt=path-exclude=/usr/share/locale/*"]
    argv += [release, str(folder), str(sources)]
    tools.run(tools.apart(argv), log=str(log), timeout_s=1800, remedy=apt.UPDATE)
    (folder / "made").touch()
    return _dressed(folder, log)


def _dressed(folder: pathlib.Path, log: pathlib.Path) -> Root:
    """A layer over the system with what a root needs that nothing may be started in."""
    layer = folder.parent / f"{folder.name}.layer"
    shutil.rmtree(layer, ignore_errors=True)
    root = Root(folder, layer, log)
    root.put("/usr/sbin/policy-rc.d", STARTS_NOTHING, 0o755)
    root.put("/etc/resolv.conf", pathlib.Path("/etc/resolv.conf").read_bytes())
    return root


def _private(path: pathlib.Path, text: str) -> pathlib.Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # a proxy's password may be in it
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
