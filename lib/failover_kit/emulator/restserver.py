"""HTTP/1.1 for the REST interface: asyncio streams around the pure ``restapi``, with or without TLS.

One request per connection, then it is closed. Everything has a bound: the header block, the body, the time
a client may take, how many clients there are. Faults that concern connections are seen to here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from http import HTTPStatus

from failover_kit.emulator import restapi
from failover_kit.emulator.device import Device
from failover_kit.emulator.restapi import Request, Response
from failover_kit.spec.deadline import boottime_ms

HEADER_LIMIT_BYTES = 16 * 1024
BODY_LIMIT_BYTES = 64 * 1024
CLIENT_LIMIT = 32
REQUEST_TIMEOUT_S = 30.0
MUTE_S = 120.0  # how long the fault ``mute`` keeps a client waiting


class _BadRequest(Exception):
    """The request cannot be read; the HTTP status says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class RestServer:
    """``await start()``, then ``port``; ``settle`` is called after each request that was answered."""

    def __init__(self, device: Device, settle: Callable[[], None], tls: ssl.SSLContext | None) -> None:
        self.port = 0
        self._device = device
        self._settle = settle
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self, address: str, port: int) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._server = await asyncio.start_server(
            self._serve, address, port, ssl=self._tls, limit=HEADER_LIMIT_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        peer = writer.get_extra_info("peername")
        try:
            if self._turned_away(str(peer[0]) if peer else ""):
                writer.transport.abort()
            else:
                await asyncio.wait_for(self._converse(reader, writer), REQUEST_TIMEOUT_S + MUTE_S)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away or took too long
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _turned_away(self, address: str) -> bool:
        """A locked-out device still says so (403); ``refuse`` and IP security let nobody in."""
        refused = self._device.faults.active("refuse") or not self._device.unit.settings.admits(address)
        return refused or len(self._clients) > CLIENT_LIMIT

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await asyncio.wait_for(_read(reader), REQUEST_TIMEOUT_S)
        except _BadRequest as bad:
            code = bad.status.value
            _write(writer, Response(code, {"status": {"code": str(code), "text": str(bad)}}))
            return
        if self._device.faults.active("mute"):
            await asyncio.sleep(MUTE_S)
            return
        response = restapi.answer(self._device, boottime_ms(), request)
        self._settle()
        if self._device.faults.active("drop") and request.method == "POST":
            writer.transport.abort()
            return
        _write(writer, response, noise=self._device.faults.active("garbage"))
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    """One request. Raises _BadRequest, and what a broken connection raises."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise _BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    first, *lines = head.split("\r\n")[:-2]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadRequest(HTTPStatus.BAD_REQUEST)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or name.lower() in headers:
            raise _BadRequest(HTTPStatus.BAD_REQUEST)
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise _BadRequest(HTTPStatus.LENGTH_REQUIRED)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _BadRequest(HTTPStatus.BAD_REQUEST)
    if len(length) > 9 or int(length) > BODY_LIMIT_BYTES:
        raise _BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = await reader.readexactly(int(length))
    return Request(words[0], words[1], headers.get("authorization", ""), body)


def _write(writer: asyncio.StreamWriter, response: Response, noise: bool = False) -> None:
    body = json.dumps(response.content).encode()
    if noise:
        body = bytes(byte ^ 0xA5 for byte in body)
    status = HTTPStatus(response.code)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status is HTTPStatus.UNAUTHORIZED:
        lines.append('WWW-Authenticate: Basic realm="WTI"')
    writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
