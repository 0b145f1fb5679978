"""Values and plans: what is refused, what is warned of, what counts as already so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from failover_kit.fence.screens import PlugRow, PlugState
from failover_kit.fence.secret import Secret
from failover_kit.switch import settings
from failover_kit.switch.menu import read_menu
from failover_kit.switch.plan import Caller, Plan, Seen, decide
from failover_kit.switch.settings import BadValue, Rule, Wanted, permitted, problems_of_network

PLUGS = tuple(PlugRow(number, name, PlugState.ON) for number, name in ((1, ""), (3, "web"), (5, "")))
GENERAL = read_menu(["1. System Password: (defined)", "7. Disconnect Timeout: 2 Min", "6. Automated Mode: Off"])
NETWORK = read_menu(
    ["1. IP Address: 192.0.2.219", "2. Subnet Mask: 255.255.255.0", "3. Gateway Address: (undefined)"]
)
PLUG = read_menu(["1. Plug Name: (undefined)"])
RULES = (Rule(1, "255.255.255.255", False), Rule(2, "192.0.2.255", True))


def plan(wanted: Wanted, caller: Caller = Caller(), rules: tuple[Rule, ...] | None = ()) -> Plan:  # noqa: B008
    menus = {"/G": GENERAL, "/N": NETWORK, "/P 1": PLUG, "/P 5": PLUG}
    return decide(Seen("IPS", "", PLUGS, menus, rules), wanted, caller, Secret("old"))


@pytest.mark.parametrize(
    ("address", "mask", "gateway", "word"),
    [
        ("192.0.2.219", "255.255.255.0", "192.0.2.254", ""),
        ("192.0.2.219", "255.255.255.0", "", ""),
        ("10.0.0.255", "255.255.0.0", "", ""),
        ("", "255.255.255.0", "", "no address yet"),
        ("192.0.2.219", "", "", "no network mask"),
        ("192.0.2.255", "255.255.255.0", "", "broadcast"),
        ("192.0.2.0", "255.255.255.0", "", "network itself"),
        ("127.0.0.1", "255.0.0.0", "", "loopback"),
        ("0.1.2.3", "255.0.0.0", "", "no address of a machine"),
        ("239.1.1.1", "255.255.255.0", "", "multicast"),
        ("255.255.255.254", "255.255.255.0", "", "reserved or broadcast"),
        ("192.0.2.219", "255.255.255.254", "", "no room"),
        ("192.0.2.219", "128.0.0.0", "", "too much room"),
        ("192.0.2.219", "255.255.255.0", "192.0.3.1", "not in the network"),
        ("192.0.2.219", "255.255.255.0", "192.0.2.219", "the switch itself"),
        ("192.0.2.219", "255.255.255.0", "192.0.2.255", "gateway: "),
    ],
)
def test_three_values_fit_together_or_it_is_said_why_not(address: str, mask: str, gateway: str, word: str) -> None:
    problems = problems_of_network(address, mask, gateway)
    assert (word in " ".join(problems)) if word else problems == []


@hypothesis_settings(deadline=None)
@given(st.integers(8, 30), st.integers(1 << 24, (224 << 24) - 1))
def test_an_address_is_refused_exactly_at_the_ends_of_its_network(bits: int, number: int) -> None:
    address = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
    mask = settings.check_mask("", str(bits))
    host = number & ((1 << (32 - bits)) - 1)
    wrong = host in (0, (1 << (32 - bits)) - 1) or address.startswith("127.")
    assert bool(problems_of_network(address, mask, "")) == wrong


def test_masks_are_taken_as_bits_and_dotted() -> None:
    assert settings.check_mask("", "24") == settings.check_mask("", "255.255.255.0") == "255.255.255.0"
    with pytest.raises(BadValue, match="--set-mask 33"):
        settings.check_mask("--set-mask", "33")


@pytest.mark.parametrize("text", ["(undefined)", "", "0.0.0.0", "DHCP", "300.1.1.1"])
def test_what_is_no_address_on_a_screen_is_none(text: str) -> None:
    assert settings.address_of(text) == ""
    assert settings.address_of("010.001.000.009") == "10.1.0.9"


def test_ip_security_goes_by_the_highest_rule_that_fits() -> None:
    assert permitted((), "192.0.2.1") and permitted(RULES, "192.0.2.1") and not permitted(RULES, "10.0.0.1")
    deny_all_last = (*RULES, Rule(5, "255.255.255.255", False))
    assert not permitted(deny_all_last, "192.0.2.1")


def test_what_is_already_so_does_not_differ() -> None:
    same = plan(Wanted(address="192.0.2.219", mask="255.255.255.0", gateway="0.0.0.0", timeout_min=2,
                       password=Secret("old")), Caller("192.0.2.1"))  # fmt: skip
    assert same.differing() == [] and same.refusals == []


def test_the_order_over_tcp_leaves_the_ways_back_for_last() -> None:
    wanted = Wanted(address="192.0.2.9", gateway="192.0.2.1", mask="255.255.255.128", password=Secret("new"),
                    names=((1, "pete"),), timeout_min=5)  # fmt: skip
    titles = [setting.title for setting in plan(wanted, Caller("192.0.2.100", yes_network=True)).settings]
    assert titles == ["plug 1 name", "disconnect timeout", "system password", "mask", "gateway", "address"]
    serial = [setting.title for setting in plan(wanted).settings]
    assert serial == ["plug 1 name", "disconnect timeout", "address", "mask", "gateway", "system password"]


def test_network_values_over_tcp_need_a_word_and_a_way_back() -> None:
    moved = Wanted(address="10.0.0.9")
    assert "--yes-network" in plan(moved, Caller("192.0.2.1")).refusals[0]
    assert "could not be reached again" in plan(moved, Caller("192.0.2.1", yes_network=True)).refusals[0]
    routed = plan(Wanted(address="10.0.0.9", gateway="10.0.0.1"), Caller("192.0.2.1", yes_network=True))
    assert routed.refusals == [] and "through the gateway 10.0.0.1" in routed.warnings[0]
    assert plan(moved).refusals == []  # the serial line stays


def test_clients_that_ip_security_denies_are_named() -> None:
    wanted = Wanted(names=((1, "pete"),))
    warned = plan(wanted, Caller(clients=("192.0.2.7", "10.0.0.7")), RULES).warnings
    assert len(warned) == 1 and "denies 10.0.0.7" in warned[0]
    assert "--client" in plan(wanted, Caller(), RULES).warnings[0]
    assert plan(wanted, Caller(clients=("10.0.0.7",)), None).warnings == [
        "IP security could not be read: whether it lets the clients in is not known"
    ]


def test_names_and_timeouts_are_judged() -> None:
    twins = Wanted(names=((1, "pete"), (5, "Pete")))
    assert "plugs 1 and 5 would both be called pete" in plan(twins).refusals[0]
    assert plan(Wanted(names=((1, "pete"), (5, "pete")), same_name=True)).refusals == []
    assert "plugs 3 and 5" in plan(Wanted(names=((5, "web"),))).refusals[0]
    assert "no plug 9" in plan(Wanted(names=((9, "x"),))).refusals[0]
    assert "for ever" in plan(Wanted(timeout_min=0)).refusals[0]
    assert plan(Wanted(timeout_min=61)).refusals and not plan(Wanted(timeout_min=5)).warnings
    assert "blocks fencing" in plan(Wanted(timeout_min=30)).warnings[0]


@pytest.mark.parametrize("name", ["pete", "a", "Node-1.example_x", "x" * 16])
def test_good_names(name: str) -> None:
    assert settings.check_name("--name", f"7={name}") == (7, name)


@hypothesis_settings(deadline=None)
@given(st.text(max_size=20))
def test_any_other_name_is_refused_or_safe_to_send(name: str) -> None:
    try:
        _, taken = settings.check_name("--name", f"1={name}")
    except BadValue:
        return
    assert taken.isascii() and taken[0].isalpha() and not set(taken) & set(" ,:+\"'*/\r\n") and len(taken) <= 16


@hypothesis_settings(deadline=None)
@given(st.text(max_size=20))
def test_a_password_is_refused_without_being_shown_or_safe_to_send(password: str) -> None:
    try:
        settings.check_password("--new-password-file f", Secret(password))
    except BadValue as error:
        assert len(password) < 8 or password not in str(error)
        return
    assert 1 <= len(password) <= 16 and password.isascii() and password.isprintable() and " " not in password
