"""The steps against written conversations: what is typed, and that odd units give a right answer or a clean
error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from failover_kit.fence.secret import Secret
from failover_kit.switch import steps
from failover_kit.switch.menu import Label, MenuError
from failover_kit.switch.settings import permitted, rules_of
from switch_player import Player, conversation

NAME = Label.PLUG_NAME
NEW = Secret("n3w-Secret")


def password() -> steps.Step[None]:
    return steps.set_text("/G", Label.SYSTEM_PASSWORD, NEW)


def timeout() -> steps.Step[None]:
    return steps.set_minutes("/G", Label.DISCONNECT_TIMEOUT, 2)


WORKING: dict[str, Callable[[], steps.Step[object]]] = {
    "nps115-name.txt": lambda: steps.set_text("/P 1", NAME, "pete"),
    "ips800-renumbered.txt": lambda: steps.set_text("/P 5", NAME, "mclaws"),
    "vmr-two-columns.txt": lambda: steps.read("/N"),
    "nps115-ip-security.txt": lambda: steps.read_submenu("/N", Label.IP_SECURITY),
    "nps302-timeout-list.txt": timeout,
    "password-twice.txt": password,
}


@pytest.mark.parametrize("name", WORKING)
def test_a_step_types_what_the_transcript_has(name: str) -> None:
    player = Player(conversation(name))
    player.run(WORKING[name]())
    assert player.left == []


def pieces(data: bytes, at: Sequence[int]) -> list[bytes]:
    cuts = [0, *sorted({spot % (len(data) + 1) for spot in at}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(cuts)]


@example("vmr-two-columns.txt", [0, 391])  # an old prompt, then the title "NETWORK PARAMETERS:", then the menu
@settings(deadline=None)
@given(st.sampled_from(sorted(WORKING)), st.lists(st.integers(0, 2000), max_size=12))
def test_wherever_the_stream_is_cut_the_answer_is_the_same(name: str, at: list[int]) -> None:
    whole, cut = Player(conversation(name)), Player(conversation(name), lambda data: pieces(data, at))
    assert cut.run(WORKING[name]()) == whole.run(WORKING[name]())
    assert cut.left == []


@settings(deadline=None)
@given(st.sampled_from(sorted(WORKING)), st.data())
def test_a_pause_at_any_place_is_a_right_answer_or_a_clean_error(name: str, data: st.DataObject) -> None:
    """The unit stops in the middle of each answer and says no more: nothing wrong may be typed then."""
    stop = data.draw(st.integers(0, 400))
    player = Player([(sent, answer[:stop]) for sent, answer in conversation(name)])
    try:
        player.run(WORKING[name]())
    except (steps.StepFailed, MenuError) as error:
        assert NEW.reveal() not in str(error)
    allowed = {turn for turn, _ in conversation(name)} | {"<ESC>", "", "N"}
    assert {
        line.removeprefix("sent: ").strip("'") for line in player.talk.take_trace() if "sent:" in line
    } <= allowed


def test_rules_of_ip_security_are_read_and_understood() -> None:
    menu = Player(conversation("nps115-ip-security.txt")).run(steps.read_submenu("/N", Label.IP_SECURITY))
    assert menu is not None
    rules = rules_of(menu)
    assert permitted(rules, "192.1.1.5") and not permitted(rules, "192.1.1.6")


def test_a_refused_value_is_an_error_with_the_units_words_and_leads_out_of_the_menu() -> None:
    player = Player(conversation("name-refused.txt"))
    with pytest.raises(steps.StepFailed, match="Invalid plug name"):
        player.run(steps.set_text("/P 1", NAME, "pete"))
    assert player.left == []


def test_a_password_is_never_in_a_trace_or_an_error_even_when_it_is_echoed() -> None:
    turns = [(sent, answer.replace(b"Verify", NEW.reveal().encode() + b"\r\nVerify")) for sent, answer
             in conversation("password-twice.txt")]  # fmt: skip
    player = Player(turns)
    player.run(password())
    assert NEW.reveal() not in "".join(player.trace + player.talk.take_trace())
    assert NEW.reveal().encode() in player.sent
    long = NEW.reveal().encode() + b" is too long\r\nNew Password: "
    menu = b"1. System Password: x\r\nEnter Selection: "
    odd = Player([("/G", menu), ("1", b"New Password: "), ("***", long), ("<ESC>", b"IPS> ")])
    with pytest.raises(steps.StepFailed) as caught:
        odd.run(password())
    assert "too long" in str(caught.value) and NEW.reveal() not in str(caught.value)


def test_a_stray_prompt_before_the_menu_is_waited_through() -> None:
    turns = conversation("nps115-name.txt")
    turns[:1] = [("/P 1", b"\r\nNPS> "), ("", turns[0][1])]
    player = Player(turns)
    player.run(steps.set_text("/P 1", NAME, "pete"))
    assert player.left == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([("/G", b"/G\r\nInvalid command\r\nIPS> ")], "plug password gives no menus"),
        ([("/G", b"IPS> "), ("", b"")], "did not come"),
        ([("/G", b"")], "did not come"),
        ([("/G", b"Internet Power Switch\r\nfoo bar\r\n")], "foo bar"),
    ],
)
def test_a_menu_that_does_not_come_is_said(answers: list[tuple[str, bytes]], words: str) -> None:
    with pytest.raises(steps.StepFailed, match=words):
        Player(answers).run(steps.read("/G"))


def test_an_unknown_menu_is_shown_and_nothing_is_chosen() -> None:
    player = Player([("/P 1", b"1. Alias: x\r\n2. Password: secret9\r\nEnter Selection or <ESC> to Exit\r\n")])
    with pytest.raises(MenuError) as caught:
        player.run(steps.set_text("/P 1", NAME, "pete"))
    assert "1. Alias: x" in str(caught.value) and "secret9" not in str(caught.value)
    assert player.sent == b"/P 1\r"


def test_a_question_about_something_else_is_answered_no() -> None:
    turns = conversation("password-twice.txt")
    turns[-2] = ("<ESC>", b"Reset all plugs to factory defaults? (Y/N): ")
    turns[-1] = ("N", b"IPS> ")
    player = Player(turns)
    with pytest.raises(steps.StepFailed, match="factory defaults"):
        player.run(password())
    assert player.left == []


def test_a_plug_may_be_called_error() -> None:
    turns = [(sent.replace("pete", "error"), answer.replace(b"pete", b"error")) for sent, answer
             in conversation("nps115-name.txt")]  # fmt: skip
    player = Player(turns)
    player.run(steps.set_text("/P 1", NAME, "error"))
    assert player.left == []


# --- login ----------------------------------------------------------------------------------------------


def enter(*turns: tuple[str, bytes], wake: bool = False, passwords: tuple[str, ...] = ("one",)) -> steps.Entered:
    player = Player(turns)
    secrets = [Secret(text) for text in passwords]
    entered = player.run(steps.log_in(wake=wake, username="", passwords=secrets, may_ask=False))
    assert player.left == []
    return entered


SCREEN = b'\r\nInternet Power Switch v1.41h    Site ID: (undefined)\r\n"/H" for help.\r\n\r\nIPS> '


def test_the_login_finds_banner_prompt_and_which_password_it_was() -> None:
    entered = enter(("", b"Enter Password: "), ("***", SCREEN))
    assert (entered.prompt, entered.password) == ("IPS", 0)
    assert entered.banner.startswith("Internet Power Switch v1.41h")
    assert enter(("", SCREEN)).password is None


def test_a_serial_console_is_woken_and_a_menu_left_open_is_left() -> None:
    menu = b"1. Plug Name: x\r\nEnter Selection or <ESC> to Exit\r\n"
    assert enter(("", b""), ("", b"Password: "), ("***", SCREEN), wake=True).password == 0
    assert enter(("", menu), ("<ESC>", b"IPS> "), wake=True).password is None


def test_a_rejected_password_is_not_tried_again() -> None:
    with pytest.raises(steps.Denied, match="rejected"):
        enter(("", b"Password: "), ("***", b"Invalid password\r\nPassword: "))
    assert enter(("", b"Password: "), ("***", b"Invalid password\r\nPassword: "), ("***", SCREEN),
                 passwords=("old", "new")).password == 1  # fmt: skip


def test_no_password_known_busy_and_foreign_devices_are_told_apart() -> None:
    with pytest.raises(steps.Denied, match="--password-file"):
        enter(("", b"Password: "), passwords=())
    with pytest.raises(steps.NotServed, match="Session in Progress"):
        enter(("", b"NPS is Busy, Session in Progress\r\n"))
    with pytest.raises(steps.StepFailed, match="does not look like"):
        enter(("", b"220 mail.example ESMTP ready?"))
    with pytest.raises(steps.NotServed, match="does not wake while somebody"):
        enter(("", b""), ("", b""), ("", b""), wake=True)
    with pytest.raises(steps.NothingHeard, match="9600 baud"):
        enter(("", b"\xf8\x80\xff\r"), ("", b"\xf8\r"), ("", b"\xf8\r"), wake=True)


FLAG = Label.CONFIRMATION
ON, OFF = (f"1. Site ID: x\r\n8. Command Confirmation: {word}\r\nEnter Selection or <ESC> to Exit\r\n".encode()
           for word in ("On", "Off"))  # fmt: skip


@pytest.mark.parametrize(
    "between",
    [
        [],
        [("2", b"1. On\r\n2. Off\r\nEnter Selection or <ESC> to Exit\r\n")],
        [("Off", b"Command Confirmation (On/Off): ")],
    ],
)
def test_a_flag_is_turned_over_chosen_from_a_list_or_typed(between: list[tuple[str, bytes]]) -> None:
    answers = [*(answer for _, answer in between), OFF]
    typed = ["8", *(line for line, _ in between)]
    player = Player([("/G", ON), *zip(typed, answers, strict=True), ("<ESC>", b"IPS> ")])
    player.run(steps.set_word("/G", FLAG, "off"))
    assert player.left == []
