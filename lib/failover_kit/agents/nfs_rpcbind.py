"""rpcbind, without which NFSv3, statd and lockd cannot be found: is it there, and if not, start it."""

import time
from _socket import AF_INET, AF_UNIX, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812  # the C type: the socket module costs as much as a monitor

from failover_kit.agents import nfs_units
from failover_kit.ocf.codes import failed, not_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

_PATHS = ("/run/rpcbind.sock", "/var/run/rpcbind.sock")
_PORT = 111  # RFC 1833
_PATIENCE_MS = 5000
_POLL_S = 0.05
_CONNECT_S = 1.0


def answers() -> bool:
    """Whether somebody accepts connections where rpcbind does."""
    for path in _PATHS:
        if _accepts(AF_UNIX, path):
            return True
    return _accepts(AF_INET, ("127.0.0.1", _PORT))


def _accepts(family: int, address: "str | tuple[str, int]") -> bool:
    connection = Socket(family, SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_S)
        connection.connect(address)
    except OSError:
        return False
    finally:
        connection.close()
    return True


def require(call: "Call") -> None:
    """rpcbind answers, after starting it if need be; AgentError when it does not."""
    if answers():
        return
    from failover_kit.spec.process import CommandMissing, CommandTimeout, run

    systemd = [nfs_units.SYSTEMCTL, "start", "rpcbind.socket"]
    argv = systemd if nfs_units.managed() else ["rpcbind", "-w"]
    call.log("warning", f"rpcbind does not run; starting it ({' '.join(argv)}). Enable it at boot")
    try:
        result = run(argv, call.deadline.at_most(_PATIENCE_MS))
    except CommandMissing as error:
        raise not_here(str(error)) from None
    except CommandTimeout as error:
        raise failed(str(error)) from None
    waiting = call.deadline.at_most(_PATIENCE_MS)
    while not answers():
        if waiting.expired():
            raise failed(f"rpcbind does not answer within 5 s, and NFSv3 needs it: {result.describe()}")
        time.sleep(_POLL_S)
