"""authkeys: which key signs, which are accepted; no error and no repr shows one."""

from __future__ import annotations

import copy
import pickle

import pytest

from failover_kit.manager import authkeys
from failover_kit.manager.config import AuthKeys, AuthMethod, Secret

KEY = "Tr0ub4dor-and-3-more"


def sound(text: str) -> AuthKeys:
    parsed = authkeys.parse(text)
    assert [str(problem) for problem in parsed.problems] == []
    assert parsed.value is not None
    return parsed.value


def problems(text: str) -> list[str]:
    parsed = authkeys.parse(text)
    assert parsed.value is None
    return [str(problem) for problem in parsed.problems]


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256"])
def test_every_keyed_method_gives_the_key_of_hmac_sha256(method: str) -> None:
    keys = sound(f"auth 1\n1 {method} {KEY}\n")
    assert (keys.sign_index, keys.method, keys.unkeyed) == (1, AuthMethod.HMAC_SHA256, False)
    assert keys.sign_key.reveal() == KEY.encode()


def test_several_keys_for_a_change_without_interruption() -> None:
    keys = sound(f"# change of keys\n 1 md5 {KEY}-old\n\n15 sha1 {KEY} # new\nauth 15 # signs\n")
    assert keys.sign_index == 15
    assert {index: secret.reveal().decode() for index, secret in keys.keys.items()} == {1: f"{KEY}-old", 15: KEY}


def test_crc_has_no_key() -> None:
    keys = sound("auth 2\n2 crc\n")
    assert (keys.method, keys.unkeyed, keys.sign_key.reveal()) == (AuthMethod.CRC, True, b"")


def test_short_key_is_noted() -> None:
    assert [str(note) for note in authkeys.parse("auth 1\n1 sha1 SECRET\n").notes] == [
        "authkeys:2:8: key 1 is short; 16 or more random characters cannot be guessed"
    ]
    assert authkeys.parse(f"auth 1\n1 sha1 {KEY}\n").notes == ()


BAD = [
    ("", "no auth line; write auth N, N being the number of the key line that signs"),
    (f"1 sha1 {KEY}", "no auth line; write auth N, N being the number of the key line that signs"),
    (f"auth\n1 sha1 {KEY}", "1:1: auth without a number; write auth 1, with the key in a line 1 sha1 KEY"),
    (
        f"auth 1 2\n1 sha1 {KEY}",
        "1:8: more than one word after auth; one key signs, the others are only accepted",
    ),
    (f"auth 1\nauth 1\n1 sha1 {KEY}", "2:1: auth is given twice, first in line 1; keep one"),
    (f"auth 2\n1 sha1 {KEY}", "1:6: auth 2 names no key line of this file; add a line 2 sha1 KEY"),
    (f"auth one\n1 sha1 {KEY}", "1:6: not a key number; write a number from 0 to 15 here"),
    (f"auth 1\n1 sha1 {KEY}\n16 sha1 {KEY}", "3:1: not a key number; write a number from 0 to 15 here"),
    (f"auth 1\n1 sha1 {KEY}\nsha1 {KEY}", "3:1: not a key number; write a number from 0 to 15 here"),
    (f"auth 1\n1 sha1 {KEY}\n1 md5 x", "3:1: key 1 is given twice, first in line 2; keep one"),
    ("auth 1\n1", "2:1: key 1 has no method; write 1 sha1 KEY"),
    (
        f"auth 1\n1 {KEY}",
        "2:3: unknown method of key 1; use sha1, sha256, md5 or crc; if this is the key, put sha1 before it",
    ),
    (
        f"auth 1\n1 sha265 {KEY}",
        "2:3: unknown method of key 1; use sha1, sha256, md5 or crc; did you mean sha256?",
    ),
    ("auth 1\n1 sha1", "2:3: the key word after sha1 is missing; write one word without blanks"),
    (
        f"auth 1\n1 sha1 #{KEY}",
        "2:3: the key word after sha1 begins with #, which starts a comment; write one word without blanks",
    ),
    (
        f"auth 1\n1 sha1 {KEY} {KEY}",
        "2:29: more words after the key; remove what follows the key, or write the key as one word without blanks",
    ),
    (f"auth 1\n1 crc {KEY}", "2:7: more words after crc; crc has no key: remove the word, or use sha1 for a key"),
    (f"auth 1\r\n1 sha1 {KEY}", "1:7: carriage return at the end of the line; save the file with Unix line ends"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said[:60] for _, said in BAD])
def test_each_error_has_place_fact_and_remedy_and_no_key(text: str, said: str) -> None:
    found = problems(f"{text}\n")
    assert found == [f"authkeys:{said}" if said[0].isdigit() else f"authkeys: {said}"]
    assert KEY not in str(found)


def test_keys_print_as_stars_and_cannot_be_written() -> None:
    keys = sound(f"auth 1\n1 sha1 {KEY}\n")
    assert KEY not in repr(keys)
    assert "***" in repr(keys)
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(keys.sign_key)
    assert Secret(b"a") == Secret(b"a") != Secret(b"b")
