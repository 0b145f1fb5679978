"""Fencing through the REST interface: the emulator's, and servers that answer what no unit should."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.fence.rest import AnswerError, parse_plugs
from failover_kit.fence.screens import PlugRow, PlugState
from fence.parts import PASSWORD, Answer, agent, certificate, held_port, later, switch


@pytest.fixture
def unit(tmp_path: Any) -> Iterator[Any]:
    with switch(tmp_path, variant="vmr", user="super", rest=True) as emulator:
        yield emulator


def options(unit: Any, *more: str) -> tuple[str, ...]:
    return ("ip=127.0.0.1", "rest=1", f"ipport={unit.rest_port}", "username=super", f"password={PASSWORD}", *more)


def test_the_story_over_rest(unit: Any) -> None:
    known = options(unit, f"ca_file={unit.rest_cert}")
    assert agent(*known, "action=status", "plug=pete") == Answer(0, "Status: ON\n", "")
    assert agent(*known, "action=off", "plug=mclaws") == Answer(0, "Success: Powered OFF\n", "")
    assert [unit.outlet_state(n) for n in (1, 5, 6)] == ["on", "off", "off"]
    assert agent(*known, "action=status", "plug=5,6") == Answer(2, "Status: OFF\n", "")
    assert agent(*known, "plug=mclaws") == Answer(0, "Success: Rebooted\n", "")
    assert agent(*known, "action=list").out.startswith("1,pete\n2,\n")
    assert agent(*known, "action=monitor") == Answer(0, "", "")
    missing = agent(*known, "action=off", "plug=1,9999")
    assert (missing.code, unit.outlet_state(1)) == (1, "on")
    assert "no plug 9999" in missing.err


def test_a_certificate_nobody_vouches_for_gets_no_password(unit: Any) -> None:
    answer = agent(*options(unit, "action=off", "plug=1"))
    assert answer.code == 1
    assert "--ca-file" in answer.err
    assert unit.outlet_state(1) == "on"
    assert unit.events("login", "login_refused", "rest") == []
    assert agent(*options(unit, "action=off", "plug=1", "ssl_insecure=1")).code == 0


def test_a_stuck_relay_is_a_failure_over_rest(unit: Any) -> None:
    unit.fault("stuck", 1)
    answer = agent(*options(unit, f"ca_file={unit.rest_cert}", "action=off", "plug=1", "power_timeout=0.5"))
    assert answer.code == 1
    assert "waiting to power OFF" in answer.err
    assert unit.outlet_state(1) == "on"


def test_a_slow_relay_is_polled_while_busy(unit: Any) -> None:
    unit.fault("slow", 1, seconds=1.5)
    answer = agent(*options(unit, f"ca_file={unit.rest_cert}", "action=off", "plug=1"))
    assert answer == Answer(0, "Success: Powered OFF\n", "")
    assert unit.outlet_state(1) == "off"


def test_a_wrong_password_is_sent_once_over_rest(unit: Any) -> None:
    known = options(unit, f"ca_file={unit.rest_cert}")[:-2]
    answer = agent(*known, f"ca_file={unit.rest_cert}", "password=Wr0ng-Pa55", "action=off", "plug=1", "verbose=1")
    assert answer.code == 1
    assert "does not accept user name and password" in answer.err
    for text in ("Wr0ng-Pa55", base64.b64encode(b"super:Wr0ng-Pa55").decode()):
        assert text not in answer.err
    assert len(unit.events("login_refused")) == 1


# A server that says what the test tells it to.

PLUGS = [{"plug": "1", "plugname": "pete", "state": "on", "busy": "0"}]
GOOD = {"status": {"code": "0", "text": "OK"}, "plugdatacount": "1", "powerplugs": PLUGS}


def http(body: object, status: str = "200 OK", *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers])
    return head.encode() + b"\r\n\r\n" + data


class Server:
    """One TLS connection after another; ``answers`` is called with each request and yields what to send."""

    def __init__(self, pem: str, answers: Callable[[int], Iterable[bytes | float]], port: int = 0) -> None:
        self._answers = answers
        self.requests: list[str] = []
        self.pem = pem
        self._closing = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self._serve(sock)
            except OSError:
                pass

    def _serve(self, sock: ssl.SSLSocket) -> None:
        while True:
            text = b""
            while b"\r\n\r\n" not in text:
                data = sock.recv(4096)
                if not data:
                    return
                text += data
            self.requests.append(text.decode())
            for part in self._answers(len(self.requests)):
                if isinstance(part, float):
                    self._closing.wait(part)
                elif part == b"":
                    return
                else:
                    sock.sendall(part)

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    def ask(self, *more: str) -> Answer:
        return agent(
            "ip=127.0.0.1", "rest=1", f"ipport={self.port}", "username=super", f"password={PASSWORD}",
            f"ca_file={self.pem}", "plug=1", *more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serving(pem: str) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def serve(answers: Callable[[int], Iterable[bytes | float]], certificate: str = pem) -> Server:
        made.append(Server(certificate, answers))
        return made[-1]

    yield serve
    for server in made:
        server.close()


Serving = Callable[..., Server]


def test_basic_authentication_and_one_connection_for_several_requests(serving: Serving) -> None:
    server = serving(lambda _n: [http(GOOD)])
    assert server.ask("action=status") == Answer(0, "Status: ON\n", "")
    login = base64.b64encode(f"super:{PASSWORD}".encode()).decode()
    assert f"Authorization: Basic {login}" in server.requests[0]
    assert server.requests[0].startswith("GET /api/v2/config/powerplug HTTP/1.1\r\n")


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_rejected_login_is_final(serving: Serving, status: str) -> None:
    server = serving(lambda _n: [http(b"", status)])
    assert "does not accept user name and password" in server.ask("action=off").err
    assert len(server.requests) == 1


def test_a_login_rejected_in_the_middle_is_final_too(serving: Serving) -> None:
    """Accepted for the first look, rejected for the order: somebody changed it, or the unit locked us out."""
    server = serving(lambda n: [http(GOOD) if n == 1 else http(b"", "401 Unauthorized")])
    assert "does not accept" in server.ask("action=off").err
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "part", [[b""], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b""], [b"garbage\r\n\r\n", b""]]
)
def test_a_connection_lost_over_the_first_login_is_final(serving: Serving, part: list[bytes | float]) -> None:
    server = serving(lambda _n: part)
    answer = server.ask("action=off")
    assert answer.code == 1
    assert "after it got the password" in answer.err
    assert len(server.requests) == 1


def test_a_connection_lost_later_is_opened_again(serving: Serving) -> None:
    """The order was lost on the way: the state is looked at before it is said again."""
    off = {**GOOD, "powerplugs": [{**PLUGS[0], "state": "off"}]}
    server = serving(lambda n: [http(GOOD)] if n == 1 else [b""] if n == 2 else [http(off)])
    answer = server.ask("action=off")
    assert answer.out == "Success: Powered OFF\n", answer.err
    assert [text.split()[0] for text in server.requests] == ["GET", "POST", "GET", "GET"]


def test_a_unit_that_closes_after_each_answer(serving: Serving) -> None:
    off = {**GOOD, "powerplugs": [{**PLUGS[0], "state": "off"}]}
    server = serving(lambda n: [http(GOOD if n == 1 else off, "200 OK", "Connection: close"), b""])
    assert server.ask("action=off").out == "Success: Powered OFF\n"


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
def test_a_busy_unit_is_asked_again(serving: Serving, status: str) -> None:
    server = serving(lambda n: [http(GOOD)] if n == 2 else [http(b"", status)])
    # Busy before the password was ever accepted: the answer says nothing against the password.
    assert server.ask("action=status").out == "Status: ON\n"


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_refused(serving: Serving, status: str) -> None:
    server = serving(lambda _n: [http(b"", status, "Location: https://198.51.100.1/")])
    assert "redirect is not followed" in server.ask("action=off").err
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "204 No Content"])
def test_any_other_status_is_no_answer(serving: Serving, status: str) -> None:
    assert status.split()[0] in serving(lambda _n: [http(GOOD, status)]).ask("action=off").err


@pytest.mark.parametrize(
    "drip",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *([b"x", 0.05] * 2400)],
        [b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.05] * 2400)],
        [b"HTTP/1.1 100 Continue\r\n\r\n", *([b"HTTP/1.1 100 Continue\r\n\r\n", 0.05] * 2400)],
        [120.0],
        itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    ],
    ids=["body", "headers", "continue", "mute", "flood"],
)
def test_a_unit_that_drips_bytes_does_not_outlast_the_deadline(
    serving: Serving, drip: Iterable[bytes | float]
) -> None:
    server = serving(lambda n: [http(GOOD)] if n == 1 else drip)
    started = time.monotonic()
    answer = server.ask("action=off", "timeout=3", "power_timeout=1", "shell_timeout=1", "login_timeout=1")
    assert answer.code == 1
    assert "timed out" in answer.err
    # Not a measure of speed: the drip alone goes on for 120 s.
    assert time.monotonic() - started < 100


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x" * 400_000, "longer than"),
        (b"no json", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        ({**GOOD, "status": {"code": "1", "text": "no"}}, "the device says 'no'"),
        ({"powerplugs": PLUGS}, "the device says"),
        ({**GOOD, "plugdatacount": "2"}, "1 plugs and says that it has"),
        ({**GOOD, "powerplugs": []}, "no list"),
        ({**GOOD, "plugdatacount": "2", "powerplugs": PLUGS * 2}, "stands twice"),
        ({**GOOD, "powerplugs": [{**PLUGS[0], "plug": "A1"}]}, "no plug number"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_answer_that_is_no_answer(serving: Serving, body: object, words: str) -> None:
    answer = serving(lambda _n: [http(body)]).ask("action=status")
    assert answer.code == 1
    assert words in answer.err


def test_a_secret_in_an_answer_is_masked(serving: Serving) -> None:
    body = {**GOOD, "status": {"code": "1", "text": f"you said {PASSWORD}"}}
    assert PASSWORD not in serving(lambda _n: [http(body)]).ask("action=status", "verbose=1").err


@pytest.mark.parametrize(
    "text",
    [
        "x" * 115 + PASSWORD,
        "you said " + base64.b64encode(f"super:{PASSWORD}".encode()).decode(),
        "x" * 295 + PASSWORD,
    ],
)
def test_no_piece_and_no_coded_form_of_a_secret_is_shown(serving: Serving, text: str) -> None:
    err = serving(lambda _n: [http({**GOOD, "status": {"code": "1", "text": text}})]).ask("action=status").err
    assert PASSWORD[:4] not in err
    assert "c3VwZXI6" not in err


def test_answers_that_come_more_than_once_do_not_prove_anything(serving: Serving) -> None:
    """The plug was OFF, its GET is answered three times over, and then it is ON and stays so."""
    off = http({**GOOD, "powerplugs": [{**PLUGS[0], "state": "off"}]})
    server = serving(lambda n: [off, 0.01, off, off] if n == 1 else [http(GOOD)])
    assert server.ask("action=off", "power_timeout=1").code == 1


def test_a_certificate_for_another_name_is_refused(serving: Serving, tmp_path: Any) -> None:
    server = serving(lambda _n: [http(GOOD)], certificate(tmp_path, name="DNS:other.example"))
    assert "is not trusted" in server.ask("action=status").err
    assert server.requests == []


def test_a_unit_without_tls_gets_no_password() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                heard.append(sock.recv(4096))
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        answer = agent(
            "ip=127.0.0.1", "rest=1", f"ipport={listener.getsockname()[1]}", "username=u", f"password={PASSWORD}",
            "plug=1", "action=status",
        )  # fmt: skip
        thread.join(60)
    assert answer.code == 1
    assert "does not speak TLS" in answer.err
    assert b"GET" not in heard[0]


def test_nobody_listens_and_then_somebody_does(pem: str) -> None:
    held, port = held_port()
    made: list[Server] = []
    off = {**GOOD, "powerplugs": [{**PLUGS[0], "state": "off"}]}

    def start() -> None:
        made.append(Server(pem, lambda _n: [http(off)], port))

    try:
        with later(0.7, start):
            answer = agent(
                "ip=127.0.0.1", "rest=1", f"ipport={port}", "username=super", f"password={PASSWORD}",
                f"ca_file={pem}", "plug=1", "action=off",
            )  # fmt: skip
        assert answer.out == "Success: Already OFF\n", answer.err
    finally:
        held.close()
        for server in made:
            server.close()


def test_a_unit_that_refuses_after_the_login_is_not_asked_again(unit: Any) -> None:
    """It may have locked us out; nobody can tell from outside."""
    unit.fault("refuse")
    answer = agent(*options(unit, f"ca_file={unit.rest_cert}", "action=off", "plug=1"))
    assert answer.code == 1
    assert unit.outlet_state(1) == "on"


# The answer, in pure.


def plugs(**changes: object) -> tuple[PlugRow, ...]:
    return parse_plugs(json.dumps({**GOOD, "powerplugs": [{**PLUGS[0], **changes}]}).encode())


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "on"}, PlugState.ON),
        ({"state": " OFF "}, PlugState.OFF),
        ({"state": "off", "busy": "1"}, PlugState.BUSY),
        ({"state": "off", "busy": 1}, PlugState.BUSY),
        ({"state": "off", "busy": ""}, PlugState.OFF),
        ({"state": "off", "busy": 0}, PlugState.OFF),
        ({"state": "off", "busy": "maybe"}, PlugState.UNKNOWN),
        ({"state": "off", "busy": False}, PlugState.OFF),
        ({"state": "off", "busy": True}, PlugState.BUSY),
        ({"state": "off", "busy": None}, PlugState.UNKNOWN),
        ({"state": "off", "busy": []}, PlugState.UNKNOWN),
        ({"state": "of"}, PlugState.UNKNOWN),
        ({"state": "boot"}, PlugState.UNKNOWN),
        ({"state": ""}, PlugState.UNKNOWN),
        ({"state": None}, PlugState.UNKNOWN),
        ({"state": 0}, PlugState.UNKNOWN),
        ({"state": False}, PlugState.UNKNOWN),
    ],
)
def test_a_state_that_cannot_be_read_exactly_is_unknown(changes: dict[str, object], state: PlugState) -> None:
    assert plugs(**changes)[0].state is state


def test_a_name_that_is_no_text_is_an_error() -> None:
    """It might be the other supply of the machine that is to be switched off."""
    with pytest.raises(AnswerError, match="no text"):
        plugs(plugname=["pete"])


def test_field_names_are_read_in_any_case_but_never_twice() -> None:
    body = json.dumps({**GOOD, "powerplugs": [{"Plug": 1, "PlugName": "(undefined)", "STATE": "On"}]}).encode()
    assert parse_plugs(body) == (PlugRow(1, "", PlugState.ON),)
    twice = json.dumps(GOOD).replace('"state": "on"', '"state": "on", "State": "off"').encode()
    with pytest.raises(AnswerError, match="stands twice"):
        parse_plugs(twice)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["status", "code", "powerplugs", "plug", "plugname", "state", "busy", "plugdatacount"]),
        inner, max_size=5,
    ), max_leaves=30,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_comes_is_an_answer_or_an_error(body: bytes) -> None:
    try:
        rows = parse_plugs(body)
    except AnswerError:
        return
    assert rows and all(row.number >= 1 for row in rows)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_answer_never_turns_on_into_off(data: st.DataObject) -> None:
    whole = json.dumps({**GOOD, "plugdatacount": "2", "powerplugs": [*PLUGS, {**PLUGS[0], "plug": "2"}]})
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    try:
        rows = parse_plugs((whole[:start] + whole[end:]).encode())
    except AnswerError:
        return
    assert all(row.state is not PlugState.OFF for row in rows)
    assert len(rows) == 2 or "plugdatacount" not in whole[:start] + whole[end:]
