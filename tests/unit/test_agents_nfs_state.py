"""nfsserver's memory on the shared disk, and telling NFSv3 clients: files, numbers and datagrams."""

import os
import shutil
import socket
import threading
from struct import pack, unpack_from

import pytest

from failover_kit.agents import (
    nfsserver,
    nfsserver_clients,
    nfsserver_notify,
    nfsserver_nsm,
    nfsserver_probe,
    nfsserver_state,
)
from failover_kit.agents.nfsserver_nsm import Telling
from failover_kit.agents.nfsserver_state import PENDING
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.parameter import check_all

ADDRESS = "192.0.2.220"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """``local``: this node's /var/lib/nfs as a distribution ships it; ``shared``: the shared disk's directory."""
    local, shared = tmp_path / "var", tmp_path / "disk" / ".nfs"
    for name in ("sm", "sm.bak", "v4recovery"):
        (local / name).mkdir(parents=True)
        (local / name).chmod(0o750)
    shared.parent.mkdir()
    monkeypatch.setattr(nfsserver_state, "STATE", str(local))
    return shared


def prepared(world, *labels):
    statd = nfsserver_state.local_statd()
    nfsserver_state.complete(str(world), statd)
    return nfsserver_state.prepare_notification(str(world), statd, labels or (ADDRESS,))


def test_the_directory_is_complete_after_its_first_use(world):
    prepared(world)
    found = {path.name for path in world.iterdir()}
    assert {"sm", "sm.bak", "state", "etab", "rmtab", "v4recovery", "nfsdcld"} <= found
    assert (world / "sm").stat().st_mode & 0o777 == 0o750, "as on this node"
    assert (world / "nfsdcld").stat().st_mode & 0o777 == 0o700


def test_a_second_use_keeps_what_is_there(world):
    prepared(world)
    (world / "nfsdcld/main.sqlite").write_text("clients")
    (world / "etab").write_text("exports")
    prepared(world)
    assert (world / "nfsdcld/main.sqlite").read_text() == "clients"
    assert (world / "etab").read_text() == "exports"


def test_statd_has_a_directory_of_its_own_on_some_distributions(world, tmp_path):
    (tmp_path / "var/statd").mkdir()
    for name in ("sm", "sm.bak"):
        (tmp_path / "var" / name).rename(tmp_path / "var/statd" / name)
    prepared(world)
    assert (world / "statd/sm").is_dir()
    assert (world / "statd/state").exists()
    assert not (world / "sm").exists()


def test_a_node_without_nfs_common_is_named(world, tmp_path):
    (tmp_path / "var/sm").rmdir()
    with pytest.raises(AgentError, match="install nfs-common") as caught:
        nfsserver_state.local_statd()
    assert caught.value.code == 5


@pytest.mark.parametrize(("before", "after"), [(0, 3), (1, 3), (2, 3), (3, 5), (4, 5), (0x7FFFFFFF, 3)])
def test_state_numbers_are_odd_and_never_the_one_before(before, after):
    assert nfsserver_state.next_number(before) == after


def test_the_number_grows_with_every_start_and_a_damaged_one_starts_again(world):
    assert [prepared(world) for _ in range(3)] == [3, 5, 7]
    (world / "state").write_bytes(b"\0")
    assert prepared(world) == 3


def test_records_move_to_every_address_and_new_ones_stay(world):
    prepared(world)
    (world / "sm/192.0.2.10").write_text("one")
    (world / "sm.bak/192.0.2.11").write_text("two")
    prepared(world, "192.0.2.220", "192.0.2.221")
    for label in ("192.0.2.220", "192.0.2.221"):
        records = {path.name: path.read_text() for path in (world / PENDING / label).iterdir()}
        assert records == {"192.0.2.10": "one", "192.0.2.11": "two"}
    assert list((world / "sm").iterdir()) == list((world / "sm.bak").iterdir()) == []


def test_who_was_not_told_by_the_last_start_is_told_by_the_next_from_its_addresses(world):
    prepared(world)
    (world / "sm/192.0.2.10").write_text("one")
    prepared(world, "192.0.2.220")
    (world / "sm/192.0.2.12").write_text("three")
    prepared(world, "192.0.2.221")
    assert nfsserver_state.names(str(world / PENDING / "192.0.2.220")) == []
    assert sorted(nfsserver_state.names(str(world / PENDING / "192.0.2.221"))) == ["192.0.2.10", "192.0.2.12"]


@pytest.mark.parametrize("name", ["", "sm", "sm.bak", "nfsdcld", PENDING, f"{PENDING}/{ADDRESS}"])
def test_a_link_that_a_client_put_in_place_of_a_directory_is_refused(world, tmp_path, name):
    """The state directory may lie below an export: its clients' root must not become ours."""
    prepared(world)
    victim = tmp_path / "etc"
    victim.mkdir()
    (victim / "passwd").write_text("root")
    place = world / name
    shutil.rmtree(place)
    place.symlink_to(victim)
    with pytest.raises(AgentError, match="symbolic link"):
        prepared(world)
    assert [path.name for path in victim.iterdir()] == ["passwd"]


@pytest.mark.parametrize("name", ["etab", "rmtab", "sm/192.0.2.66"])
def test_a_link_in_place_of_a_file_is_not_followed(world, tmp_path, name):
    prepared(world)
    victim = tmp_path / "passwd"
    victim.write_text("root")
    (world / name).unlink(missing_ok=True)
    (world / name).symlink_to(victim)
    if name == "sm/192.0.2.66":
        prepared(world)
        assert nfsserver_state.names(str(world / PENDING / ADDRESS)) == []
    else:
        with pytest.raises(OSError, match="symbolic links"):
            prepared(world)
            nfsserver_state.empty_exports(str(world))
    assert victim.read_text() == "root"


class PowerCut(Exception):
    pass


def test_a_power_cut_at_any_step_loses_no_client(world, monkeypatch):
    """Every rename, unlink and write is the last one once; the next start must still know every client."""
    prepared(world)
    clients = {f"192.0.2.{number}" for number in (10, 11)}
    step = 0
    while True:
        for name in clients:
            (world / "sm" / name).write_text(name)
        with monkeypatch.context() as patch:
            left = [step]

            def counted(function, left=left):
                def run(*args, **kwargs):
                    if left[0] == 0:
                        raise PowerCut
                    left[0] -= 1
                    return function(*args, **kwargs)

                return run

            for name in ("rename", "unlink", "write", "fsync"):
                patch.setattr(nfsserver_state.os, name, counted(getattr(os, name)))
            try:
                prepared(world, "192.0.2.220", "192.0.2.221")
                break
            except PowerCut:
                pass
        prepared(world, "192.0.2.222")
        directory = world / PENDING / "192.0.2.222"
        assert {path.name: path.read_text() for path in directory.iterdir() if path.suffix != ".new"} == {
            name: name for name in clients
        }, f"after a cut at step {step}"
        for path in directory.iterdir():
            path.unlink()
        step += 1
    assert step > 10


def test_the_scope_is_made_once_and_differs_between_disks(world, tmp_path):
    prepared(world)
    name = nfsserver_state.scope(str(world))
    assert nfsserver_state.scope(str(world)) == name
    assert nfsserver_state.scope(str(tmp_path)) != name
    assert len(name) <= 64


def test_a_directory_on_the_root_filesystem_is_refused(tmp_path):
    root = os.stat("/").st_dev
    refused = "/root-of-failover-kit-test/.nfs"
    with pytest.raises(AgentError, match="is the shared disk mounted"):
        nfsserver_state.require_shared(refused)
    with pytest.raises(AgentError, match="on the root filesystem"):
        nfsserver_state.require_shared("/.failover-kit-test")
    if tmp_path.stat().st_dev != root:
        assert nfsserver_state.require_shared(str(tmp_path / ".nfs")) == ""


# --- SM_NOTIFY --------------------------------------------------------------------------------------


class Statd:
    """A client's rpcbind and statd, by RFC 1833 and XNFS; what it was told."""

    def __init__(self, port=4711):
        self.port = port
        self.told = []

    def answer(self, data, port):
        xid, kind, rpc, program, version, procedure = unpack_from(">6I", data)
        assert (kind, rpc) == (0, 2)
        assert data[24:40] == bytes(16), "no credentials, no verifier"
        arguments = data[40:]
        if port == 111:
            assert (program, version, procedure) == (100000, 2, 3)
            assert unpack_from(">4I", arguments) == (100024, 1, 17, 0)
            return self.reply(xid, pack(">I", self.port))
        assert port == self.port
        assert (program, version, procedure) == (100024, 1, 6)
        length = unpack_from(">I", arguments)[0]
        name = arguments[4 : 4 + length].decode()
        rest = arguments[4 + (length + 3) // 4 * 4 :]
        assert len(rest) == 4
        self.told.append((name, unpack_from(">i", rest)[0]))
        return self.reply(xid, b"")

    @staticmethod
    def reply(xid, result):
        return pack(">6I", xid, 1, 0, 0, 0, 0) + result


def telling(names=(ADDRESS,), clients=("192.0.2.10",)):
    return Telling({client: client for client in clients}, names, 7, xid=0xFFFFFFFE, now_ms=0)


def test_a_client_is_told_every_name_and_its_record_is_done_after_the_last(tmp_path):
    round_, statd = telling((ADDRESS, "clusterb", "odd")), Statd()
    done, now_ms = [], 0
    while round_.pending():
        ((data, address, port),) = round_.due(now_ms)
        done.append(round_.receive(statd.answer(data, port), address, now_ms))
    assert statd.told == [(ADDRESS, 7), ("clusterb", 7), ("odd", 7)]
    assert done == ["", "", "", "192.0.2.10"]


def test_silence_is_tried_again_at_growing_intervals_and_the_port_asked_again():
    round_ = telling()
    times, ports, now_ms = [], [], 0
    for _ in range(8):
        (message,) = round_.due(now_ms)
        times.append(now_ms)
        ports.append(message[2])
        assert round_.due(now_ms) == []
        now_ms = round_.next_ms()
    assert times == [0, 1000, 3000, 7000, 15000, 31000, 61000, 91000]
    assert set(ports) == {111}
    round_, statd = telling(), Statd()
    data, address, port = round_.due(0)[0]
    round_.receive(statd.answer(data, port), address, 0)
    now_ms, ports = 0, []
    for _ in range(5):
        ports.append(round_.due(now_ms)[0][2])
        now_ms = round_.next_ms()
    assert ports == [4711, 4711, 4711, 111, 111]


def test_answers_of_others_to_others_and_failures_count_for_nothing():
    round_, statd = telling(clients=("192.0.2.10", "192.0.2.11")), Statd()
    (data, address, port), _ = round_.due(0)
    good = statd.answer(data, port)
    wrong_xid = pack(">I", 5) + good[4:]
    refused = good[:20] + pack(">I", 1)  # PROG_UNAVAIL
    denied = good[:8] + pack(">I", 1) + good[12:]
    for bad in (b"", good[:20], wrong_xid, refused, denied, data):
        assert round_.receive(bad, address, 0) == ""
    assert round_.receive(good, "192.0.2.11", 0) == ""
    assert round_.pending() == ["192.0.2.10", "192.0.2.11"]
    assert {port for _, _, port in round_.due(1000)} == {111}, "nobody's port is known yet"


def test_a_client_whose_statd_is_not_up_yet_is_asked_again_after_the_pause():
    round_ = telling()
    data, address, port = round_.due(0)[0]
    assert round_.receive(Statd(port=0).answer(data, port), address, 10) == ""
    assert round_.due(10) == []
    assert round_.due(round_.next_ms())[0][2] == 111


@pytest.mark.parametrize("size", [0, 4, 23, 24, 28, 100])
def test_garbage_is_no_answer(size):
    round_ = telling()
    round_.due(0)
    assert round_.receive(os.urandom(size), "192.0.2.10", 0) == ""


def test_names_come_from_the_hosts_file_the_address_first():
    hosts = "192.0.2.220\tclusterb clusterb.example # both\n192.0.2.22 other\n#192.0.2.220 no\n"
    assert nfsserver_clients.names_of(ADDRESS, hosts) == [ADDRESS, "clusterb", "clusterb.example"]
    assert nfsserver_clients.names_of("192.0.2.9", hosts) == ["192.0.2.9"]
    assert nfsserver_clients.names_of("2001:db8::a", "2001:DB8:0::A kokone\n") == ["2001:db8::a", "kokone"]


@pytest.mark.parametrize(
    ("name", "line", "address"),
    [
        ("kokone", f"0100007f 000186b5 00000003 00000010 {'0' * 32} 192.0.2.10 pete", "192.0.2.10"),
        ("192.0.2.10", f"0100007f 000186b5 00000003 00000010 {'0' * 32} kokone pete", "192.0.2.10"),
        ("kokone", f"0100007f 000186b5 00000003 00000010 {'0' * 32} kokone.example pete", ""),
        ("192.0.2.10", "", "192.0.2.10"),
        ("kokone", f"0100007f 000186b5 00000003 00000010 {'0' * 32} 2001:DB8:0::a pete", "2001:db8::a"),
        ("2001:db8::a", "", "2001:db8::a"),
        ("kokone", f"0100007f 000186b5 00000003 00000010 {'0' * 32} fe80::1%eth0 pete", ""),
        ("kokone", "damaged", ""),
    ],
)
def test_the_address_of_a_client_comes_from_its_record_not_from_dns(name, line, address):
    assert nfsserver_clients.recorded_address(name, line) == address


V6 = "2001:db8::220"


@pytest.fixture
def on_record(tmp_path, monkeypatch):
    """Clients of both families on record under each label: a function that tells a job's targets."""
    monkeypatch.setattr(nfsserver_clients, "STATE", str(tmp_path))
    warned = []
    monkeypatch.setattr(nfsserver_clients, "log", lambda level, text: warned.append(text))

    def targets(ips, *names):
        jobs = nfsserver_clients.jobs_of(ips)
        for job in jobs:
            os.makedirs(job.directory(), exist_ok=True)
            for name in names:
                with open(f"{job.directory()}/{name}", "w", encoding="ascii") as file:
                    file.write(f"0100007f 000186b5 00000003 00000010 {'0' * 32} {name} pete\n")
        families = {job.family for job in jobs}
        told = [nfsserver_clients.targets_of(job, families) for job in jobs]
        kept = [sorted(os.listdir(job.directory())) for job in jobs]
        return told, kept, warned

    return targets


FOUR, SIX = "192.0.2.10", "2001:db8::a"


def test_each_address_tells_the_clients_of_its_family_and_the_others_leave_its_list(on_record):
    told, kept, warned = on_record([ADDRESS, V6], FOUR, SIX)
    assert (told, kept, warned) == ([{FOUR: FOUR}, {SIX: SIX}], [[FOUR], [SIX]], [])


def test_a_client_that_no_address_of_ours_reaches_stays_on_record_and_is_named(on_record):
    told, kept, warned = on_record([ADDRESS], FOUR, SIX)
    assert (told, kept) == ([{FOUR: FOUR}], [[FOUR, SIX]])
    assert [SIX in text and "no address in nfs_ip" in text for text in warned] == [True]


def test_without_addresses_of_ours_both_families_share_one_list(on_record):
    told, kept, warned = on_record([], FOUR, SIX)
    assert (told, kept, warned) == ([{FOUR: FOUR}, {SIX: SIX}], [[FOUR, SIX]] * 2, [])


def test_a_client_known_by_name_alone_is_asked_for_where_it_is_and_kept_when_nowhere(on_record, monkeypatch):
    def resolve(name, port, **kwargs):
        if name == "lost":
            raise socket.gaierror("no such name")
        return [(family, 2, 17, "", (address, 0)) for family, address in
                ((socket.AF_INET6, SIX), (socket.AF_INET, FOUR), (socket.AF_INET, "192.0.2.11"))]  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    told, kept, warned = on_record([ADDRESS, V6], "kokone", "lost")
    assert told == [{"kokone": FOUR}, {"kokone": SIX}]
    assert kept == [["kokone", "lost"]] * 2
    assert ["lost" in text for text in warned] == [True, True]


@pytest.mark.parametrize(("flags", "here"), [(0, True), (0x40, False), (0x48, False), (0x08, False)])
def test_an_ipv6_address_is_here_when_duplicate_detection_is_over(monkeypatch, flags, here):
    class Link:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def find(link, local):
        return [nfsserver_notify.addresses.Address(2, local, 64, flags=flags)]

    monkeypatch.setattr(nfsserver_notify.netlink, "Netlink", Link)
    monkeypatch.setattr(nfsserver_notify.addresses, "find", find)
    assert nfsserver_notify.is_here(V6) is here
    monkeypatch.setattr(nfsserver_notify.addresses, "find", lambda link, local: [])
    assert not nfsserver_notify.is_here(V6)


def test_over_ipv6_a_client_is_asked_by_version_3_and_told_at_the_port_it_answers():
    round_, statd = Telling({"kokone": SIX}, [V6], 7, xid=1, now_ms=0), Statd()
    ((data, address, port),) = round_.due(0)
    assert (address, port) == (SIX, 111)
    xid, *head = unpack_from(">6I", data)
    assert head == [0, 2, 100000, 3, 3]
    assert data[40:] == pack(">3I4s2I", 100024, 1, 4, b"udp6", 0, 0)
    universal = b"2001:db8::a.18.103"
    answer = Statd.reply(xid, pack(">I", len(universal)) + universal + b"\0\0")
    assert round_.receive(answer, SIX, 0) == ""
    ((data, address, port),) = round_.due(0)
    assert (address, port) == (SIX, 18 * 256 + 103)
    assert round_.receive(statd.answer(data, 4711), SIX, 0) == "kokone"
    assert (statd.told, round_.pending()) == ([(V6, 7)], [])


@pytest.mark.parametrize("universal", [b"", b"::", b"x.y.z", b"\xff\xff", b"1"])
def test_an_ipv6_client_whose_statd_has_no_address_yet_is_asked_again(universal):
    round_ = Telling({"kokone": SIX}, [V6], 7, xid=1, now_ms=0)
    ((data, _, _),) = round_.due(0)
    answer = Statd.reply(unpack_from(">I", data)[0], pack(">I", len(universal)) + universal)
    assert round_.receive(answer, SIX, 0) == ""
    assert round_.due(round_.next_ms())[0][2] == 111


def test_notify_arguments_are_padded_to_four_bytes():
    assert nfsserver_nsm.notify_arguments("abcde", 3) == b"\0\0\0\x05abcde\0\0\0\0\0\0\x03"


# --- monitor at depth 10 ----------------------------------------------------------------------------


class Server:
    """An NFS server on a loopback port that answers NULL as it is told."""

    def __init__(self, monkeypatch, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        monkeypatch.setattr(nfsserver_probe, "_PORT", self.listener.getsockname()[1])
        monkeypatch.setattr(nfsserver_probe.nfsd, "versions", lambda: {"3": True})
        self.over = threading.Event()
        self.listener.settimeout(60)
        threading.Thread(target=self.serve, args=(answer,), daemon=True).start()

    def serve(self, answer):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        with connection:
            data = connection.recv(1024)
            assert unpack_from(">I", data)[0] == 0x80000000 | (len(data) - 4)
            reply = answer(data[4:])
            connection.sendall(pack(">I", 0x80000000 | len(reply)) + reply if reply else b"")
            if reply is None:
                self.over.wait(10)

    def close(self):
        self.over.set()
        self.listener.close()


def asked(ms=20_000):
    values, _ = check_all(nfsserver.AGENT.parameters, {})
    return Call(nfsserver.AGENT, values, Deadline(ms))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda call: Statd.reply(unpack_from(">I", call)[0], b""), ""),
        (lambda call: Statd.reply(7, b""), "does not speak NFSv3"),
        (lambda call: pack(">6I", unpack_from(">I", call)[0], 1, 0, 0, 0, 2), "does not speak NFSv3"),
        (lambda call: b"", "closed the connection"),
    ],
)
def test_the_deep_monitor_asks_the_server(monkeypatch, answer, words):
    server = Server(monkeypatch, answer)
    try:
        if words:
            with pytest.raises(AgentError, match=words):
                nfsserver_probe.ask(asked())
        else:
            nfsserver_probe.ask(asked())
    finally:
        server.close()


def test_a_server_that_never_answers_is_a_failure_in_time(monkeypatch):
    server = Server(monkeypatch, lambda call: None)
    try:
        with pytest.raises(AgentError, match="state D"):
            nfsserver_probe.ask(asked(ms=300))
    finally:
        server.close()


def test_nobody_listens(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as once:
        monkeypatch.setattr(nfsserver_probe, "_PORT", once.getsockname()[1])
    monkeypatch.setattr(nfsserver_probe.nfsd, "versions", lambda: {"3": True})
    with pytest.raises(AgentError, match=r"does not answer: 127\.0\.0\.1"):
        nfsserver_probe.ask(asked())


def test_a_client_that_exportfs_unlocked_is_told_after_the_move_although_lockd_had_statd_forget_it(world):
    """What a stop does: the copy first, then lockd ends and its SM_UNMON takes the record away."""
    prepared(world)
    (world / "sm/kokone").write_text("0100007f 000186b5 192.0.2.10 pete")
    nfsserver_state.keep_records(str(world), [ADDRESS])
    (world / "sm/kokone").unlink()
    prepared(world)
    assert (world / PENDING / ADDRESS / "kokone").read_text() == "0100007f 000186b5 192.0.2.10 pete"
    assert not list((world / "sm").iterdir())


def test_nothing_is_kept_when_nobody_had_a_lock(world):
    prepared(world)
    shutil.rmtree(world / PENDING)
    nfsserver_state.keep_records(str(world), [ADDRESS])
    assert not (world / PENDING).exists()
