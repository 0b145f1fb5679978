"""HTTP/1.1 for the REST interface: asyncio streams around the pure ``restapi``, with or without TLS.

One request per connection, then it is closed. Everything has a bound: the header block, the body, the time
a client may take, how many clients there are. Faults that concern connections are seen to here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
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
BACKLOG = 128  # who is beyond the limit is told so at once, and does not wait to be connected
REQUEST_TIMEOUT_S = 30.0
HANDSHAKE_TIMEOUT_S = 10.0
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
        self._listener: socket.socket | None = None
        self._clients: set[asyncio.Task[None]] = set()

    def start(self, address: str, port: int) -> None:
        """Listen. Raises OSError when the address is taken.

        Not asyncio.start_server: that counts nobody before the TLS handshake is done, and whoever only
        connects could take every descriptor, those of the telnet side too.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def stop(self) -> None:
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - add_reader is undone before it is closed
        try:
            connection, peer = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # gone again between the event and the call
        if self._turned_away(str(peer[0])):
            connection.close()
            return
        connection.setblocking(False)
        client = asyncio.get_running_loop().create_task(self._take_in(connection))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _take_in(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEADER_LIMIT_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        patience_s = None if self._tls is None else HANDSHAKE_TIMEOUT_S
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=patience_s
            )
        except OSError:  # no TLS, or too slow; the loop has closed the connection
            return
        await self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
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
        return refused or len(self._clients) >= CLIENT_LIMIT

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
