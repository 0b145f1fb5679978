"""Completion, asked of a real zsh on a terminal: a line and the tabulator key in, what is offered out."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pexpect
import pytest

pytestmark = pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")

TOP = pathlib.Path(__file__).parents[2]
sys.path.append(str(pathlib.Path(__file__).parent))

from test_completion import CASES  # noqa: E402 - the same lines as of bash

LIMIT_S = 60
# What readline parts, zsh does not; and it offers what a description stands beside.
OWN = {
    "verb after an option with a value": ("failoverctl --socket status sta", ["status", "standby"]),
    "verb after =": ("failoverctl --socket=/s rep", ["replay"]),
    "choices after =": ("failoverctl switch setup --confirmation=", ["on", "off"]),
    "begun after =": ("failoverctl switch setup --confirmation=of", ["off"]),
    "a value with =": ("failoverctl budget --what-if deadtime=3 --js", ["--json"]),
    "inside such a value": ("failoverctl budget --what-if deadtime=", []),
    "a value with colons": ("failoverctl switch show --ip fe80::1 --al", ["--all"]),
    "the daemon's": ("failoverd --state-dir=a", ["a.dir"]),
    "its actions": ("fence_wti_ips800 --action=li", ["list", "list-status"]),
    "a file after =": ("failoverctl explain --html=a", ["a file", "a.dir"]),
}
LEFT_OUT = ("at its sign",)
LINES = {
    name: OWN.get(name, (" ".join(words), offered))
    for name, (words, offered) in CASES.items()
    if name not in LEFT_OUT
} | OWN

# compadd is what all of zsh's completion ends in. This one also writes down what fits the line.
CATCH = r"""
PROMPT='> '; LISTMAX=10000; unsetopt zle_bracketed_paste 2>/dev/null
fpath=($PWD/completions $fpath)
autoload -Uz compinit && compinit -D -u
compadd() {
    local -a hits
    if [[ -n ${(M)@:#-(O|A|D)} ]]; then builtin compadd "$@"; return; fi
    builtin compadd -O hits "$@"
    print -rl -- "${(Q)hits[@]}" >>$HOME/offered
    builtin compadd "$@"
}
zstyle ':completion:*' completer _complete
cd $HOME/here
bindkey -e; bindkey '^I' complete-word
print rea''dy
"""


class Shell:
    """One zsh for all lines."""

    def __init__(self, home: pathlib.Path) -> None:
        self.offers = home / "offered"
        env = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(home), "LC_ALL": "C.UTF-8"}
        (home / "catch").write_text(CATCH)
        self.child = pexpect.spawn("zsh", ["-f", "-i"], cwd=home, env=env, encoding="utf-8", timeout=LIMIT_S)
        self.child.sendline(". ./catch")
        self.child.expect_exact("ready\r\n")

    def offered(self, line: str) -> list[str]:
        self.offers.write_text("")
        self.child.send(f"{line}\t")
        # ^U empties the line; what is typed now comes after the completion, so its output is its end.
        self.child.send("\x15print fin''ished\n")
        self.child.expect_exact("finished\r\n")
        return sorted({word for word in self.offers.read_text().splitlines() if word})


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("zsh")
    for name in ("completions", "bash", "here"):
        (home / name).mkdir()
    argv = ["/usr/bin/python3", "-IB", str(TOP / "tools" / "completions.py"), home / "bash", home / "completions"]
    subprocess.run(argv, check=True, timeout=LIMIT_S)
    (home / "here" / "a file").touch()
    (home / "here" / "a.dir").mkdir()
    (home / "here" / "status").mkdir()
    made = Shell(home)
    yield made
    made.child.close(force=True)


def test_meanings_stand_beside_the_offers(shell: Shell) -> None:
    shell.child.send("failoverctl st\t\t")
    shell.child.expect(r"standby +-- hand groups over to the other node")
    shell.child.expect(r"status +-- show the state of the cluster, why, and what to do")
    shell.offered("\x15failoverctl")


@pytest.mark.parametrize(("line", "offered"), LINES.values(), ids=LINES.keys())
def test_what_is_offered(shell: Shell, line: str, offered: list[str]) -> None:
    assert shell.offered(line) == sorted(offered)
