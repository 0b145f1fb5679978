"""haresources arguments, as Heartbeat's own IPaddr and Filesystem scripts take them, and what launchers answer."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from failover_kit.agents import filesystem, ipaddr, killnfsd, launcher
from failover_kit.agents.haresources import parameters_for
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import boottime_ms

SCRIPTS = Path(__file__).resolve().parents[2] / "compat" / "resource.d"


@pytest.mark.parametrize(
    ("word", "parameters"),
    [
        ("10.0.0.9", {"ip": "10.0.0.9"}),
        ("10.0.0.9/24", {"ip": "10.0.0.9", "cidr_netmask": "24"}),
        ("10.0.0.9/255.255.255.0/eth0", {"ip": "10.0.0.9", "cidr_netmask": "255.255.255.0", "nic": "eth0"}),
        (
            "10.0.0.9/24/eth0:1/10.0.0.255",
            {"ip": "10.0.0.9", "cidr_netmask": "24", "nic": "eth0:1", "broadcast": "10.0.0.255"},
        ),
        ("10.0.0.9/24/10.0.0.255", {"ip": "10.0.0.9", "cidr_netmask": "24", "broadcast": "10.0.0.255"}),
        ("10.0.0.9//eth0", {"ip": "10.0.0.9", "nic": "eth0"}),
        ("10.0.0.9/eth0", {"ip": "10.0.0.9", "nic": "eth0"}),
        (
            "2001:db8:0:0:0:0:0:1/64/eth0",
            {"ip": "2001:db8:0:0:0:0:0:1", "cidr_netmask": "64", "nic": "eth0"},
        ),
    ],
)
def test_ipaddr(word, parameters):
    assert ipaddr.AGENT.positional([word]) == parameters
    assert parameters_for("IPaddr", [word]) == parameters_for("IPaddr2", [word]) == parameters


@pytest.mark.parametrize(
    "args", [[], ["10.0.0.999"], ["10.0.0.9/24/eth0/10.0.0.255/x"], ["10.0.0.9", "eth0"], [""]]
)
def test_ipaddr_refuses(args):
    with pytest.raises(ValueError, match="IPaddr"):
        ipaddr.AGENT.positional(args)


@pytest.mark.parametrize(
    ("args", "parameters"),
    [
        (["/dev/etherd/e0.0", "/mnt/e0.0"], {"device": "/dev/etherd/e0.0", "directory": "/mnt/e0.0"}),
        (
            ["LABEL=home", "/mnt/e0.0", "xfs", "noatime,nodev"],
            {"device": "LABEL=home", "directory": "/mnt/e0.0", "fstype": "xfs", "options": "noatime,nodev"},
        ),
        (["-Lhome", "/home", "", "ro"], {"device": "-Lhome", "directory": "/home", "options": "ro"}),
    ],
)
def test_filesystem(args, parameters):
    assert filesystem.AGENT.positional(args) == parameters
    assert parameters_for("Filesystem", args) == parameters


@pytest.mark.parametrize(
    "args", [["/dev/sda1"], ["sda1", "/mnt"], ["/dev/sda1", "/mnt", "nfs"], ["a", "b", "c", "d", "e"]]
)
def test_filesystem_refuses(args):
    with pytest.raises(ValueError, match="Filesystem"):
        filesystem.AGENT.positional(args)


def test_scripts_of_others_are_not_ours():
    assert parameters_for("nfs-common", []) is None
    assert parameters_for("apache", ["/etc/httpd.conf"]) is None


@pytest.mark.parametrize(
    ("args", "parameters"),
    [
        ([], {}),
        (["/mnt/e0.0/.nfs"], {"nfs_shared_infodir": "/mnt/e0.0/.nfs"}),
        (["/mnt/e0.0/.nfs", "192.0.2.220"], {"nfs_shared_infodir": "/mnt/e0.0/.nfs", "nfs_ip": "192.0.2.220"}),
        (["", "192.0.2.220,192.0.2.221"], {"nfs_ip": "192.0.2.220,192.0.2.221"}),
    ],
)
def test_nfsserver(args, parameters):
    assert parameters_for("nfsserver", args) == parameters


@pytest.mark.parametrize("args", [["mnt"], ["/"], ["/mnt", "clusterb"], ["/mnt", "192.0.2.220", "4.1"]])
def test_nfsserver_refuses(args):
    with pytest.raises(ValueError, match="nfsserver"):
        parameters_for("nfsserver", args)


def test_killnfsd_takes_no_arguments():
    assert parameters_for("killnfsd", []) == {}
    with pytest.raises(ValueError, match="one argument too many"):
        parameters_for("killnfsd", ["nfs-server.service"])


class Script:
    """A launcher in this process; the actions of its agent are the test's."""

    def __init__(self, monkeypatch, capsys, state):
        self.capsys = capsys
        self.environ = {"HA_RSCTMP": str(state)}
        self.calls = []
        self.answers = {"monitor": 7, "start": 0, "stop": 0}
        handlers = {verb: self.handler(verb) for verb in self.answers}
        monkeypatch.setattr(filesystem.AGENT, "handlers", handlers)
        self.state = state

    def handler(self, verb):
        def work(call):
            self.calls.append((verb, call))
            code = self.answers[verb]
            if code not in (0, 7, 190):
                raise AgentError(code, "it is running OK, or not")
            return code

        return work

    def __call__(self, verb, *args, **environ):
        args = args or ("/dev/sdz9", "/srv/OK")
        argv = ["/etc/ha.d/resource.d/Filesystem", *args, verb]
        code = launcher.main(argv, {**self.environ, **environ})
        out, self.err = self.capsys.readouterr()
        return code, out

    def marks(self):
        return list(self.state.glob("*-stop-*"))


@pytest.fixture
def script(monkeypatch, capsys, tmp_path):
    return Script(monkeypatch, capsys, tmp_path / "state")


def heartbeat_reads(text):
    """we_own_resource() of Heartbeat's ResourceManager: its two patterns, in its order."""
    import fnmatch

    if fnmatch.fnmatchcase(text, "*[Nn][Oo][Tt] *[Rr]unning*"):
        return False
    return fnmatch.fnmatchcase(text, "*[Rr]unning*") or "OK" in text


@pytest.mark.parametrize(
    ("found", "code", "text", "owned"),
    [
        (0, 0, "Filesystem: running OK\n", True),
        (190, 0, "Filesystem: running OK\n", True),
        (7, 3, "Filesystem: not running\n", False),
        (1, 4, "Filesystem: state unknown\n", False),
        (5, 4, "Filesystem: state unknown\n", False),
    ],
)
def test_status_has_lsb_s_codes_and_heartbeat_s_words(script, found, code, text, owned):
    script.answers["monitor"] = found
    assert script("status") == (code, text)
    assert heartbeat_reads(text) is owned
    assert script.calls[0][1].probe


@pytest.mark.parametrize("verb", ["start", "stop", "monitor"])
@pytest.mark.parametrize("code", [0, 1, 5])
def test_other_verbs_exit_as_the_agent_does_and_say_nothing_on_stdout(script, verb, code):
    script.answers[verb] = code
    assert script(verb) == (code, "")
    assert script.err == ("" if code == 0 else "ERROR: it is running OK, or not\n")


@pytest.mark.parametrize("found", [1, 7])
def test_after_a_stop_that_failed_nothing_counts_as_released(script, found, monkeypatch):
    """A probe may call it stopped: what made stop fail is not for monitor to see."""
    script.answers.update(monitor=found, stop=1)
    assert script("stop")[0] == 1
    code, text = script("status")
    assert code == 4
    assert heartbeat_reads(text)
    # A takeover an hour later is for start to decide.
    monkeypatch.setattr(launcher, "boottime_ms", lambda: boottime_ms() + 3_600_000)
    code, text = script("status")
    assert (code, text) == (4, "Filesystem: state unknown\n")
    assert not heartbeat_reads(text)


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_a_stop_or_start_that_succeeds_ends_that(script, verb):
    script.answers["stop"] = 1
    script("stop")
    assert len(script.marks()) == 1
    script.answers["stop"] = 0
    assert script(verb)[0] == 0
    assert script.marks() == []
    assert script("status") == (3, "Filesystem: not running\n")


def test_a_start_that_fails_does_not_end_it(script):
    script.answers.update(stop=1, start=1)
    script("stop")
    script("start")
    assert len(script.marks()) == 1


def test_a_stop_that_was_killed_has_not_succeeded(script):
    class Killed(BaseException):
        pass

    def die(call):
        raise Killed

    filesystem.AGENT.handlers["stop"] = die
    with pytest.raises(Killed):
        script("stop")
    assert heartbeat_reads(script("status")[1])


def test_the_mark_is_of_these_arguments_alone(script):
    script.answers["stop"] = 1
    script("stop")
    assert script("status", "/dev/sdz8", "/srv/OK") == (3, "Filesystem: not running\n")


def test_where_marks_cannot_be_made_what_does_not_run_counts_as_running(script, monkeypatch):
    """A full or read-only /run: whether a stop has failed cannot be told."""
    script.state.mkdir()
    room = os.statvfs(script.state)

    def told(**changed):
        values = {name: getattr(room, name) for name in dir(room) if name.startswith("f_")} | changed
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**values))
        return script("status")[1]

    plain = {"f_blocks": 100, "f_bavail": 9, "f_files": 100, "f_favail": 9, "f_flag": 0}
    for found in (1, 7):
        script.answers["monitor"] = found
        for bad in ({"f_bavail": 0}, {"f_favail": 0}, {"f_flag": os.ST_RDONLY}):
            assert heartbeat_reads(told(**{**plain, **bad}))
        assert not heartbeat_reads(told(**plain))
        unlimited = {"f_blocks": 0, "f_bavail": 0, "f_files": 0, "f_favail": 0}
        assert not heartbeat_reads(told(**{**plain, **unlimited}))


def test_marks_are_written_over_in_place(script):
    """A full disk has no room for a new file; the one made when the stop began is there."""
    script.answers["stop"] = 1
    script("stop")
    (mark,) = script.marks()
    inode = mark.stat().st_ino
    first = int(mark.read_text())
    script("stop")
    assert mark.stat().st_ino == inode
    assert int(mark.read_text()) >= first
    mark.write_text("")
    assert heartbeat_reads(script("status")[1])


def test_parameters_come_from_the_line_alone(script):
    environ = {
        "OCF_RESKEY_device": "/dev/other", "OCF_RESKEY_options": "ro", "OCF_RESKEY_CRM_meta_interval": "10000",
        "OCF_RESKEY_CRM_meta_timeout": "7000",
    }  # fmt: skip
    script("start", "LABEL=home", "/home", **environ)
    call = script.calls[0][1]
    assert (call.values.text("device"), call.values.text("options")) == ("LABEL=home", "")
    assert call.deadline.total_ms == 6300
    assert call.instance == "Filesystem_LABEL=home_/home"


@pytest.mark.parametrize(("verb", "code"), [("start", 2), ("stop", 2), ("monitor", 2), ("status", 4)])
def test_an_argument_too_many_is_nothing_to_go_on_with(script, verb, code):
    answer = script(verb, "/dev/sdz9", "/mnt", "xfs", "ro", "more")
    assert answer == (code, "Filesystem: state unknown\n" if verb == "status" else "")
    assert script.err == "ERROR: Filesystem: 'more' is one argument too many\n"
    assert script.calls == []


def test_a_wrong_option_does_not_keep_stop_from_stopping(script):
    assert script("start", "/dev/sdz9", "/mnt", "nfs")[0] == 6
    assert script("stop", "/dev/sdz9", "/mnt", "nfs")[0] == 0
    assert [verb for verb, _ in script.calls] == ["stop"]


def test_a_name_that_is_nobody_s(capsys):
    assert launcher.main(["/etc/ha.d/resource.d/apache", "start"], {}) == 5
    assert "apache is none of our agents" in capsys.readouterr().err


def test_the_scripts_are_the_agents_and_start_as_fast():
    """The same interpreter options, one file, and nothing imported that a monitor does not import."""
    names = {path.name for path in SCRIPTS.iterdir() if path.is_symlink()}
    assert names == {"IPaddr", "IPaddr2", "Filesystem", "nfsserver", "exportfs", "killnfsd"}
    assert {os.readlink(SCRIPTS / name) for name in names} == {"failover-kit"}
    assert (SCRIPTS / "failover-kit").read_text().startswith("#!/usr/bin/python3 -IS\n")
    argv = ["/usr/bin/python3", "-IS", "-X", "importtime", SCRIPTS / "killnfsd", "status"]
    state = {"HA_RSCTMP": "/no/where"}
    result = subprocess.run(argv, env=state, text=True, capture_output=True, check=False, timeout=60)
    modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert killnfsd.__name__ in modules
    heavy = {"re", "enum", "typing", "dataclasses", "argparse", "logging", "subprocess", "socket", "importlib"}
    assert not modules & heavy
    assert (result.returncode, result.stdout) == (3, "killnfsd: not running\n")
