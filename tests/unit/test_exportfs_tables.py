"""etab, the kernel's export caches and the list of NFSv4 clients, as pure functions of their text."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.kernel import exports, exports_cache, exports_nfsd
from failover_kit.kernel.exports_cache import Cached, Left

# Written by exportfs 2.6.2 for options rw,sync,no_root_squash,fsid=1.
OPTIONS = (
    "rw,sync,wdelay,hide,nocrossmnt,secure,no_root_squash,no_all_squash,no_subtree_check,secure_locks,acl,no_pnfs,"
    "fsid=1,anonuid=65534,anongid=65534,sec=sys,rw,secure,no_root_squash,no_all_squash"
)
ETAB = rf"""/mnt/a\040b	192.0.2.0/24({OPTIONS})
/mnt/p%s\042q\134x	2001:db8::/64(ro,fsid=0)
/mnt/ü	*(rw)
not an entry
/mnt/half	client
/mnt/ha\043sh	@trusted(rw,fsid=4f3c1f2e-9d3a-4a3b-8a4e-1d2c3b4a5f60,sec=sys)
""".encode()

names = st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw)
paths = names.map(lambda raw: os.fsdecode(b"/" + raw))


def test_the_lines_of_an_etab():
    found = [(entry.path, entry.client, entry.fsid()) for entry in exports.parse(ETAB)]
    assert found == [
        ("/mnt/a b", "192.0.2.0/24", "1"),
        ('/mnt/p%s"q\\x', "2001:db8::/64", "0"),
        ("/mnt/ü", "*", ""),
        ("/mnt/ha#sh", "@trusted", "4f3c1f2e-9d3a-4a3b-8a4e-1d2c3b4a5f60"),
    ]
    assert exports.parse(ETAB)[0].options == OPTIONS


@settings(deadline=None)
@given(st.lists(names, max_size=4), st.sampled_from([exports.escape, exports.plain]))
def test_the_entries_of_some_paths_are_those_of_all_with_these_paths(some, spelling):
    data = ETAB + b"".join(b"/" + raw + b"\t*(rw)\n" for raw in some)
    data += b"".join(os.fsencode(spelling(os.fsdecode(b"/" + raw))) + b"\t*(ro)\n" for raw in some)
    everything = exports.parse(data)
    wanted = {"/mnt/a b", "/mnt/ü", *(os.fsdecode(b"/" + raw) for raw in some[:2])}
    of_these = [(entry.path, entry.options) for entry in everything if entry.path in wanted]
    assert [(entry.path, entry.options) for entry in exports.parse(data, wanted)] == of_these
    assert len(of_these) >= 2


def test_a_client_has_no_case_and_a_path_has():
    entry = exports.Entry("/mnt/A", "*.Example.org", "rw")
    assert entry.is_for("/mnt/A", "*.example.ORG")
    assert not entry.is_for("/mnt/a", "*.Example.org")


@settings(deadline=None)
@given(paths)
def test_every_path_comes_back_from_etab_s_spelling(path):
    for spelling in (exports.escape(path), exports.plain(path)):
        assert exports.unescape(os.fsencode(spelling)) == path
        assert not any(sign.isspace() and sign.isascii() for sign in spelling)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_etab_is_too_broken_to_be_read(data):
    for entry in exports.parse(data):
        assert entry.path.startswith("/")
        assert entry.client


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (rb"\134101", r"\101"),
        (rb"a\04", r"a\04"),
        (rb"a\089", r"a\089"),
        (rb"\777", "\udcff"),
        (rb"\303\274", "ü"),
        (rb"x" + b"\\", "x\\"),
    ],
)
def test_octal_is_read_once_from_left_to_right(field, text):
    assert exports.unescape(field) == text


@pytest.mark.parametrize(
    ("path", "fine"), [("/a", True), ("/a\\b", True), ("/a\\12", True), ("/a\\128", True), ("/a\\101", False)]
)
def test_names_that_nfs_utils_reads_back_as_others(path, fine):
    assert exports.survives(path) == fine


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ("", "/var/lib/nfs"),
        ("[mountd]\nstate-directory-path = /srv/state\n", "/srv/state"),
        ("[mountd]\n# state-directory-path=/srv/state\n", "/var/lib/nfs"),
        ("[statd]\nstate-directory-path=/srv/state\n", "/var/lib/nfs"),
        ('[MountD]\nstate-directory-path="/srv/state"\n[exportd]\nstate-directory-path=/no\n', "/srv/state"),
    ],
)
def test_where_the_state_directory_is(tmp_path, monkeypatch, text, directory):
    (tmp_path / "nfs.conf").write_text(text)
    monkeypatch.setattr(exports, "NFS_CONF", str(tmp_path / "nfs.conf"))
    assert exports.state_directory() == directory
    (tmp_path / "nfs.conf.d").mkdir()
    (tmp_path / "nfs.conf.d/local.conf").write_text("[mountd]\nstate-directory-path=/srv/later\n")
    (tmp_path / "nfs.conf.d/local.off").write_text("[mountd]\nstate-directory-path=/srv/never\n")
    assert exports.state_directory() == "/srv/later"


# Read on Linux 6.1 while a client of 192.0.2.0/24 had /mnt/e0.0 mounted by NFSv3 and NFSv4.1.
CONTENT = rb"""#path domain(flags)
/	192.0.2.0/24(ro,insecure,no_root_squash,sync,no_wdelay,no_subtree_check,v4root,fsid=0,sec=390003:1)
# /mnt	192.0.2.0/24(ro,v4root,uuid=0a4bfb73:2e6b5931:9b78e97b:7691fb97,sec=390003:390004:390005:1)
/mnt/e0.0	192.0.2.0/24,192.0.2.3(rw,no_root_squash,sync,wdelay,no_subtree_check,fsid=1,sec=1)
# /mnt/e0.0/a\040b	*.example.org()
"""
HANDLES = rb"""#domain fsidtype fsid [path]
192.0.2.0/24 1 0x00000000 /
# 192.0.2.0/24 1 0x00000001 /mnt/e0.0
192.0.2.0/24 1 0x00000007
"""


def test_the_caches_of_the_kernel():
    found = [(entry.path, entry.domain) for entry in exports_cache.parse_exports(CONTENT)]
    assert found == [
        ("/", "192.0.2.0/24"),
        ("/mnt", "192.0.2.0/24"),
        ("/mnt/e0.0", "192.0.2.0/24,192.0.2.3"),
        ("/mnt/e0.0/a b", "*.example.org"),
    ]
    handles = [(entry.path, entry.domain) for entry in exports_cache.parse_handles(HANDLES)]
    assert handles == [("/", "192.0.2.0/24"), ("/mnt/e0.0", "192.0.2.0/24")]


OURS = Left("/mnt/e0.0/data", "192.0.2.0/24", "/mnt/e0.0")


@pytest.mark.parametrize(
    ("path", "domain", "others", "left"),
    [
        ("/mnt/e0.0/data", "192.0.2.0/24", [], True),
        ("/mnt/e0.0/data", "*.example.org", [], True),
        ("/mnt/e0.0", "192.0.2.0/24", [], True),
        ("/mnt/e0.0/data/inner", "192.0.2.0/24", [], True),
        ("/mnt", "192.0.2.0/24", [], False),
        ("/mnt/e0.0X", "192.0.2.0/24", [], False),
        # Another client of the same directory: its own entry is right, one with our client in it is not.
        ("/mnt/e0.0/data", "*.example.org", ["/mnt/e0.0/data"], False),
        ("/mnt/e0.0/data", "192.0.2.0/24,*.example.org", ["/mnt/e0.0/data"], True),
        # Another directory of the filesystem: the way to it, and it itself, are rightly there.
        ("/mnt/e0.0", "192.0.2.0/24", ["/mnt/e0.0/other"], False),
        ("/mnt/e0.0/other", "192.0.2.0/24", ["/mnt/e0.0/other"], False),
        ("/mnt/e0.0/data", "192.0.2.0/24", ["/mnt/e0.0/other"], True),
    ],
)
def test_what_an_export_left_in_the_caches(path, domain, others, left):
    assert exports_cache.leftovers([Cached(path, domain)], [OURS], others) == ([path] if left else [])


def test_on_the_root_filesystem_only_the_directory_itself_is_watched():
    ours = Left("/srv/data", "*", "/")
    cached = [Cached("/", "*"), Cached("/srv", "*"), Cached("/home", "*"), Cached("/srv/data", "*")]
    assert exports_cache.leftovers(cached, [ours], []) == ["/srv/data"]


STATES = rb"""- 0x01: { type: open, access: -w, deny: --, superblock: "fe:10:132", filename: "/a", owner: "\x00" }
- 0x02: { type: lock, superblock: "fe:10:132", filename: "/a", owner: "\x00" }
"""
INFO = b"""clientid: 0x1e772746b077c46
address: "10.9.0.3:873"
status: courtesy
seconds from last renew: 14
name: "Linux NFSv4.1 kokone"
minor version: 1
"""


def client(root, number, states, info=INFO):
    directory = root / "clients" / str(number)
    directory.mkdir(parents=True)
    (directory / "states").write_bytes(states)
    (directory / "info").write_bytes(info)
    (directory / "ctl").write_bytes(b"")


def test_clients_that_hold_files_on_a_device(tmp_path, monkeypatch):
    monkeypatch.setattr(exports_nfsd, "NFSD", str(tmp_path))
    device = os.makedev(0xFE, 0x10)
    assert exports_nfsd.holders(device) is None, "Linux before 5.3 lists no clients"
    client(tmp_path, 3, STATES)
    client(tmp_path, 4, STATES.replace(b"fe:10", b"fe:11"))
    client(tmp_path, 5, b'- 0x01: { superblock: "fe:11:1", filename: "/superblock: \\"fe:10:2" }\n')
    client(tmp_path, 6, STATES.replace(b" }\n", b", admin-revoked }\n"))
    client(tmp_path, 7, b"")
    held = exports_nfsd.holders(device)
    assert [(holder.name, holder.address, holder.overdue()) for holder in held] == [
        ("Linux NFSv4.1 kokone", "10.9.0.3:873", True)
    ]
    exports_nfsd.expire(held[0])
    assert (tmp_path / "clients/3/ctl").read_bytes() == b"expire\n"
    (tmp_path / "clients/3/ctl").unlink()
    assert exports_nfsd.expire(held[0]) == "", "a client that has gone is no error"


@pytest.mark.parametrize(("threads", "written"), [("8\n", b"/mnt/e0.0\n"), ("0\n", b""), ("", b""), (None, b"")])
def test_unlock_filesystem_is_never_written_while_nfsd_is_down(tmp_path, monkeypatch, threads, written):
    monkeypatch.setattr(exports_nfsd, "NFSD", str(tmp_path))
    if threads is not None:
        (tmp_path / "threads").write_text(threads)
    unlock = Path(tmp_path / "unlock_filesystem")
    unlock.write_bytes(b"")
    assert exports_nfsd.unlock("/mnt/e0.0") == ("" if written else "no nfsd")
    assert unlock.read_bytes() == written
