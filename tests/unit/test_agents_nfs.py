"""killnfsd and nfsserver: what they decide, with the kernel, systemd and the clock replaced."""

import os
import random

import pytest

from failover_kit.agents import (
    killnfsd,
    nfs_rpcbind,
    nfs_units,
    nfsserver,
    nfsserver_helpers,
    nfsserver_start,
    nfsserver_stop,
    nfsserver_threads,
)
from failover_kit.kernel import nfsd
from failover_kit.kernel.mounts import MountTable
from failover_kit.kernel.processes import Status
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.ocf.runner import main
from failover_kit.spec.deadline import Deadline, DeadlineExpired
from failover_kit.spec.parameter import check_all
from failover_kit.spec.process import CommandResult


def call(agent, state_dir, **parameters):
    values, problems = check_all(agent.parameters, parameters)
    assert problems == []
    return Call(agent, values, Deadline(20_000), environ={"HA_RSCTMP": str(state_dir)})


class Kernel:
    """A server with threads that write down who ends them."""

    def __init__(self, monkeypatch, threads=8, units=()):
        self.threads = threads
        self.units = list(units)
        self.done = []
        self.refuses = None
        monkeypatch.setattr(nfsd, "threads", lambda: self.threads)
        monkeypatch.setattr(nfsd, "end", self.end)
        monkeypatch.setattr(nfsd, "flush_exports", lambda: self.done.append("flush"))
        monkeypatch.setattr(nfs_units, "stop", self.stop_units)

    def end(self, attempts, deadline):
        if self.refuses:
            raise self.refuses
        ended = self.threads > 0
        self.done.append("threads")
        self.threads = 0
        return ended

    def stop_units(self, call, names):
        self.done.append(f"units {' '.join(names)}")


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


# --- killnfsd ---------------------------------------------------------------------------------------


def test_killnfsd_asks_systemd_first_then_the_kernel_then_flushes(kernel, tmp_path):
    assert killnfsd.start(call(killnfsd.AGENT, tmp_path)) == 0
    assert kernel.done == ["units nfs-server.service", "threads", "flush"]
    assert killnfsd.monitor(call(killnfsd.AGENT, tmp_path)) == 0


def test_killnfsd_started_twice_leaves_the_service_alone_that_came_after_it(kernel, tmp_path):
    killnfsd.start(call(killnfsd.AGENT, tmp_path))
    kernel.threads, kernel.done = 8, []
    assert killnfsd.start(call(killnfsd.AGENT, tmp_path)) == 0
    assert (kernel.threads, kernel.done) == (8, [])


def test_killnfsd_monitor_touches_nothing_and_reports_the_marker_alone(kernel, tmp_path):
    asked = call(killnfsd.AGENT, tmp_path)
    assert killnfsd.monitor(asked) == 7
    killnfsd.start(asked)
    kernel.threads, kernel.done = 8, []
    assert killnfsd.monitor(asked) == 0
    assert (kernel.threads, kernel.done) == (8, [])


def test_killnfsd_stop_ends_the_server_with_and_without_the_marker(kernel, tmp_path):
    asked = call(killnfsd.AGENT, tmp_path)
    for _ in range(2):
        kernel.threads = 8
        assert killnfsd.stop(asked) == 0
        assert kernel.threads == 0
        assert killnfsd.monitor(asked) == 7
        killnfsd.start(asked)


def test_killnfsd_marker_of_another_boot_means_stopped(kernel, tmp_path, monkeypatch):
    asked = call(killnfsd.AGENT, tmp_path)
    killnfsd.start(asked)
    monkeypatch.setattr(killnfsd, "boot_id", lambda: "the next boot")
    assert killnfsd.monitor(asked) == 7
    kernel.threads = 8
    killnfsd.start(asked)
    assert kernel.threads == 0, "a server of the next boot is stale, too"


@pytest.mark.parametrize("text", ["", "\n", "\0\xff"])
def test_killnfsd_damaged_marker_means_stopped(kernel, tmp_path, text):
    asked = call(killnfsd.AGENT, tmp_path)
    killnfsd.start(asked)
    (path,) = tmp_path.iterdir()
    path.write_text(text, encoding="latin-1")
    assert killnfsd.monitor(asked) == 7


def test_killnfsd_failed_start_is_not_started_and_failed_stop_not_stopped(kernel, tmp_path):
    asked = call(killnfsd.AGENT, tmp_path)
    kernel.refuses = DeadlineExpired("ending the NFS server: it still has 8 threads")
    with pytest.raises(DeadlineExpired):
        killnfsd.start(asked)
    assert killnfsd.monitor(asked) == 7
    kernel.refuses = None
    killnfsd.start(asked)
    kernel.refuses = DeadlineExpired("ending the NFS server: it still has 8 threads")
    with pytest.raises(DeadlineExpired):
        killnfsd.stop(asked)
    assert killnfsd.monitor(asked) == 0


def test_killnfsd_a_thread_that_hangs_is_named(kernel, tmp_path):
    from failover_kit.kernel.attempts import GivenUp

    kernel.refuses = GivenUp("ending the NFS server's threads did not answer within 20 s; it hangs in the kernel")
    with pytest.raises(AgentError, match="state D"):
        killnfsd.stop(call(killnfsd.AGENT, tmp_path))


# --- systemd ----------------------------------------------------------------------------------------


def test_units_that_are_active_or_on_their_way_are_stopped_by_systemd(monkeypatch, tmp_path):
    states = {"a.service": "active", "b.service": "inactive", "c": "deactivating"}
    said = "\n\n".join(f"Id={name}\nActiveState={state}" for name, state in states.items())
    asked = []
    monkeypatch.setattr(nfs_units, "managed", lambda: True)

    def systemctl(words, deadline):
        asked.append(words)
        return said if words[0] == "show" else ""

    monkeypatch.setattr(nfs_units, "_systemctl", systemctl)
    nfs_units.stop(call(killnfsd.AGENT, tmp_path), ["a.service", "b.service", "c"])
    assert asked[1:] == [["stop", "a.service", "c"]]


def test_without_systemd_no_systemctl_is_run(monkeypatch, tmp_path):
    monkeypatch.setattr(nfs_units, "managed", lambda: False)
    monkeypatch.setattr(nfs_units, "_systemctl", lambda *_: pytest.fail("systemctl was run"))
    nfs_units.stop(call(killnfsd.AGENT, tmp_path), ["a.service"])


# --- the kernel's server ----------------------------------------------------------------------------


@pytest.fixture
def proc(monkeypatch, tmp_path):
    monkeypatch.setattr(nfsd, "ROOT", str(tmp_path / "nfsd"))
    monkeypatch.setattr(nfsd, "_STATISTICS", str(tmp_path / "statistics"))
    return tmp_path


def test_no_nfsd_in_the_kernel_is_no_thread(proc):
    assert (nfsd.threads(), nfsd.running(), nfsd.mounted(), nfsd.versions()) == (0, False, False, {})


def test_threads_and_versions_of_the_mounted_filesystem(proc):
    (proc / "nfsd").mkdir()
    (proc / "nfsd/threads").write_text("8\n")
    (proc / "nfsd/versions").write_text("-2 +3 +4 -4.0 +4.1 +4.2\n")
    (proc / "statistics").write_text("rc 0 0 0\nth 3 0 0.000\n")
    assert (nfsd.threads(), nfsd.mounted()) == (8, True)
    assert nfsd.versions() == {"2": False, "3": True, "4": True, "4.0": False, "4.1": True, "4.2": True}


def test_the_statistics_tell_where_the_filesystem_is_not_mounted(proc):
    (proc / "statistics").write_text("rc 0 0 0\nth 3 0 0.000\n")
    assert nfsd.threads() == 3


# --- nfsserver: what is there -----------------------------------------------------------------------


@pytest.fixture
def processes(monkeypatch):
    """The processes of the host: name by pid; every one started at tick 100."""
    alive = {}

    def status(pid):
        return Status(pid, alive[pid], state="S", parent=1, flags=0, start_ticks=100) if pid in alive else None

    monkeypatch.setattr(nfsserver.processes, "status", status)
    monkeypatch.setattr(nfsserver.processes, "named", lambda name: [pid for pid in alive if alive[pid] == name])
    return alive


def record(complete=True, **helpers):
    return nfsserver.Record([nfsserver.Helper(name, pid, 100) for name, pid in helpers.items()], complete)


def test_a_complete_server_has_no_problems(processes):
    processes.update({7: "mountd", 8: "statd"})
    seen = nfsserver.Observation(8, True, record(mountd=7, statd=8))
    assert (seen.anything(), seen.problems(True)) == (True, [])


@pytest.mark.parametrize(
    ("there", "kept", "alive", "words"),
    [
        ((0, True), record(mountd=7), {7: "mountd"}, "no threads"),
        ((8, False), record(mountd=7), {7: "mountd"}, "not mounted over /var/lib/nfs"),
        ((8, True), record(mountd=7), {}, "mountd (pid 7) has died"),
        ((8, True), record(complete=False, mountd=7), {7: "mountd"}, "interrupted"),
        ((8, True), None, {}, "not started by this resource"),
        ((0, False), record(mountd=7), {7: "mountd"}, "no threads"),
        ((0, True), None, {}, "no threads"),
    ],
)
def test_anything_missing_is_a_failure_and_never_stopped(processes, there, kept, alive, words):
    processes.update(alive)
    seen = nfsserver.Observation(*there, kept)
    assert seen.anything()
    assert any(words in problem for problem in seen.problems(True))


def test_nothing_there_is_stopped_even_with_a_record_of_the_dead(processes):
    assert not nfsserver.Observation(0, False, record(mountd=7)).anything()


def test_a_helper_restarted_by_hand_is_alive_and_one_whose_pid_was_given_away_is_not(processes):
    processes[9] = "mountd"
    assert nfsserver.Helper("mountd", 7, 100).alive()
    processes.clear()
    processes[7] = "cron"
    assert not nfsserver.Helper("mountd", 7, 50).alive()


def test_the_record_is_read_as_written_and_not_in_the_next_boot(tmp_path, monkeypatch):
    asked = call(nfsserver.AGENT, tmp_path)
    assert nfsserver.read_record(asked) is None
    nfsserver.write_record(asked, record(complete=False, mountd=7))
    nfsserver.write_record(asked, record(mountd=7, statd=8))
    read = nfsserver.read_record(asked)
    assert (read.complete, [(h.name, h.pid, h.start_ticks) for h in read.helpers]) == (
        True,
        [("mountd", 7, 100), ("statd", 8, 100)],
    )
    monkeypatch.setattr(nfsserver, "boot_id", lambda: "another")
    assert nfsserver.read_record(asked) is None


@pytest.mark.parametrize("text", ["", "BOOT\nmountd seven 100\n", "BOOT\nmountd 7\n", "\0"])
def test_a_damaged_record_is_none(tmp_path, text):
    asked = call(nfsserver.AGENT, tmp_path)
    nfsserver.write_record(asked, record())
    (path,) = tmp_path.iterdir()
    path.write_text(text.replace("BOOT", nfsserver.boot_id()))
    assert nfsserver.read_record(asked) is None


ROOT = b"22 1 254:0 / / rw - ext4 /dev/root rw\n"
DISK = b"40 22 254:16 / /mnt/e0.0 rw - xfs /dev/etherd/e0.0 rw\n"
BOUND = b"41 22 254:16 /.nfs /var/lib/nfs rw - xfs /dev/etherd/e0.0 rw\n"
OTHER = b"41 22 254:32 / /var/lib/nfs rw - ext4 /dev/sdb rw\n"
PIPEFS = b"42 41 0:50 / /var/lib/nfs/rpc_pipefs rw - rpc_pipefs sunrpc rw\n"


@pytest.mark.parametrize(
    ("lines", "infodir", "bound"),
    [
        (ROOT, "/mnt/e0.0/.nfs", False),
        (ROOT + DISK, "/mnt/e0.0/.nfs", False),
        (ROOT + DISK + BOUND, "/mnt/e0.0/.nfs", True),
        (ROOT + DISK + BOUND + PIPEFS, "/mnt/e0.0/.nfs", True),
        (ROOT + DISK + BOUND, "/mnt/e0.0/other", False),
        (ROOT + DISK + OTHER, "/mnt/e0.0/.nfs", False),
        # The disk was unmounted (lazily, or elsewhere) below the bind mount, which keeps it busy.
        (ROOT + BOUND, "/mnt/e0.0/.nfs", True),
        (ROOT + b"40 22 254:32 / /srv rw - xfs x rw\n" + OTHER, "/srv", True),
    ],
)
def test_whose_directory_lies_over_the_state_directory(lines, infodir, bound, monkeypatch):
    monkeypatch.setattr(nfsserver.mounts, "real_path", lambda path, table: path)
    assert nfsserver.is_bound(infodir, MountTable(lines)) is bound


def test_monitor_says_all_that_is_wrong_in_one_reason(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(nfsserver.nfsd, "threads", lambda: 0)
    monkeypatch.setattr(nfsserver.mounts, "table", lambda path="": MountTable(ROOT + DISK + BOUND))
    asked = call(nfsserver.AGENT, tmp_path, nfs_shared_infodir="/mnt/e0.0/.nfs")
    nfsserver.write_record(asked, record(mountd=7))
    with pytest.raises(AgentError, match=r"no threads; mountd \(pid 7\) has died") as caught:
        nfsserver.monitor(asked)
    assert caught.value.code == 1
    monkeypatch.setattr(nfsserver.mounts, "table", lambda path="": MountTable(ROOT))
    assert nfsserver.monitor(asked) == 7


# --- nfsserver: what is asked of the tools -----------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "argv"),
    [
        ({}, []),
        ({"threads": "4"}, ["4"]),
        ({"lease_time": "10"}, ["--lease-time", "10", "--grace-time", "10"]),
        ({"lease_time": "30", "grace_time": "10"}, ["--lease-time", "30", "--grace-time", "30"]),
        ({"grace_time": "20"}, ["--grace-time", "20"]),
        ({"nfsv4_only": "yes"}, ["--no-nfs-version", "3"]),
        ({"versions": "3"}, ["--nfs-version", "3", "--no-nfs-version", "4"]),
        (
            {"versions": "3,4.1"},
            [
                *("--nfs-version", "3", "--nfs-version", "4", "--no-nfs-version", "4.0"),
                *("--nfs-version", "4.1", "--no-nfs-version", "4.2"),
            ],
        ),
        (
            {"versions": "4"},
            [
                *("--no-nfs-version", "3", "--nfs-version", "4", "--nfs-version", "4.0"),
                *("--nfs-version", "4.1", "--nfs-version", "4.2"),
            ],
        ),
    ],
)
def test_arguments_of_rpc_nfsd(tmp_path, parameters, argv):
    assert nfsserver_threads.arguments(call(nfsserver.AGENT, tmp_path, **parameters)) == ["rpc.nfsd", *argv]


@pytest.mark.parametrize(
    ("parameters", "v3"),
    [({}, True), ({"nfsv4_only": "1"}, False), ({"versions": "4.1,4.2"}, False), ({"versions": "4 3"}, True)],
)
def test_when_statd_and_rpcbind_are_needed(tmp_path, parameters, v3):
    assert nfsserver_start.v3(call(nfsserver.AGENT, tmp_path, **parameters)) is v3


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"nfs_ip": "clusterb"}, "nfs_ip"),
        ({"nfs_ip": "192.0.2.1,::1"}, "nfs_ip"),
        ({"nfs_ip": "fe80::1%eth0"}, "nfs_ip"),
        ({"nfs_init_script": "/etc/init.d/nfs-kernel-server"}, "leave it out"),
        ({"nfsd_args": "-N 3"}, "threads, versions"),
        ({"rquotad_port": "875"}, "does not run rpc.rquotad"),
        ({"nfs_notify_foreground": "true"}, "come after it"),
        ({"statd_port": "65536"}, "above 65535"),
        ({"versions": "3,5"}, "versions"),
        ({"lease_time": "5"}, "below 10"),
        ({"grace_time": "300"}, "above 240"),
        ({"nfs_server_scope": "x" * 65}, "64"),
        ({"nfs_shared_infodir": "relative"}, "absolute"),
        ({"threads": "0"}, "below 1"),
    ],
)
def test_wrong_parameters(parameters, words):
    _, problems = check_all(nfsserver.AGENT.parameters, parameters)
    assert [words in str(problem) for problem in problems] == [True]


def test_what_the_peer_has_by_default_is_taken(tmp_path):
    addresses = "2001:DB8::10,192.0.2.1,2001:db8::10"
    asked = call(nfsserver.AGENT, tmp_path, nfs_notify_foreground="false", nfs_ip=addresses)
    assert asked.values.text("nfs_ip") == "2001:db8::10 192.0.2.1"
    assert not asked.values.flag("nfs_notify_foreground")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"nfsv4_only": "yes", "versions": "3,4.1"}, "nfsv4_only forbids it"),
        ({"statd_port": "662", "statd_outgoing_port": "662"}, "two different ones"),
    ],
)
def test_parameters_that_contradict_each_other_are_6_on_every_node(parameters, words, capsys):
    environ = {f"OCF_RESKEY_{name}": text for name, text in parameters.items()}
    assert main(nfsserver.AGENT, ["nfsserver", "validate-all"], environ) == 6
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "parameter", "word"),
    [("rpc.statd", "statd_port", "--port"), ("rpc.statd", "statd_outgoing_port", "--outgoing-port"),
     ("rpc.mountd", "mountd_port", "--port")],
)  # fmt: skip
def test_ports_for_firewalls_reach_the_daemons(tmp_path, monkeypatch, name, parameter, word):
    run = {}
    monkeypatch.setattr(nfsserver_start.helpers, "start", lambda call, record, name, argv: run.update({name: argv}))
    monkeypatch.setattr(nfsserver_start, "mount_pipefs", lambda call: "/pipefs")
    monkeypatch.setattr(nfsserver_start, "tool", lambda call, argv: CommandResult(argv, 0, "", ""))
    monkeypatch.setattr(nfs_rpcbind, "require", lambda call: None)
    nfsserver_start.start_helpers(call(nfsserver.AGENT, tmp_path, **{parameter: "662"}), record())
    assert run[name][-2:] == [word, "662"]


@pytest.fixture
def became(monkeypatch):
    """What the kernel has after rpc.nfsd; a test changes it."""
    found = {
        "threads": 4,
        "versions": {"3": True, "4": True, "4.0": False, "4.1": True, "4.2": False},
        "nfsv4leasetime": 15,
        "nfsv4gracetime": 20,
    }
    monkeypatch.setattr(nfsd, "threads", lambda: found["threads"])
    monkeypatch.setattr(nfsd, "versions", lambda: found["versions"])
    monkeypatch.setattr(nfsd, "seconds", lambda name: found[name])
    return found


DECLARED = {"threads": "4", "versions": "3,4.1", "lease_time": "15", "grace_time": "20"}


def test_a_server_that_became_what_was_declared_is_right(tmp_path, became):
    nfsserver_threads.verify(call(nfsserver.AGENT, tmp_path, **DECLARED))


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("threads", 8, "8 threads instead of 4"),
        ("nfsv4leasetime", 90, "nfsv4leasetime is 90 s instead of 15 s"),
        ("nfsv4gracetime", 90, "nfsv4gracetime is 90 s instead of 20 s"),
        ("versions", {"3": False, "4": True, "4.1": True}, "version 3 is not served"),
        ("versions", {"3": True, "4": True, "4.1": False}, "version 4.1 is not served"),
        ("versions", {"3": True, "4": True}, "version 4.1 is not served"),
        ("versions", {"3": True, "4": True, "4.1": True, "4.2": True}, "version 4.2 is served"),
    ],
)
def test_a_server_that_did_not_become_what_was_declared_is_no_success(tmp_path, became, what, value, words):
    became[what] = value
    with pytest.raises(AgentError, match=words) as caught:
        nfsserver_threads.verify(call(nfsserver.AGENT, tmp_path, **DECLARED))
    assert caught.value.code == 1


def test_a_minor_version_this_kernel_lacks_is_missed_only_by_who_named_it(tmp_path, became):
    became["versions"] = {"3": False, "4": True, "4.1": True, "4.2": True}
    nfsserver_threads.verify(call(nfsserver.AGENT, tmp_path, versions="4"))
    with pytest.raises(AgentError, match=r"version 4\.0 is not served"):
        nfsserver_threads.verify(call(nfsserver.AGENT, tmp_path, versions="4,4.0"))


def test_a_clone_with_a_shared_directory_is_refused_on_every_node(capsys):
    environ = {"OCF_CHECK_LEVEL": "10", "OCF_RESKEY_CRM_meta_clone_max": "2"}
    environ["OCF_RESKEY_nfs_shared_infodir"] = "/mnt/no-such-disk/.nfs"
    for verb in ("validate-all", "start"):
        assert main(nfsserver.AGENT, ["nfsserver", verb], environ) == 6
        assert "as a clone 2 servers would write to it" in capsys.readouterr().err


def test_reload_of_a_stopped_resource_says_that_it_is_stopped(tmp_path, processes):
    assert nfsserver_threads.reload_agent(call(nfsserver.AGENT, tmp_path, threads="4")) == 7


def test_everything_missing_on_the_host_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(nfsserver_start, "program", lambda name: "")
    with pytest.raises(AgentError, match=r"rpc\.nfsd, rpc\.mountd, exportfs, rpc\.statd not found") as caught:
        nfsserver_start.validate(call(nfsserver.AGENT, tmp_path))
    assert caught.value.code == 5


# --- nfsserver: helpers and stop ---------------------------------------------------------------------


def test_workers_of_mountd_are_not_taken_for_the_daemon(monkeypatch):
    states = [Status(pid, "rpc.mountd", state="S", parent=p, flags=0, start_ticks=1) for pid, p in ((8, 7), (7, 1))]
    monkeypatch.setattr(nfsserver_helpers.processes, "named", lambda name: states)
    assert [state.pid for state in nfsserver_helpers.leaders("rpc.mountd")] == [7]


class Daemons:
    """Daemons that obey the signals they are said to."""

    def __init__(self, monkeypatch, **deaf_to):
        self.alive = {name: Status(pid, name, state="S", parent=1, flags=0, start_ticks=1) for pid, name in
                      enumerate(deaf_to, start=70)}  # fmt: skip
        self.deaf_to = deaf_to
        self.signals = []
        monkeypatch.setattr(
            nfsserver_helpers.processes, "named", lambda name: [self.alive[name]] if name in self.alive else []
        )
        monkeypatch.setattr(nfsserver_helpers.processes, "end", self.signal)
        self.now_ms = 0
        monkeypatch.setattr("failover_kit.spec.deadline.boottime_ms", lambda: self.now_ms)
        monkeypatch.setattr(nfsserver_helpers.time, "sleep", self.sleep)

    def signal(self, state, number):
        self.signals.append((state.name, int(number)))
        if number not in self.deaf_to[state.name]:
            del self.alive[state.name]
        return True

    def sleep(self, seconds):
        self.now_ms += int(seconds * 1000)


def test_helpers_are_asked_once_then_killed(monkeypatch):
    daemons = Daemons(monkeypatch, statd=(), mountd=(15,))
    assert nfsserver_helpers.end(["statd", "mountd", "nfsdcld"], Deadline(20_000)) == ["statd", "mountd"]
    assert daemons.signals == [("statd", 15), ("mountd", 15), ("mountd", 9)]
    assert 3000 <= daemons.now_ms < 3100


def test_a_helper_that_cannot_be_killed_is_named_at_the_deadline(monkeypatch):
    daemons = Daemons(monkeypatch, mountd=(15, 9))
    with pytest.raises(AgentError, match=r"mountd \(pid 70, in state S\) did not end within 20 s"):
        nfsserver_helpers.end(["mountd"], Deadline(20_000))
    assert daemons.now_ms >= 20_000


@pytest.fixture
def stopping(monkeypatch, kernel, tmp_path):
    """A stop with everything replaced that it ends; what it did, in order."""
    monkeypatch.setattr(
        nfsserver_stop.helpers, "end", lambda names, deadline: kernel.done.append("end " + " ".join(names))
    )
    monkeypatch.setattr(nfsserver_stop, "release_state", lambda call, attempts: kernel.done.append("unbind"))
    monkeypatch.setattr(nfsserver_stop.nfsserver.mounts, "table", lambda path="": MountTable(ROOT))
    return kernel


def test_stop_ends_threads_before_mountd_and_unbinds_last(stopping, tmp_path, processes):
    asked = call(nfsserver.AGENT, tmp_path)
    processes[7] = "rpc.statd"
    nfsserver.write_record(asked, nfsserver.Record([nfsserver.Helper("rpc.statd", 7, 100)], True))
    stopping.refuses = None
    end_helpers = nfsserver_stop.helpers.end

    def end(names, deadline):
        processes.clear()
        end_helpers(names, deadline)

    nfsserver_stop.helpers.end = end
    assert nfsserver_stop.stop(asked) == 0
    assert [word.split()[0] for word in stopping.done] == ["units", "threads", "end", "flush", "unbind"]
    assert "rpc.statd" in stopping.done[2]
    assert not os.path.exists(nfsserver.record_path(asked))


def test_stop_of_a_stopped_resource_leaves_a_client_s_statd_and_systemd_alone(stopping, tmp_path, processes):
    stopping.threads = 0
    assert nfsserver_stop.stop(call(nfsserver.AGENT, tmp_path)) == 0
    assert "rpc.statd" not in " ".join(stopping.done)
    assert not [word for word in stopping.done if word.startswith("units")]


def test_stop_fails_when_something_starts_the_server_again(stopping, tmp_path, processes, monkeypatch):
    monkeypatch.setattr(nfsd, "end", lambda attempts, deadline: True)
    with pytest.raises(AgentError, match="starts the NFS server again: 8 threads"):
        nfsserver_stop.stop(call(nfsserver.AGENT, tmp_path))


def test_the_record_outlives_a_stop_that_failed(stopping, tmp_path, processes):
    asked = call(nfsserver.AGENT, tmp_path)
    nfsserver.write_record(asked, record())
    stopping.refuses = DeadlineExpired("ending the NFS server: it still has 8 threads")
    with pytest.raises(DeadlineExpired):
        nfsserver_stop.stop(asked)
    assert os.path.exists(nfsserver.record_path(asked))


# --- any environment ---------------------------------------------------------------------------------

WORDS = ("", " ", "0", "-1", "99999999999999999999", "yes", "/", "/../x", "//a//b/", "é", "\n", "a" * 300, "3,4.1")
WORDS += ("192.0.2.1", "192.0.2.1,192.0.2.2", "192.0.2.256", "::1", "%s", "$(id)", "/mnt/e0.0/.nfs", "1e3")


@pytest.mark.parametrize("agent", [killnfsd.AGENT, nfsserver.AGENT], ids=lambda agent: agent.name)
def test_no_environment_makes_a_traceback_or_an_undocumented_exit_code(agent, tmp_path, capsys):
    """Random parameters and surroundings; verbs that look only, for this runs on the tester's machine."""
    rng = random.Random(20261126)
    names = [parameter.name for parameter in agent.parameters]
    names += ["CRM_meta_timeout", "CRM_meta_interval", "OCF_CHECK_LEVEL"]
    for _ in range(400):
        environ = {f"OCF_RESKEY_{name}": rng.choice(WORDS) for name in names if rng.random() < 0.5}
        environ["HA_RSCTMP"] = str(tmp_path)
        verb = rng.choice(["monitor", "validate-all", "reload-agent", "nonsense", ""])
        if verb == "reload-agent" and agent is killnfsd.AGENT:
            continue
        code = main(agent, [agent.name, verb], environ)
        said = capsys.readouterr().err
        assert code in {0, 1, 3, 5, 6, 7}, (verb, environ, said)
        assert "bug" not in said and "Traceback" not in said, (verb, environ, said)
        assert said.count("ocf-exit-reason:") <= 1
