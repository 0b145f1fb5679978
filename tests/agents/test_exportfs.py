"""exportfs with the real exportfs(8), in a mount namespace with an /var/lib/nfs of its own; no kernel NFS server.

Regression tests are named after the reports about ClusterLabs' agent; that agent runs through the same
steps beside ours, and its result is printed.
"""

import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.agent_worlds import PATH, AgentRunner, reason, sh
from failover_kit.kernel import exports

PROVIDER = "usr/lib/ocf/resource.d/failover-kit"
PEER = "/usr/lib/ocf/resource.d/heartbeat/exportfs"
NET = "192.0.2.0/24"
NAMES = ["data", "e0.0", "a b", "100%s", 'q"uote', "back\\slash", "ha#sh", "ü", "(x)", "a\tb"]

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("exportfs", path=PATH) is None, reason="no exportfs(8): nfs-kernel-server"),
]


class Server:
    """A state directory of NFS that is ours alone, and a directory tree to export."""

    def __init__(self, state):
        self.state = state
        self.etab = Path("/var/lib/nfs/etab")
        self.root = Path(tempfile.mkdtemp(prefix=f"fkra{os.getpid()}-"))
        sh("mount", "-t", "tmpfs", "none", self.root)
        sh("mount", "-t", "tmpfs", "none", "/var/lib/nfs")
        self.etab.touch()

    def directory(self, name="data"):
        path = self.root / name
        path.mkdir(parents=True)
        return str(path)

    def agent(self, **parameters):
        given_ = {"clientspec": NET, "options": "rw,sync,no_root_squash", "fsid": "1", **parameters}
        return AgentRunner("exportfs", self.state, **given_)

    def peer(self, **parameters):
        """ClusterLabs' agent; None when it is not installed."""
        if not Path(PEER).exists():
            return None
        runner = PeerRunner("exportfs", self.state, **{**self.agent(**parameters).parameters})
        runner.path = Path(PEER)
        return runner

    def lines(self):
        return [(entry.path, entry.client) for entry in exports.parse(self.etab.read_bytes())]


class PeerRunner(AgentRunner):
    def environment(self, *args):
        return {**super().environment(*args), "OCF_ROOT": "/usr/lib/ocf", "HA_LOGFACILITY": "none"}


@pytest.fixture
def server(own_mounts, tmp_path):
    here = Server(tmp_path / "state")
    yield here
    sh("umount", "-l", here.root, check=False)
    here.root.rmdir()


def tell_peer(text):
    print(f"ClusterLabs exportfs: {text}")


def run_exportfs(*arguments):
    """exportfs with arguments that may be no text."""
    argv = ["exportfs", *arguments]
    subprocess.run(argv, env={"PATH": PATH}, check=True, capture_output=True, timeout=60)


def life(agent):
    """The whole life of a resource, every action twice; the exit codes."""
    verbs = ["validate-all", "monitor", "stop", "start", "start", "monitor", "stop", "stop", "monitor"]
    return [agent(verb) for verb in verbs]


LIFE = [0, 7, 0, 0, 0, 0, 0, 0, 7]


@pytest.mark.parametrize("name", NAMES)
def test_2104_2070_life_in_a_directory_of_any_name(server, name):
    path = server.directory(name)
    agent = server.agent(directory=exports.escape(path), clientspec=f"{NET} 2001:db8::/64 *.example.org @trusted *")
    assert life(agent) == LIFE
    assert server.lines() == []
    if " " not in name and "\t" not in name and (peer := server.peer(directory=path)):
        Path("/var/lib/nfs/rmtab").touch()
        tell_peer(f"{name!r}: {life(peer)}, etab afterwards {server.lines()}")


names = st.binary(min_size=1, max_size=30).filter(lambda raw: not set(raw) & set(b"\0/") and raw.strip(b"."))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names)
def test_etab_of_the_real_exportfs_is_read_back_exactly(server, name):
    """What exportfs writes we read; what it reads itself after that is the same, unless we warn of the name."""
    path = os.path.join(os.fsencode(server.root), name)
    os.makedirs(path, exist_ok=True)
    server.etab.write_bytes(b"")
    run_exportfs("-i", "-o", "ro,fsid=1", b"192.0.2.1:" + path)
    line = server.etab.read_bytes().partition(b"\t")[0]
    assert exports.unescape(line) == os.fsdecode(path)
    assert os.fsencode(exports.escape(os.fsdecode(path))) == line
    run_exportfs("-i", "-o", "ro", "192.0.2.2:/")
    again = [entry.path for entry in exports.parse(server.etab.read_bytes()) if entry.path != "/"]
    assert (again == [os.fsdecode(path)]) == exports.survives(os.fsdecode(path))


def test_821_etab_from_before_a_reboot(server):
    agent = server.agent(directory=server.directory())
    assert agent("start") == 0
    for record in server.state.iterdir():
        record.write_text(record.read_text().replace(exports.boot_id(), "another-boot"))
    assert [agent("monitor"), agent("monitor", interval_s=0)] == [7, 7]
    assert [agent("start"), agent("monitor"), agent("stop"), agent("monitor")] == [0, 0, 0, 7]


def test_an_etab_of_the_other_node_that_came_with_the_disk(server, tmp_path):
    """A probe says 7; start makes it true here; a stop without a start takes it out, too."""
    agent = server.agent(directory=server.directory())
    other = server.agent(directory=agent.parameters["directory"])
    other.state_dir = tmp_path / "other-node"
    assert other("start") == 0
    assert agent("monitor", interval_s=0) == 7
    assert [agent("start"), agent("monitor"), agent("stop"), server.lines()] == [0, 0, 0, []]
    assert other("start") == 0
    assert [agent("stop"), server.lines()] == [0, []]
    if peer := server.peer(directory=agent.parameters["directory"]):
        assert other("start") == 0
        tell_peer(f"etab of another node, then stop: {peer('stop')}, etab afterwards {server.lines()}")


def test_1430_one_directory_for_two_resources(server):
    path = server.directory()
    first, second = server.agent(directory=path), server.agent(directory=path, clientspec="198.51.100.0/24")
    assert [first("start"), second("start"), first("stop")] == [0, 0, 0]
    assert (first("monitor"), second("monitor"), server.lines()) == (7, 0, [(path, "198.51.100.0/24")])


def test_724_fsid_of_one_directory_may_be_root_or_a_uuid(server):
    for fsid, written in [("root", "0"), ("4f3c1f2e-9d3a-4a3b-8a4e-1d2c3b4a5f60",) * 2, ("0", "0"), ("41", "41")]:
        agent = server.agent(directory=server.directory(f"d-{fsid}"), fsid=fsid)
        assert [agent("start"), agent("monitor")] == [0, 0]
        assert exports.parse(server.etab.read_bytes())[0].fsid() == written
        assert agent("stop") == 0


def test_several_directories_count_up(server):
    paths = [server.directory(name) for name in "abc"]
    agent = server.agent(directory=" ".join(paths), fsid="root")
    assert life(agent) == LIFE
    assert agent("start") == 0
    found = {entry.path: entry.fsid() for entry in exports.parse(server.etab.read_bytes())}
    assert found == dict(zip(paths, "012", strict=True))


def test_options_are_compared(server):
    path = server.directory()
    agent = server.agent(directory=path)
    assert agent("start") == 0
    sh("exportfs", "-o", "ro,fsid=1", f"{NET}:{path}")
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "rw,no_root_squash became ro,root_squash" in reason(result)
    if peer := server.peer(directory=path):
        assert peer("start") == 0
        sh("exportfs", "-o", "ro,fsid=1", f"{NET}:{path}")
        tell_peer(f"options changed from rw to ro: monitor {peer('monitor')}")
    assert [agent("start"), agent("monitor")] == [0, 0]


def test_etc_exports_does_not_mix_in(server, tmp_path):
    """exportfs without -i takes what /etc/exports says of the same directory and client as its defaults."""
    path = server.directory()
    (tmp_path / "exports").write_text(f"{path} {NET}(insecure,all_squash,fsid=9)\n")
    sh("mount", "--bind", tmp_path / "exports", "/etc/exports")
    agent = server.agent(directory=path)
    assert agent("start") == 0
    options = exports.parse(server.etab.read_bytes())[0].options.split(",")
    assert not {"insecure", "all_squash", "fsid=9"} & set(options)
    assert agent("stop") == 0
    if peer := server.peer(directory=path):
        Path("/var/lib/nfs/rmtab").touch()
        peer("start")
        tell_peer(f"with other options in /etc/exports: {server.etab.read_text().strip()}")


def test_stop_when_directory_and_filesystem_have_gone(server):
    mount = server.directory("disk")
    sh("mount", "-t", "tmpfs", "none", mount)
    Path(mount, "inner").mkdir()
    link = server.root / "link"
    link.symlink_to(f"{mount}/inner")
    agent = server.agent(directory=link)
    assert [agent("start"), agent("monitor"), server.lines()] == [0, 0, [(f"{mount}/inner", NET)]]
    sh("umount", mount)
    assert "no longer on the filesystem" in reason(agent.run("monitor"))
    assert [agent("stop"), agent("monitor"), server.lines()] == [0, 7, []]
    result = agent.run("start")
    assert result.returncode == 5
    assert "is its filesystem mounted?" in reason(result)
    assert server.lines() == []


def test_a_failed_start_takes_its_line_back(server):
    """exportfs exits 1 for an unknown option, and writes etab all the same for what it cannot resolve."""
    agent = server.agent(directory=server.directory(), options="rw,no_such_option")
    result = agent.run("start")
    assert result.returncode == 1
    assert 'unknown keyword "no_such_option"' in reason(result)
    assert [server.lines(), agent("monitor"), agent("stop")] == [[], 7, 0]


def test_without_etab_and_without_exportfs(server, tmp_path):
    agent = server.agent(directory=server.directory())
    server.etab.unlink()
    assert [agent("monitor"), agent("stop"), agent("start"), agent("monitor"), agent("stop")] == [7, 0, 0, 0, 0]
    (tmp_path / "nothing").touch()
    sh("mount", "--bind", tmp_path / "nothing", "/usr/sbin/exportfs")
    assert [agent("monitor"), agent("stop")] == [7, 0]
    result = agent.run("start")
    assert (result.returncode, "nfs-kernel-server" in reason(result)) == (5, True)
    assert agent("validate-all", level=10) == 5


def test_a_monitor_starts_no_process_and_looks_at_no_directory(server, tmp_path):
    path = server.directory("watched")
    agent = server.agent(directory=path)
    assert agent("start") == 0
    trace = tmp_path / "trace"
    agent.prefix = ["strace", "-f", "-o", str(trace), "-e", "trace=%process,%file"]
    assert agent("monitor") == 0
    lines = [line for line in trace.read_text().splitlines() if "execve" not in line or "watched" in line]
    assert not [line for line in lines if any(word in line for word in ("fork(", "clone(", "vfork("))]
    # The state file's name is made of the path, with %2f for slashes.
    assert not [line for line in lines if f'"{path}' in line]


def test_killed_at_any_moment_the_next_actions_go_on(server):
    agent = server.agent(directory=f"{server.directory('a')} {server.directory('b')}", clientspec=f"{NET} @trusted")
    dice = random.Random(5)
    agent("start")
    agent("stop")
    for round_ in range(25):
        verb = dice.choice(["start", "stop"])
        child = subprocess.Popen(
            [str(agent.path), verb], env=agent.environment(20, 10, 0, {}), start_new_session=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(dice.uniform(0, 0.12))
        os.killpg(child.pid, 9)
        child.wait()
        assert agent("monitor") in (0, 1, 7), f"{verb} killed in round {round_}"
        if dice.random() < 0.5:
            assert [agent("start"), agent("monitor")] == [0, 0]
            assert len(server.lines()) == 4
        else:
            assert [agent("stop"), agent("monitor"), server.lines()] == [0, 7, []]


def test_ocf_tester_beside_the_peer(server, installed, tmp_path):
    path = server.directory()
    Path("/var/lib/nfs/rmtab").touch()

    def tester(agent):
        options = [f"directory={path}", f"clientspec={NET}", "options=rw", "fsid=1"]
        words = [word for option in options for word in ("-o", option)]
        argv = ["ocf-tester", "-n", "tested", *words, str(agent)]
        env = {"PATH": PATH, "HA_RSCTMP": str(tmp_path / "tester")}
        start = time.monotonic()
        result = subprocess.run(argv, env=env, text=True, capture_output=True, check=False, timeout=300)
        return result, time.monotonic() - start

    if Path(PEER).exists():
        (tmp_path / "tester").mkdir()
        result, took_s = tester(PEER)
        tell_peer(f"ocf-tester exits {result.returncode} after {took_s:.2f} s")
    result, took_s = tester(installed / PROVIDER / "exportfs")
    print(f"ours: {took_s:.2f} s")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed all tests" in result.stdout


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["directory=/mnt/x", "clientspec=*", "fsid=1"], 0),
        (["directory=/mnt/x", "clientspec=*", "options=rw,fsid=1"], 0),
        (["directory=/mnt/x", "clientspec=*"], 6),
        (["directory=/", "clientspec=*", "fsid=1"], 6),
        (["clientspec=*", "fsid=1"], 6),
    ],
)
def test_crm_resource_validates(installed, options, code):
    script = 'mount -t overlay none -o "lowerdir=$0/usr:/usr" /usr && exec crm_resource "$@"'
    words = [word for option in options for word in ("--option", option)]
    argv = ["--validate", "--class", "ocf", "--provider", "failover-kit", "--agent", "exportfs", *words]
    result = sh("unshare", "-m", "sh", "-c", script, installed, *argv, check=False)
    assert result.returncode == code, result.stdout + result.stderr
