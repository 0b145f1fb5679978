"""Writing the three files: validated by their own parsers first, each put in place whole, nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping

from failover_kit.check.newpair import Texts
from failover_kit.manager import authkeys, configfiles
from failover_kit.manager.config import LoadedConfig, is_secret_name

NAMES = ("ha.cf", "haresources", "authkeys")
MODES = {"ha.cf": 0o644, "haresources": 0o644, "authkeys": 0o600}
_KEY_BYTES = 32


def mode_of(name: str, text: str) -> int:
    """Of one of the three files: an ha.cf with a password in it is for root alone."""
    return 0o600 if name == "ha.cf" and without_secrets(text) != text else MODES[name]


def without_secrets(ha_cf: str) -> str:
    """The text with each password of a device as ``***``: for showing."""

    def hidden(word: re.Match[str]) -> str:
        return f"{word[1]}=***" if is_secret_name(word[1]) else word[0]

    return re.sub(r"(?<!\S)([^\s=]+)=(\S+)", hidden, ha_cf)


def new_key() -> str:
    """256 random bits, as one word."""
    return os.urandom(_KEY_BYTES).hex()


def as_files(texts: Texts) -> dict[str, str]:
    return {"ha.cf": texts.ha_cf, "haresources": texts.haresources, "authkeys": texts.authkeys}


def existing(config_dir: str) -> tuple[str, ...]:
    """Which of the three files are there already, whatever they are."""
    return tuple(name for name in NAMES if os.path.lexists(os.path.join(config_dir, name)))


def kept_authkeys(config_dir: str) -> str:
    """The text of an authkeys that can be used, else "": the other node has the same, a new key would part them."""
    try:
        with open(os.path.join(config_dir, "authkeys"), encoding="utf-8") as file:
            text = file.read(configfiles.MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError):
        return ""
    return text if authkeys.parse(text).value is not None else ""


def validate(files: Mapping[str, str]) -> LoadedConfig:
    """Load the texts as failoverd would, from a directory of their own. ConfigError when it would not."""
    folder = tempfile.mkdtemp(prefix="failoverctl-init-")
    try:
        for name, text in files.items():
            _write_new(os.path.join(folder, name), text, mode_of(name, text))
        return configfiles.load(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install(config_dir: str, files: Mapping[str, str]) -> tuple[str, ...]:
    """Put the files in place; returns the paths of the backups of those that were there. OSError when it fails.

    The new files are on the disk before the first old one goes, and each old one keeps its content and mode under
    another name before it is replaced: no moment has less than one usable set.
    """
    _make_directories(config_dir)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    temporary: dict[str, str] = {}
    backups: list[str] = []
    try:
        for name, text in files.items():
            temporary[name] = os.path.join(config_dir, f".{name}.{os.getpid()}.new")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary[name])
            _write_new(temporary[name], text, mode_of(name, text))
        for name in files:
            path = os.path.join(config_dir, name)
            if os.path.lexists(path):
                backups.append(_back_up(path, stamp))
            os.rename(temporary.pop(name), path)
        _sync_directory(config_dir)
    finally:
        for path in temporary.values():
            with contextlib.suppress(OSError):
                os.unlink(path)
    return tuple(backups)


def _make_directories(path: str) -> None:
    """0755 each that is missing, whatever the caller's umask is: os.makedirs gives its mode to the last one only,
    and in one that others may write they replace the files and the key."""
    before = os.umask(0o022)
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    finally:
        os.umask(before)


def _back_up(path: str, stamp: str) -> str:
    """The same file under a second name, never one that is taken."""
    for number in range(100):
        backup = f"{path}.before-{stamp}{f'-{number}' if number else ''}"
        try:
            os.link(path, backup, follow_symlinks=False)
        except FileExistsError:
            continue
        return backup
    raise FileExistsError(17, f"{path}.before-{stamp}: a hundred backups of this second")


def _write_new(path: str, text: str, mode: int) -> None:
    """Closed to others from its first moment; O_EXCL follows no link that somebody left there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
