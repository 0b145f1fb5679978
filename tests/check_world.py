"""A node made of a directory: a clean pair's configuration, and whatever a test does to it."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Callable
from pathlib import Path

from failover_kit.check import examine
from failover_kit.check.findings import Finding
from failover_kit.check.nodefacts import Facts
from failover_kit.check.probes import Disk, Mounted, Probes
from failover_kit.check.subject import Subject
from failover_kit.check.tree import Tree
from failover_kit.manager.callers import Search
from failover_kit.manager.status import Status

CHECKOUT = Path(__file__).parents[1]
UUID = "4d6b1f0a-2b1c-4a57-9d5e-0a1b2c3d4e5f"
WALL_MS = 1_764_000_000_000

HA_CF = """\
node pete mclaws
keepalive 1
deadtime 10
initdead 60
watchdog /dev/watchdog
baud 9600
serial /dev/ttyS0
ucast eth1 192.168.1.1
ucast eth1 192.168.1.2
""" + (
    "fence_device benjamin fence_wti_ips800 ip=192.0.2.219 password_file=/etc/ha.d/benjamin.password "
    "plug.pete=1 plug.mclaws=5\n"
)
HARESOURCES = """\
pete Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs \\
     nfsserver::/mnt/e0.0/.nfs::192.0.2.220 \\
     exportfs::/mnt/e0.0::192.0.2.0/24::rw,sync,no_subtree_check::1 \\
     IPaddr::192.0.2.220/24/eth0
"""
AUTHKEYS = "auth 1\n1 sha256 0123456789abcdef0123456789abcdef\n"


class FakeTree(Tree):
    """A tree with character devices that nobody has to be root to make."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.devices = {"/dev/ttyS0", "/dev/watchdog"}

    def mode(self, path: str) -> int | None:
        return stat.S_IFCHR | 0o600 if path in self.devices else super().mode(path)


class FakeProbes(Probes):
    """Answers as a healthy pete gives them; a test changes them."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "pete"
        self.wall = WALL_MS
        self.synchronised: bool | None = True
        self.names = {
            "pete": ("192.0.2.218",), "mclaws": ("192.0.2.217",), "benjamin.example": ("192.0.2.219",),
        }  # fmt: skip
        self.interfaces: dict[str, tuple[str, ...]] = {
            "lo": ("127.0.0.1/8",), "eth0": ("192.0.2.218/24",), "eth1": ("192.168.1.1/30",),
        }  # fmt: skip
        self.mounted = [Mounted("/", "/dev/sda1", "ext4")]
        self.disk_answer = Disk(fstype="xfs", uuid=UUID, label="data", bytes=1 << 40)
        self.free = 1 << 34
        self.hidden = 0
        self.running = ""

    def node(self) -> str:
        return self.name

    def wall_ms(self) -> int:
        return self.wall

    def clock_synchronised(self) -> bool | None:
        return self.synchronised

    def addresses_of(self, name: str) -> tuple[str, ...]:
        return self.names.get(name, ())

    def networks(self) -> dict[str, tuple[str, ...]]:
        return self.interfaces

    def mounts(self) -> tuple[Mounted, ...]:
        return tuple(self.mounted)

    def disk(self, spec: str) -> Disk:
        return self.disk_answer

    def entries(self, directory: str) -> int:
        return self.hidden

    def heartbeat(self) -> str:
        return self.running

    def free_bytes(self, directory: str) -> int | None:
        return self.free


class World:
    """One node. Paths are as the node sees them."""

    def __init__(self, root: Path, *, mclaws: bool = False) -> None:
        self.root = root
        self.tree = FakeTree(str(root))
        self.probes = FakeProbes()
        self.status: Status | None = None
        if mclaws:
            self.probes.name = "mclaws"
            self.probes.interfaces |= {"eth0": ("192.0.2.217/24",), "eth1": ("192.168.1.2/30",)}
        self.write("/etc/ha.d/ha.cf", HA_CF)
        self.write("/etc/ha.d/haresources", HARESOURCES)
        self.write("/etc/ha.d/authkeys", AUTHKEYS, 0o600)
        self.write("/etc/ha.d/benjamin.password", "not-in-any-book\n", 0o600)
        self.link(
            "/etc/systemd/system/multi-user.target.wants/failoverd.service", "/lib/systemd/system/failoverd.service"
        )
        (root / "mnt/e0.0").mkdir(parents=True)
        (root / "var/lib/failover-kit").mkdir(parents=True)
        (root / "run/systemd/system").mkdir(parents=True)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace ``old``, which must be there; the mode stays."""
        file = self.root / path.lstrip("/")
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def link(self, path: str, target: str) -> None:
        link = self.root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def host(self) -> examine.Host:
        search = Search(
            ocf_own=(str(CHECKOUT / "ocf"),),
            scripts=(str(self.root / "etc/ha.d/resource.d"), str(self.root / "etc/init.d")),
            units=(str(self.root / "etc/systemd/system"), str(self.root / "lib/systemd/system")),
            systemctl="/bin/true",
            fence=(str(CHECKOUT / "stonith"), str(self.root / "usr/sbin")),
            stonith=(str(CHECKOUT / "stonith" / "stonith"),),
        )
        return examine.Host(tree=self.tree, probes=self.probes, search=search)

    def subject(self) -> Subject:
        return examine.subject_of(self.host(), self.status, "" if self.status else "failoverd was not asked")

    def facts(self) -> Facts:
        return examine.own_facts(self.subject())

    def findings(self) -> tuple[Finding, ...]:
        return self.facts().findings


def compare(pete: World, mclaws: World, *, piped: bool = True) -> tuple[Finding, ...]:
    """The findings of pete's check with mclaws' facts."""
    subject = pete.subject()
    return examine.compared(subject, examine.own_facts(subject), mclaws.facts(), piped=piped)


Change = Callable[[World], None]


def with_status(world: World, status: Status, **view: object) -> None:
    world.status = dataclasses.replace(status, view=dataclasses.replace(status.view, **view))  # type: ignore[arg-type]
