"""A value that cannot be printed by accident."""

from __future__ import annotations

MASK = "***"


class Secret:
    """A password. ``str``, ``repr`` and ``format`` give ``***``; only ``reveal()`` gives the text.

    It cannot be pickled, so that no traceback tool or worker process carries it off.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, to be put on the wire and nowhere else."""
        return self._text

    def redact(self, text: str) -> str:
        """``text`` with every occurrence of the secret replaced: for what a device echoes back."""
        return text.replace(self._text, MASK) if self._text else text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be copied out of this process")


def forbid_core_dumps() -> None:
    """From now on neither this process nor a child leaves a core file: a password would stand in it in clear."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
