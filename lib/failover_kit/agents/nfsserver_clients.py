"""Whom the notifier tells and from where: addresses of ours, clients on record, and their addresses."""

import os

from failover_kit.agents import nfsserver_state
from failover_kit.agents.nfsserver import STATE
from failover_kit.agents.nfsserver_state import PENDING
from failover_kit.kernel import netlink
from failover_kit.spec.values import address_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Job:
    """One address of ours, and the clients that are told from it: those of its family on record under ``label``.

    ``ip`` "" is whatever address the host has.
    """

    __slots__ = ("family", "ip", "label")

    def __init__(self, label: str, ip: str, family: int) -> None:
        self.label = label
        self.ip = ip
        self.family = family

    def directory(self) -> str:
        return f"{STATE}/{PENDING}/{self.label}"


def jobs_of(ips: "Sequence[str]") -> "list[Job]":
    if not ips:
        return [Job("default", "", netlink.AF_INET), Job("default", "", netlink.AF_INET6)]
    return [Job(ip, ip, netlink.family_of(address_bytes(ip))) for ip in ips]


def targets_of(job: Job, families: "set[int]") -> "dict[str, str]":
    """The clients that this job can reach: record to address. Those that are told by another one leave our list.

    A client without any usable address stays on record: the next start tries again.
    """
    targets = {}
    for name in nfsserver_state.names(job.directory()):
        found = _addresses(job.directory(), name)
        if job.family in found:
            targets[name] = found[job.family]
        elif not families.isdisjoint(found):
            if job.ip:  # without nfs_ip both families share one list
                os.unlink(f"{job.directory()}/{name}")
        elif found:
            where = f"{', '.join(found.values())}, of the family of no address in nfs_ip"
            log("warning", f"the client {name} is at {where}; it is not told to reclaim its NFSv3 locks")
    return targets


def recorded_address(name: str, line: str) -> str:
    """The address of a client from its record; "" when that has only a name.

    statd names the file for what DNS calls the client; in the line, after address, program, version,
    procedure and cookie, stands what the kernel called it: its address, unless nsm_use_hostnames is set.
    """
    return next(filter(None, map(plain_address, (*line.split()[5:6], name))), "")


def _addresses(directory: str, name: str) -> "dict[int, str]":
    """Where a client is, by address family: the recorded address alone, else what its name resolves to."""
    import socket

    try:
        with open(f"{directory}/{name}", encoding="ascii", errors="replace") as file:
            found = recorded_address(name, file.readline())
        if found:
            return {netlink.family_of(address_bytes(found)): found}
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        log("warning", f"the client {name} cannot be found ({error}); not told to reclaim its NFSv3 locks")
        return {}
    # The first of each family is the one that the resolver prefers.
    return {family: str(address[0]) for family, _, _, _, address in reversed(answers)}


def names_of(ip: str, hosts: str) -> "list[str]":
    """What clients may know the address by: itself, and what the text of /etc/hosts says. Asks no DNS."""
    found = [ip]
    for line in hosts.splitlines():
        words = line.partition("#")[0].split()
        if words and plain_address(words[0]) == ip:
            found += words[1:]
    return list(dict.fromkeys(found))


def plain_address(text: str) -> str:
    """An IPv4 or IPv6 address as inet_ntop(3) writes it; "" for anything else."""
    import socket

    try:
        address = address_bytes(text)
    except ValueError:
        return ""
    return socket.inet_ntop(netlink.family_of(address), address)


def log(level: str, text: str) -> None:
    """To syslog: this process has no stderr that anybody reads."""
    import syslog

    syslog.openlog("nfsserver", syslog.LOG_PID, syslog.LOG_DAEMON)
    number = {"error": syslog.LOG_ERR, "warning": syslog.LOG_WARNING, "info": syslog.LOG_INFO}[level]
    syslog.syslog(number, text)
