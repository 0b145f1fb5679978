"""``authkeys``: which key signs frames and which keys are accepted. Pure; nothing quotes a key.

The file is Heartbeat's: ``auth N`` and lines ``N METHOD KEY``, N from 0 to 15, several lines for a
change of keys without an interruption. md5, sha1 and sha256 all give the key of HMAC-SHA256; crc has none.
"""

from __future__ import annotations

from types import MappingProxyType

from failover_kit.manager.config import AuthKeys, AuthMethod, Parsed, Secret
from failover_kit.manager.configtext import Report, Word, nearest, split_words, text_lines

MAX_INDEX = 15
SHORT_KEY_BYTES = 16
EXAMPLE_KEY = "replace-this"
"""How the key of the shipped example begins: it must not become anybody's key."""

_METHODS = {
    "crc": AuthMethod.CRC,
    "md5": AuthMethod.HMAC_SHA256,
    "sha1": AuthMethod.HMAC_SHA256,
    "sha256": AuthMethod.HMAC_SHA256,
}


def parse(text: str, file: str = "authkeys") -> Parsed[AuthKeys]:
    """The keys of an authkeys file, or everything that is wrong with it."""
    report = Report(file)
    keys: dict[int, Secret] = {}
    methods: dict[int, AuthMethod] = {}
    places: dict[int, Word] = {}
    sign: Word | None = None
    for number, line in enumerate(text_lines(text, report), 1):
        words = split_words(line, number)
        if not words or words[0].text.startswith("#"):
            continue
        if words[0].text == "auth":
            if sign is not None:
                report.error(words[0], f"auth is given twice, first in line {sign.line}; keep one")
                continue
            sign = _sign_word(words, report)
        else:
            _key_line(words, report, keys, methods, places)
    sign_index = _sign_index(sign, set(places), report)
    if report.problems:
        return Parsed(None, report.sorted_problems(), report.sorted_notes())
    value = AuthKeys(
        sign_index=sign_index,
        keys=MappingProxyType(keys),
        methods=MappingProxyType(methods),
        lines=MappingProxyType({index: place.line for index, place in places.items()}),
    )
    return Parsed(value, (), report.sorted_notes())


def _sign_word(words: list[Word], report: Report) -> Word:
    """The N of ``auth N``; the word ``auth`` itself when there is none (reported)."""
    if len(words) == 1:
        report.error(words[0], "auth without a number; write auth 1, with the key in a line 1 sha1 KEY")
        return words[0]
    if len(words) > 2 and not words[2].text.startswith("#"):
        report.error(words[2], "more than one word after auth; one key signs, the others are only accepted")
    return words[1]


def _sign_index(sign: Word | None, listed: set[int], report: Report) -> int:
    """The index that signs; problems are reported, and the number then means nothing."""
    if sign is None:
        report.error(None, "no auth line; write auth N, N being the number of the key line that signs")
        return -1
    if sign.text == "auth":
        return -1
    index = _index(sign, report)
    if index is not None and index not in listed:
        report.error(sign, f"auth {index} names no key line of this file; add a line {index} sha1 KEY")
    return -1 if index is None else index


def _index(word: Word, report: Report) -> int | None:
    text = word.text
    if len(text) <= 2 and text.isascii() and text.isdigit() and int(text) <= MAX_INDEX:
        return int(text)
    # The word may be a key that lost its number: it is not quoted.
    report.error(word, f"not a key number; write a number from 0 to {MAX_INDEX} here")
    return None


def _key_line(
    words: list[Word],
    report: Report,
    keys: dict[int, Secret],
    methods: dict[int, AuthMethod],
    places: dict[int, Word],
) -> None:
    """One ``N METHOD [KEY]``."""
    index = _index(words[0], report)
    if index is None:
        return
    first = places.setdefault(index, words[0])
    if first is not words[0]:
        report.error(words[0], f"key {index} is given twice, first in line {first.line}; keep one")
        return
    if len(words) == 1:
        report.error(words[0], f"key {index} has no method; write {index} sha1 KEY")
        return
    method = _METHODS.get(words[1].text)
    if method is None:
        # Not quoted unless it is close to a method: a key stands here when the method was left out.
        close = nearest(words[1].text, _METHODS)
        hint = f"; did you mean {close}?" if close else "; if this is the key, put sha1 before it"
        report.error(words[1], f"unknown method of key {index}; use sha1, sha256, md5 or crc{hint}")
        return
    methods[index] = method
    keyed = method is AuthMethod.HMAC_SHA256
    rest = words[2:]
    if keyed and (not rest or rest[0].text.startswith("#")):
        what = "begins with #, which starts a comment" if rest else "is missing"
        report.error(words[1], f"the key word after {words[1].text} {what}; write one word without blanks")
        return
    extra = rest[1:] if keyed else rest
    if extra and not extra[0].text.startswith("#"):
        # Heartbeat ignored these words without a sound: the key was shorter than its owner believed.
        remedy = "remove what follows the key, or write the key as one word without blanks"
        if not keyed:
            remedy = "crc has no key: remove the word, or use sha1 for a key"
        report.error(extra[0], f"more words after {'the key' if keyed else 'crc'}; {remedy}")
        return
    if keyed and rest[0].text.startswith(EXAMPLE_KEY):
        fact = f"key {index} is the one of the example, which everybody knows"
        report.error(rest[0], f"{fact}; write one of your own")
        return
    secret = rest[0].text.encode("utf-8", "surrogateescape") if keyed else b""
    if keyed and len(secret) < SHORT_KEY_BYTES:
        report.note(rest[0], f"key {index} is short; 16 or more random characters cannot be guessed")
    keys[index] = Secret(secret)
