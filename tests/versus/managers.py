"""The two managers: their files, what starts them, how an order is given, how one sees that they are at rest."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from failover_kit import VERSION
from failover_kit.rehearsal.plan import BAUD, MCLAWS, PETE, SERIAL_DEVICE
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout, run
from versus.stage import KIT, PROGRAMS

if TYPE_CHECKING:
    from versus.stage import Stage

HEARTBEAT = "/usr/libexec/heartbeat/heartbeat"

# The same for both. The cables are the HOWTO's: a network link and a null-modem cable.
COMMON = f"""\
keepalive 200ms
warntime 1
deadtime 2
initdead {{initdead}}
auto_failback off
baud {{baud}}
serial {SERIAL_DEVICE}
udpport 694
ucast eth1 {PETE.heartbeat_address}
ucast eth1 {MCLAWS.heartbeat_address}
node pete
node mclaws
"""


def package_version(name: str) -> str:
    """``name`` and the version that dpkg has of it."""
    result = run(["dpkg-query", "-W", "-f=${Version}", name], Deadline(10_000))
    return f"{name} {result.stdout}" if result.ok() else f"{name}, not from a Debian package"


class Manager(ABC):
    """What a case needs to know of a manager."""

    name: str
    boot: str
    """The program of ``programs`` that a node runs when it boots."""
    start_s: float
    """The limit for a start of both nodes."""

    @abstractmethod
    def version(self) -> str:
        """For the page."""

    @abstractmethod
    def files(self) -> dict[str, str]:
        """ha.cf, haresources, authkeys."""

    def furnish(self, config: Path) -> None:  # noqa: B027 - not every manager has more
        """Put what else belongs into a node's ``/etc/ha.d``."""

    @abstractmethod
    def settled(self, stage: Stage) -> bool:
        """Whether both nodes are at rest after a start or a move."""

    @abstractmethod
    def standby(self, stage: Stage, name: str) -> None:
        """Order the node to give its service away; do not wait."""

    @abstractmethod
    def leave(self, stage: Stage, name: str) -> None:
        """Order the node's manager to end in good order; do not wait."""

    @abstractmethod
    def log(self, stage: Stage, name: str) -> str:
        """What the manager of that node said."""

    @abstractmethod
    def status(self, stage: Stage, name: str) -> str:
        """One line of what the node's status says to an operator now."""


class Heartbeat(Manager):
    """Debian's heartbeat, haresources mode."""

    name = "Heartbeat"
    boot = "boot-heartbeat"
    start_s = 120.0

    def version(self) -> str:
        return f"{package_version('heartbeat')}, {package_version('cluster-glue')}"

    def files(self) -> dict[str, str]:
        # 19200: the highest of its rates that is in ha.cf's manual page.
        common = COMMON.format(initdead=4, baud=19200)
        own = "logfile /etc/ha.d/ha.log\nrealtime off\ncrm no\nstonith_host * external/lab pete,mclaws\n"
        return {"ha.cf": own + common, "haresources": "pete svc\n", "authkeys": "auth 1\n1 sha1 comparison\n"}

    def furnish(self, config: Path) -> None:
        shutil.copytree("/etc/ha.d", config, symlinks=True, dirs_exist_ok=True)
        (config / "external").mkdir()
        shutil.copy(PROGRAMS / "lab", config / "external" / "lab")
        library = config / "heartbeat-lib"
        shutil.copytree("/var/lib/heartbeat", library, ignore=shutil.ignore_patterns("fifo"))
        for path in [library, *library.rglob("*")]:
            shutil.chown(path, "hacluster", "haclient")

    def settled(self, stage: Stage) -> bool:
        return all(self._rscstatus(stage, name) not in ("", "transition") for name in stage.nodes)

    def _rscstatus(self, stage: Stage, name: str) -> str:
        try:
            result = stage.run(name, ["/usr/bin/cl_status", "rscstatus"])
        except (CommandTimeout, CommandMissing):
            return ""
        return result.stdout.strip() if result.code == 0 else ""

    def standby(self, stage: Stage, name: str) -> None:
        stage.run(name, ["/usr/share/heartbeat/hb_standby", "all"])

    def leave(self, stage: Stage, name: str) -> None:
        stage.background(name, [HEARTBEAT, "-k"])

    def log(self, stage: Stage, name: str) -> str:
        path = stage.config(name) / "ha.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def status(self, stage: Stage, name: str) -> str:
        return f"cl_status rscstatus: {self._rscstatus(stage, name) or 'no answer'}"


class Failoverd(Manager):
    """Ours, from this checkout."""

    name = "failoverd"
    boot = "boot-failoverd"
    start_s = 120.0

    def version(self) -> str:
        return f"failover-kit {VERSION}"

    def files(self) -> dict[str, str]:
        own = (
            "fence_device lab /etc/ha.d/fence_lab ip=192.0.2.1 plug.pete=pete plug.mclaws=mclaws\n"
            "fence_delay 5\nfence_action reboot\nop_timeout 15\nmonitor_interval 5\n"
        )
        common = COMMON.format(initdead=4, baud=BAUD)
        key = "auth 1\n1 sha1 a-key-of-some-length-9f3c\n"
        return {"ha.cf": common + own, "haresources": "pete svc\n", "authkeys": key}

    def settled(self, stage: Stage) -> bool:
        views = [self._view(stage, name) for name in stage.nodes]
        return all(view.get("health") == "healthy" for view in views)

    def _view(self, stage: Stage, name: str) -> dict[str, str]:
        try:
            return dict(json.loads(self._ctl(stage, name, "status", "--json"))["view"])
        except (ValueError, KeyError):
            return {}

    def _ctl(self, stage: Stage, name: str, *words: str) -> str:
        try:
            return stage.run(name, [str(KIT / "bin" / "failoverctl"), *words]).stdout
        except (CommandTimeout, CommandMissing):
            return ""

    def standby(self, stage: Stage, name: str) -> None:
        stage.background(name, [str(KIT / "bin" / "failoverctl"), "standby"])

    def leave(self, stage: Stage, name: str) -> None:
        stage.run(name, ["kill", "-TERM", str(stage.nodes[name].daemon_pid)])

    def log(self, stage: Stage, name: str) -> str:
        return "\n".join(stage.nodes[name].log)

    def status(self, stage: Stage, name: str) -> str:
        view = self._view(stage, name)
        said = f"{view['health']}: {view['reason']}" if view else "no answer"
        return f"failoverctl status: {said}"


MANAGERS: tuple[Manager, ...] = (Heartbeat(), Failoverd())
