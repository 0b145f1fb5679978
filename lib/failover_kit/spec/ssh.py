"""How ssh is called here: it can neither ask a person nor accept a host it does not know (ssh_config(5)).

ssh brings what a question to another machine needs: both sides proved by keys, nothing to replay, an address in
the log. The account, the port and the key of a host are the user's to say, in ssh's own configuration.
"""

from __future__ import annotations

from failover_kit.spec.process import CommandResult

ERROR = 255
"""ssh's exit code when an error occurred; every other one is the remote command's (ssh(1), EXIT STATUS)."""

_CONNECT_S = 5

_ARGV = (
    "ssh", "-T", "-a", "-x",
    "-o", "BatchMode=yes",
    "-o", f"ConnectTimeout={_CONNECT_S}",
    "-o", "ConnectionAttempts=1",
    "-o", "StrictHostKeyChecking=yes",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
)  # fmt: skip


def argv(config: str = "") -> list[str]:
    """The command up to the destination; ``config`` is a file for ``ssh -F``, "" for the user's own."""
    return [*_ARGV, *(("-F", config) if config else ()), "--"]


def last_words(result: CommandResult) -> str:
    """ssh's own last line, without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in result.last_line())[:200]
