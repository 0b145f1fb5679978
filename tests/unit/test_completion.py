"""Completion, asked of a real bash: the words of a line in, what is offered out."""

import shutil
import subprocess

import pexpect
import pytest

from failover_kit.cli import failoverctl, failoverd
from failover_kit.cli.completion import of_fence_agent, of_parser
from failover_kit.cli.manpage import verbs_of

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")

OF_ALL = ["--help", "--version", "--socket", "--config-dir"]
# The words as readline parts them, the last one being typed; and what is offered.
CASES = {
    "main": (["failoverctl", "ma"], ["maintenance"]),
    "option of all": (["failoverctl", "--s"], ["--socket"]),
    "verb after an option with a value": (["failoverctl", "--socket", "status", "sta"], ["status", "standby"]),
    "verb after =": (["failoverctl", "--socket", "=", "/s", "rep"], ["replay"]),
    "a directory of all": (["failoverctl", "--config-dir", "a"], ["a.dir"]),
    "a verb's own one": (["failoverctl", "--config-dir", "a.dir", "export-cib", "--config-dir", "a"], ["a.dir"]),
    "options of a verb": (["failoverctl", "fence", "--t"], ["--test", "--timeout"]),
    "options as there is nothing else": (["failoverctl", "status", ""], ["-h", "--help", "--json", "--watch"]),
    "choices": (["failoverctl", "maintenance", ""], ["on", "off"]),
    "choices once": (["failoverctl", "maintenance", "on", "o"], []),
    "a verb's name is no verb twice": (["failoverctl", "standby", "watch", "--o"], []),
    "an unknown verb": (["failoverctl", "stats", "sta"], []),
    "options of what is no verb": (["failoverctl", "stats", "status", "--"], OF_ALL),
    "verbs of a verb": (["failoverctl", "switch", ""], ["setup", "show", "console"]),
    "below them": (["failoverctl", "switch", "setup", "--set-"], ["--set-address", "--set-mask", "--set-gateway"]),
    "choices of an option": (["failoverctl", "switch", "setup", "--confirmation", ""], ["on", "off"]),
    "choices after =": (["failoverctl", "switch", "setup", "--confirmation", "="], ["on", "off"]),
    "begun after =": (["failoverctl", "switch", "setup", "--confirmation", "=", "of"], ["off"]),
    "a value nobody knows": (["failoverctl", "check", "--explain", ""], []),
    "a value with =": (["failoverctl", "budget", "--what-if", "deadtime", "=", "3", "--js"], ["--json"]),
    "inside such a value": (["failoverctl", "budget", "--what-if", "deadtime", "=", ""], []),
    "at its sign": (["failoverctl", "budget", "--what-if", "deadtime", "="], []),
    "a value with colons": (["failoverctl", "switch", "show", "--ip", "fe80", "::", "1", "--al"], ["--all"]),
    "a file": (["failoverctl", "explain", "--html", "a"], ["a file", "a.dir"]),
    "a file by its place": (["failoverctl", "replay", "a"], ["a file", "a.dir"]),
    "a directory": (["failoverctl", "explain", "--journal", ""], ["a.dir", "status"]),
    "the daemon's": (["failoverd", "--state-dir", "=", "a"], ["a.dir"]),
    "the daemon's options": (["failoverd", "--ch"], ["--check"]),
    "the fence agent's": (["fence_wti_ips800", "--ssh"], ["--ssh", "--ssh-options", "--ssh-path"]),
    "its actions": (["fence_wti_ips800", "--action", "=", "li"], ["list", "list-status"]),
    "its short options": (["fence_wti_ips800", "-x", "-k", "a"], ["a file", "a.dir"]),
    "its flags take nothing": (["fence_wti_ips800", "-x", "--pl"], ["--plug", "--plug-separator"]),
}

ASK = 'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); "_$1" && printf "%s\\n" "${COMPREPLY[@]}"'


def script():
    parsers = (failoverctl.build_parser(), failoverd.parser())
    return "".join(map(of_parser, parsers)) + of_fence_agent("fence_wti_ips800")


@pytest.mark.parametrize(("words", "offered"), CASES.values(), ids=CASES.keys())
def test_what_is_offered(words, offered, tmp_path):
    (tmp_path / "a file").touch()
    (tmp_path / "a.dir").mkdir()
    (tmp_path / "status").mkdir()
    argv = ["bash", "--norc", "-uc", script() + ASK, "bash", *words]
    done = subprocess.run(argv, cwd=tmp_path, text=True, capture_output=True, check=True, timeout=60)
    assert done.stderr == ""
    assert sorted(filter(None, done.stdout.split("\n"))) == sorted(offered)


def test_every_verb_is_offered_and_has_its_options():
    def walk(parser, verb):
        options = [name for action in parser._actions for name in action.option_strings]
        assert f"'{verb} @options') known='{' '.join(options)}'" in text
        for name, child in verbs_of(parser).items():
            walk(child, f"{verb} {name}".strip())

    text = script()
    walk(failoverctl.build_parser(), "")


def test_pressed_on_a_terminal(tmp_path):
    """The shell parts the line itself, and quotes the name of a file."""
    (tmp_path / "a file").touch()
    (tmp_path / "completion").write_text(script())
    env = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "INPUTRC": "/dev/null", "PS1": "> ", "HOME": str(tmp_path)}
    argv = ["--norc", "--noprofile", "-i"]
    shell = pexpect.spawn("bash", argv, cwd=tmp_path, env=env, encoding="utf-8", timeout=30)
    try:
        shell.sendline("failoverctl() { printf '<%s>' \"$@\"; echo; }; . ./completion; echo read''y")
        shell.expect_exact("ready")
        shell.send("failoverctl expl\t--html=a\t\n")
        shell.expect_exact("<explain><--html=a file>")
    finally:
        shell.close(force=True)
