"""https probes against openssl's own server and against servers that do what none should, all on the loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.watch import tls
from failover_kit.watch.probes import Probe, ProbeError, parse
from failover_kit.watch.tls import Settings
from tls_authority import Authority, Served, openssl_server

PATIENCE_MS = 60_000  # for what must answer; the machine may be busy
SHORT_MS = 50  # for what never answers
NAME = "www.pair.test"
Start = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> Served:
    return authority.signed(f"DNS:{NAME},IP:127.0.0.1")


def look(port: int, authority: Authority | None, *, name: str = "", insecure: bool = False) -> str:
    settings = Settings(authority.ca if authority else "", name, insecure)
    return parse(f"https://127.0.0.1:{port}/", settings).failure(PATIENCE_MS)


# --- whom to believe --------------------------------------------------------------------------------------


def test_a_service_with_the_certificate_it_should_have(authority: Authority, good: Served) -> None:
    with openssl_server(good) as port:
        assert look(port, authority) == "", "by its address"
        assert look(port, authority, name=NAME) == "", "by its name"


def test_a_certificate_of_nobody_who_is_trusted(authority: Authority, good: Served, tmp_path: Path) -> None:
    with openssl_server(good) as port:
        assert look(port, None).startswith("its certificate does not count: ")
        assert "certificate" in look(port, Authority(tmp_path / "other", "another CA"))
        assert look(port, None, insecure=True) == ""


def test_a_certificate_for_another_name(authority: Authority) -> None:
    with openssl_server(authority.signed("DNS:other.pair.test")) as port:
        said = look(port, authority)
        assert said.startswith("its certificate does not count: IP address mismatch"), said
        said = look(port, authority, name=NAME)
        assert said.startswith("its certificate does not count: Hostname mismatch") and NAME in said
        assert look(port, authority, name="other.pair.test") == ""
        assert look(port, None, insecure=True) == ""


@pytest.mark.parametrize(
    ("begin", "end", "says"),
    [
        ("240101000000Z", "240102000000Z", "certificate has expired"),
        ("490101000000Z", "490102000000Z", "certificate is not yet valid"),
    ],
)
def test_a_certificate_of_another_time(authority: Authority, begin: str, end: str, says: str) -> None:
    with openssl_server(authority.signed("IP:127.0.0.1", begin=begin, end=end)) as port:
        assert look(port, authority) == f"its certificate does not count: {says}"


def test_the_name_is_sent_so_that_the_server_can_choose(authority: Authority, good: Served) -> None:
    """SNI, by openssl's reading: its second certificate is for those who ask for NAME."""
    other = authority.signed("DNS:other.pair.test")
    more = ("-servername", NAME, "-cert2", good.certificate, "-key2", good.key)
    with openssl_server(other, *more) as port:
        assert look(port, authority, name=NAME) == ""
        assert "mismatch" in look(port, authority), "an address is never sent: the server shows its first one"


def test_a_name_in_the_probe_is_checked_and_sent(authority: Authority, good: Served) -> None:
    with openssl_server(good) as port:
        said = parse(f"https://localhost:{port}/", Settings(authority.ca))
        if said.family == socket.AF_INET:
            assert "Hostname mismatch" in said.failure(PATIENCE_MS) and said.tls_name == "localhost"


# --- servers that do what none should -----------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Start]:
    """Starts a server for one conversation on the loopback; its port. It ends before the test does."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(PATIENCE_MS / 1000)

        def body() -> None:
            connection = listener.accept()[0]
            connection.settimeout(PATIENCE_MS / 1000)
            with connection:
                answer(connection)

        threads.append(threading.Thread(target=body, daemon=True))
        listeners.append(listener)
        threads[-1].start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for thread in threads:
        thread.join(PATIENCE_MS / 1000)
        assert not thread.is_alive()
    for listener in listeners:
        listener.close()


def probe(port: int) -> Probe:
    return parse(f"https://127.0.0.1:{port}/", Settings(insecure=True))


def read_all(connection: socket.socket) -> None:
    """Until the other side gives up."""
    while connection.recv(4096):
        pass


def test_a_server_that_stalls_in_the_handshake(server: Start) -> None:
    assert probe(server(read_all)).failure(SHORT_MS) == "no answer within 0.05 s"


def test_a_server_that_gives_a_byte_now_and_then_gets_no_more_time(server: Start) -> None:
    """The deadline is of the handshake as a whole: each byte comes well within it, the last one never does."""
    record = b"\x16\x03\x03\x40\x00" + b"\x02" + b"\x00\x3f\xfc" + b"\x00" * 800
    given = [0]
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        with contextlib.suppress(OSError):  # the probe has given up: that is what it should do
            for byte in record:
                connection.sendall(bytes((byte,)))
                given[0] += 1
                time.sleep(0.01)
        over.set()

    assert probe(server(drip)).failure(200) == "no answer within 0.2 s"
    assert over.wait(PATIENCE_MS / 1000) and given[0] < len(record)


def test_a_server_that_stalls_after_the_handshake(server: Start, good: Served) -> None:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(good.certificate, good.key)
    shaken = threading.Event()

    def answer(connection: socket.socket) -> None:
        with made.wrap_socket(connection, server_side=True) as wrapped:
            shaken.set()
            try:
                read_all(wrapped)
            except OSError:
                pass

    for limit_s in (1, 10, 30):  # the handshake itself may take a while on a busy machine
        assert probe(server(answer)).failure(limit_s * 1000) == f"no answer within {limit_s} s"
        if shaken.is_set():
            break
    assert shaken.is_set()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS with it: wrong version number"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "no TLS with it: sslv3 alert handshake failure"),
    ],
)
def test_a_server_that_speaks_no_tls(server: Start, reply: bytes, says: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)
        try:
            read_all(connection)
        except OSError:
            pass

    assert probe(server(answer)).failure(PATIENCE_MS) == says


def test_a_server_that_hangs_up_in_the_handshake(server: Start) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)

    said = probe(server(answer)).failure(PATIENCE_MS)
    assert said in ("it closes the connection in the TLS handshake", "Connection reset by peer")


@pytest.mark.parametrize(("status", "says"), [(b"200 OK", ""), (b"503 Busy", "HTTP status 503")])
def test_the_answer_counts_as_it_does_without_tls(server: Start, good: Served, status: bytes, says: str) -> None:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(good.certificate, good.key)

    def answer(connection: socket.socket) -> None:
        with made.wrap_socket(connection, server_side=True) as wrapped:
            assert wrapped.recv(4096).startswith(b"GET /health?deep=1 HTTP/1.0\r\nHost: 127.0.0.1:")
            wrapped.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")

    port = server(answer)
    asked = parse(f"https://127.0.0.1:{port}/health?deep=1", Settings(insecure=True))
    assert asked.failure(PATIENCE_MS) == says


def test_nothing_is_left_open_after_a_failed_handshake() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"no TLS at all\n")
    with pytest.raises(tls.TlsError):
        tls.handshake(ours, tls.context(Settings(insecure=True)), NAME, Deadline(PATIENCE_MS))
    theirs.settimeout(PATIENCE_MS / 1000)
    with theirs, contextlib.suppress(ConnectionResetError):
        read_all(theirs)  # ends because the other end is closed


# --- what is given ------------------------------------------------------------------------------------------


def test_a_ca_file_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"none.pem cannot be read: No such file .*; give the CA's certificate"):
        parse("https://127.0.0.1/", Settings(str(tmp_path / "none.pem")))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ProbeError, match=r"empty.pem holds no certificate; give a file in PEM format"):
        parse("https://127.0.0.1/", Settings(str(tmp_path / "empty.pem")))


def test_ports_and_names() -> None:
    assert parse("https://127.0.0.1/").where == ("127.0.0.1", 443)
    assert parse("https://[::1]:8443/").tls_name == "::1"
    assert parse("https://127.0.0.1/", Settings(name=NAME)).tls_name == NAME
    with pytest.raises(ProbeError, match=r"give https://HOST"):
        parse("https://user@127.0.0.1/")


def test_certificates_are_checked_unless_somebody_says_otherwise() -> None:
    made = parse("https://127.0.0.1/").tls_context
    assert made is not None and made.verify_mode is ssl.CERT_REQUIRED and made.check_hostname
    open_to_all = parse("https://127.0.0.1/", Settings(insecure=True)).tls_context
    assert open_to_all is not None and open_to_all.verify_mode is ssl.CERT_NONE
