"""Where the password comes from: a script, a file, the environment, or the option itself.

The first that is given counts, in this order (fence_wti lets the script win over the option, too).
Nothing here quotes what it read: it may be the password.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Mapping

from failover_kit.fence.config import Config
from failover_kit.fence.secret import Secret
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout
from failover_kit.spec.process import run as run_command

_LENGTH_MAX = 4096


class PasswordError(Exception):
    """A password source that is given cannot be used; ``str()`` says which and why."""


def load_password(config: Config, deadline: Deadline, environment: Mapping[str, str]) -> Secret:
    """The password, empty when no source is given. Raises PasswordError."""
    if config.password_script:
        return _checked(_from_script(config.password_script, deadline), "password script")
    if config.password_file:
        return _checked(_from_file(config.password_file, deadline), f"password file {config.password_file}")
    if config.password_env:
        if config.password_env not in environment:
            raise PasswordError(f"the environment has no variable {config.password_env}")
        return _checked(environment[config.password_env], f"environment variable {config.password_env}")
    return config.password


def source_problem(config: Config, environment: Mapping[str, str]) -> str:
    """What is wrong with the source that would be used, without running a script; empty when nothing is."""
    if config.password_script:
        return _script_problem(config.password_script)
    try:
        load_password(config, Deadline(0), environment)
    except PasswordError as error:
        return str(error)
    return ""


def _checked(text: str, source: str) -> Secret:
    if not text or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise PasswordError(f"the {source} gives no usable password; one line of printable text is needed")
    return Secret(text)


def _words(script: str) -> list[str]:
    import shlex

    try:
        return shlex.split(script)
    except ValueError:
        return []


def _script_problem(script: str) -> str:
    import shutil

    words = _words(script)
    if not words or shutil.which(words[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        return "the password script cannot be run: no such executable; it is started without a shell"
    return ""


def _from_script(script: str, deadline: Deadline) -> str:
    """Run it without a shell."""
    words = _words(script)
    if not words:
        raise PasswordError("the password script did not run: its quotes do not match")
    try:
        result = run_command(words, deadline, env={"HOME": os.environ.get("HOME", "/")})
    except CommandTimeout:
        raise PasswordError(
            "the password script did not end in time (what it starts in the background must not keep its output)"
        ) from None
    except (CommandMissing, OSError) as error:
        raise PasswordError(f"the password script did not run: {type(error).__name__}") from None
    if not result.ok():
        raise PasswordError(f"the password script exited {result.code}")
    return result.stdout.rstrip()


def _from_file(path: str, deadline: Deadline) -> str:
    """The first line. A pipe, such as a shell's ``<(command)``, is waited for until ``deadline``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise PasswordError(f"password file {path}: Is a directory")
            if mode & 0o007:
                raise PasswordError(f"password file {path} is open to everybody; chmod o= {path}")
            data = b""
            while b"\n" not in data and len(data) < _LENGTH_MAX:
                if not select.select([fd], [], [], deadline.left_s())[0]:
                    raise PasswordError(f"password file {path}: nobody writes to this pipe")
                if not (chunk := os.read(fd, _LENGTH_MAX)):
                    break
                data += chunk
        finally:
            os.close(fd)
    except OSError as error:
        raise PasswordError(f"password file {path}: {error.strerror}") from None
    line = data.partition(b"\n")[0]
    if len(line) >= _LENGTH_MAX:
        raise PasswordError(f"password file {path}: its first line is too long for a password")
    return line.decode("utf-8", "surrogateescape").rstrip("\r")
