"""Our ``stonith`` beside cluster-glue's, over one matrix of command lines.

Devices that need no hardware: ``null`` and ``external/*`` plugins. The switch itself is in
``test_stonith_wti``. What is different is in DIFFERENT, with the reason, and is tested to be just so.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from stonith.commands import OURS, PLUGINS, THEIRS, Answer, run

pytestmark = pytest.mark.skipif(not Path(THEIRS).exists(), reason="needs the package cluster-glue")

FILES = {
    "two": "a b\n#x\n",
    "comment": "#x\n\n  foo bar  \nzzz\n",
    "empty": "",
    "blank": "   \n",
    "long": "h" * 1024 + "\n",
}

# One command line each; @NAME is a file of FILES, a leading NAME=value sets the environment.
SAME = """
-t null -n
-t null -m
-t null -h
-h -t null
-n -t null -S hostlist=a
-t null -n -m
-t null -n -h
-t null -m -S
-t null -n foo
-t null -n foo bar
-t null -m -p a hostlist=a
-t null -L a b
-L -p a -E
-t null -p 'a b' -l
-t null -p ' a b ' -l
-t null -p a,b -l
-t null -p a -p b -l
-t null hostlist=a,b -l
-t null hostlist=a=b -l
-t null hostlist=a hostlist=b -l
-t null hostlist=a foo=bar -l
-t null hostlist=a -S
-t null hostlist=a -S -S -c 2
-t null hostlist=a -c 2x -S
-t null hostlist=a -c 2 -l
-t null hostlist=a -l -s
-t null hostlist=a -s -S
-v -v -t null hostlist=a -l
-t null hostlist=a -T off -S
-t null hostlist=a -S -l a
-t null -lS hostlist=a
-t null -- hostlist=a x
-t null hostlist=a b
-t null hostlist=a MiXeD
-t null hostlist=a -T on B
-t null b -T off -p a
-T reset -p a b -t null
-t null -p a -c 2 b
-t null -F @two -l
-t null -F @comment -l
hostlist=a -t null -E -l
hostlist=a -t null -E -S
hostlist=a -t null -E b
-t external/ssh -n
-t external/ssh -m
-t external/ssh -h
-t external/ssh hostlist=a -l
-t external/ssh 'hostlist=a b' -l -c 2
-t external/ssh -p 'a b' -l
-t external/ssh hostlist=a -S
hostlist=a -t external/ssh -E -l
-t external/ssh hostlist=a -S -c 2
-t external/kdumpcheck -n
-t external/kdumpcheck hostlist=a -l
-t external/kdumpcheck -p 'a /id' -l
-t external/ipmi -n
-t external/ipmi hostname=a -l
-t external/libvirt -n
-t external/nut -n

-x
-L -x
-t
-t null -p
-t null -q
-tnull -lShostlist=a
-T bogus -t null
-T bogus -V
-t null hostlist=a -T RESET B
-t null hostlist=a -c 0 -S
-t null hostlist=a -c -1 -S
-t null hostlist=a -c x -S
-t null hostlist=a -c
-S
-l
-n
-m
-T
-T off x
-t null
-t nosuch
-t null -S
-t null hostlist=a
-t null hostlist=a -T off
-t null hostlist=a b c
-t null hostlist=a x hostlist=b
-t null x hostlist=a
-t null -p a -F @two -S
-t null -p a -E -l
-t null -F @two -E -l
-t null -p a hostlist=b -l
-t null -E hostlist=b -l
-t nosuch -n
-t nosuch -m
-t nosuch -S
-t external/ssh hostlist=a -T reset zz
-t external/ssh hostlist=a -T on a
-t external/ssh hostlist=a -T off a
-t external/ssh hostlist= -S
-t external/ssh hostlist= -S a
-t external/ssh foo=a -l
-t external/ssh hostlist= -S -l
-t external/ssh -E -l
-t external/kdumpcheck -E -l
""".strip().splitlines()


class Difference(NamedTuple):
    """A command line with both exit codes and why ours is another."""

    line: str
    theirs: int
    ours: int
    reason: str


DIFFERENT = [
    Difference("-t nosuch -h", 0, 8, "an unknown type is an error, also when only its description is wanted"),
    Difference("-t external/nosuch -n", 0, 8, "a plugin that is not there has no parameters to print"),
    Difference("-t external/nosuch -S", 1, 8, "a plugin that is not there is an invalid type, not bad usage"),
    Difference("-t external/../../bin/ls -n", 0, 8, "a plugin is a name in one directory, not a way out of it"),
    Difference("-t external -n", 0, 8, "'external' alone is no device; -L lists the plugins"),
    Difference("-t null -E -l", 255, 3, "a missing parameter ends it; theirs goes on without"),
    Difference("-t null =x -S", 3, 3, "the same code; ours also says which parameter is missing"),
    Difference("-t null foo=bar -S", 3, 3, "the same code; ours also says which parameter is missing"),
    Difference("-t null -E -S", 3, 3, "the same code; ours also says which parameter is missing"),
    Difference("-t null -E x", 3, 3, "the same code; ours also says which parameter is missing"),
    Difference("-t null hostlist= -S", 1, 1, "the same code; ours says what is wrong with the value"),
    Difference("hostlist= -t null -E -l", 255, 1, "an empty host list ends it; theirs goes on without"),
    Difference("-t null -p '' -S", 1, 1, "the same code; ours names the parameters, theirs prints the -p text"),
    Difference("-t null -p ' ' -S", 1, 1, "the same code; ours names the parameters, theirs prints the -p text"),
    Difference("-t external/ssh -p '' -l", 1, 1, "the same code; ours names the parameters"),
    Difference("-t external/kdumpcheck -p a -l", 1, 1, "the same code; ours names the parameters"),
    Difference("-t null -F @empty -l", 1, 1, "the same code; ours says that the file has no line"),
    Difference("-t null -F @blank -l", 1, 1, "the same code; ours says that the file has no line"),
    Difference("-t null -F /nonexistent -l", 1, 1, "the same code; ours says why it cannot be opened"),
    Difference("-t null -F /tmp -l", 1, 1, "the same code; ours says that it is no file"),
    Difference("-t external/ssh -F /nonexistent -l", 1, 1, "the same code; ours says why it cannot be opened"),
    Difference("--help", 1, 0, "an extension: theirs takes it for a cluster of wrong letters"),
    Difference("-t null hostlist=a --timeout=5 -S", 1, 0, "an extension: a deadline for the invocation"),
    Difference("-t null hostlist=a ''", 0, 4, "nobody has no name"),
    Difference("-t apcmaster -n", 0, 8, "cluster-glue's library is not loaded; the message names fence_apc"),
    Difference("-t suicide -n", 0, 8, "cluster-glue's library is not loaded; a node cannot prove its own death"),
    Difference("-t meatware hostlist=a -S", 0, 8, "cluster-glue's library is not loaded; a person does it"),
    Difference("-s -t null hostlist=a x", 0, 0, "the same code; -s silences a plugin's words, too"),
    Difference("-t null hostlist=a -d -d -S", 0, 0, "the same code; -d brings the log to stderr"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stonith")
    for name, text in FILES.items():
        (path / name).write_text(text)
        (path / name).chmod(0o600)
    return path


def both(line: str, folder: Path, *, terminal: bool) -> tuple[Answer, Answer]:
    words = [str(folder / word[1:]) if word.startswith("@") else word for word in shlex.split(line)]
    env = {}
    while words and re.match(r"\w+=", words[0]):
        name, _, env[name] = words.pop(0).partition("=")
    theirs = run(THEIRS, words, terminal=terminal, env=env)
    return theirs, run(OURS, words, terminal=terminal, env=env)


def their_own_noise(text: str) -> str:
    """What cluster-glue's library says of itself while loading its plugins, and a plugin's own tag and pid."""
    text = re.sub(r"\n?\*\* \(process:\d+\): WARNING \*\*: .*\n", "", text)
    # Ours calls the plugin by its whole name, and gives what it said a severity.
    text = re.sub(r"^(WARN|CRIT): external_\w+: '", r"\1: 'external/", text, flags=re.M)
    return re.sub(r"^(WARN: )?(external/\w+)\[\d+\]: ", r"WARN: \2: ", text, flags=re.M)


@pytest.mark.parametrize("line", [line for line in SAME if line])
def test_same_answer_without_a_terminal(line: str, folder: Path) -> None:
    """What a script sees: exit code, stdout, and on stderr only complaints about the command line."""
    theirs, ours = both(line, folder, terminal=False)
    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    if "external/" not in line:
        assert ours.complaint == their_own_noise(theirs.complaint)


@pytest.mark.parametrize("line", [line for line in SAME if line])
def test_same_words_on_a_terminal(line: str, folder: Path) -> None:
    theirs, ours = both(line, folder, terminal=True)
    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    assert their_own_noise(ours.complaint) == their_own_noise(theirs.complaint)


@pytest.mark.parametrize("difference", DIFFERENT, ids=lambda difference: difference.line)
def test_a_difference_is_as_documented(difference: Difference, folder: Path) -> None:
    # On a terminal, where all is said; but what -d brings to stderr is seen without one.
    theirs, ours = both(difference.line, folder, terminal="-d" not in difference.line)
    assert (theirs.code, ours.code) == (difference.theirs, difference.ours), difference.reason
    if theirs.code == ours.code:
        assert theirs.out == ours.out
        assert theirs.complaint != ours.complaint


def test_types_are_theirs_but_for_the_library_s_and_with_every_fence_agent() -> None:
    theirs = set(run(THEIRS, ["-L"]).out.split())
    listed = run(OURS, ["-L"]).out.splitlines()
    ours = set(listed)
    assert listed == sorted(listed)
    assert len(listed) == len(ours)
    external = {f"external/{path.name}" for path in PLUGINS.iterdir()}
    assert external <= ours
    assert {"null", "wti_nps"} <= ours & theirs
    # Every C plugin but those two has a remedy in its refusal.
    for name in sorted(theirs - ours):
        refused = run(OURS, ["-t", name, "-n"], terminal=True)
        assert refused.code == 8
        assert "; use " in refused.err, name
    assert {"fence_wti", "fence_wti_ips800", "fence_ipmilan"} <= ours
    assert "fence_legacy" not in ours  # it would call stonith again


def test_version_names_who_answers() -> None:
    theirs, ours = run(THEIRS, ["-V"]), run(OURS, ["-V", "foo"])
    pattern = r"stonith: [0-9.]+ \([\w -]+\)\n"
    assert re.fullmatch(pattern, theirs.out)
    assert re.fullmatch(pattern, ours.out)
    assert theirs.code == ours.code == 0


def test_help_begins_with_their_usage_and_describes_every_type_we_drive() -> None:
    theirs, ours = run(THEIRS, ["-h"]), run(OURS, ["-h"])
    assert theirs.code == ours.code == 0
    usage, _, _ = theirs.out.partition("\nSTONITH -t device types")
    assert ours.out.startswith(usage)
    described = set(re.findall(r"^STONITH Device: (\S+) - ", ours.out, flags=re.M))
    assert {"null", "wti_nps", "external/ssh", "external/ipmi"} <= described
    assert "\tfence_wti_ips800\n" in ours.out
