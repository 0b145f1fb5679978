"""The option table: argv, stdin, checks, metadata, help."""

from __future__ import annotations

import re

import pytest

from failover_kit.fence.config import Config, Way, check
from failover_kit.fence.metadata import help_text, metadata_xml
from failover_kit.fence.options import DEFAULT_PROMPTS, OPTIONS, UsageError, read_argv, read_stdin, stdin_line
from failover_kit.fence.secret import Secret

BASE = ["ip=192.0.2.1", "plug=1"]


def stdin(*lines: str) -> Config:
    return check(read_stdin([*BASE, *lines]))


def problem(*lines: str) -> str:
    with pytest.raises(UsageError) as caught:
        check(read_stdin(lines))
    return str(caught.value)


def test_defaults_are_fence_wtis() -> None:
    config = stdin()
    assert (config.action, config.ipport, config.retry_on) == ("reboot", 23, 1)
    assert (config.login_timeout_ms, config.shell_timeout_ms, config.power_timeout_ms) == (10_000, 3_000, 20_000)
    assert (config.power_wait_ms, config.delay_ms, config.status_sleep_ms) == (0, 0, 1_000)


def test_old_names_short_options_and_new_names_are_the_same() -> None:
    new = read_argv(
        ["--action=off", "--ip=h", "--ipport=2323", "--username=u", "--password=s", "--plug=1,5", "--debug-file=d"]
    )
    short = read_argv(["-o", "off", "-a", "h", "-u", "2323", "-l", "u", "-p", "s", "-n", "1,5", "-D", "d"])
    old = read_stdin(["option=off", "ipaddr=h", "ipport=2323", "login=u", "passwd=s", "port=1,5", "debug=d"])
    dashed = read_stdin(
        ["action=off", "ip=h", "ipport=2323", "username=u", "password=s", "plug=1,5", "debug-file=d"]
    )
    assert check(new) == check(short) == check(old) == check(dashed)


def test_option_is_action_and_action_stands_above_it() -> None:
    assert stdin("option=off").action == "off"
    assert stdin("option=reboot", "action=off").action == "off"
    assert stdin("action=off", "option=reboot").action == "off"


def test_comments_unknown_names_and_what_pacemaker_adds() -> None:
    raw = read_stdin(
        ["# plug=9", "", "nodename=pete", "agent=fence_wti", "name=x", "no_such=/x", "nonsense", *BASE]
    )
    assert check(raw).plugs == ("1",)
    assert len(raw.warnings) == 2
    assert "no_such" in raw.warnings[0]


def test_last_of_one_name_wins_but_two_names_must_agree() -> None:
    assert stdin("plug=2", "plug=3").plugs == ("3",)
    assert stdin("port=1").plugs == ("1",)
    text = problem("plug=pete", "port=5", "ip=h")
    assert "plug= and port=" in text


@pytest.mark.parametrize(("configured", "filled_in"), [("plug", "port"), ("port", "plug")])
def test_the_plug_that_only_the_fencer_filled_in_gives_way_to_the_configured_one(
    configured: str, filled_in: str
) -> None:
    """Seen on the standard input of agents under Pacemaker 2.1.5, for a device with pcmk_host_list and plug=5."""
    lines = ["nodename=pete", "ip=h", "action=off", f"{filled_in}=pete", "password=s", f"{configured}=5"]
    for order in (lines, lines[::-1]):
        assert check(read_stdin(order)).plugs == ("5",)
    assert "mean the same and differ" in problem("nodename=mclaws", "ip=h", f"{filled_in}=pete", f"{configured}=5")


def test_two_different_passwords_are_named_but_not_shown() -> None:
    text = problem(*BASE, "password=alpha", "passwd=beta")
    assert "password= and passwd=" in text
    assert "alpha" not in text
    assert "beta" not in text


@pytest.mark.parametrize("value", ["0", "no", "off", "false", "False", ""])
def test_a_false_flag_is_false(value: str) -> None:
    config = stdin(f"ssh={value}", f"verbose={value}", f"quiet={value}", f"inet4_only={value}")
    assert (config.verbose, config.quiet, config.family) == (False, False, 0)


def test_one_pair_of_quotes_is_taken_off_as_fence_wti_does() -> None:
    """So quotes keep blanks at the ends, and a password in quotes of its own is written with one pair more."""
    config = stdin('password="x"', 'username="u"')
    assert config.password == Secret("x")
    assert config.username == "u"
    assert stdin('password=" x "').password == Secret(" x ")
    assert stdin('password=""x""').password == Secret('"x"')
    assert stdin('password="x').password == Secret('"x')


def test_a_password_may_have_an_equals_sign_and_blanks_inside() -> None:
    assert stdin("password= a=b c").password == Secret(" a=b c")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["plug=1"], "You have to enter fence address"),
        (["ip=h"], "You have to enter plug number or machine identification"),
        (["ip=h", "action=validate-all"], "You have to enter plug number"),
        ([*BASE, "action=disable"], "Unrecognised action 'disable'"),
        ([*BASE, "plug=1,,2"], "empty plug"),
        ([*BASE, "plug=1,"], "empty plug"),
        ([*BASE, "plug=1\x07"], "control character"),
        ([*BASE, "password=a\x1bb"], "password has a control character"),
        ([*BASE, "username=a\x1bb"], "--username has a control character"),
        ([*BASE, "delay="], "--delay is not a valid time"),
        ([*BASE, "power_timeout=-1"], "--power-timeout is not a valid time"),
        ([*BASE, "power_timeout=nan"], "--power-timeout is not a valid time"),
        ([*BASE, "power_timeout=inf"], "--power-timeout is not a valid time"),
        ([*BASE, "ipport=0"], "--ipport is not a valid integer"),
        ([*BASE, "ipport=telnet"], "--ipport is not a valid integer"),
        ([*BASE, "quiet=maybe"], "--quiet is neither true nor false"),
        ([*BASE, "inet4_only=1", "inet6_only=1"], "exclude each other"),
        ([*BASE, "action=off", "delay=10", "timeout=5"], "delay uses up"),
        ([*BASE, "action=off", "delay=3", "delay_random=3", "timeout=5"], "delay uses up"),
        ([*BASE, "plug=0"], "plug 0: a plug number has no leading zero"),
        ([*BASE, "plug=1,01"], "plug 01: a plug number has no leading zero"),
        ([*BASE, "ip=-oProxyCommand=x"], "no address"),
        ([*BASE, "ip=a b"], "no address"),
        ([*BASE, "ip=http://a/"], "no address"),
        ([*BASE, "ssh=1", "username=u"], "You have to enter password, password script or identity file"),
        ([*BASE, "ssh=1", "password=x"], "You have to set login name"),
        ([*BASE, "rest=1", "username=u"], "You have to enter password or password script"),
        ([*BASE, "rest=1", "username=a:b", "password=x"], "RFC 7617"),
        ([*BASE, "identity_file=/x"], "You have to use identity file together with ssh connection (-x)"),
        ([*BASE, "ssh=1", "rest=1", "username=u", "password=x"], "exclude each other"),
        ([*BASE, "serial=/dev/ttyS0", "ssh=1", "username=u", "password=x"], "exclude each other"),
        (["plug=1", "serial=ttyS0"], "whole path of a serial line"),
        (["plug=1", "serial=/dev/../etc/passwd"], "whole path of a serial line"),
        (["plug=1", "serial=/dev/ttyS0", "ipport=23"], "--ipport and --serial exclude each other"),
        (["plug=1", "serial=/dev/ttyS0", "inet4_only=1"], "--inet4-only and --serial exclude each other"),
        (["plug=1", "serial=/dev/ttyS0", "baud=9601"], "--baud is none of"),
        (["plug=1", "serial=/dev/ttyS0", "baud=x"], "--baud is not a valid integer"),
        ([*BASE, "ca_file=/x"], "--ca-file is only for --rest"),
        ([*BASE, "ssl_insecure=1"], "--ssl-insecure is only for --rest"),
        ([*BASE, "rest=1", "username=u", "password=x", "ca_file=/x", "ssl_insecure=1"], "exclude each other"),
        ([*BASE, "password_env=hunter 2"], "the name of a variable"),
        ([*BASE, "command_prompt=.*>"], "--command-prompt is no regular expression here"),
        ([*BASE, "command_prompt=[]"], "--command-prompt is no regular expression here"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options=other.host"], "belongs to no option"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options=-o A=b other.host"], "belongs to no option"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options=-- h"], "belongs to no option"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options='"], "cannot be split"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options=-o A=b -4q"], "-q does not go with"),
        ([*BASE, "ssh=1", "username=u", "password=x", "ssh_options=-E/tmp/log"], "-E does not go with"),
        ([*BASE, "action="], "Unrecognised action ''"),
    ],
)
def test_bad_input_is_named(lines: list[str], words: str) -> None:
    assert words in problem(*lines)


def test_all_problems_come_at_once() -> None:
    assert len(problem("action=x", "ipport=y").splitlines()) == 3


@pytest.mark.parametrize("argv", [["--nosuch"], ["-n"], ["stray"], ["-Z"]])
def test_bad_argv_is_a_parse_error(argv: list[str]) -> None:
    with pytest.raises(UsageError, match="Parse error"):
        read_argv(argv)


def test_a_stray_argument_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        read_argv(["-p", "--", "hunter2"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("action", ["list", "list-status", "monitor"])
def test_reading_actions_need_no_plug(action: str) -> None:
    assert check(read_stdin(["ip=h", f"action={action}"])).plugs == ()


@pytest.mark.parametrize(
    ("lines", "total_ms"),
    [
        (["action=off"], 36_000),
        (["action=reboot"], 56_000),
        (["action=reboot", "delay=5"], 61_000),
        (["action=on"], 56_000),
        (["action=status"], 16_000),
        (["action=status", "delay=5"], 16_000),
        (["action=off", "timeout=7.5"], 7_500),
        (["action=off", "disable_timeout=1"], 36_000),
        (["action=off", "disable_timeout=true", "power_timeout=0"], 36_000),
        (["action=off", "login_timeout=0", "shell_timeout=0"], 36_000),
        (["action=off", "delay=2", "delay_random=5"], 43_000),
        (["action=on", "retry_on=3"], 96_000),
        (["action=reboot", "retry_on=0"], 56_000),
        (["action=off", "serial=/dev/ttyS0"], 48_798),
        (["action=status", "serial=/dev/ttyS0", "baud=115200"], 16_710),
    ],
)
def test_every_operation_has_an_end(lines: list[str], total_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCMK_service", "pacemaker-fenced")
    assert stdin(*lines).timeout_ms == total_ms


@pytest.mark.parametrize(
    ("lines", "way", "port"),
    [
        ([], Way.TELNET, 23),
        (["ssh=0", "rest=no"], Way.TELNET, 23),
        (["ssh=1", "username=u", "password=x"], Way.SSH, 22),
        (["secure=yes", "username=u", "password=x", "ipport=2222"], Way.SSH, 2222),
        (["rest=1", "username=u", "password=x"], Way.REST, 443),
        (["serial=/dev/ttyS0"], Way.SERIAL, 0),
    ],
)
def test_the_way_gives_the_port(lines: list[str], way: Way, port: int) -> None:
    config = stdin(*lines)
    assert (config.way, config.ipport) == (way, port)


def test_the_serial_line_needs_no_address_and_says_when_one_is_not_used() -> None:
    assert check(read_stdin(["serial=/dev/ttyS0", "plug=1"])).ip == ""
    raw = read_stdin([*BASE, "serial=/dev/ttyS0"])
    check(raw)
    assert raw.warnings == ["--ip is not used, because --serial is given"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("benjamin.example", "benjamin.example"),
    ],
)
def test_an_ipv6_address_may_have_brackets_and_a_scope(text: str, address: str) -> None:
    assert stdin(f"ip={text}").ip == address


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("", ()),
        (DEFAULT_PROMPTS, ()),
        ("IPS>", ("IPS>",)),
        ("^IPS> $", ("IPS>",)),
        ("RSM>|IPS>", ("RSM>", "IPS>")),
        ("['RSM>', 'IPS>']", ("RSM>", "IPS>")),
        ('["RSM>","my unit>"]', ("RSM>", "my unit>")),
        ("IPS\\>", ("IPS>",)),
    ],
)
def test_command_prompts_are_literal(text: str, prompts: tuple[str, ...]) -> None:
    assert stdin(f"cmd_prompt={text}").prompts == prompts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-o A=b", ("-o", "A=b")),
        ("-oq=v -4C", ("-oq=v", "-4C")),
        ("-4o 'A=b c'", ("-4o", "A=b c")),
        ("-F /x -o X=y", ("-F", "/x", "-o", "X=y")),
    ],
)
def test_ssh_options_are_split_like_a_shell_does(text: str, words: tuple[str, ...]) -> None:
    assert stdin("ssh=1", "username=u", "password=x", f"ssh_options={text}").ssh_options == words


@pytest.mark.parametrize(
    ("lines", "verbose", "warnings"),
    [
        (["verbose=1"], True, 0),
        (["verbose_level=2"], True, 0),
        (["verbose=1", "verbose_level=0"], False, 0),
        (["verbose_level=x"], False, 1),
        (["verbose=1", "verbose_level=-1"], False, 1),
    ],
)
def test_the_level_stands_above_the_flag(lines: list[str], verbose: bool, warnings: int) -> None:
    raw = read_stdin([*BASE, *lines])
    assert check(raw).verbose is verbose
    assert len(raw.warnings) == warnings


def test_a_plug_number_may_have_blanks_around_it_and_five_digits() -> None:
    assert stdin("plug= 1 , 12345 ").plugs == ("1", "12345")


def test_the_separator_of_plugs_can_be_changed() -> None:
    assert stdin("plug=a,b;2", "plug_separator=;").plugs == ("a,b", "2")


def test_secrets_do_not_print() -> None:
    config = stdin("password=hunter2")
    for text in (
        repr(config),
        str(config),
        f"{config.password}",
        f"{config.password!r:>9}",
        repr(read_stdin(["passwd=hunter2"])),
    ):
        assert "hunter2" not in text
    assert config.password.redact("xhunter2x") == "x***x"
    assert Secret("").redact("x") == "x"


def test_help_and_metadata_know_every_option() -> None:
    text, xml = help_text("fence_wti_ips800"), metadata_xml("fence_wti_ips800")
    for option in OPTIONS:
        assert f"--{option.long}" in text
        assert f'name="{option.name}"' in xml
        for old in option.old:
            assert (f'name="{old}"' in xml) is (old != "option")
    assert "nproven on hardware" in xml


@pytest.mark.parametrize("secret", ["plain", "two words", " edges ", '"quoted"', '"', '""', 'a"', "", '" "'])
def test_what_is_written_for_an_agent_is_what_it_reads(secret: str) -> None:
    """The manager and the stonith command hand values on; fence-agents takes one pair of quotes off each."""
    written = stdin_line("password", secret)
    read = check(read_stdin(["ip=h", "plug=1", "action=off", written])).password.reveal()
    assert read == secret
    # fencing.py, process_input: the line stripped, then one pair of quotes removed.
    assert re.sub('^"(.*)"$', r"\1", written.strip().partition("=")[2]) == secret
