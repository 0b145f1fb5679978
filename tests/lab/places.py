"""Where things are in a lab's run directory, and whether a lab lives there."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat

from lab.errors import LabError

ROOT_LIMIT_BYTES = 70
"""ssh makes its socket under a longer name first (a dot and 16 letters), and unix(7) allows 107 bytes in all."""


class Places:
    """Paths only; nothing is made here."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        if len(os.fsencode(self.root)) > ROOT_LIMIT_BYTES:
            raise LabError(
                f"{self.root}: a run directory's path has at most {ROOT_LIMIT_BYTES} bytes, because the paths of "
                "the sockets in it are limited; name a shorter one"
            )
        self.config = self._at("lab.json")
        self.lock = self._at("lock")
        self.socket = self._at("keeper.sock")
        self.log = self._at("keeper.log")
        self.masters = self._at("ssh")
        self.consoles = self._at("consoles")
        self.disks = self._at("disks")
        self.shelf = self._at("shelf.img")
        self.shelf_log = self._at("shelf.log")
        self.frames = self._at("frames")
        self.switch_state = self._at("switch.state")

    def _at(self, name: str) -> str:
        return os.path.join(self.root, name)

    def disk(self, guest: str) -> str:
        return os.path.join(self.disks, f"{guest}.qcow2")

    def console(self, guest: str, boot: int) -> str:
        return os.path.join(self.consoles, f"{guest}.{boot}.log")

    # --- its life ----------------------------------------------------------------------------------------

    def make(self) -> int:
        """Make the directory, empty, and lock it; returns the lock's descriptor. Raises LabError.

        What a dead lab left there is removed; what is no lab's is not touched.
        """
        self._check_owner()
        if os.path.isdir(self.root) and os.listdir(self.root):
            if not os.path.exists(self.lock):
                raise LabError(f"{self.root}: not empty, and not a lab's; name another directory")
            lock = self.take()
            if lock is None:
                raise LabError(
                    f"{self.root}: a lab runs there already; look at it with 'status', end it with 'down', or give "
                    "another run directory"
                )
            shutil.rmtree(self.root)
            os.close(lock)
        try:
            for path in (self.root, self.masters, self.consoles, self.disks):
                os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise LabError(f"{error.filename}: {error.strerror}; name another run directory") from None
        lock = self.take()
        if lock is None:
            raise LabError(f"{self.root}: another lab is starting there")
        return lock

    def _check_owner(self) -> None:
        """Others may write beside it (/var/tmp), so what stands there already may be theirs. Raises LabError."""
        try:
            facts = os.lstat(self.root)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise LabError(
                f"{self.root}: not a directory that belongs to this user alone; remove it, or name another one"
            )

    def take(self) -> int | None:
        """The lock's descriptor, or None: a lab lives here."""
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def alive(self) -> bool:
        """Whether a lab lives here."""
        try:
            lock = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False  # looking must not make one
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False
