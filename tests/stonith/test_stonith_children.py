"""How plugins and agents are run: without a shell, with nothing but their parameters, and never for ever."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.stonith import child as run_child_module
from failover_kit.stonith import main
from failover_kit.stonith.catalogue import Places

PATIENCE_S = 60
# A busy machine may need the first of these to come to the plugin's action at all.
TIMES = (1, 8, 30)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("external", "agents"):
        (tmp_path / name).mkdir()
    return Places(plugins=(str(tmp_path / "external"),), agents=(str(tmp_path / "agents"),))


def program(path: Path, text: str, mode: int = 0o755) -> None:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(mode)


def plugin(places: Places, actions: str, *, name: str = "lab", mode: int = 0o755) -> None:
    program(
        Path(places.plugins[0]) / name,
        f"""case $1 in
getconfignames) echo hostlist;;
getinfo-xml) echo '<parameters><parameter name="hostlist"/><parameter name="secret_word"/></parameters>';;
getinfo-*) echo "the $1";;
{actions}
*) exit 1;;
esac
""",
        mode,
    )


def agent(places: Places, actions: str, *, parameters: str = "", name: str = "fence_lab") -> None:
    """A fence agent: ``actions`` are shell patterns on $action; its parameters are shell variables."""
    path = Path(places.agents[0]) / name
    metadata = path.with_suffix(".xml")
    metadata.write_text(
        '<resource-agent name="fence_lab" shortdesc="Lab"><longdesc>For the lab &amp; tests</longdesc>'
        "<vendor-url/><parameters>"
        '<parameter name="action" required="1"><content type="string"/></parameter>'
        f'<parameter name="plug" required="1"><content type="string"/></parameter>{parameters}</parameters>'
        '<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>'
        '<action name="list"/><action name="monitor"/></actions></resource-agent>'
    )
    program(
        path,
        f"""while IFS= read -r line; do name=${{line%%=*}}; eval "$name=\\${{line#*=}}"; done
case $action in
metadata) cat {metadata};;
{actions}
*) exit 1;;
esac
""",
    )


def stonith(
    places: Places, *arguments: str, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """The command in this process, with -d so that its log is on stderr."""
    out, err = io.StringIO(), io.StringIO()
    original = main.StonithLog
    try:
        main.StonithLog = lambda **how: original(**{**how, "stderr": err})  # type: ignore[assignment,misc]
        code = main.run(["-d", *arguments], out, places, environ or {}, terminal=True)
    finally:
        main.StonithLog = original  # type: ignore[misc]
    return code, out.getvalue(), err.getvalue()


# --- external plugins --------------------------------------------------------------------------------


def test_no_shell_stands_between_us_and_a_plugin(places: Places, tmp_path: Path) -> None:
    """cluster-glue joins plugin, operation and node to a line for popen(3)."""
    plugin(places, f'off) echo "$# $2" >{tmp_path}/seen;;')
    for node in ("a;b", "$(id)", "a b", "`id`", "a|b", "../x", "-n", "a\nb", "a*", ""):
        code, _, _ = stonith(places, "-t", "external/lab", "hostlist=a", "-T", "off", "--", node)
        assert code == 4, node
        assert not (tmp_path / "seen").exists(), node
    assert stonith(places, "-t", "external/lab", "hostlist=a", "-T", "off", "Node-1.example")[0] == 0
    assert (tmp_path / "seen").read_text() == "2 node-1.example\n"


def test_a_plugin_s_environment_is_its_parameters_and_nothing_else(places: Places, tmp_path: Path) -> None:
    plugin(places, f"status) env >{tmp_path}/env;;")
    environ = {"hostlist": "a", "secret_word": "s p a c e d", "other": "x", "LD_PRELOAD": "/tmp/x", "PATH": "/tmp"}
    assert stonith(places, "-t", "external/lab", "-E", "-S", environ=environ)[0] == 0
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    assert seen["hostlist"] == "a"
    assert seen["secret_word"] == "s p a c e d"
    assert seen["HA_LOGTAG"] == "external/lab"
    assert seen["PATH"].endswith("/usr/sbin:/usr/bin:/sbin:/bin")
    if os.path.isdir("/usr/share/cluster-glue"):
        assert seen["PATH"].startswith("/usr/share/cluster-glue:")  # ha_log.sh
    logging = {"HA_LOGD", "HA_LOGFACILITY", "HA_LOGFILE", "HA_DEBUGLOG", "HA_debug", "CRM_meta_st_device_id"}
    ours = {"hostlist", "secret_word", "PATH", "HA_LOGTAG", "HOME", "LC_ALL", "LANG"}
    assert set(seen) - logging - {"PWD", "_", "SHLVL", "OLDPWD"} == ours


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "BASH_ENV", "IFS", "PYTHONPATH", "a b", "x-y"])
def test_a_parameter_cannot_change_how_the_plugin_runs(places: Places, tmp_path: Path, name: str) -> None:
    plugin(places, f"status) touch {tmp_path}/ran;;")
    assert stonith(places, "-t", "external/lab", f"{name}=/tmp/x", "-S")[0] == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_plugin_that_others_may_write_is_not_run(places: Places, tmp_path: Path, mode: int) -> None:
    plugin(places, f"status) touch {tmp_path}/ran;;", mode=mode)
    assert stonith(places, "-L")[1].split() == ["null"]
    code, _, err = stonith(places, "-t", "external/lab", "hostlist=a", "-S")
    assert code == 8
    assert "chmod go-w" in err
    assert not (tmp_path / "ran").exists()


def test_a_plugin_that_hangs_is_ended_with_its_children(places: Places, tmp_path: Path) -> None:
    plugin(places, f"off) sleep 300 & echo $! >{tmp_path}/pid; wait;;")
    for limit in TIMES:
        code, _, err = stonith(places, f"--timeout={limit}", "-t", "external/lab", "hostlist=a", "-T", "off", "a")
        assert code == 6  # S_TIMEOUT
        if (tmp_path / "pid").exists():
            break
    assert "was stopped" in err
    assert _gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    "stops",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP,), (signal.SIGQUIT,)],
    ids=lambda stops: "-".join(stop.name for stop in stops),
)
def test_no_signal_leaves_a_deaf_child_behind(
    places: Places, tmp_path: Path, stops: tuple[signal.Signals, ...]
) -> None:
    """A second ^C, or the end of the terminal, came in the middle of ending the child, and left it running."""
    plugin(places, f"off) trap '' TERM INT HUP QUIT; echo $$ >{tmp_path}/pid; while :; do sleep 1; done;;")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'lib')!r})\n"
        "from failover_kit.stonith import catalogue, main\n"
        f"catalogue.default_places = lambda: catalogue.Places({places.plugins!r}, ())\n"
        "sys.exit(main.main(['stonith', '-t', 'external/lab', 'hostlist=a', '-T', 'off', 'a']))"
    )
    with subprocess.Popen(["/usr/bin/python3", "-I", "-c", code], stderr=subprocess.PIPE, text=True) as process:
        pid = int(_written(tmp_path / "pid"))
        try:
            for stop in stops:
                process.send_signal(stop)
                time.sleep(0.3)  # the second one is to come while the child is waited for
            _, err = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, "stopped by a signal" in err) == (8, True)
            assert _gone(pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_turn_success_into_failure(closed: str) -> None:
    line = f"{ROOT}/stonith/stonith -t null hostlist=a -l -T off a {closed}"
    assert subprocess.run(["/bin/sh", "-c", line], timeout=PATIENCE_S, check=False).returncode == 0


def test_a_full_disk_is_called_by_its_name() -> None:
    line = f"{ROOT}/stonith/stonith -t null hostlist=a -l >/dev/full"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 8
    assert done.stderr == "stonith: standard output: No space left on device; the outcome is not known\n"


def test_a_signal_while_a_child_is_started_does_not_lose_the_child(tmp_path: Path) -> None:
    """subprocess waits for the child's exec; a handler that raises there would leave it running, unknown."""
    script = tmp_path / "child"
    program(script, f"echo $$ >{tmp_path}/pid; kill -TERM $PPID; sleep 300\n")
    start = subprocess.Popen

    class Slow(start):  # type: ignore[misc,valid-type]
        """The signal is there before the parent knows its child."""

        def __init__(self, *arguments: object, **how: object) -> None:
            super().__init__(*arguments, **how)
            end = time.monotonic() + PATIENCE_S
            while not child._came and time.monotonic() < end:
                time.sleep(0.01)

    class Came(Exception):
        pass

    def handler(_number: int, _frame: object) -> None:
        raise Came

    class Child(run_child_module._Deferred):
        def __init__(self) -> None:
            nonlocal child
            child = self
            super().__init__()

    child: run_child_module._Deferred
    before = signal.signal(signal.SIGTERM, handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_child_module.subprocess, "Popen", Slow)
        patch.setattr(run_child_module, "_Deferred", Child)
        try:
            with pytest.raises(Came):
                run_child_module.run_child([str(script)], Deadline(60_000), env={})
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, before)
    assert _gone(int((tmp_path / "pid").read_text()))


def test_one_deadline_for_the_whole_invocation(places: Places, tmp_path: Path) -> None:
    """Also over -S, -l, an action and a count: what comes after the end is not begun."""
    plugin(places, f"status|gethosts|off) echo $1 >>{tmp_path}/calls; sleep 300;;")
    started = time.monotonic()
    for limit in TIMES:
        line = (f"--timeout={limit}", "-c", "3", "-t", "external/lab", "hostlist=a", "-S", "-l", "-T", "off", "a")
        assert stonith(places, *line)[0] == 6
        if (tmp_path / "calls").exists():
            break
    assert time.monotonic() - started < PATIENCE_S
    assert (tmp_path / "calls").read_text() == "status\n"


@pytest.mark.parametrize("question", ["-n", "-m", "-h", "-E"])
def test_a_plugin_that_hangs_while_it_describes_itself_is_ended(places: Places, question: str) -> None:
    program(Path(places.plugins[0]) / "lab", "sleep 300\n")
    code, _, err = stonith(places, "--timeout=1", "-t", "external/lab", question, "-S")
    assert code == 6
    assert "was stopped" in err


def test_what_a_plugin_says_is_logged_without_the_secrets(places: Places) -> None:
    plugin(places, 'status) echo "trying $secret_word for $hostlist" >&2; exit 3;;')
    code, _, err = stonith(places, "-t", "external/lab", "hostlist=a", "secret_word=hunter2", "-S")
    assert code == 1
    assert "WARN: trying *** for a\n" in err
    assert "hunter2" not in err


def test_a_daemon_a_plugin_leaves_behind_does_not_hold_us(places: Places, tmp_path: Path) -> None:
    plugin(places, f"status) sleep 300 & echo $! >{tmp_path}/pid;;")
    assert stonith(places, "-t", "external/lab", "hostlist=a", "-S")[0] == 0
    os.kill(int((tmp_path / "pid").read_text()), 9)


# --- fence agents ------------------------------------------------------------------------------------

LOGIN = (
    '<parameter name="ipaddr" required="1" deprecated="1"><content type="string"/></parameter>'
    '<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>'
    '<parameter name="password" required="0"><content type="string"/></parameter>'
    '<parameter name="username" required="1"><content type="string"/></parameter>'
)


def test_an_agent_is_a_type_with_its_own_parameters_the_required_first(places: Places) -> None:
    agent(places, "", parameters=LOGIN)
    assert stonith(places, "-L")[1].split() == ["fence_lab", "null"]
    assert stonith(places, "-t", "fence_lab", "-n")[1] == "ip  username  password  \n"
    assert "STONITH Device: fence_lab - For the lab & tests\n" in stonith(places, "-t", "fence_lab", "-h")[1]
    metadata = stonith(places, "-t", "fence_lab", "-m")[1]
    assert '<parameter name="ip" unique="0" required="1"><content type="string" />' in metadata
    assert "ipaddr" not in metadata


def test_a_switch_s_plug_names_and_groups_are_hosts_and_unnamed_plugs_are_not(places: Places) -> None:
    agent(places, "list) echo 1,Pete; echo 2,; echo 3,mclaws; echo rack,;;", name="fence_wti_ips800")
    assert stonith(places, "-t", "wti_nps", "-p", "h p", "-l")[1] == "pete\nmclaws\nrack\n"


def test_debugging_does_not_make_other_agents_talk(places: Places) -> None:
    """fence-agents' library prints the password it sends, also one from a script, which nobody could take out."""
    verbose = '<parameter name="verbose" required="0"><content type="boolean"/></parameter>'
    agent(places, 'monitor) echo "verbose=$verbose" >&2;;', parameters=LOGIN + verbose)
    _, _, err = stonith(places, "-t", "fence_lab", "ip=x", "username=u", "-S")
    assert "WARN: verbose=\n" in err


def test_an_agent_gets_everything_on_standard_input(places: Places, tmp_path: Path) -> None:
    said = f'echo "$0 $*" >{tmp_path}/argv; env >{tmp_path}/env; '
    said += f'echo "$action $plug $nodename $ip $password" >{tmp_path}/in'
    agent(places, f"off|on|reboot) {said};;", parameters=LOGIN)
    line = ("-t", "fence_lab", "ip=192.0.2.9", "username=u", "password=hun ter2", "action=on", "plug=9")
    for action, verb in (("off", "off"), ("on", "on"), ("reset", "reboot")):
        assert stonith(places, *line, "-T", action, "Node1")[0] == 0
        # Neither the node nor the action can come from the parameters; a node's letters stay as they are.
        assert (tmp_path / "in").read_text() == f"{verb} Node1 Node1 192.0.2.9 hun ter2\n"
        assert "ter2" not in (tmp_path / "argv").read_text() + (tmp_path / "env").read_text()


def test_status_asks_monitor_and_the_list_shows_what_can_be_fenced(places: Places) -> None:
    agent(places, "monitor) ;;\nlist) echo 1,web; echo 2,;;", parameters=LOGIN)
    line = ("-t", "fence_lab", "ip=x", "username=u")
    code, out, err = stonith(places, *line, "-S", "-l")
    assert (code, out) == (0, "1\n2\n")
    assert "info: fence_lab device OK." in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Failed: Timed out waiting to power OFF", 5),
        ("Unable to connect/login to fencing device", 2),
        ("Connection timed out", 6),
        ("Connection lost", 2),
        ("no plug web on this device; it has 1=db", 4),
        ("Failed: password file /etc/x: No such file or directory", 1),
        ("Failed: the password script exited 1", 1),
        ("Failed: You have to enter password or password script", 2),
        ("something else", 5),
    ],
)
def test_a_failure_s_words_give_its_code(places: Places, words: str, code: int) -> None:
    agent(places, f"off) echo '2026-01-01 00:00:00,000 ERROR: {words}' >&2; exit 1;;", parameters=LOGIN)
    answer = stonith(places, "-t", "fence_lab", "ip=x", "username=u", "-T", "off", "web")
    assert answer[0] == code
    assert words in answer[2]


def test_a_missing_required_parameter_ends_it_before_the_agent_runs(places: Places, tmp_path: Path) -> None:
    agent(places, f"*) touch {tmp_path}/ran;;", parameters=LOGIN)
    code, _, err = stonith(places, "-t", "fence_lab", "username=u", "-S")
    assert code == 3
    assert "Missing: ip\n" in err
    # The old name will do.
    agent(places, "monitor) ;;", parameters=LOGIN)
    assert stonith(places, "-t", "fence_lab", "-E", "-S", environ={"ipaddr": "x", "username": "u"})[0] == 0


@pytest.mark.parametrize("value", ["a\naction=off", "a\rb", "a\0b"])
def test_a_value_cannot_add_a_line_to_the_agent_s_input(places: Places, value: str) -> None:
    agent(places, "monitor) ;;", parameters=LOGIN)
    assert stonith(places, "-t", "fence_lab", f"ip={value}", "username=u", "-S")[0] == 1


@pytest.mark.parametrize("name", [" action", "action ", "#x", "", "a\tb", "Action\x85"])
def test_a_parameter_s_name_cannot_take_the_place_of_the_action(places: Places, tmp_path: Path, name: str) -> None:
    """fence-agents strip a line before they split it: ' action=on' turned -T off into on, with success."""
    agent(places, f"*) touch {tmp_path}/ran;;", parameters=LOGIN)
    line = ("-t", "fence_lab", "ip=x", "username=u", f"{name}=on", "-T", "off", "web")
    code, _, err = stonith(places, *line)
    assert (code, "cannot be the name of a parameter" in err) == (1, True)
    assert not (tmp_path / "ran").exists()


def _written(path: Path) -> str:
    """What a child writes there once it runs."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def _gone(pid: int) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
