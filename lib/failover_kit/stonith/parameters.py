"""Device parameters, and where they come from: -p, -F, -E or name=value.

Every value may be a secret, so nothing here prints one. What is redacted from the output of a child is
the values of parameters whose name says so (``password``, ``passwd``, ``community``, ...).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from failover_kit.fence.secret import Secret
from failover_kit.stonith.codes import Code, StonithError

_SECRET_WORDS = ("pass", "secret", "community", "token", "key")
# Names that contain such a word and are no secrets themselves.
_NO_SECRET = ("_file", "_script", "_env", "keyfile")
# cluster-glue reads no more of a line of an -F file.
LINE_BYTES = 1023
_BLANKS = " \t\r\n\f\v"


class Parameters(Mapping[str, str]):
    """Names and values; ``repr`` and ``str`` show the names only."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Parameters({', '.join(self._values)})"

    def secrets(self) -> tuple[Secret, ...]:
        """The values that must not be shown, the longest first."""
        found = [value for name, value in self._values.items() if is_secret(name) and value]
        return tuple(Secret(value) for value in sorted(found, key=len, reverse=True))

    def having(self, **more: str) -> Parameters:
        """These parameters, with ``more`` put over them."""
        return Parameters({**self._values, **more})


def is_secret(name: str) -> bool:
    """Whether a parameter's name says that its value is a secret."""
    folded = name.casefold()
    return any(word in folded for word in _SECRET_WORDS) and not folded.endswith(_NO_SECRET)


def from_text(device_type: str, text: str, names: Sequence[str], option: str = "-p") -> Parameters:
    """Values in the order of ``names``, split at white space; the last takes the rest of the line.

    Blanks around are not part of a value: cluster-glue takes a trailing blank for the end of the
    password (measured), which nobody can see. Such a password can be given as name=value. Raises StonithError.
    """
    stripped = text.strip(_BLANKS)
    values = stripped.split(None, max(0, len(names) - 1)) if stripped else []
    if not values or len(values) < len(names):
        wanted = " ".join(names) or "nothing"
        # Without the text itself: the one word in it is likely the password.
        raise StonithError(Code.BADCONFIG, f"Invalid STONITH {option} parameter: {device_type} needs {wanted}")
    return Parameters(dict(zip(names, values, strict=False)))


def from_file(device_type: str, path: str, names: Sequence[str]) -> Parameters:
    """The first line of ``path`` that is neither empty nor a comment. Raises StonithError."""
    complaint = f"Invalid config file for {device_type} device."
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StonithError(Code.BADCONFIG, f"{path} is not a regular file\n{complaint}")
            for raw in file:
                line = raw.decode("utf-8", "surrogateescape").strip(_BLANKS)
                if len(raw) > LINE_BYTES:
                    raise StonithError(Code.BADCONFIG, f"{path} has a line over {LINE_BYTES} bytes\n{complaint}")
                if line and not line.startswith("#"):
                    return from_text(device_type, line, names, "-F")
    except OSError as error:
        raise StonithError(Code.BADCONFIG, f"Cannot open {path}: {error.strerror}\n{complaint}") from None
    raise StonithError(Code.BADCONFIG, f"{path} has no line of parameters\n{complaint}")


def from_environment(names: Sequence[str], environ: Mapping[str, str]) -> Parameters:
    """The variables of these names, as Pacemaker's fence_legacy passes parameters."""
    return Parameters({name: environ[name] for name in names if name in environ})


def file_is_open_to_others(path: str) -> bool:
    """Whether a parameter file can be read by everybody: worth a warning, it holds a password."""
    try:
        return bool(os.stat(path).st_mode & 0o004)
    except OSError:
        return False
