"""Exit codes of the OCF Resource Agent API 1.1, section "Exit status", and how an agent raises one."""

SUCCESS = 0
ERR_GENERIC = 1
ERR_ARGS = 2
ERR_UNIMPLEMENTED = 3
ERR_PERM = 4
ERR_INSTALLED = 5
# Pacemaker bans the resource from *every* node on this one: only for what is wrong everywhere.
ERR_CONFIGURED = 6
NOT_RUNNING = 7
# Works, but not as well as it should: shown, never acted on (API 1.1).
DEGRADED = 190


class AgentError(Exception):
    """An action ends with exit code ``code``; ``str()`` is the reason: place, fact and remedy."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def failed(reason: str) -> AgentError:
    """The plain failure (exit 1): on this node, now."""
    return AgentError(ERR_GENERIC, reason)


def not_here(reason: str) -> AgentError:
    """Exit 5: this node lacks something the resource needs; other nodes may have it."""
    return AgentError(ERR_INSTALLED, reason)
