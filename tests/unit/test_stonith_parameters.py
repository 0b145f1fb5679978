"""Where device parameters come from, and that none of them is ever shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from failover_kit.stonith.agentinfo import parse_metadata
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, from_environment, from_file, from_text, is_secret

NAMES = ("ipaddr", "password")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("host secret", ("host", "secret")),
        ("  host \t secret  ", ("host", "secret")),
        ("host two words", ("host", "two words")),
        ("host 'q' \"d\"", ("host", "'q' \"d\"")),
        ("host secret\r\n", ("host", "secret")),
    ],
)
def test_values_in_order_the_last_takes_the_rest(text: str, values: tuple[str, str]) -> None:
    assert tuple(from_text("x", text, NAMES).values()) == values


@pytest.mark.parametrize("text", ["", "   ", "hunter2"])
def test_too_few_values_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(StonithError) as caught:
        from_text("wti_nps", text, NAMES)
    assert caught.value.code is Code.BADCONFIG
    assert str(caught.value) == "Invalid STONITH -p parameter: wti_nps needs ipaddr password"


def test_a_file_s_first_line_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# comment\n\n   \n  host   secret \nignored\n")
    assert dict(from_file("x", str(path), NAMES)) == {"ipaddr": "host", "password": "secret"}


@pytest.mark.parametrize("text", ["", "#only\n", "hunter2\n", "h " + "x" * 1030 + "\n"])
def test_a_useless_file_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(StonithError) as caught:
        from_file("x", str(path), NAMES)
    assert caught.value.code is Code.BADCONFIG
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", ["/nonexistent", "/tmp", "/dev/zero"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(StonithError, match=r"Invalid config file for x device\."):
        from_file("x", path, NAMES)


def test_only_named_variables_are_parameters() -> None:
    found = from_environment(NAMES, {"ipaddr": "h", "password": "", "PATH": "/bin"})
    assert dict(found) == {"ipaddr": "h", "password": ""}


def test_parameters_do_not_show_values() -> None:
    parameters = Parameters({"ipaddr": "h", "password": "hunter2"})
    assert repr(parameters) == str(parameters) == "Parameters(ipaddr, password)"


@pytest.mark.parametrize("name", ["password", "passwd", "PASSWORD", "snmp_priv_passwd", "community", "api_token"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["ipaddr", "password_file", "password_script", "passwd_script", "username"])
def test_names_of_what_may_be_shown(name: str) -> None:
    assert not is_secret(name)


def test_the_log_hides_the_longest_secret_first() -> None:
    stderr = io.StringIO()
    log = StonithLog(to_stderr=True, stderr=stderr)
    log.hide(Parameters({"password": "abc", "passwd": "abcdef"}).secrets())
    log.error("got abcdef and abc\x1b[2J")
    assert stderr.getvalue() == "ERROR: got *** and ***\\x1b[2J\n"


def test_silent_is_silent_but_for_the_command_line() -> None:
    stderr = io.StringIO()
    log = StonithLog(to_stderr=True, silent=True, stderr=stderr)
    log.complain("bad count [0]")
    assert stderr.getvalue() == "bad count [0]\n"


def test_metadata_gives_parameters_actions_and_the_host_argument() -> None:
    info = parse_metadata(
        '<?xml version="1.0" ?><resource-agent name="f" shortdesc="S"><longdesc> L </longdesc>'
        '<vendor-url>u</vendor-url><parameters><parameter name="action" required="1"/>'
        '<parameter name="port" required="1" deprecated="1"/>'
        '<parameter name="plug" required="1" obsoletes="port"/>'
        '<parameter name="ip" required="1" obsoletes="ipaddr"/>'
        '</parameters><actions><action name="off"/><action name="list"/></actions></resource-agent>'
    )
    assert [(p.name, p.required, p.replaces) for p in info.parameters] == [("ip", True, "ipaddr")]
    assert info.actions == {"off", "list"}
    assert (info.host_argument, info.shortdesc, info.longdesc, info.url) == ("plug", "S", "L", "u")


NAMELESS = "<resource-agent><parameters><parameter/></parameters></resource-agent>"


@pytest.mark.parametrize("text", ["", "<a/>", NAMELESS])
def test_metadata_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_metadata(text)


def test_metadata_reads_no_file_through_an_entity(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    text = f'<!DOCTYPE r [<!ENTITY e SYSTEM "file://{secret}">]><resource-agent><longdesc>&e;</longdesc></resource-agent>'
    assert "hunter2" not in parse_metadata(text).longdesc
