"""The REST interface: requests as WTI's own Ansible modules make them, and the bounds of its HTTP server."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import stat
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator_bench import Bench
from failover_kit.emulator import certificate, restapi, restserver
from failover_kit.emulator.restapi import CONFIG, CONTROL, STATUS, Request
from failover_kit.emulator.server import Emulator, EmulatorConfig, OutletConfig
from failover_kit.emulator.variants import VMR

PATIENCE_S = 60


def basic(user: str = "admin", password: str = "changeme") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Client:
    """Requests to a device on the bench."""

    def __init__(self, **names: str) -> None:
        self.bench = Bench("changeme", variant=VMR, user="admin", **names)

    def ask(self, method: str, target: str, body: object = None, authorization: str | None = None) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method, target, basic() if authorization is None else authorization, data)
        response = restapi.answer(self.bench.device, self.bench.now_ms, request)
        self.bench.drain()
        return response.code, response.content

    def plugs(self, method: str, target: str, body: object = None) -> list[dict[str, str]]:
        code, content = self.ask(method, target, body)
        assert (code, content["status"]) == (200, {"code": "0", "text": "OK"})
        found = content["powerplugs"]
        assert isinstance(found, list)
        return found


def test_all_plugs_with_name_state_and_busy() -> None:
    plugs = Client(p1="pete").plugs("GET", CONTROL)
    assert [plug["plug"] for plug in plugs] == [str(number) for number in range(1, 17)]
    assert plugs[0]["plugname"] == "pete"
    assert {(plug["state"], plug["busy"]) for plug in plugs} == {("on", "0")}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("5", ["5"]),
        ("pete", ["1"]),
        ("PETE", ["1"]),
        ("5,pete", ["1", "5"]),
        ("mclaws", ["2", "3"]),
        ("5%2C6", ["5", "6"]),
    ],
)
def test_one_or_several_plugs_by_number_or_name(query: str, found: list[str]) -> None:
    client = Client(p1="pete", p2="mclaws", p3="mclaws")
    assert [plug["plug"] for plug in client.plugs("GET", f"{CONTROL}?plug={query}")] == found


def test_off_is_answered_at_once_with_busy_and_the_truth_and_later_with_off() -> None:
    client = Client()
    client.bench.hold = True
    plug = client.plugs("POST", CONTROL, {"plug": "5", "state": "off"})[0]
    assert (plug["state"], plug["busy"]) == ("on", "1")
    plug = client.plugs("GET", f"{CONTROL}?plug=5")[0]
    assert (plug["state"], plug["busy"]) == ("on", "1")
    client.bench.device.switched(client.bench.now_ms, True)
    plug = client.plugs("GET", f"{CONTROL}?plug=5")[0]
    assert (plug["state"], plug["busy"]) == ("off", "0")


def test_a_relay_that_did_not_move_is_told_as_it_is() -> None:
    client = Client()
    client.bench.relay_ok = False
    client.plugs("POST", CONTROL, {"plug": "5", "state": "off"})
    plug = client.plugs("GET", f"{CONTROL}?plug=5")[0]
    assert (plug["state"], plug["busy"]) == ("on", "0")


@pytest.mark.parametrize(
    "body",
    [
        {"plugname": "mclaws", "state": "OFF"},
        b'{"plug": "2","state": "off"}{"plug": "3","state": "off"}',  # cpm_plugcontrol with two plugs
        [{"plug": 2, "state": "off"}, {"plug": 3, "state": "off"}],
        {"plugs": [{"plug": "2", "state": "off"}, {"plugname": "mclaws", "state": "off"}]},
    ],
)
def test_the_ways_to_name_two_plugs(body: object) -> None:
    client = Client(p2="mclaws", p3="mclaws")
    assert [plug["plug"] for plug in client.plugs("POST", CONTROL, body)] == ["2", "3"]
    client.bench.run()
    assert [client.bench.state(number) for number in (1, 2, 3)] == ["on", "off", "off"]


def test_boot_and_default() -> None:
    client = Client()
    client.bench.device.outlet(4).default_on = False
    client.plugs("POST", CONTROL, {"plug": "3", "state": "boot"})
    client.plugs("POST", CONTROL, {"plug": "4", "state": "default"})
    client.bench.run()
    assert [(number, to) for _, number, to in client.bench.moves] == [(3, "off"), (3, "on"), (4, "off")]


@pytest.mark.parametrize(
    ("method", "target", "body", "code"),
    [
        ("GET", f"{CONTROL}?plug=17", None, 400),
        ("GET", f"{CONTROL}?plug=nobody", None, 400),
        ("GET", f"{CONTROL}?plug=", None, 400),
        ("POST", CONTROL, None, 400),
        ("POST", CONTROL, b"{", 400),
        ("POST", CONTROL, b"\xff", 400),
        ("POST", CONTROL, b"[" * 20_000, 400),
        ("POST", CONTROL, {"plug": "5"}, 400),
        ("POST", CONTROL, {"plug": "5", "state": "up"}, 400),
        ("POST", CONTROL, {"plug": "0", "state": "off"}, 400),
        ("POST", CONTROL, {"plug": True, "state": "off"}, 400),
        ("POST", CONTROL, {"plug": "5" * 5_000, "state": "off"}, 400),
        ("GET", f"{CONTROL}?plug={'5' * 5_000}", None, 400),
        ("POST", CONFIG, {"plugs": [{"plug": "5", "bootdelay": "1" * 5_000}]}, 400),
        ("POST", CONTROL, {"plugname": "", "state": "off"}, 400),
        ("POST", CONTROL, {"state": "off"}, 400),
        ("POST", CONTROL, [{"plug": "5", "state": "off"}, {"plug": "17", "state": "off"}], 400),
        ("POST", CONTROL, 7, 400),
        ("PUT", CONTROL, {"plug": "5", "state": "off"}, 405),
        ("GET", "/api/v2/config/network", None, 404),
        ("GET", "/", None, 404),
    ],
)
def test_a_bad_request_is_refused_and_switches_nothing(method: str, target: str, body: object, code: int) -> None:
    client = Client()
    found, content = client.ask(method, target, body)
    assert found == code
    assert content["status"]["code"] != "0"
    assert "powerplugs" not in content
    assert client.bench.moves == []


# --- parameters ------------------------------------------------------------------------------------------


def test_plug_parameters_are_shown_and_set_as_cpm_plugconfig_does() -> None:
    client = Client(p2="pete")
    assert client.plugs("GET", f"{CONFIG}?plug=2") == [
        {"plug": "2", "plugname": "pete", "bootdelay": "0", "default": "1", "bootpriority": "2"}
    ]
    entry = {"plug": "2", "plugname": "mclaws", "bootdelay": "3", "default": "0", "bootpriority": "1"}
    assert client.plugs("POST", CONFIG, {"plugs": [entry]}) == [entry]
    outlet = client.bench.device.outlet(2)
    assert (outlet.name, outlet.delay_ms, outlet.default_on) == ("mclaws", 5_000, False)
    assert client.bench.stores == 4


@pytest.mark.parametrize(
    "change",
    [
        {"plugname": "9x"},
        {"plugname": 9},
        {"bootdelay": "10"},
        {"bootdelay": "x"},
        {"default": "2"},
        {"bootpriority": "0"},
    ],
)
def test_a_bad_parameter_changes_nothing(change: dict[str, object]) -> None:
    client = Client(p2="pete")
    entries = [{"plug": "1", "plugname": "good"}, {"plug": "2", **change}]
    assert client.ask("POST", CONFIG, {"plugs": entries})[0] == 400
    assert [client.bench.device.outlet(number).name for number in (1, 2)] == ["", "pete"]


def test_the_unit_tells_how_many_plugs_it_has() -> None:
    code, content = Client().ask("GET", STATUS)
    assert (code, content["vendor"], content["totalplugs"]) == (200, "WTI", "16")


# --- who may ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic \u00e9",
        "Basic " + "/" * 8,
        "Bearer x",
        basic(password="wrong"),
        basic(user="root"),
    ],
)
def test_without_the_right_name_and_password_nothing_is_told(authorization: str) -> None:
    client = Client()
    code, content = client.ask("GET", CONTROL, authorization=authorization)
    assert code == 401
    assert set(content) == {"status"}


def test_a_plugs_password_shows_and_switches_its_plugs_only_and_sets_nothing() -> None:
    client = Client()
    client.bench.device.outlet(2).password = "own-plug"
    own = basic(password="own-plug")
    assert [plug["plug"] for plug in client.ask("GET", CONTROL, authorization=own)[1]["powerplugs"]] == ["2"]
    assert client.ask("POST", CONTROL, {"plug": "1", "state": "off"}, own)[0] == 400
    assert client.ask("POST", CONFIG, {"plugs": [{"plug": "2", "plugname": "mine"}]}, own)[0] == 403
    assert client.ask("POST", CONTROL, {"plug": "2", "state": "off"}, own)[0] == 200


def test_a_request_does_not_take_the_session() -> None:
    client = Client()
    client.bench.connect()
    client.plugs("POST", CONTROL, {"plug": "5", "state": "off"})
    assert client.bench.type("admin\r").endswith("Password: ")


def test_lockout_covers_rest_and_telnet_together() -> None:
    client = Client()
    client.bench.device.faults.set("lockout", count=3)
    client.bench.connect()
    client.bench.type("admin\r")
    client.bench.type("wrong\r")
    for _ in range(2):
        assert client.ask("GET", CONTROL, authorization=basic(password="wrong"))[0] == 401
    assert client.ask("GET", CONTROL)[0] == 403
    client.bench.device.disconnected(0)
    assert not client.bench.device.accepting()


def test_no_password_is_in_the_log_or_in_a_requests_repr() -> None:
    client = Client()
    client.ask("GET", CONTROL, authorization=basic(password="wrongsecret"))
    logged = repr(client.bench.events) + repr(Request("GET", CONTROL, basic(password="wrongsecret"), b"body"))
    assert "wrongsecret" not in logged
    assert basic(password="wrongsecret").split()[1] not in logged


def test_busy_is_told_for_every_plug_while_the_fault_is_in_force() -> None:
    client = Client()
    client.bench.device.faults.set("busy")
    assert {(plug["state"], plug["busy"]) for plug in client.plugs("GET", CONTROL)} == {("on", "1")}


WORDS = st.sampled_from(["plug", "plugname", "state", "plugs", "bootdelay"])
VALUES = st.none() | st.booleans() | st.integers() | st.sampled_from(["5", "pete", "off", "boot", ""])
BODIES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=8
).map(lambda value: json.dumps(value).encode())


@settings(deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text(max_size=30) | st.sampled_from([CONTROL, CONFIG, STATUS]),
    st.text(max_size=20) | st.just("plug=5,pete"),
    st.text(max_size=20) | st.just(basic()),
    st.binary(max_size=60) | BODIES,
)
def test_whatever_is_asked_there_is_an_answer_and_only_the_right_password_moves_a_relay(
    method: str, path: str, query: str, authorization: str, body: bytes
) -> None:
    client = Client(p1="pete")
    code, content = client.ask(method, f"{path}?{query}", body, authorization)
    assert (code == 200) == (content["status"]["code"] == "0")
    if code != 200 or method != "POST":
        assert client.bench.moves == []
    if authorization != basic():
        assert code != 200


def test_orders_do_not_pile_up_without_end() -> None:
    """A megabyte of them took a megabyte and more of memory each, and the relays could never follow."""
    client = Client()
    many = b'{"plug": "1", "state": "boot"}' * (restapi.ORDERS_LIMIT + 1)
    assert client.ask("POST", CONTROL, many)[0] == 413
    assert client.bench.moves == []
    codes = [client.ask("POST", CONTROL, many[: len(many) - 30])[0] for _ in range(20)]
    assert codes[0] == 200
    assert codes[-1] == 503
    # The text session is not let in either, and says so.
    client.bench.connect()
    said = "".join(client.bench.type(line) for line in ("admin\r", "changeme\r", "/OFF 1,Y\r"))
    assert "queue is full" in said


def test_what_is_no_request_of_ours_is_not_in_an_event() -> None:
    client = Client()
    client.ask("GET", "/changeme/" + CONTROL)
    client.ask("CHANGEME", CONTROL + "/")
    assert [event.fields for event in client.bench.events if event.name == "rest"] == [
        {"method": "GET", "path": "?", "code": 404},
        {"method": "?", "path": CONTROL, "code": 405},
    ]


# --- HTTP ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Emulator]:
    more |= {"variant": "vmr", "password": "changeme", "user": "admin", "rest": ("127.0.0.1", 0)}
    emulator = Emulator(EmulatorConfig(port=0, **more))
    await emulator.start()
    try:
        yield emulator
    finally:
        await emulator.stop()


def port_of(emulator: Emulator) -> int:
    assert emulator.rest_url is not None
    return int(emulator.rest_url.rpartition(":")[2])


async def raw(emulator: Emulator, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send ``data``, return everything up to the end of the connection."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port_of(emulator), ssl=tls, server_hostname="127.0.0.1" if tls else None
    )
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()


async def hears_nothing(emulator: Emulator, data: bytes) -> bool:
    """Whether the connection ends without a word; it may end hard."""
    try:
        return await raw(emulator, data) == b""
    except ConnectionError:
        return True


def http(method: str, target: str, body: str = "", extra: str = "") -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: switch\r\nAuthorization: {basic()}\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n{body}"
    ).encode()


def drive(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 2 * PATIENCE_S))


def test_over_tls_with_a_certificate_it_makes_and_clients_can_trust(tmp_path: Path) -> None:
    path = tmp_path / "rest.pem"

    async def story() -> None:
        async with serving(rest_cert=str(path)) as emulator:
            trusted = ssl.create_default_context(cafile=str(path))
            answer = await raw(emulator, http("POST", CONTROL, '{"plug": "5", "state": "off"}'), trusted)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            with pytest.raises(ssl.SSLError):
                await raw(emulator, http("GET", CONTROL), ssl.create_default_context())

    drive(story)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    certificate.context(str(path), "127.0.0.1")  # a restart takes the one that is there
    assert path.read_bytes() == before


def test_a_file_without_a_certificate_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rest.pem"
    path.write_text("not a certificate")
    with pytest.raises(certificate.CertificateError, match=r"rest\.pem: .*certificate and its key"):
        certificate.context(str(path), "127.0.0.1")


def test_plain_http_switches_an_outlet_and_says_busy_until_its_command_has_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    command = ["/bin/sh", "-c", 'mkfifo "$0"; read line < "$0"', str(fifo)]

    async def story() -> None:
        async with serving(rest_plain=True, outlets={5: OutletConfig("pete", off_command=command)}) as emulator:

            async def plug() -> dict[str, str]:
                answer = await raw(emulator, http("GET", f"{CONTROL}?plug=pete"))
                found = json.loads(answer.partition(b"\r\n\r\n")[2])["powerplugs"][0]
                assert isinstance(found, dict)
                return found

            await raw(emulator, http("POST", CONTROL, '{"plugname": "pete", "state": "off"}'))
            seen = await plug()
            assert (seen["state"], seen["busy"]) == ("on", "1")
            while not fifo.exists():
                await asyncio.sleep(0)
            await asyncio.to_thread(fifo.write_text, "go\n")
            while (seen := await plug())["busy"] == "1":
                assert seen["state"] == "on"
            assert seen["state"] == "off"

    drive(story)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / SPDY/1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (restserver.BODY_LIMIT_BYTES + 1), 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * restserver.HEADER_LIMIT_BYTES + b"\r\n\r\n", 431),
        (http("GET", "/"), 404),
    ],
)
def test_what_cannot_be_read_is_answered_with_the_reason(data: bytes, status: int) -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            assert (await raw(emulator, data)).startswith(b"HTTP/1.1 %d " % status)
            assert (await raw(emulator, http("GET", CONTROL))).startswith(b"HTTP/1.1 200 ")

    drive(story)


def test_a_401_says_which_authorization_is_wanted() -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            answer = await raw(emulator, b"GET / HTTP/1.1\r\n\r\n")
            assert b'\r\nWWW-Authenticate: Basic realm="WTI"\r\n' in answer

    drive(story)


def test_a_client_that_asks_nothing_does_not_stop_the_end() -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
            assert (await raw(emulator, http("GET", CONTROL))).startswith(b"HTTP/1.1 200 ")
        writer.close()

    drive(story)


def test_drop_switches_and_cuts_the_connection() -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            emulator.set_fault("drop", [], None)
            assert await hears_nothing(emulator, http("POST", CONTROL, '{"plug": "5", "state": "off"}'))
            while emulator.device.unit.relays.busy():
                await asyncio.sleep(0)
            assert not emulator.device.outlet(5).on

    drive(story)


def test_refuse_and_ip_security_let_nobody_in() -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            emulator.set_fault("refuse", [], None)
            assert await hears_nothing(emulator, http("GET", CONTROL))
            emulator.clear_fault("refuse", None)
            parameters = emulator.device.unit.settings
            parameters.mask_addresses[4], parameters.mask_permits[4] = "127.255.255.255", False
            assert await hears_nothing(emulator, http("GET", CONTROL))
            with pytest.raises((ConnectionResetError, EOFError)):
                reader, _ = await asyncio.open_connection("127.0.0.1", emulator.port)
                await asyncio.wait_for(reader.readexactly(1), PATIENCE_S)
            parameters.mask_permits[4] = True
            assert (await raw(emulator, http("GET", CONTROL))).startswith(b"HTTP/1.1 200 ")

    drive(story)


def test_garbage_is_no_json_and_mute_says_nothing() -> None:
    async def story() -> None:
        async with serving(rest_plain=True) as emulator:
            emulator.set_fault("garbage", [], None)
            body = (await raw(emulator, http("GET", CONTROL))).partition(b"\r\n\r\n")[2]
            with pytest.raises(ValueError, match=r"codec|Expecting"):
                json.loads(body)
            emulator.clear_fault(None, None)
            emulator.set_fault("mute", [], None)
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
            writer.write(http("POST", CONTROL, '{"plug": "5", "state": "off"}'))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            assert emulator.device.outlet(5).on
            writer.close()

    drive(story)


def test_whoever_only_connects_does_not_take_every_descriptor() -> None:
    """Before the TLS handshake nobody was counted: idle connections kept the telnet side from accepting."""

    async def story() -> None:
        async with serving() as emulator:
            idle = [
                await asyncio.open_connection("127.0.0.1", port_of(emulator))
                for _ in range(restserver.CLIENT_LIMIT + 1)
            ]
            try:
                assert await asyncio.wait_for(idle[-1][0].read(), PATIENCE_S) == b""
            finally:
                for _, writer in idle:
                    writer.close()

    drive(story)
