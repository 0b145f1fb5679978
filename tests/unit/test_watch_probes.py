"""Probes against real sockets on the loopback, and the null call against bytes made by hand from RFC 5531."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover_kit.watch import probes, rpc
from failover_kit.watch.probes import ProbeError, parse

PATIENCE_MS = 60_000  # for what must answer; the machine may be busy
SHORT_MS = 50  # for what never answers

XID = 0x01020304
# RFC 5531 §9: xid, REPLY, MSG_ACCEPTED, verifier AUTH_NONE of length 0, SUCCESS.
GOOD = bytes.fromhex("01020304 00000001 00000000 00000000 00000000 00000000")


def served(kind: socket.SocketKind, answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one conversation; its port."""
    with socket.socket(socket.AF_INET, kind) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(PATIENCE_MS / 1000)
        if kind is socket.SOCK_STREAM:
            listener.listen(1)

        def body() -> None:
            if kind is socket.SOCK_DGRAM:
                answer(listener)
                return
            connection = listener.accept()[0]
            connection.settimeout(PATIENCE_MS / 1000)
            with connection:
                answer(connection)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE_MS / 1000)


class Served:
    def __init__(self, kind: socket.SocketKind, answer: Callable[[socket.socket], None]) -> None:
        self._served = served(kind, answer)

    def __enter__(self) -> int:
        return next(self._served)

    def __exit__(self, *_: object) -> None:
        next(self._served, None)


# --- the null call --------------------------------------------------------------------------------------


def test_the_call_is_that_of_the_rfc() -> None:
    assert rpc.call(100003, 4, XID) == bytes.fromhex(
        "01020304 00000000 00000002 000186a3 00000004 00000000 00000000 00000000 00000000 00000000"
    )
    rpc.check_reply(GOOD, XID)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("01020305 00000001 00000000 00000000 00000000 00000000", "something else"),
        ("01020304 00000000 00000000 00000000 00000000 00000000", "something else"),
        ("01020304 00000001 00000001 00000000 00000002 00000002", "denies"),
        ("01020304 00000001 00000000 00000000 00000000 00000001", "does not serve this program"),
        ("01020304 00000001 00000000 00000000 00000000 00000002 00000002 00000003", "this version"),
        ("01020304 00000001 00000000 00000000 00000000 00000005", "internal error"),
        ("01020304 00000001 00000000 00000000 00000000 00000063", "status 99"),
        ("01020304 00000001 00000000 00000000 ffffffff 00000000", "cut short"),
        ("01020304 00000001 00000000 00000000 00000008 00000000", "cut short"),
        ("01020304 00000001", "8 bytes"),
        ("", "0 bytes"),
    ],
)
def test_replies_that_are_no_success(words: str, says: str) -> None:
    with pytest.raises(rpc.RpcError, match=says):
        rpc.check_reply(bytes.fromhex(words), XID)


def test_a_verifier_is_skipped() -> None:
    reply = struct.pack(">5I", XID, 1, 0, 1, 5) + b"hello\0\0\0" + struct.pack(">I", 0)
    rpc.check_reply(reply, XID)


def test_random_replies_only_ever_raise_what_is_declared() -> None:
    rng = random.Random(5531)
    for _ in range(20_000):
        data = bytearray(GOOD + rng.randbytes(rng.randrange(12)))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            rpc.check_reply(bytes(data[: rng.randrange(len(data) + 1)]), XID)
        except rpc.RpcError:
            pass


def reply_of(call: bytes, status: int = 0) -> bytes:
    return call[:4] + struct.pack(">5I", 1, 0, 0, 0, status)


def test_nfs_over_tcp() -> None:
    def answer(connection: socket.socket) -> None:
        record = connection.recv(100)
        assert record[:4] == bytes.fromhex("80000028")
        assert record[8:24] == struct.pack(">4I", 0, 2, 100003, 4)
        reply = reply_of(record[4:])
        connection.sendall(struct.pack(">I", 1 << 31 | len(reply)))
        connection.sendall(reply)

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"nfs:127.0.0.1:{port}").failure(PATIENCE_MS) == ""


def test_a_server_of_other_versions_serves() -> None:
    def answer(connection: socket.socket) -> None:
        reply = reply_of(connection.recv(100)[4:], 2) + struct.pack(">2I", 3, 3)
        connection.sendall(struct.pack(">I", 1 << 31 | len(reply)) + reply)

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"nfs:127.0.0.1:{port}").failure(PATIENCE_MS) == ""


def test_a_server_without_nfs_does_not() -> None:
    def answer(connection: socket.socket) -> None:
        reply = reply_of(connection.recv(100)[4:], 1)
        connection.sendall(struct.pack(">I", 1 << 31 | len(reply)) + reply)

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"nfs:127.0.0.1:{port}").failure(PATIENCE_MS) == "the server does not serve this program"


@pytest.mark.parametrize("mark", [0xFFFFFFFF, 0x00000018, 0x80000401])
def test_a_record_that_is_no_null_reply_is_not_read(mark: int) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(struct.pack(">I", mark))

    with Served(socket.SOCK_STREAM, answer) as port:
        assert "several or huge parts" in parse(f"nfs:127.0.0.1:{port}").failure(PATIENCE_MS)


def test_nfs_over_udp_survives_a_lost_datagram() -> None:
    def answer(listener: socket.socket) -> None:
        listener.recvfrom(100)  # lost
        call, where = listener.recvfrom(100)
        assert struct.unpack_from(">I", call, 16) == (3,)
        listener.sendto(reply_of(call), where)

    with Served(socket.SOCK_DGRAM, answer) as port:
        assert parse(f"nfs:127.0.0.1:{port}/udp").failure(PATIENCE_MS) == ""


def test_a_server_that_takes_the_call_and_hangs() -> None:
    release = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        release.wait(PATIENCE_MS / 1000)

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"nfs:127.0.0.1:{port}").failure(SHORT_MS) == "no answer within 0.05 s"
        release.set()


def test_a_server_that_hangs_up() -> None:
    with Served(socket.SOCK_STREAM, lambda connection: connection.close()) as port:
        said = parse(f"nfs:127.0.0.1:{port}").failure(PATIENCE_MS)
        assert said in ("the server closes the connection without an answer", "Connection reset by peer")


# --- tcp, http, file ------------------------------------------------------------------------------------




@pytest.mark.parametrize("text", ["tcp:127.0.0.1:{}", "nfs:127.0.0.1:{}", "nfs:127.0.0.1:{}/udp", "http://127.0.0.1:{}/"])
def test_nobody_listens(text: str) -> None:
    with socket.socket() as held:  # bound, so that nobody else gets it, and deaf
        held.bind(("127.0.0.1", 0))
        assert parse(text.format(held.getsockname()[1])).failure(PATIENCE_MS) == "Connection refused"


def test_tcp() -> None:
    with Served(socket.SOCK_STREAM, lambda _: None) as port:
        assert parse(f"tcp:127.0.0.1:{port}").failure(PATIENCE_MS) == ""


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 302 Found\r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an answer that is not HTTP"),
        (b"", "an answer that is not HTTP"),
        (b"x" * 4096, "an answer that is not HTTP"),
        (b"HTTP/1.1 20x OK\r\n", "an answer that is not HTTP"),
    ],
)
def test_http(reply: bytes, says: str) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(1000))
        connection.sendall(reply)

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"http://127.0.0.1:{port}/health?deep=1").failure(PATIENCE_MS) == says
    assert asked[0].startswith(f"GET /health?deep=1 HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n".encode())


def test_a_status_line_in_drops() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        for byte in b"HTTP/1.1 200 OK\r\n":
            connection.sendall(bytes((byte,)))

    with Served(socket.SOCK_STREAM, answer) as port:
        assert parse(f"http://127.0.0.1:{port}").failure(PATIENCE_MS) == ""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    probe = parse(f"file:{path}")
    assert "No such file" in probe.failure(PATIENCE_MS)
    path.write_text("")
    assert probe.failure(PATIENCE_MS) == "the file is empty"
    path.write_text("x")
    assert probe.failure(PATIENCE_MS) == ""


def test_reads_that_hang_are_not_piled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    probe = parse(f"file:{path}")
    assert probe.failure(SHORT_MS) == "no answer within 0.05 s"
    [child] = probes._left_behind
    child.wait(PATIENCE_MS / 1000)  # this one could be killed

    class Stuck:
        """A child in uninterruptible sleep."""

        def poll(self) -> None:
            return None

    monkeypatch.setattr(probes, "_left_behind", [Stuck()])
    assert probe.failure(PATIENCE_MS) == "an earlier read of it still hangs"


# --- what is given --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "", "nfs", "nfs:", "nfs:127.0.0.1/sctp", "tcp:127.0.0.1", "tcp:127.0.0.1:0", "tcp:127.0.0.1:65536",
        "tcp:127.0.0.1:ssh", "tcp:127.0.0.1:²", "tcp:[::1:80", "file:relative", "http://", "http://h:99999/",
        "http://user@127.0.0.1/", "http://127.0.0.1/a b", "https://", "https:127.0.0.1", "smtp:127.0.0.1",
        "http://127.0.0.1/\r\nX: y",
    ],
)  # fmt: skip
def test_what_is_no_probe(text: str) -> None:
    with pytest.raises(ProbeError):
        parse(text)


def test_without_ping_a_witness_that_needs_it_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(ProbeError, match="not installed; apt install iputils-ping"):
        parse("ping:127.0.0.1")


def test_a_name_is_resolved_once_and_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_resolver(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_resolver)
    with pytest.raises(ProbeError, match=r"clusterb has no address .*give the address itself"):
        parse("ping:clusterb")


def test_ipv6() -> None:
    assert parse("tcp:[::1]:80").where == ("::1", 80)
    assert parse("nfs:[::1]").where == ("::1", 2049)
