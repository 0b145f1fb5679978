"""What the kernel and nfs-utils write is read back as it was meant; what they never write is an error and no more.

The writers here are written from the kernel's source, not from our readers: two of one hand would agree in
their mistakes.
"""

import os
import struct

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from failover_kit.kernel import (
    addresses,
    exports,
    exports_cache,
    exports_nfsd,
    links,
    mounts,
    netlink,
    processes,
    routes,
    tcpkill,
)

# --- /proc/self/mountinfo: show_mountinfo() in fs/proc_namespace.c, mangle_path() in fs/seq_file.c ---

# What a line that the kernel never writes may raise; a reader of the whole table does not hide it.
NO_MOUNT = (ValueError, IndexError, OverflowError)


def kernel_escape(raw, signs):
    return b"".join(b"\\%03o" % byte if byte in signs else bytes((byte,)) for byte in raw)


# Bytes, not text: a path on Linux is any bytes but NUL. Backslashes, blanks and digits together are the hard part.
piece = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.text(alphabet="\\ \t\n#0147abü%.", min_size=1, max_size=12).map(str.encode),
).map(lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"_"))
raw_path = st.lists(piece, min_size=1, max_size=4).map(lambda pieces: b"/" + b"/".join(pieces))
optional_fields = st.lists(
    st.sampled_from([b"shared:7", b"master:3", b"propagate_from:2", b"unbindable"]), max_size=3
)


def mountinfo_line(number, device, *, root=b"/", point=b"/", optional=(), fstype=b"xfs", source=b"none"):
    head = [
        b"%d" % number,
        b"1",
        b"%d:%d" % device,
        kernel_escape(root, b" \t\n\\"),
        kernel_escape(point, b" \t\n\\"),
    ]
    tail = [kernel_escape(fstype, b" \t\n\\#"), kernel_escape(source, b" \t\n\\#"), b"rw,inode64"]
    return b" ".join([*head, b"rw,noatime", *optional, b"-", *tail]) + b"\n"


@settings(deadline=None)
@given(st.lists(raw_path, min_size=1, max_size=6, unique=True), raw_path, piece, optional_fields)
def test_every_mount_point_is_found_under_its_own_name_and_no_other(points, root, source, optional):
    table = mounts.MountTable(
        b"".join(
            mountinfo_line(10 + number, (7, number), root=root, point=point, source=source, optional=optional)
            for number, point in enumerate(points)
        )
    )
    for number, point in enumerate(points):
        found = table.at(os.fsdecode(point))
        assert found is not None
        assert (found.id, found.device) == (10 + number, os.makedev(7, number))
        assert [os.fsencode(text) for text in (found.point, found.root, found.source)] == [point, root, source]
        assert (found.fstype, found.options, found.super_options) == ("xfs", ["rw", "noatime"], ["rw", "inode64"])
        assert [mount.id for mount in table.of_device(os.makedev(7, number))] == [10 + number]
        if point + b"x" not in points:
            assert table.at(os.fsdecode(point + b"x")) is None
    assert [mount.id for mount in table.all()] == list(range(10, 10 + len(points)))


@settings(deadline=None)
@given(st.binary(max_size=120).filter(lambda line: b"\n" not in line))
def test_a_line_that_is_none_is_an_error_and_never_a_wrong_mount(line):
    try:
        mount = mounts.Mount(line)
    except NO_MOUNT:
        return
    assert b" - " in line
    assert mount.device >= 0


@settings(deadline=None)
@given(st.data())
def test_a_line_cut_short_is_an_error_or_the_same_mount(data):
    line = mountinfo_line(10, (7, 1), point=data.draw(raw_path), source=b"/dev/sda1")[:-1]
    cut = line[: data.draw(st.integers(0, len(line)))]
    try:
        mount = mounts.Mount(cut)
    except NO_MOUNT:
        return
    whole = mounts.Mount(line)
    assert (mount.point, mount.root, mount.device, mount.source) == (
        whole.point, whole.root, whole.device, whole.source,
    )  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), raw_path)
def test_a_damaged_line_hides_no_other(garbage, point):
    needle = b" " + kernel_escape(point, b" \t\n\\") + b" "
    noise = b"".join(line.replace(b"\n", b"").replace(needle, b"") + b"\n" for line in garbage)
    assume(needle not in noise)
    table = mounts.MountTable(noise + mountinfo_line(10, (7, 1), point=point) + noise)
    assert table.at(os.fsdecode(point)).id == 10


# --- netlink: struct nlmsghdr and struct rtattr, include/uapi/linux/netlink.h ---

SEQUENCE = 1  # of the first request of a socket
ADDRESS = bytes((192, 0, 2, 9))


def message(kind, flags, body, sequence=SEQUENCE):
    whole = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
    return whole + bytes(-len(whole) % 4)


DONE = message(3, 2, struct.pack("=i", 0))
bodies = st.binary(max_size=60)
kinds = st.integers(16, 200)


class FakeSocket:
    """Hands out datagrams, then is silent for as long as anybody waits."""

    def __init__(self, datagrams):
        self.datagrams = list(datagrams)

    def send(self, data):
        return len(data)

    def recv(self, size):
        if not self.datagrams:
            raise TimeoutError("timed out")
        return self.datagrams.pop(0)[:size]


def link_with(datagrams):
    link = netlink.Netlink.__new__(netlink.Netlink)
    link._sequence = SEQUENCE - 1
    link._socket = FakeSocket(datagrams)
    return link


@settings(deadline=None)
@given(st.lists(st.tuples(kinds, bodies), max_size=8))
def test_messages_come_back_whole_and_in_order(sent):
    data = b"".join(message(kind, 2, body) for kind, body in sent)
    found = [(kind, data[start:end]) for kind, _, _, start, end in netlink.messages(data)]
    assert found == sent


@settings(deadline=None)
@given(st.lists(bodies, max_size=8), st.data())
def test_lengths_that_lie_are_an_error_and_lead_nowhere(sent, data):
    datagram = bytearray(b"".join(message(20, 2, body) for body in sent) + DONE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(datagram) - 4))
        datagram[at : at + 4] = struct.pack(
            "=I", data.draw(st.sampled_from([0, 1, 15, 16, 17, 64, 2**31, 2**32 - 1]))
        )
    datagram = bytes(datagram[: data.draw(st.integers(0, len(datagram)))])
    reached = 0
    try:
        for _, _, _, start, end in netlink.messages(datagram):
            assert reached + 16 <= start <= end <= len(datagram), "forwards, and inside"
            reached = end
    except OSError:
        pass


@settings(deadline=None)
@given(bodies, st.integers(0, 70))
def test_attributes_lie_within_their_message(data, offset):
    for kind, payload in netlink.attributes(data, offset).items():
        assert 0 <= kind < 0x4000
        assert payload in data[offset:]


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=20), max_size=8), st.binary(max_size=3))
def test_attributes_come_back(sent, rest):
    data = b"head" + b"".join(netlink.attribute(kind, payload) for kind, payload in sent.items())
    assert netlink.attributes(data + rest, 4) == sent


@settings(deadline=None)
@given(st.lists(bodies, max_size=12), st.binary(min_size=1, max_size=2), st.data())
def test_a_dump_brings_what_contains_the_needle_from_however_many_datagrams(sent, needle, data):
    blocks, rest = [], [message(20, 2, body) for body in sent]
    while rest:
        many = data.draw(st.integers(1, len(rest)))
        blocks.append(b"".join(rest[:many]))
        rest = rest[many:]
    foreign = message(20, 2, needle * 4, sequence=SEQUENCE + 5)
    found = link_with([*blocks, foreign, DONE]).dump(22, b"", needle)
    assert found == [body for body in sent if needle in body]
    assert link_with([*blocks, DONE]).dump(22, b"") == sent


def test_a_torn_dump_is_read_again_and_not_for_ever():
    torn, whole = message(20, 2 | netlink.NLM_F_DUMP_INTR, b"torn"), message(20, 2, b"whole", SEQUENCE + 1)
    done = message(3, 2, struct.pack("=i", 0), SEQUENCE + 1)
    assert link_with([torn, DONE, whole, done]).dump(22, b"") == [b"whole"]
    restless = [message(3, 2 | netlink.NLM_F_DUMP_INTR, bytes(4), SEQUENCE + turn) for turn in range(100)]
    with pytest.raises(OSError, match="keep changing"):
        link_with(restless).dump(22, b"")


def readers(link):
    """Every reader of netlink answers, on one and the same socket."""
    yield lambda: addresses.find(link, ADDRESS)
    yield lambda: addresses.find(link, bytes(16))
    yield lambda: addresses.of_interface(link, 2)
    yield lambda: routes.best(routes.read(link), ADDRESS)
    yield lambda: routes.best(routes.read(link, netlink.AF_INET6), bytes(16))
    yield lambda: links.by_index(link, 2)
    yield lambda: tcpkill._of(link, netlink.AF_INET, ADDRESS)
    yield lambda: link.request(20, 0, b"")


# Bodies near to real ones: a plausible fixed part, then attributes we read with contents we do not expect.
near_attribute = st.builds(
    netlink.attribute,
    st.sampled_from([1, 2, 3, 4, 5, 6, 8, 9, 15, 18, 53]),
    st.one_of(st.sampled_from([ADDRESS, bytes(16), b"eth0\0", b""]), st.binary(max_size=20)),
)
near_body = st.builds(
    lambda family, prefix, table, kind, fixed, found, cut: (
        bytes((family, prefix, 0, 0, table, 0, 0, kind)) + bytes(fixed) + b"".join(found)
    )[:cut],
    st.sampled_from([2, 10, 10, 0, 7]),
    st.sampled_from([0, 24, 32, 64, 128, 255]),
    st.sampled_from([2, 254]),
    st.sampled_from([1, 1, 7]),
    st.sampled_from([0, 4, 8]),
    st.lists(near_attribute, max_size=6),
    st.sampled_from([3, 7, 8, 12, 15, 16, 40, 400, 400, 400]),
)
near_message = st.one_of(
    st.builds(
        lambda kind, body: message(kind, 2, body), st.sampled_from([16, 20, 24]), st.one_of(near_body, bodies)
    ),
    st.builds(lambda body: message(2, 0, body), bodies),  # an error, or an acknowledgement cut short
    st.binary(max_size=40),
)


@settings(deadline=None)
@given(st.lists(near_message, max_size=4))
def test_no_answer_raises_anything_but_oserror(sent):
    for number in range(8):
        link = link_with([*sent, DONE])
        reader = list(readers(link))[number]
        try:
            reader()
        except OSError:
            pass


def test_an_answer_without_an_end_is_a_time_out():
    with pytest.raises(TimeoutError):
        addresses.find(link_with([message(20, 2, bytes(8))]), ADDRESS)
    with pytest.raises(OSError, match="malformed"):
        addresses.find(link_with([b"", b"", b""]), ADDRESS)
    with pytest.raises(OSError, match="malformed"):
        links.by_index(link_with([message(2, 0, struct.pack("=i", 0))]), 2)


# --- etab: putexportent() in nfs-utils; the kernel's export caches: svc_export_show(), expkey_show() ---

# What putexportent() escapes: isspace(), iscntrl(), quote, backslash, hash.
ETAB_SIGNS = bytes([*range(0x21), 0x7F]) + b'"\\#'
client = st.text(alphabet="abc.*?-0123456789:/@", min_size=1, max_size=20)
options = st.text(alphabet="abc=_,0123456789-", max_size=40)


@settings(deadline=None)
@given(st.lists(st.tuples(raw_path, client, options), max_size=6), st.lists(bodies, max_size=3))
def test_an_etab_comes_back_with_what_cannot_be_read_left_out(sent, garbage):
    lines = [
        kernel_escape(path, ETAB_SIGNS) + f"\t{who}({text})".encode() for path, who, text in sent
    ] + [b"not " + line.replace(b"\n", b"") for line in garbage]  # fmt: skip
    found = [(os.fsencode(entry.path), entry.client, entry.options) for entry in exports.parse(b"\n".join(lines))]
    assert found == sent


@settings(deadline=None)
@given(st.lists(st.tuples(raw_path, client), max_size=6), st.booleans())
def test_the_caches_come_back(sent, valid):
    mark = b"" if valid else b"# "
    heading = b"#path domain(flags)\n"
    shown = b"".join(mark + kernel_escape(path, b" \t\n\\") + f"\t{who}(rw)\n".encode() for path, who in sent)
    assert [os.fsencode(entry.path) for entry in exports_cache.parse_exports(heading + shown)] == [
        path for path, _ in sent
    ]
    keys = b"".join(
        mark + f"{who} 1 0x00000001 ".encode() + kernel_escape(path, b" \t\n\\") + b"\n" for path, who in sent
    )
    found = [(os.fsencode(entry.path), entry.domain) for entry in exports_cache.parse_handles(keys)]
    assert found == sent


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_text_of_the_nfs_server_is_too_strange(data):
    for entry in [*exports_cache.parse_exports(data), *exports_cache.parse_handles(data)]:
        assert entry.path.startswith("/")
    holder = exports_nfsd.Holder("/proc/fs/nfsd/clients/1", data)
    assert isinstance(holder.overdue(), bool)


# --- /proc/PID/stat: a name may contain anything (prctl(2), PR_SET_NAME), parentheses and newlines included ---


@pytest.fixture(scope="module")
def own_name():
    with open("/proc/self/comm", "rb") as file:
        name = file.read().rstrip(b"\n")
    yield
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(name)


@settings(deadline=None)
@given(
    name=st.one_of(
        st.binary(min_size=1, max_size=15), st.text("() \n09RZ", min_size=1, max_size=15).map(str.encode)
    )
)
def test_a_process_is_known_whatever_it_calls_itself(own_name, name):
    """The kernel itself writes the line that is read."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(name)
    seen = processes.status(os.getpid())
    assert seen.name == name.partition(b"\0")[0].decode("utf-8", "replace")
    assert (seen.pid, seen.parent, seen.state) == (os.getpid(), os.getppid(), "R")
    assert not seen.kernel_thread()
    first = processes.status(os.getppid())
    assert first is None or first.start_ticks <= seen.start_ticks
