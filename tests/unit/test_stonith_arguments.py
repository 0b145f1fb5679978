"""The command line of ``stonith``: what it means, and that usage and documentation say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from failover_kit.stonith.arguments import OPTIONS, UsageError, parse, usage
from failover_kit.stonith.hideargs import secret_places

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "stonith.md"


def complaint(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(argv)
    return str(caught.value)


def test_options_and_node_in_any_order_mean_the_same() -> None:
    assert parse(["-t", "null", "-p", "a", "-T", "off", "b"]) == parse(["b", "-Toff", "-pa", "-tnull"])


def test_a_node_alone_is_reset() -> None:
    request = parse(["-t", "null", "hostlist=a", "b"])
    assert (request.action, request.node) == ("reset", "b")


def test_pairs_end_at_the_first_word_without_an_equals_sign() -> None:
    request = parse(["-t", "x", "a=1", "b=2=3", "a=9", "node", "-S"])
    assert request.pairs is not None
    assert dict(request.pairs) == {"a": "1", "b": "2=3"}
    assert complaint("-t", "x", "node", "a=1") == ""


@pytest.mark.parametrize("argv", [["-S"], ["-l"], ["-n"], ["-m"]])
def test_questions_need_no_node(argv: list[str]) -> None:
    assert parse(["-t", "null", *argv]).node is None


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], ""),
        (["-t", "null"], ""),
        (["-t", "null", "a", "b"], ""),
        (["-x"], "stonith: invalid option -- 'x'"),
        (["-c"], "stonith: option requires an argument -- 'c'"),
        (["--password=hunter2"], "stonith: unrecognized option '--password'"),
        (["-T", "reboot", "a"], "bad reset type [reboot]"),
        (["-c", "0", "a"], "bad count [0]"),
        (["-c", "1001", "a"], "bad count [1001]"),
        (["--timeout=0", "a"], "bad timeout [0]; whole seconds from 1 to 3600"),
        (["--timeout=1.5", "a"], "bad timeout [1.5]; whole seconds from 1 to 3600"),
        (["-p", "a", "-F", "b", "-S"], "Please use just one of -F, -p, and -E options"),
        (["-E", "a=b", "-S"], "Cannot mix name=value and -p, -F, or -E style arguments"),
        (["-t", "x", "-n", "-E", "a=b"], "Cannot mix name=value and -p, -F, or -E style arguments"),
        (["-L", "a", "b"], ""),
    ],
)
def test_what_cannot_be_done_is_said(argv: list[str], text: str) -> None:
    assert complaint(*argv) == text


def test_a_request_does_not_show_its_parameters() -> None:
    assert "hunter2" not in repr(parse(["-t", "x", "-p", "hunter2", "-S"]))
    assert "hunter2" not in repr(parse(["-t", "x", "password=hunter2", "-S"]))


def test_every_option_is_in_the_usage_text_and_in_the_document() -> None:
    text = usage()
    document = DOCUMENT.read_text()
    for option in OPTIONS:
        assert f"\t{option.spelling}\t{option.text}\n" in text
        assert f"| `{option.spelling}` | {option.text} |" in document
    assert len(re.findall(r"^\| `--?\w", document, flags=re.M)) >= len(OPTIONS)


@pytest.mark.parametrize(
    ("arguments", "hidden"),
    [
        (["-t", "wti_nps", "-p", "host secret", "node"], ["host secret"]),
        (["-phost secret", "-S"], ["host secret"]),
        (["-lSp", "s"], ["s"]),
        (["-lSps", "-tp", "x"], ["s"]),
        (["-t", "s", "password=s", "node"], ["s"]),
        (["-t", "x", "ip=ä", "password=pä ss"], ["ä", "pä ss"]),
        (["--timeout=5", "-E", "node"], []),
        (["-p", ""], []),
    ],
)
def test_only_the_values_are_taken_out_of_the_command_line(arguments: list[str], hidden: list[str]) -> None:
    line = "\0".join(["/usr/bin/python3", "-I", "/usr/sbin/stonith", *arguments, ""]).encode()
    places = secret_places(line, arguments)
    assert [line[place : place + length].decode() for place, length in places] == hidden


def test_a_command_line_that_is_not_ours_is_left_alone() -> None:
    assert secret_places(b"/usr/bin/python3\0-p\0secret\0", ["-p", "another"]) == []
