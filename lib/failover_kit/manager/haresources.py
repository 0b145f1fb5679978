"""``haresources``: which resources form a group, in which order, and where the group is at home. Pure.

The file is Heartbeat's: ``NODE RESOURCE...``, a backslash at the very end of a line joins the next, a
resource is ``script::arg::arg`` or a bare IPv4 address. An IPv6 address is written as an argument and without
its own ``::``, which parts arguments: ``IPaddr::2001:db8:0:0:0:0:0:1/64/eth0``; Heartbeat takes that, too. Our
extensions: ``ocf:PROVIDER:TYPE::name=value`` calls an OCF agent, ``systemd:UNIT`` and ``lsb:SCRIPT`` say which of
the two a name is, and every resource takes ``op_monitor_interval=10s``, ``op_monitor_depth=10`` and
``op_ACTION_timeout=60s`` among its arguments. Which file a script name stands for is looked up at start, never
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from failover_kit.manager.config import (
    GROUP_NAME_BYTES,
    Group,
    Parsed,
    Resource,
    ResourceKind,
    is_secret_compared,
    is_secret_name,
)
from failover_kit.manager.configtext import Report, Word, nearest, shown, split_words, text_lines, time_ms

ADDRESS_TYPES = ("IPaddr", "IPaddr2")
OP_ACTIONS = ("start", "stop", "monitor")
DEEPEST = 100
"""OCF_CHECK_LEVEL: 0, 10 and 20 are usual; agents know no other that is larger than this."""

_KINDS = {"systemd": ResourceKind.UNIT, "lsb": ResourceKind.LSB}

_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")
_OCF_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OPTION = re.compile(r"op_[a-z_]+=.*")
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9_.:@+-]")


def parse(text: str, nodes: tuple[str, ...] | None, file: str = "haresources") -> Parsed[tuple[Group, ...]]:
    """The groups of a haresources file, or everything that is wrong with it.

    ``nodes`` are those of ha.cf; None when ha.cf could not tell, and home nodes are not checked then.
    """
    report = Report(file)
    groups: list[Group] = []
    for words in _joined_lines(text, report):
        group = _group(words, nodes, report)
        if group is not None:
            groups.append(group)
    if not groups and not report.problems:
        report.error(None, "no resources; write a line NODE RESOURCE...")
    _check_names(groups, report)
    _check_shared(groups, report)
    if report.problems:
        return Parsed(None, report.sorted_problems(), report.sorted_notes())
    return Parsed(tuple(groups), (), report.sorted_notes())


def _joined_lines(text: str, report: Report) -> Iterator[list[Word]]:
    """The words of each logical line; continuation errors are reported on the way."""
    pending: list[Word] = []
    lines = text_lines(text, report)
    for number, line in enumerate(lines, 1):
        body, joined = _without_continuation(line, number, report, last=number == len(lines))
        pending += _before_comment(body, number, report, joined=joined)
        if not joined:
            if pending:
                yield pending
            pending = []
    if pending:
        yield pending


def _without_continuation(line: str, number: int, report: Report, *, last: bool) -> tuple[str, bool]:
    """The line without its final backslash, and whether the next line belongs to it."""
    if line.endswith("\\"):
        if last:
            place = Word("", number, len(line))
            report.error(place, "backslash in the last line of the file; remove it, nothing follows")
            return line[:-1], False
        return line[:-1], True
    bare = line.rstrip()
    if bare.endswith("\\"):
        # The blank is not visible in an editor, and Heartbeat then ran half of the group.
        place = Word("", number, len(bare) + 1)
        report.error(place, "blank after the backslash; remove it, or the next line is not joined")
        return bare[:-1], True
    return line, False


def _before_comment(body: str, number: int, report: Report, *, joined: bool) -> list[Word]:
    """The words up to one that begins with ``#``."""
    words = split_words(body, number)
    for position, word in enumerate(words):
        if word.text.startswith("#"):
            if joined:
                report.error(word, "backslash at the end of a comment; remove the backslash or the comment")
            return words[:position]
    return words


def _group(words: list[Word], nodes: tuple[str, ...] | None, report: Report) -> Group | None:
    """One logical line; None when it has no usable resource."""
    home = words[0].text.lower()
    if nodes is not None and home not in nodes:
        if _bare_address(words[0].text) or "::" in words[0].text:
            remedy = "begin the line with a node, or join it to the line before with a backslash"
        else:
            close = nearest(home, nodes)
            remedy = f"did you mean {close}?" if close else f"use {' or '.join(nodes)}"
        report.error(words[0], f"{shown(words[0].text)} is no node of ha.cf; {remedy}")
    if len(words) == 1:
        report.error(words[0], f"no resource after node {shown(home)}; add one, or remove the line")
        return None
    resources = [resource for word in words[1:] if (resource := _resource(word, report)) is not None]
    if len(resources) != len(words) - 1:
        return None
    name = _group_name(resources[0])
    return Group(name=name, home=home, resources=tuple(resources), line=words[0].line)


def _bare_address(text: str) -> bool:
    """Whether the word is ``192.0.2.1`` or ``192.0.2.1/24/eth0/192.0.2.255``."""
    return _is_ipv4(text.partition("/")[0])


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text.partition("/")[0])
    except AddressValueError:
        return False
    return True


def _written_out(text: str) -> str:
    """An IPv6 address with its eight groups, and what stands behind it: ``2001:db8:0:0:0:0:0:1/64/eth0``."""
    address, slash, rest = text.partition("/")
    groups = IPv6Address(address).exploded.partition("%")[0].split(":")
    return ":".join(f"{int(group, 16):x}" for group in groups) + slash + rest


def _resource(word: Word, report: Report) -> Resource | None:
    """One resource word, or None after reporting what is wrong with it."""
    text = word.text
    if "\\" in text:
        column = word.column + text.index("\\")
        place = Word(text, word.line, column)
        report.error(place, "backslash inside the line; arguments cannot contain blanks or backslashes")
        return None
    if not text.isprintable():
        report.error(word, f"{shown(text)} has an invisible character; type the word again")
        return None
    if _bare_address(text):
        return _script(word, "IPaddr", (text,), report)
    head, *rest = text.split("::")
    if _is_ipv6(text) and not _SCRIPT_NAME.fullmatch(head):  # but "add::0" is a script with an argument
        report.error(word, f"IPv6 address; write IPaddr::{shown(_written_out(text))}")
        return None
    if head == "OCF":
        report.error(word, "OCF::TYPE::INSTANCE is not read; write ocf:PROVIDER:TYPE::name=value")
        return None
    if head.startswith("ocf:") or head == "ocf":
        return _ocf(word, head, rest, report)
    options: dict[str, int] = {}
    args = [item for item in rest if not _OPTION.fullmatch(item)]
    sound = [_option(word, item, options, report) for item in rest if _OPTION.fullmatch(item)]
    if head.partition(":")[0] in _KINDS:
        resource = _spelled_out(word, head, args, report)
    else:
        resource = _script(word, head, tuple(args), report)
    if resource is None or not all(sound):
        return None
    if resource.kind is not ResourceKind.SCRIPT and "op_monitor_depth" in options:
        report.error(word, f"{head} has no depth, its status is all there is; remove op_monitor_depth")
        return None
    return _with_options(resource, options)


def _spelled_out(word: Word, head: str, args: list[str], report: Report) -> Resource | None:
    """``systemd:UNIT`` or ``lsb:SCRIPT``, which have no arguments."""
    kind, _, name = head.partition(":")
    if not _SCRIPT_NAME.fullmatch(name):
        report.error(word, f"{shown(name) or 'nothing'} is no name; write {kind}:NAME, without a path")
        return None
    if args and args != [""]:  # "::" at the end, with nothing after it
        report.error(word, f"{head} takes no arguments; remove {shown('::'.join(args))}")
        return None
    return Resource(kind=_KINDS[kind], type=name, line=word.line, column=word.column)


def _with_options(resource: Resource, options: dict[str, int]) -> Resource:
    """The resource with what its ``op_`` words say."""
    return replace(
        resource,
        monitor_interval_ms=options.get("op_monitor_interval"),
        monitor_depth=options.get("op_monitor_depth", 0),
        timeouts_ms=tuple((name[3:-8], value) for name, value in options.items() if name.endswith("_timeout")),
    )


def _script(word: Word, head: str, args: tuple[str, ...], report: Report) -> Resource | None:
    """``script::arg::arg``. The name is a plain file name: nothing else may ever be executed by it."""
    if not _SCRIPT_NAME.fullmatch(head):
        report.error(word, f"{shown(head) or 'nothing'} is no script name; write a file name, without a path")
        return None
    if head == "IPv6addr":
        address = "::".join(args)  # the "::" inside the address, put back
        if not _is_ipv6(address):
            report.error(word, "IPv6addr needs an IPv6 address; write IPv6addr::ADDRESS/64/eth0, or ADDRESS alone")
            return None
        args = (address,)
    if args and not args[-1]:
        args = args[:-1]  # "::" at the end, with nothing after it
    if "" in args:
        # Heartbeat's shell dropped it, and every argument behind it moved one place to the left.
        report.error(word, f"{head} has an empty argument; remove one :: or write the argument")
        return None
    if head in ADDRESS_TYPES and not _check_address(word, head, args, report):
        return None
    if head == "Filesystem" and len(args) < 2:
        report.error(word, "Filesystem needs a device and a mount point; write Filesystem::DEVICE::DIR::TYPE")
        return None
    return Resource(kind=ResourceKind.SCRIPT, type=head, args=args, line=word.line, column=word.column)


def _check_address(word: Word, head: str, args: tuple[str, ...], report: Report) -> bool:
    """``IPaddr::ip/mask/nic/bcast``: the address, and the mask as a prefix length or, for IPv4, dotted."""
    whole = "::".join(args)
    if len(args) > 1 and _is_ipv6(whole):
        report.error(word, f":: parts arguments; write the address in full, {head}::{shown(_written_out(whole))}")
        return False
    six = bool(args) and _is_ipv6(args[0])
    if not six and (not args or not _bare_address(args[0])):
        report.error(word, f"{head} needs an address; write {head}::ADDRESS or {head}::ADDRESS/24/eth0")
        return False
    parts = args[0].split("/")
    mask = parts[1] if len(parts) > 1 else ""
    prefix = mask.isascii() and mask.isdigit() and len(mask) <= 3 and int(mask) <= (128 if six else 32)
    if mask and not prefix and not _is_ipv4(mask):
        report.error(word, f"{shown(mask)} is no netmask; write ADDRESS/24/eth0, or the address alone")
        return False
    return True


def _ocf(word: Word, head: str, rest: list[str], report: Report) -> Resource | None:
    """``ocf:provider:type::name=value::op_monitor_interval=10s``."""
    parts = head.split(":")
    if len(parts) != 3 or not all(_OCF_NAME.fullmatch(part) for part in parts):
        report.error(word, f"{shown(head)} is no OCF agent; write ocf:PROVIDER:TYPE::name=value")
        return None
    parameters: dict[str, str] = {}
    options: dict[str, int] = {}
    sound = True
    for item in _parameter_texts(rest):
        name, equals, value = item.partition("=")
        if not equals or not _PARAMETER_NAME.fullmatch(name):
            what = "a parameter" if is_secret_name(name) else shown(item) or "an empty parameter"
            report.error(word, f"{what} is not name=value; write ocf:{parts[1]}:{parts[2]}::name=value")
            sound = False
        elif name.startswith("op_"):
            sound = _option(word, item, options, report) and sound
        elif name in parameters:
            report.error(word, f"parameter {shown(name)} is given twice; keep one")
            sound = False
        else:
            parameters[name] = value
    if not sound:
        return None
    resource = Resource(
        kind=ResourceKind.OCF,
        provider=parts[1],
        type=parts[2],
        parameters=tuple(parameters.items()),
        line=word.line,
        column=word.column,
    )
    return _with_options(resource, options)


def _parameter_texts(pieces: list[str]) -> list[str]:
    """What stood between the ``::``, with the ``::`` of an IPv6 address put back."""
    joined: list[str] = []
    for piece in pieces:
        whole = f"{joined[-1]}::{piece}" if joined else ""
        if "=" not in piece and _is_ipv6(whole.partition("=")[2]):
            joined[-1] = whole
        else:
            joined.append(piece)
    return joined


def _option(word: Word, item: str, options: dict[str, int], report: Report) -> bool:
    """``op_monitor_interval``, ``op_monitor_depth`` or ``op_ACTION_timeout``; False when it is wrong; reported."""
    name, _, value = item.partition("=")
    known = ["op_monitor_interval", "op_monitor_depth", *(f"op_{action}_timeout" for action in OP_ACTIONS)]
    if name not in known:
        close = nearest(name, known)
        report.error(word, f"unknown option {shown(name)}; use {close or ', '.join(known)}")
    elif name in options:
        report.error(word, f"parameter {shown(name)} is given twice; keep one")
    elif name == "op_monitor_depth":
        if value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= DEEPEST:
            options[name] = int(value)
            return True
        report.error(word, f"{name}: {shown(value)} is no depth; write a number such as 10 or 20, or nothing for 0")
    else:
        return _option_time(word, name, value, options, report)
    return False


def _option_time(word: Word, name: str, value: str, options: dict[str, int], report: Report) -> bool:
    try:
        options[name] = time_ms(value)
    except ValueError as error:
        report.error(word, f"{name}: {error}")
        return False
    if options[name] == 0 and name != "op_monitor_interval":
        report.error(word, f"{name} must be more than 0; without a limit a call could block a takeover")
        return False
    return True


def _addresses(resource: Resource) -> list[str]:
    """Addresses this resource brings up, as far as the configuration tells."""
    named = dict(resource.parameters)
    if resource.type in ADDRESS_TYPES:
        written = resource.args[0] if resource.args else named.get("ip", "")
    elif resource.type == "IPv6addr":
        written = resource.args[0] if resource.args else named.get("ipv6addr", "")
    else:
        written = ""
    address = written.partition("/")[0].lower()
    if _is_ipv6(address):
        address = str(IPv6Address(address))  # one spelling: the same address twice must not pass for two
    return [address] if address else []


def _devices(resource: Resource) -> list[str]:
    """Block or network devices this resource mounts; UUID and LABEL in one spelling."""
    if resource.type != "Filesystem":
        return []
    device = resource.args[0] if resource.args else dict(resource.parameters).get("device", "")
    for option, key in (("-U", "UUID="), ("-L", "LABEL=")):
        if device.startswith(option):
            device = key + device[2:].strip()
    if device.startswith("/"):
        return [_plain_path(device)]
    return [device] if "=" in device or ":" in device else []  # "tmpfs" and "none" may stand twice


def _directories(resource: Resource) -> list[str]:
    """Mount points of this resource."""
    if resource.type != "Filesystem":
        return []
    directory = resource.args[1] if len(resource.args) > 1 else dict(resource.parameters).get("directory", "")
    return [_plain_path(directory)] if directory else []


def _plain_path(path: str) -> str:
    """A path without doubled and final slashes, so that spelling does not hide a collision."""
    return re.sub(r"/+", "/", path).rstrip("/") or "/"


def _group_name(first: Resource) -> str:
    """A short name for the group, from its first resource, fit for the wire and the command line.

    The address where the group begins with one, else the script, with the last part of its first
    argument: ``192.0.2.1``, ``nfs-common``, ``Filesystem:e0.0``.
    """
    addresses = _addresses(first)
    if addresses:
        return _UNSAFE_IN_NAME.sub("_", addresses[0])[:GROUP_NAME_BYTES]
    values = first.args or tuple(value for name, value in first.parameters if not is_secret_compared(name))
    tail = _plain_path(values[0]).rpartition("/")[2] if values else ""
    name = f"{first.type}:{tail}" if tail else first.type
    return _UNSAFE_IN_NAME.sub("_", name)[:GROUP_NAME_BYTES]


def _check_names(groups: list[Group], report: Report) -> None:
    """A group's name must be its own: the nodes speak of groups by name."""
    seen: dict[str, Group] = {}
    for group in groups:
        other = seen.setdefault(group.name, group)
        if other is not group:
            first = group.resources[0]
            place = Word("", first.line, first.column)
            remedy = "begin one of them with a different resource, best its address"
            report.error(place, f"a second group named {group.name}, first in line {other.line}; {remedy}")


def _check_shared(groups: list[Group], report: Report) -> None:
    """No address, device or mount point in two groups: both nodes could then have it at once (rule 20).

    An address or a mount point twice in one group is a slip, too; a device may be mounted twice
    there (subvolumes), since the group always runs on one node.
    """
    kinds: tuple[tuple[str, Callable[[Resource], list[str]], bool], ...] = (
        ("address", _addresses, True),
        ("device", _devices, False),
        ("mount point", _directories, True),
    )
    for what, values_of, also_within in kinds:
        seen: dict[str, tuple[Group, Resource]] = {}
        for group in groups:
            for resource in group.resources:
                for value in values_of(resource):
                    other_group, other = seen.setdefault(value, (group, resource))
                    if other is resource or (other_group is group and not also_within):
                        continue
                    place = Word("", resource.line, resource.column)
                    where = "this group" if other_group is group else f"group {other_group.name}"
                    remedy = f"it is in {where} already, line {other.line}; keep one"
                    report.error(place, f"{what} {shown(value)} stands twice; {remedy}")
