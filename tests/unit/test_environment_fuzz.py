"""Whatever stands in the environment: a documented exit code, at most one reason, on one line, and no traceback.

Most of it runs in this process, with start and stop replaced (what they do to a host is tested elsewhere). A few
hundred calls are real processes of a user who may do nothing.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from failover_kit.agents import exportfs, filesystem, ipaddr, killnfsd, launcher, nfsserver
from failover_kit.ocf import codes, runner
from failover_kit.ocf.agent import Agent
from failover_kit.spec.parameter import Action, Parameter

TOP = Path(__file__).resolve().parents[2]
AGENTS = [ipaddr.AGENT, filesystem.AGENT, nfsserver.AGENT, exportfs.AGENT, killnfsd.AGENT]
# OCF Resource Agent API 1.1, "Exit status"; 8, 9 and 191 are for promotable resources.
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6, 7, 190}
VERBS = ("monitor", "validate-all", "start", "stop", "meta-data", "status", "reload-agent", "", "Stop", "--help")

# An environment has no zero byte in it, and what is no text arrives as surrogates (os.environ).
signs = st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from(
    ["\udc80", "\udcff", "\n", "\r", "\x1b", "\u2028", "\u0085", "\u202e", "\uffff", "٣"]
)
hostile = st.one_of(
    st.text(signs, max_size=30),
    st.sampled_from(
        ["", " ", "-1", "0", "1" * 25, "9" * 5000, "1e9", "0x10", "²", "../..", "/", "/\n", "a" * 5000, "%s", "*"]
    ),
    st.integers(-(2**70), 2**70).map(str),
)
# Halfway right, to get beyond the first check.
plausible = st.sampled_from(
    [
        "192.0.2.9", "2001:db8::9", "fe80::1", "24", "255.255.255.0", "128", "eth0", "eth0:web", "lo", "yes", "no",
        "/dev/null-disk", "UUID=1-2", "LABEL=\u00fc", "-Lx", "/no/where", "/srv/a b", "ext4", "xfs", "rw,sync",
        "fsid=7", "root", "3,4.1", "90", "forever", "degraded", "192.0.2.0/24 *.example.org", "nfs-server.service",
    ]
)  # fmt: skip
META = ("CRM_meta_timeout", "CRM_meta_interval", "CRM_meta_clone_max", "OCF_CHECK_LEVEL", "trace_ra", "\u00fc")
SURROUNDINGS = ("OCF_CHECK_LEVEL", "OCF_RESOURCE_INSTANCE", "OCF_EXIT_REASON_PREFIX", "HA_debug", "HA_DATEFMT")


def environments(agent: Agent) -> st.SearchStrategy[dict[str, str]]:
    names = [parameter.name for parameter in agent.parameters]
    names += [alias for parameter in agent.parameters for alias in parameter.aliases]
    keys = st.sampled_from([f"OCF_RESKEY_{name}" for name in (*names, *META)] + list(SURROUNDINGS))
    return st.dictionaries(keys, hostile | plausible, max_size=len(names) + 3)


def sound(agent: Agent) -> dict[str, str]:
    """What makes the required parameters right, for fuzzing the rest."""
    right = {
        "ip": "192.0.2.9", "device": "/dev/null-disk", "directory": "/no/where", "clientspec": "*", "fsid": "1",
    }  # fmt: skip
    return {
        f"OCF_RESKEY_{parameter.name}": right[parameter.name]
        for parameter in agent.parameters
        if parameter.name in right
    }


@contextmanager
def stubbed(agent: Agent) -> Iterator[None]:
    """start, stop and their kin read every parameter and do nothing."""
    kept = dict(agent.handlers)

    def read(call: object) -> int:
        return codes.SUCCESS

    stand_in = {verb: (work if verb in ("monitor", "validate-all") else read) for verb, work in kept.items()}
    agent.handlers = stand_in
    try:
        yield
    finally:
        agent.handlers = kept


def judge(verb: str, code: int, stderr: str, prefix: str = runner.REASON_PREFIX) -> None:
    assert code in DOCUMENTED, (code, stderr)
    if verb in ("monitor", "stop"):
        assert code != 6, stderr
    assert "Traceback" not in stderr
    assert "this is a bug" not in stderr
    assert "set_int_max_str_digits" not in stderr
    lines = stderr.splitlines()
    reasons = [line for line in lines if line.startswith(prefix)]
    assert len(reasons) <= 1, stderr
    if code in (0, 7, 190):
        assert not reasons, stderr
    elif verb in ("monitor", "stop", "start", "validate-all", "reload-agent") and code != 3:
        assert len(reasons) == 1, stderr
    for line in lines:
        assert line.isprintable(), line
    # One reason, at most one remark beside it, or the line of usage.
    assert len(lines) <= 2, stderr


def call(agent: Agent, verb: str, environ: dict[str, str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = runner.main(agent, [agent.name, verb], environ)
    return code, err.getvalue()


@pytest.fixture(scope="module")
def state() -> Iterator[str]:
    directory = tempfile.mkdtemp()
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), verb=st.sampled_from(VERBS), right=st.booleans())
def test_any_environment(agent: Agent, state: str, data: st.DataObject, verb: str, right: bool) -> None:
    environ = {**(sound(agent) if right else {}), **data.draw(environments(agent)), "HA_RSCTMP": state}
    # Announcements of a monitor would need a network of their own.
    environ.pop("OCF_RESKEY_arp_count_refresh", None)
    environ.pop("OCF_EXIT_REASON_PREFIX", None)
    with stubbed(agent):
        code, stderr = call(agent, verb, environ)
    judge(verb, code, stderr)


@settings(max_examples=150, deadline=None)
@given(prefix=hostile, value=hostile)
@example(prefix="a\nb", value="x\ny")
def test_the_prefix_and_what_is_quoted_stay_on_one_line(prefix: str, value: str) -> None:
    environ = {"OCF_EXIT_REASON_PREFIX": prefix, "OCF_RESKEY_ip": value or "x", "OCF_RESKEY_CRM_meta_interval": "1"}
    code, stderr = call(ipaddr.AGENT, "monitor", environ)
    assert code in (1, 7)
    assert len(stderr.splitlines()) == (code == 1), stderr


def never_right(text: str) -> str:
    raise ValueError(f"('{text}') is not what it was")


@settings(max_examples=100, deadline=None)
@given(word=st.text("abcdefgh", min_size=8), verb=st.sampled_from(["start", "stop", "monitor"]))
def test_a_secret_is_never_said(word: str, verb: str) -> None:
    agent = Agent(
        "Toy",
        version="0",
        shortdesc="A toy",
        text_module="none",
        parameters=(Parameter("password", secret=True, check=never_right, shortdesc="secret"),),
        actions=(Action("start", 20),),
        handlers={verb: lambda call: codes.SUCCESS for verb in ("start", "stop", "monitor")},
        positional=(),
    )
    _, stderr = call(agent, verb, {"OCF_RESKEY_password": word})
    assert word not in stderr
    assert "***" in stderr


words = st.lists((hostile | plausible).filter(lambda word: word.isprintable() or "\n" in word), max_size=6)


@pytest.mark.parametrize("script", ["IPaddr", "IPaddr2", "Filesystem", "nfsserver", "exportfs", "killnfsd"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=words)
def test_any_arguments_of_a_launcher(script: str, state: str, args: list[str]) -> None:
    """status says exactly one of its three sentences, and nothing of the arguments."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = launcher.main([f"/etc/ha.d/resource.d/{script}", *args, "status"], {"HA_RSCTMP": state})
    name = "IPaddr" if script == "IPaddr2" else script
    said = {3: f"{name}: not running\n", 4: f"{name}: state unknown\n"}
    assert out.getvalue() == said[code], err.getvalue()
    judge("status", {3: 7, 4: 1}[code], err.getvalue(), "ERROR: ")


CLOSED = """
import os, sys
for number in map(int, sys.argv[1]): os.close(number)
os.execve(sys.argv[2], sys.argv[2:], os.environ)
"""


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
@pytest.mark.parametrize("verb", ["meta-data", "--help", "monitor", "validate-all", "nothing"])
def test_streams_that_are_closed_change_no_answer(agent: Agent, verb: str) -> None:
    """The next file opened would be the new stdout; nothing may be written to it, and nothing may fail of it."""

    def run(closed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-IS", "-c", CLOSED, closed, str(TOP / "ocf" / agent.name), verb],
            env={"HA_RSCTMP": "/no/where"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    usual = run("")
    for closed in ("0", "1", "2", "012"):
        result = run(closed)
        assert result.returncode == usual.returncode, (closed, result.stderr)
        assert "Traceback" not in result.stderr


def test_a_full_stderr_changes_no_answer() -> None:
    with Path("/dev/full").open("w") as full:
        argv = [str(TOP / "ocf" / "IPaddr"), "validate-all"]
        assert subprocess.run(argv, env={}, stderr=full, check=False, timeout=60).returncode == 6


PROBE = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.execve(sys.argv[1], sys.argv[1:], os.environ)
"""


@pytest.mark.root
@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_real_processes_of_a_user_who_may_do_nothing(agent: Agent, readable: Path) -> None:
    """Forty calls of each agent; start and stop as well, for whom there is nothing they could do."""

    @settings(max_examples=40, deadline=None)
    @given(environ=environments(agent), verb=st.sampled_from(VERBS), right=st.booleans())
    def calls(environ: dict[str, str], verb: str, right: bool) -> None:
        given_ = {**(sound(agent) if right else {}), **environ, "HA_RSCTMP": "/no/where"}
        given_.pop("OCF_EXIT_REASON_PREFIX", None)
        given_["OCF_RESKEY_CRM_meta_timeout"] = "1000"
        result = subprocess.run(
            ["unshare", "-mn", "--", sys.executable, "-IS", "-c", PROBE, str(readable / "ocf" / agent.name), verb],
            env={os.fsencode(name): os.fsencode(value) for name, value in given_.items() if len(value) < 100_000},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        judge(verb, result.returncode, result.stderr.decode("utf-8"))

    calls()


@pytest.fixture(scope="module")
def readable() -> Iterator[Path]:
    """A copy of the agents that everybody may read; the checkout's directory may be closed to others."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    shutil.copytree(TOP / "ocf", base / "ocf")
    shutil.copytree(TOP / "lib", base / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", base], check=True)
    yield base
    shutil.rmtree(base)
