"""What the cluster manages, read off the configuration: services, filesystems, arrays, exports. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from failover_kit.agents.haresources import parameters_for
from failover_kit.manager.config import ClusterConfig, Group, Resource, ResourceKind

ADDRESS_TYPES = ("IPaddr", "IPaddr2", "IPv6addr", "IPsrcaddr")
BEFORE_ANY_SERVICE = ("Filesystem", "Raid1", "mdraid", "LVM", "LVM-activate", "drbddisk", "drbdupper", "portblock")
"""Types that serve nobody by themselves: an address may come up before or after them alone."""

_ARRAY_TYPES = ("Raid1", "mdraid")
_LVM_TYPES = ("LVM", "LVM-activate")

# What OCF agents of ClusterLabs drive, by the names distributions give the service.
_OCF_SERVICES = {
    "apache": ("apache2", "httpd"),
    "dhcpd": ("isc-dhcp-server", "dhcpd"),
    "galera": ("mysql", "mariadb"),
    "iSCSITarget": ("tgt", "target", "rtslib-fb-targetctl"),
    "mariadb": ("mariadb", "mysql"),
    "mysql": ("mysql", "mariadb", "mysqld"),
    "named": ("named", "bind9"),
    "nfsserver": ("nfs-kernel-server", "nfs-server"),
    "pgsql": ("postgresql",),
    "rsyncd": ("rsync", "rsyncd"),
    "slapd": ("slapd",),
}
_OWN_SERVICES = {"nfsserver": ("nfs-kernel-server", "nfs-server"), "killnfsd": (), "exportfs": ()}


@dataclass(frozen=True, slots=True)
class Volume:
    """A filesystem of the cluster: what its resource says."""

    device: str
    directory: str
    options: str
    place: str


@dataclass(frozen=True, slots=True)
class Array:
    """An MD array of the cluster."""

    device: str
    place: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the cluster under every name it may have at boot."""

    names: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Export:
    """One directory for one client: of an exportfs resource or a line of /etc/exports."""

    path: str
    client: str
    options: tuple[str, ...]
    place: str

    @property
    def fsid(self) -> str:
        """What stands after fsid=, with 0 for root; "" without."""
        found = next((word[5:] for word in reversed(self.options) if word.startswith("fsid=")), "")
        return "0" if found == "root" else found


def place_of(resource: Resource) -> str:
    return f"haresources:{resource.line}:{resource.column}"


def parameters_of(resource: Resource) -> dict[str, str]:
    """A resource's parameters by name, its haresources arguments included where they are our agents'."""
    if resource.kind is ResourceKind.OCF:
        return dict(resource.parameters)
    try:
        return parameters_for(resource.type, resource.args) or {}
    except ValueError:
        return {}


class Managed:
    """Everything of one configuration."""

    def __init__(self, config: ClusterConfig) -> None:
        self.groups: tuple[Group, ...] = config.groups
        resources = [resource for group in config.groups for resource in group.resources]
        self.volumes = tuple(volume for resource in resources for volume in _volumes(resource))
        self.arrays = tuple(array for resource in resources for array in _arrays(resource))
        self.volume_groups = tuple(group for resource in resources for group in _volume_groups(resource))
        self.services = tuple(service for resource in resources for service in _services(resource))
        self.exports = tuple(export for resource in resources for export in _exports(resource))

    def devices(self) -> tuple[str, ...]:
        """Filesystems' devices and arrays, as written."""
        return tuple(dict.fromkeys([v.device for v in self.volumes] + [a.device for a in self.arrays]))

    def directory_above(self, path: str) -> str:
        """The mount point of the cluster that ``path`` is or lies under; "" when it lies under none."""
        above = [v.directory for v in self.volumes if path == v.directory or path.startswith(v.directory + "/")]
        return max(above, key=len, default="")


def _volumes(resource: Resource) -> Iterator[Volume]:
    if resource.type != "Filesystem":
        return
    values = parameters_of(resource)
    device, directory = values.get("device", ""), values.get("directory", "").rstrip("/")
    if device and directory:
        yield Volume(_spelled(device), directory, values.get("options", ""), place_of(resource))


def _spelled(device: str) -> str:
    """``-U …`` and ``-L …`` in fstab's spelling."""
    for option, key in (("-U", "UUID="), ("-L", "LABEL=")):
        if device.startswith(option):
            return key + device[2:].strip()
    return device


def _arrays(resource: Resource) -> Iterator[Array]:
    """``Raid1::CONFIG::DEVICE``, raiddev and md_dev of the OCF agents, and a filesystem's /dev/md*."""
    values = parameters_of(resource)
    if resource.type in _ARRAY_TYPES:
        last = resource.args[-1] if resource.args else ""
        device = values.get("raiddev") or values.get("md_dev") or last
        if device.startswith("/dev/"):
            yield Array(device, place_of(resource))
    elif resource.type == "Filesystem" and values.get("device", "").startswith("/dev/md"):
        yield Array(values["device"], place_of(resource))


def _volume_groups(resource: Resource) -> Iterator[tuple[str, str]]:
    """(volume group, place)."""
    if resource.type not in _LVM_TYPES:
        return
    values = parameters_of(resource)
    name = values.get("volgrpname") or values.get("vg_name") or (resource.args[0] if resource.args else "")
    if name:
        yield name, place_of(resource)


def _services(resource: Resource) -> Iterator[Service]:
    name = resource.type.removesuffix(".service")
    if resource.kind is ResourceKind.OCF:
        names = _OCF_SERVICES.get(name, (name.lower(),))
    else:
        # A name that is our agent's drives no service but these; any other is a script's or a unit's own.
        names = _OWN_SERVICES.get(name, (name,))
    if names and resource.type not in (*ADDRESS_TYPES, *BEFORE_ANY_SERVICE):
        yield Service(names, place_of(resource))


def _exports(resource: Resource) -> Iterator[Export]:
    """The pairs of an exportfs resource, ours or ClusterLabs'. Several directories count their fsid upwards."""
    if resource.type != "exportfs":
        return
    values = parameters_of(resource)
    options = tuple(word for word in values.get("options", "").split(",") if word)
    fsid = values.get("fsid", "")
    for number, path in enumerate(values.get("directory", "").replace('"', "").split()):
        own = f"fsid={int(fsid) + number}" if fsid.isascii() and fsid.isdigit() else f"fsid={fsid}" if fsid else ""
        kept = options if not own else (*(word for word in options if not word.startswith("fsid=")), own)
        for client in values.get("clientspec", "").split():
            yield Export(path.rstrip("/") or "/", client, kept, place_of(resource))
