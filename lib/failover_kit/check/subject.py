"""One node under examination: its configuration, its files, its answers, and failoverd's word where it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from failover_kit.check.bootstart import BootStarts
from failover_kit.check.managed import Managed
from failover_kit.check.probes import Disk, Probes
from failover_kit.check.tree import Tree
from failover_kit.manager.callers import Search
from failover_kit.manager.config import LoadedConfig
from failover_kit.manager.status import Status

STATE_DIR = "/var/lib/failover-kit"


@dataclass(kw_only=True)
class Subject:
    """``status`` is None where failoverd did not answer; ``silence`` is then why."""

    node: str
    peer: str
    loaded: LoadedConfig
    tree: Tree
    probes: Probes
    search: Search
    config_dir: str
    state_dir: str = STATE_DIR
    status: Status | None = None
    silence: str = ""
    managed: Managed = field(init=False)
    boot: BootStarts = field(init=False)
    disks: dict[str, Disk] = field(init=False)

    def __post_init__(self) -> None:
        self.managed = Managed(self.loaded.config)
        self.boot = BootStarts(self.tree)
        self.disks = {volume.device: self.probes.disk(volume.device) for volume in self.managed.volumes}

    def file(self, name: str) -> str:
        """The path of one of the three files."""
        return os.path.join(self.config_dir, name)

    def text(self, name: str) -> str:
        return self.tree.text(self.file(name)) or ""
