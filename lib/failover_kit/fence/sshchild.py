"""An ssh program on a pseudo-terminal of its own, through pexpect.

The argument list holds no secret: the password is typed on the terminal, once, and only while ssh has
switched its echo off. Until ssh itself says that it is authenticated (``LogLevel=VERBOSE`` prints
"Authenticated to …", OpenSSH since 5.6) nothing is handed to the dialogue, so a banner cannot be taken for a
prompt of the device, and a prompt of the device cannot be given the password.

An unknown host key is an error with a remedy: fence_wti answers "yes" and sends the password to whoever is
there. The terminal is wide, so that nothing wraps (fence-agents PR #351 fell over 80 columns).
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from failover_kit.fence.secret import Secret
from failover_kit.fence.tcp import RECEIVE_BYTES, wait_for
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer, reason
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, quote

if TYPE_CHECKING:
    import pexpect

ROWS, COLUMNS = 1000, 1000
# What ssh says before it is in; a login banner may be a page.
PREAMBLE_LIMIT = 64 * 1024
_AUTHENTICATED = re.compile(rb"^Authenticated to [^\r\n]*\r*\n", re.M)
_ASKS = re.compile(rb"(?:password|passphrase[^\r\n]*|passcode)\s*:\s*$", re.I)
_ASKS_HOST_KEY = re.compile(rb"\(yes/no[^\r\n]*\)\?\s*$", re.I)
# What ssh prints when nobody is there, or when the unit's one session is taken: worth another try.
_AGAIN = re.compile(
    rb"connection refused|connection reset|connection closed|connection timed out|no route to host|"
    rb"network is unreachable|temporary failure in name resolution|connection to .* port .* timed out",
    re.I,
)
_KEY_TROUBLE = re.compile(rb"host key verification failed|no .* host key is known|identification has changed", re.I)


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Whom to call, and how."""

    host: str
    port: int
    username: str
    family: int = 0
    identity_file: str = ""
    options: tuple[str, ...] = ()
    program: str = "/usr/bin/ssh"

    def argv(self) -> list[str]:
        """The argument list. What the user set in ``options`` stands first, and ssh takes the first.

        Two settings are ours alone: the words we wait for, and that a password is asked for once.
        """
        settings = [
            "StrictHostKeyChecking=yes", "BatchMode=no", "EscapeChar=none", "ForwardAgent=no", "ForwardX11=no",
            "ControlPath=none", "ConnectionAttempts=1",
        ]  # fmt: skip
        if self.identity_file:
            settings += ["IdentitiesOnly=yes", "PreferredAuthentications=publickey"]
        else:
            settings += ["PubkeyAuthentication=no", "PreferredAuthentications=keyboard-interactive,password"]
        argv = ["-o", "LogLevel=VERBOSE", "-o", "NumberOfPasswordPrompts=1", *self.options]
        for setting in settings:
            argv += ["-o", setting]
        if self.identity_file:
            argv += ["-i", self.identity_file]
        if self.family:
            argv.append(f"-{self.family}")
        return [*argv, "-tt", "-l", self.username, "-p", str(self.port), "--", self.host]


class _Step(Enum):
    WAIT = auto()
    PASSWORD = auto()
    INSIDE = auto()


class Preamble:
    """What ssh prints before the device is heard. Pure: bytes in, what to do next out.

    ``receive`` raises ConnectFailed when ssh asks what must not be answered: the password a second time,
    or whether a strange host key is fine. ``rest`` is what came after the authentication.
    """

    def __init__(self, host: str, password: Secret) -> None:
        self._host = host
        self._password = password
        self._seen = b""
        self.password_asked = False
        self.rest = b""

    def receive(self, data: bytes, *, echo: bool) -> _Step:
        """``echo``: the terminal's; ssh switches it off before it asks, so a banner with echo on asks nothing."""
        self._seen += data
        if inside := _AUTHENTICATED.search(self._seen):
            self.rest = self._seen[inside.end() :]
            return _Step.INSIDE
        if _ASKS_HOST_KEY.search(self._seen):
            raise self._host_key()
        if not echo and _ASKS.search(self._seen):
            if self.password_asked:
                raise ConnectFailed("the device did not accept the password over ssh", again=False)
            self.password_asked = True
            self._seen = b""
            return _Step.PASSWORD
        if len(self._seen) > PREAMBLE_LIMIT:
            raise ConnectFailed("ssh does not come to an end of what it says before the login", again=False)
        return _Step.WAIT

    def ended(self) -> ConnectFailed:
        """ssh ended before the device was heard: why."""
        if _KEY_TROUBLE.search(self._seen):
            return self._host_key()
        words = self._last_line()
        if self.password_asked:
            return ConnectFailed(f"ssh ended after it got the password: {words}", again=False)
        return ConnectFailed(f"ssh: {words}", again=_AGAIN.search(self._seen) is not None)

    def _host_key(self) -> ConnectFailed:
        return ConnectFailed(
            f"ssh does not trust the host key of {self._host}: it is unknown or has changed; compare it with the "
            "device's and put it into /root/.ssh/known_hosts (ssh-keyscan shows it), or set "
            "ssh_options='-o UserKnownHostsFile=…'",
            again=False,
        )

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._seen.decode("utf-8", "replace").splitlines() if line.strip()]
        # A terminal whose echo came back too early, or the device itself, may show what was typed.
        return repr(self._password.redact(lines[-1])[:200]) if lines else "no word of explanation"


def connect_ssh(target: SshTarget, password: Secret, until: Deadline, debug: Callable[[str], None]) -> SshTransport:
    """Start ssh and get authenticated. Raises ConnectFailed; a rejected password is never tried again."""
    try:
        import pexpect
    except ImportError:
        raise ConnectFailed(
            "ssh needs the Python module 'pexpect'; install the package python3-pexpect", again=False
        ) from None
    argv = target.argv()
    debug(f"running: {quote([target.program, *argv])}")
    try:
        child = pexpect.spawn(
            target.program, argv, env=_environment(), dimensions=(ROWS, COLUMNS), timeout=None, encoding=None
        )
    except pexpect.ExceptionPexpect:
        raise ConnectFailed(f"{target.program} cannot be run; install openssh-client", again=False) from None
    transport = SshTransport(child)
    try:
        _authenticate(transport, Preamble(target.host, password), password, until)
    except BaseException:
        transport.close()
        raise
    return transport


def _environment() -> dict[str, str]:
    """No agent, no askpass program, no language: only what ssh needs to find its files."""
    return {**CLEAN_ENV, "HOME": os.environ.get("HOME", "/root"), "TERM": "dumb"}


def _authenticate(transport: SshTransport, preamble: Preamble, password: Secret, until: Deadline) -> None:
    while True:
        try:
            data = transport.receive(until)
        except ConnectionLost:
            data = b""
        if data is None:
            words = "after it got the password" if preamble.password_asked else "before it asked for anything"
            raise ConnectFailed(f"Connection timed out: ssh was silent {words}", again=False)
        if not data:
            raise preamble.ended()
        match preamble.receive(data, echo=transport.echoes()):
            case _Step.INSIDE:
                transport.give_back(preamble.rest)
                return
            case _Step.PASSWORD:
                if not password:
                    raise ConnectFailed("ssh asks for a password or passphrase; give password=", again=False)
                transport.type_secret(password, until)
            case _:
                pass


class SshTransport:
    """The terminal of a running ssh."""

    def __init__(self, child: pexpect.spawn) -> None:
        self._child = child
        self._given_back = b""
        os.set_blocking(child.child_fd, False)

    def send(self, data: bytes, until: Deadline) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._child.child_fd, view) :]
            except BlockingIOError:
                if not wait_for(self._child.child_fd, select.POLLOUT, until):
                    raise NoAnswer("ssh does not take what is sent") from None
            except OSError as error:
                raise ConnectionLost(f"ssh: {reason(error)}") from None

    def receive(self, until: Deadline) -> bytes | None:
        if self._given_back:
            data, self._given_back = self._given_back, b""
            return data
        while True:
            try:
                return os.read(self._child.child_fd, RECEIVE_BYTES)
            except BlockingIOError:
                if not wait_for(self._child.child_fd, select.POLLIN, until):
                    return None
            except OSError:
                # EIO: nobody has the other end of the terminal any more (pty(7)).
                return b""

    def give_back(self, data: bytes) -> None:
        """The next ``receive`` gives this first."""
        self._given_back = data

    def echoes(self) -> bool:
        return bool(self._child.getecho())

    def type_secret(self, secret: Secret, until: Deadline) -> None:
        """Type a password, which the caller knows to be asked for by ssh."""
        self.send(secret.reveal().encode("utf-8", "surrogateescape") + b"\n", until)

    def close(self) -> None:
        """End ssh: hang up, then kill."""
        import pexpect

        self._child.ptyproc.delayafterclose = self._child.ptyproc.delayafterterminate = 0.05
        try:
            self._child.close(force=True)
        except (OSError, pexpect.ExceptionPexpect):
            pass  # it cannot be killed yet (stuck in the kernel); the terminal is gone all the same
