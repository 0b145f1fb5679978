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

MOUNTS = "mount --rbind /dev dev && mount -t proc proc proc && mount -t sysfs sysfs sys && mount -t tmpfs tmpfs run"
"""Before chroot(8), in a mount namespace of the command's own."""
STARTS_NOTHING = "#!/bin/sh\nexit 101\n"
"""policy-rc.d: invoke-rc.d and deb-systemd-invoke ask it, and 101 means no."""


class Root:
    """A folder with a Debian in it."""

    def __init__(self, folder: pathlib.Path, log: pathlib.Path) -> None:
        self.folder = folder
        self.log = log

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.folder / name.lstrip("/")

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 120, check: bool = True, network: bool = False, cwd: str = "/"
    ) -> subprocess.CompletedProcess[str]:
        """Run ``argv`` inside, as root, alone on the machine: own mounts, pids, host name and (unless ``network``,
        which apt needs) network. Its whole process tree is gone when this returns. AssertionError when it fails.
        """
        apart = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
        apart += ["--kill-child", "--uts", "--ipc", *([] if network else ["--net"])]
        inside = f'cd "$1" && {MOUNTS} && shift && {"true" if network else "ip link set lo up"} && exec "$@"'
        command = [*apart, "sh", "-c", inside, "sh", str(self.folder), "chroot", str(self.folder)]
        command += ["sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv]
        env = tools.environment() | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}-> {done.returncode}\n")
        if check:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            assert done.returncode == 0, f"{' '.join(argv)} exited {done.returncode}:\n{tail}"
        return done

    def copy(self, folder: pathlib.Path) -> Root:
        """The same system once more; hard work is done once."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.folder), str(folder)], check=True, timeout=300)
        return Root(folder, self.log)

    def install(self, *archives: pathlib.Path) -> None:
        """dpkg -i of ``archives``, whose dependencies are there."""
        names = []
        for archive in archives:
            shutil.copy(archive, self / "var/tmp")
            names.append(f"/var/tmp/{archive.name}")
        self.run(["dpkg", "--force-confold", "-i", *names], timeout_s=300)


def bootstrap(folder: pathlib.Path, packages: Sequence[str], log: pathlib.Path) -> Root:
    """A minimal system with ``packages`` in ``folder``. Raises lab's BuildError with the tool's last lines."""
    scratch = folder.parent
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
    root = Root(folder, log)
    (root / "usr/sbin/policy-rc.d").write_text(STARTS_NOTHING)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    return root


def _private(path: pathlib.Path, text: str) -> pathlib.Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # a proxy's password may be in it
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
