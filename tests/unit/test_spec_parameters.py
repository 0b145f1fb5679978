"""Checked values and declarations: the same answer on every node, all problems at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.spec import values
from failover_kit.spec.parameter import Parameter, check_all


@pytest.mark.parametrize(
    "text", ["1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.+4", "a.b.c.d", "", "1.2.3.٣"]
)
def test_not_an_address(text):
    with pytest.raises(ValueError, match="IPv4"):
        values.ipv4_bytes(text)


@settings(deadline=None)
@given(st.binary(min_size=4, max_size=4))
def test_every_dotted_quad_is_read_back(data):
    assert values.ipv4_bytes(".".join(map(str, data))) == data


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_addresses_nobody_can_serve(text):
    with pytest.raises(ValueError, match="interface"):
        values.check_ipv4(text)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("24", 24), ("32", 32), ("1", 1), ("255.255.255.0", 24), ("255.255.255.255", 32), ("128.0.0.0", 1)],
)
def test_prefix_as_bits_or_mask(text, bits):
    assert values.check_prefix(text) == bits


@pytest.mark.parametrize("text", ["0", "33", "-1", "255.0.255.0", "0.0.0.0", "255.255.255", "24 "])
def test_not_a_prefix(text):
    with pytest.raises(ValueError, match=r"mask|IPv4"):
        values.check_prefix(text)


def test_booleans_are_those_of_the_shell_library_and_typos_are_errors():
    assert all(values.check_boolean(word) for word in ("yes", "true", "1", "YES", "TRUE", "True", "ja", "on", "ON"))
    assert not any(values.check_boolean(word) for word in ("no", "false", "0", "off"))
    with pytest.raises(ValueError, match="neither"):
        values.check_boolean("ture")


def test_interface_names():
    assert values.check_interface("eth0") == "eth0"
    assert values.check_interface("eth0:web") == "eth0:web"
    for bad in ("", "eth 0", "eth/0", "..", "10.0.0.255", "eth0:", "eth0:a:b"):
        with pytest.raises(ValueError, match="interface"):
            values.check_interface(bad)


def test_paths_lose_their_trailing_slashes_only():
    assert values.check_path("/mnt//e0.0///") == "/mnt/e0.0"
    for bad, word in (("mnt", "absolute"), ("/", "root"), ("//", "root"), ("/mnt/../etc", "without")):
        with pytest.raises(ValueError, match=word):
            values.check_path(bad)


PARAMETERS = (
    Parameter("ip", kind="ipv4", required=True, shortdesc="address"),
    Parameter("count", kind="integer", default="3", minimum=0, maximum=9, shortdesc="count"),
    Parameter("password", secret=True, shortdesc="password"),
    Parameter("mode", choices=("a", "b"), shortdesc="mode"),
    Parameter("mask", kind="prefix", aliases=("netmask",), shortdesc="mask"),
)


def test_all_problems_come_at_once_and_values_stay_usable():
    checked, problems = check_all(PARAMETERS, {"count": "12", "mode": "c", "mask": "x"})
    assert [problem.parameter.name for problem in problems] == ["ip", "count", "mode", "mask"]
    assert [str(problem) for problem in problems] == [
        "ip: is required but not set",
        "count: '12' is above 9",
        "mode: 'c' is not one of a, b",
        "mask: 'x' is neither a prefix length (1 to 32) nor a mask like 255.255.255.0",
    ]
    assert (checked.number("count"), checked.text("mode"), checked.number("mask")) == (3, "", 0)


def test_older_names_and_empty_values():
    checked, problems = check_all(PARAMETERS, {"ip": "192.0.2.1", "netmask": "255.255.0.0", "count": ""})
    assert problems == []
    assert (checked.number("mask"), checked.number("count")) == (16, 3)
    assert checked.given("mask")
    assert not checked.given("count")


def test_secrets_print_as_stars_everywhere():
    checked, problems = check_all(PARAMETERS, {"ip": "192.0.2.1", "password": " hunter2"})
    assert "hunter2" not in str(problems[0])
    checked, problems = check_all(PARAMETERS, {"ip": "192.0.2.1", "password": "hunter2"})
    assert problems == []
    assert "hunter2" not in repr(checked)
    assert "password='***'" in repr(checked)
    assert checked.text("password") == "hunter2"


@pytest.mark.parametrize("text", [" 192.0.2.1", "192.0.2.1\n", "a\x1bb"])
def test_blanks_and_control_characters_are_refused(text):
    _, problems = check_all([Parameter("x", shortdesc="x")], {"x": text})
    assert len(problems) == 1


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_text_makes_a_check_raise_anything_but_a_problem(text):
    for kind in values.CHECKS:
        check_all([Parameter("x", kind=kind, shortdesc="x")], {"x": text})
