"""Fencing over ssh: OpenSSH's own server and client with the emulated switch behind them, and bad imitations."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from failover_kit.fence.secret import Secret
from failover_kit.fence.sshchild import Preamble, SshTarget, connect_ssh
from failover_kit.fence.transport import ConnectFailed
from failover_kit.spec.deadline import Deadline
from fence.parts import AGENT, ENVIRONMENT, PATIENCE_S, Answer, Sshd, agent, commands, settled, switch

# The emulated unit behind the ssh server asks for nothing more: ssh was the door.
needs_sshd = pytest.mark.skipif(
    shutil.which("sshd", path="/usr/sbin") is None, reason="openssh-server is not installed"
)


@pytest.fixture
def sshd(tmp_path: Any) -> Iterator[tuple[Sshd, Any]]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    with switch(tmp_path, password=None) as emulator, Sshd(str(folder), emulator.port) as server:
        yield server, emulator


@pytest.mark.root
@needs_sshd
def test_the_story_over_ssh_with_a_password(sshd: tuple[Sshd, Any]) -> None:
    server, emulator = sshd
    options = server.options(f"password={Sshd.PASSWORD}")
    assert agent(*options, "action=status", "plug=pete") == Answer(0, "Status: ON\n", "")
    assert agent(*options, "action=off", "plug=mclaws") == Answer(0, "Success: Powered OFF\n", "")
    assert [emulator.outlet_state(n) for n in (1, 5, 6)] == ["on", "off", "off"]
    assert agent(*options, "plug=mclaws") == Answer(0, "Success: Rebooted\n", "")
    assert agent(*options, "action=list").out.startswith("1,pete\n2,\n")
    assert settled(emulator).count("/X,Y") == 4, "every session is left with a logout"


@pytest.mark.root
@needs_sshd
def test_the_story_over_ssh_with_a_key(sshd: tuple[Sshd, Any]) -> None:
    server, emulator = sshd
    assert agent(*server.options(f"identity_file={server.identity}", "action=off", "plug=1")).code == 0
    assert emulator.outlet_state(1) == "off"
    assert "Accepted publickey" in server.said()


@pytest.mark.root
@needs_sshd
def test_the_passphrase_of_a_key_is_typed(sshd: tuple[Sshd, Any]) -> None:
    server, _ = sshd
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "pass phrase", "-f", server.identity], check=True)
    options = server.options(f"identity_file={server.identity}", "action=status", "plug=1")
    assert agent(*options, "password=pass phrase").code == 0
    wrong = agent(*options, "password=wrong phrase")
    assert wrong.code == 1
    assert "wrong phrase" not in wrong.err
    assert "give password=" in agent(*options).err


@pytest.mark.root
@needs_sshd
def test_a_wrong_password_is_typed_once(sshd: tuple[Sshd, Any]) -> None:
    server, emulator = sshd
    answer = agent(*server.options("password=Wr0ng-Pa55", "action=off", "plug=1", "verbose=1"))
    assert answer.code == 1
    assert "Unable to connect/login to fencing device" in answer.err
    assert "Wr0ng-Pa55" not in answer.err
    assert server.said().count("Failed password") == 1
    assert emulator.events("connect") == []


@pytest.mark.root
@needs_sshd
@pytest.mark.parametrize("known", ["none", "another"])
def test_a_strange_host_key_gets_no_password(sshd: tuple[Sshd, Any], known: str) -> None:
    """fence_wti answers yes to any key and sends the password."""
    server, _ = sshd
    if known == "none":
        os.unlink(server.known_hosts)
    else:
        with open(server.identity + ".pub", encoding="ascii") as file:
            server.trust(file.read())
    answer = agent(*server.options(f"password={Sshd.PASSWORD}", "action=off", "plug=1"))
    assert answer.code == 1
    assert "known_hosts" in answer.err
    assert "Accepted" not in server.said()


@pytest.mark.root
@needs_sshd
def test_no_secret_reaches_the_arguments_or_the_environment_of_ssh(sshd: tuple[Sshd, Any], tmp_path: Any) -> None:
    server, _ = sshd
    seen = tmp_path / "seen"
    wrapper = tmp_path / "ssh-wrapper"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{seen}\nenv >>{seen}\nexec /usr/bin/ssh "$@"\n')
    wrapper.chmod(0o755)
    secret = {"WTI_SECRET": Sshd.PASSWORD, "SSH_ASKPASS": "/bin/false", "SSH_AUTH_SOCK": "/nonexistent"}
    options = server.options("password_env=WTI_SECRET", f"ssh_path={wrapper}", "action=status", "plug=1")
    assert agent(*options, env=secret).code == 0
    text = seen.read_text()
    assert "UserKnownHostsFile" in text
    assert Sshd.PASSWORD not in text
    assert "SSH_A" not in text


@pytest.mark.root
@needs_sshd
def test_a_device_that_hangs_up_over_a_command_is_asked_what_it_did(sshd: tuple[Sshd, Any]) -> None:
    server, emulator = sshd
    emulator.fault("drop")
    answer = agent(*server.options(f"password={Sshd.PASSWORD}", "action=off", "plug=mclaws"))
    assert answer.out == "Success: Powered OFF\n", answer.err
    assert commands(emulator).count("/OFF 5,Y") == 1
    assert emulator.outlet_state(6) == "off"


@pytest.mark.root
@needs_sshd
def test_sigterm_logs_out_and_leaves_no_ssh_behind(sshd: tuple[Sshd, Any]) -> None:
    server, emulator = sshd
    emulator.fault("stuck", 1)
    with subprocess.Popen(
        [AGENT], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as child:
        assert child.stdin is not None and child.stderr is not None
        lines = server.options(f"password={Sshd.PASSWORD}", "action=off", "plug=1")
        child.stdin.write("".join(f"{line}\n" for line in lines))
        child.stdin.close()
        end = time.monotonic() + PATIENCE_S
        while "/OFF 1,Y" not in commands(emulator) and time.monotonic() < end:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        assert "stopped by a signal" in child.stderr.read()
        assert child.wait(PATIENCE_S) == 1
    assert settled(emulator)[-1] == "/X,Y"
    pgrep = ["pgrep", "-f", "--", f"UserKnownHostsFile={server.known_hosts}"]
    end = time.monotonic() + PATIENCE_S  # one that was killed may need a turn on a processor to end
    while left := subprocess.run(pgrep, capture_output=True, check=False).stdout:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_nobody_listens_over_ssh() -> None:
    lines = ("ip=127.0.0.1", "ipport=1", "ssh=1", "username=wti", "password=x", "action=status", "plug=1")
    answer = agent(*lines, "login_timeout=1")
    assert answer.code == 1
    assert "Connection refused" in answer.err
    assert "tried for" in answer.err


# Imitations of ssh on a real pseudo-terminal.


def imitation(tmp_path: Any, body: str) -> SshTarget:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return SshTarget("h", 22, "wti", program=str(program))


ASK = 'stty -echo; printf "wti@h\'s password: "; read -r answer; '


def test_the_password_is_typed_when_ssh_asks_and_what_follows_is_the_device(tmp_path: Any) -> None:
    target = imitation(
        tmp_path, f'{ASK}[ "$answer" = "secret" ] && printf "Authenticated to h.\\nIPS> "; read -r end'
    )
    transport = connect_ssh(target, Secret("secret"), Deadline(20_000), lambda _text: None)
    try:
        data = b""
        while b"IPS>" not in data:
            part = transport.receive(Deadline(20_000))
            assert part, data
            data += part
        assert b"secret" not in data
    finally:
        transport.close()


def failure(target: SshTarget, *, password: str = "secret", total_ms: int = 20_000) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        connect_ssh(target, Secret(password), Deadline(total_ms), lambda _text: None)
    return caught.value


def test_asked_twice_the_password_is_typed_once(tmp_path: Any) -> None:
    typed = tmp_path / "typed"
    target = imitation(tmp_path, f'{ASK} echo "$answer" >>{typed}; {ASK} echo "$answer" >>{typed}')
    error = failure(target)
    assert "did not accept the password" in str(error)
    assert not error.again
    assert typed.read_text() == "secret\n"


def test_a_banner_that_asks_for_a_password_gets_none(tmp_path: Any) -> None:
    """Only ssh itself switches the echo off before it asks."""
    typed = tmp_path / "typed"
    target = imitation(tmp_path, f'stty echo; printf "Password: "; read -r answer; echo "$answer" >{typed}')
    for total_ms in (500, 5_000, 30_000):  # a shell may need longer to begin on a busy machine
        error = failure(target, total_ms=total_ms)
        if "before it asked" in str(error):
            break
    assert "before it asked" in str(error)
    assert not typed.exists()


def test_a_silent_ssh_ends_with_the_deadline(tmp_path: Any) -> None:
    assert "silent" in str(failure(imitation(tmp_path, "exec sleep 100"), total_ms=300))


def test_an_ssh_that_ends_after_the_password_is_final(tmp_path: Any) -> None:
    error = failure(imitation(tmp_path, f'{ASK} echo "Connection closed by h port 22"; exit 255'))
    assert "after it got the password" in str(error)
    assert not error.again, "even words that are worth a new try before the password"


def test_an_ssh_that_is_not_there(tmp_path: Any) -> None:
    assert "openssh-client" in str(failure(SshTarget("h", 22, "wti", program=str(tmp_path / "none"))))


def test_a_missing_pexpect_is_a_clean_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pexpect", None)
    assert "python3-pexpect" in str(failure(SshTarget("h", 22, "wti")))


# What ssh says, in pure.


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_preamble_may_be_cut_anywhere(size: int) -> None:
    text = (
        b'** Banner: Password: **\r\n(wti@h) Password: \r\nAuthenticated to h ([1]:22) using "password".\r\r\nIPS> '
    )
    preamble = Preamble("h", Secret("secret"))
    echo = True
    asked = 0
    rest = b""
    for at in range(0, len(text), size):
        piece = text[at : at + size]
        echo = echo and b"(wti" not in text[: at + size]
        step = preamble.receive(piece, echo=echo)
        asked += step.name == "PASSWORD"
        if step.name == "INSIDE":
            rest = preamble.rest + text[at + size :]
            break
    assert rest == b"IPS> "
    assert asked == (1 if size < 1000 else 0)


def test_a_preamble_without_end_is_given_up() -> None:
    with pytest.raises(ConnectFailed, match="does not come to an end"):
        Preamble("h", Secret("secret")).receive(b"x" * 70_000, echo=False)


def test_a_question_about_the_host_key_is_never_answered() -> None:
    with pytest.raises(ConnectFailed, match="known_hosts"):
        Preamble("h", Secret("secret")).receive(
            b"Are you sure you want to continue connecting (yes/no/[fingerprint])? ", echo=True
        )


def test_the_argument_list() -> None:
    argv = SshTarget("fe80::1%eth0", 2222, "wti", 6, "/key", ("-o", "HostKeyAlgorithms=+ssh-rsa")).argv()
    assert argv[-7:] == ["-tt", "-l", "wti", "-p", "2222", "--", "fe80::1%eth0"]
    assert argv.index("HostKeyAlgorithms=+ssh-rsa") < argv.index("StrictHostKeyChecking=yes")
    assert ("-6" in argv, "/key" in argv, "PubkeyAuthentication=no" in argv) == (True, True, False)


def test_what_was_typed_is_not_shown_when_it_comes_back(tmp_path: Any) -> None:
    target = imitation(tmp_path, "stty -echo; printf 'Password: '; read word; echo \"no: $word\"; exit 1")
    assert "no: ***" in str(failure(target))


@pytest.mark.parametrize(
    "words", ["Connection refused", "Could not resolve hostname: Temporary failure in name resolution"]
)
def test_what_may_pass_is_tried_again(words: str) -> None:
    preamble = Preamble("switch", Secret("secret"))
    preamble.receive(f"ssh: {words}\r\n".encode(), echo=True)
    assert preamble.ended().again
