"""What can go wrong in the lab; ``str()`` is what a person is shown."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do it; the message names the place and the remedy, and ends with the guest's console."""


class GuestError(LabError):
    """A command in a guest failed, was late, or the guest was lost meanwhile.

    ``code`` is the command's exit code; None when there is none (late, lost, machine off).
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
