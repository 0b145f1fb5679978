"""What exportfs decides: from etab, the mount table and its records, with exportfs(8) replaced by a table."""

import os
import pathlib
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover_kit.agents import exportfs, exportfs_release, exportfs_start, exportfs_stop
from failover_kit.agents.haresources import parameters_for
from failover_kit.kernel import exports, exports_cache, exports_nfsd, mounts
from failover_kit.kernel.exports_cache import Cached
from failover_kit.kernel.mounts import MountTable
from failover_kit.ocf import runner
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.parameter import check_all

MOUNTED = b"""22 1 254:0 / / rw - ext4 /dev/root rw
41 22 152:0 / /mnt/e0.0 rw - xfs /dev/etherd/e0.0 rw
"""
UNMOUNTED = MOUNTED.splitlines(keepends=True)[0]
GIVEN = {"directory": "/mnt/e0.0", "clientspec": "192.0.2.0/24", "options": "rw,sync", "fsid": "1"}


class World:
    """etab, mounts and the kernel as the agent sees them; ``told`` is what exportfs(8) was told."""

    def __init__(self, state):
        self.state = str(state)
        self.boot = "boot-1"
        self.mounts = MOUNTED
        self.etab = []
        self.cached = []
        self.told = []
        self.threads = 0
        self.holders = []
        self.unlocked = []
        self.expired = []
        self.deaf = False

    def call(self, parameters=(), timeout_s=100):
        given = {**GIVEN, **dict(parameters)}
        values, problems = check_all(exportfs.AGENT.parameters, given)
        assert problems == []
        return Call(exportfs.AGENT, values, Deadline(timeout_s * 1000), environ={"HA_RSCTMP": self.state})

    def tell(self, arguments, deadline):
        """exportfs(8): options are completed, IPv6 loses its brackets, names of hosts become canonical."""
        self.told.append(list(arguments))
        if self.deaf:
            raise AgentError(1, "exportfs failed")
        if arguments[0] == "-f":
            self.cached = [entry for entry in self.cached if entry.domain == "sticky"]
            return
        client, _, path = arguments[-1].replace("[", "").replace("]", "").rpartition(":/")
        client = {"kokone": "kokone.example.org"}.get(client, client)
        self.etab = [entry for entry in self.etab if not entry.is_for("/" + path, client)]
        if arguments[0] == "-i":
            self.etab.append(exports.Entry("/" + path, client, arguments[2] + ",wdelay,sec=sys"))

    def monitor(self, **parameters):
        return exportfs.monitor(self.call(parameters))

    def start(self, **parameters):
        return exportfs.start(self.call(parameters))

    def stop(self, **parameters):
        return exportfs.stop(self.call(parameters))

    def lines(self):
        return [(entry.path, entry.client, entry.fsid()) for entry in self.etab]


@pytest.fixture
def world(tmp_path, monkeypatch):
    here = World(tmp_path / "state")

    def table(directory="", paths=None):
        return [entry for entry in here.etab if paths is None or entry.path in paths]

    monkeypatch.setattr(exports, "table", table)
    monkeypatch.setattr(exports, "boot_id", lambda: here.boot)
    monkeypatch.setattr(exports, "state_directory", lambda: str(tmp_path))
    monkeypatch.setattr(mounts, "table", lambda path="", device=0: MountTable(here.mounts))
    monkeypatch.setattr(exports_cache, "pinned", lambda: list(here.cached))
    monkeypatch.setattr(exportfs_start, "tell", here.tell)
    monkeypatch.setattr(exportfs_stop, "tell", here.tell)
    monkeypatch.setattr(exportfs_start, "require_directory", lambda *args: None)
    names = {"kokone": "kokone.example.org"}
    for module in (exportfs_start, exportfs_stop):
        monkeypatch.setattr(module, "canonical_name", lambda client, deadline: names.get(client, client))
    monkeypatch.setattr(exportfs_stop.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(exports_nfsd, "threads", lambda: here.threads)
    monkeypatch.setattr(exports_nfsd, "holders", lambda device: here.holders)
    monkeypatch.setattr(exports_nfsd, "lease_s", lambda: 90)
    monkeypatch.setattr(exportfs_release, "unlock", lambda call, path, attempts: here.unlocked.append(path))

    def expire(call, holders, attempts):
        here.expired += holders
        here.holders = [holder for holder in here.holders or [] if holder not in holders]

    monkeypatch.setattr(exportfs_release, "expire", expire)
    return here


def reason(action, *args, **parameters):
    with pytest.raises(AgentError) as caught:
        action(*args, **parameters)
    return f"{caught.value.code} {caught.value}"


def test_a_life(world):
    assert world.monitor() == 7
    assert world.start() == 0
    assert world.told == [["-i", "-o", "rw,sync,fsid=1", "192.0.2.0/24:/mnt/e0.0"]], "-i: without /etc/exports"
    assert world.monitor() == 0
    assert world.start() == 0
    assert len(world.told) == 1, "a second start runs nothing"
    assert world.stop() == 0
    assert world.told[1:] == [["-u", "192.0.2.0/24:/mnt/e0.0"], ["-f"]]
    assert world.monitor() == 7
    assert world.stop() == 0
    assert len(world.told) == 3, "a second stop runs nothing"
    assert os.listdir(world.state) == []


def test_821_an_etab_that_survived_the_reboot_is_not_running(world):
    world.start()
    world.boot = "boot-2"
    assert world.monitor() == 7
    assert world.start() == 0
    assert len(world.told) == 2, "start makes it true for this kernel"
    assert world.monitor() == 0


def test_an_etab_that_came_with_the_disk_from_the_other_node_is_not_running(world):
    world.etab = [exports.Entry("/mnt/e0.0", "192.0.2.0/24", "rw,sync,fsid=1,wdelay,sec=sys")]
    assert world.monitor() == 7
    assert world.start() == 0
    assert (len(world.told), world.monitor()) == (1, 0)


def test_stop_takes_back_what_is_in_etab_without_a_record(world):
    world.etab = [exports.Entry("/mnt/e0.0", "192.0.2.0/24", "rw")]
    assert world.stop() == 0
    assert world.etab == []


def test_stop_takes_back_both_what_a_link_meant_before_the_reboot_and_what_it_means_now(world, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/mnt/e0.0")
    world.start(directory=str(link))
    world.boot = "boot-2"
    link.unlink()
    link.symlink_to("/srv")
    world.etab.append(exports.Entry("/srv", "192.0.2.0/24", "rw"))
    assert world.stop(directory=str(link)) == 0
    assert world.etab == []


def test_stop_takes_back_what_was_started_although_the_link_has_moved(world, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/mnt/e0.0")
    world.start(directory=str(link))
    link.unlink()
    link.symlink_to("/srv")
    world.etab.append(exports.Entry("/srv", "192.0.2.0/24", "rw"))
    assert world.stop(directory=str(link)) == 0
    assert world.lines() == [("/srv", "192.0.2.0/24", "")], "which is another resource's"


def test_changed_options_are_a_failure_and_start_mends_them(world):
    world.start()
    world.etab[0].options = world.etab[0].options.replace("rw", "ro")
    assert "rw became ro" in reason(world.monitor)
    assert world.start() == 0
    assert world.monitor() == 0


def test_the_order_of_options_does_not_matter_and_their_sum_does(world):
    world.start()
    world.etab[0].options = ",".join(reversed(world.etab[0].options.split(",")))
    assert world.monitor() == 0
    assert world.monitor(options="sync,rw") == 0
    assert "other options than declared" in reason(world.monitor, options="ro,sync")


def test_reload_agent_changes_options_in_place(world):
    reload = exportfs.AGENT.handlers["reload-agent"]
    assert reload(world.call({"options": "ro"})) == 7
    assert world.told == []
    world.start()
    assert reload(world.call({"options": "ro"})) == 0
    assert [arguments[0] for arguments in world.told] == ["-i", "-i"], "never unexported in between"
    assert (world.monitor(options="ro"), world.etab[0].options) == (0, "ro,fsid=1,wdelay,sec=sys")


def test_a_record_that_cannot_be_read_is_not_a_missing_one(world):
    world.start()
    path = world.call().state_path(exportfs.pairs(world.call().values)[0].record_name())
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(OSError):
        world.monitor()


def test_a_record_with_an_impossible_device_is_none(world):
    world.start()
    path = pathlib.Path(world.call().state_path(exportfs.pairs(world.call().values)[0].record_name()))
    fields = path.read_text().split("\t")
    fields[6] = "99999999999999999999:1"
    path.write_text("\t".join(fields))
    assert world.monitor() == 7
    assert world.stop() == 0
    assert world.etab == []


def test_1430_one_directory_for_several_clients_in_one_resource_or_in_several(world):
    both = {"clientspec": "192.0.2.0/24 2001:db8::/64"}
    assert world.start(**both) == 0
    assert world.told[1][-1] == "[2001:db8::]/64:/mnt/e0.0"
    assert world.monitor(**both) == 0
    assert world.start(clientspec="*.example.org") == 0
    world.threads = 8
    assert world.stop(**both) == 0
    assert world.lines() == [("/mnt/e0.0", "*.example.org", "1")]
    assert world.unlocked == [], "the other clients keep their locks"
    assert world.monitor(clientspec="*.example.org") == 0
    assert world.stop(clientspec="*.example.org") == 0
    assert world.unlocked == ["/mnt/e0.0"]


def test_some_of_the_pairs_are_a_failure(world):
    both = {"clientspec": "192.0.2.0/24 [2001:db8::]/64"}
    world.start(**both)
    del world.etab[1]
    assert "not exported: [2001:db8::]/64:/mnt/e0.0; the other 1" in reason(world.monitor, **both)
    assert world.start(**both) == 0
    assert world.monitor(**both) == 0


def test_724_only_further_directories_get_further_numbers(world):
    assert world.start(directory="/mnt/e0.0/a /mnt/e0.0/b", fsid="root") == 0
    assert [fsid for _, _, fsid in world.lines()] == ["root", "1"]
    uuid = "4f3c1f2e-9d3a-4a3b-8a4e-1d2c3b4a5f60"
    assert world.start(directory="/mnt/e0.0/c", fsid=uuid) == 0
    assert world.lines()[-1][2] == uuid


def test_fsid_of_the_parameter_takes_the_place_of_the_one_in_options(world):
    pair = exportfs.pairs(world.call({"options": "fsid=7,rw,fsid=8", "fsid": "9"}).values)[0]
    assert pair.options == "rw,fsid=9"
    pair = exportfs.pairs(world.call({"options": "fsid=7,rw,fsid=8", "fsid": ""}).values)[0]
    assert pair.options == "rw,fsid=8", "the last one is what exportfs takes"


def test_2104_paths_with_everything_in_them(world):
    directory = r'"/mnt/e0.0/a b%s" /mnt/e0.0/q\042\134x\040y'
    assert world.start(directory=directory) == 0
    assert [path for path, _, _ in world.lines()] == ["/mnt/e0.0/a b%s", '/mnt/e0.0/q"\\x y']
    assert world.monitor(directory=directory) == 0
    assert world.stop(directory=directory) == 0
    assert world.etab == []


def test_a_host_stands_in_etab_under_its_canonical_name(world):
    assert world.start(clientspec="kokone") == 0
    assert world.monitor(clientspec="kokone") == 0
    assert world.stop(clientspec="kokone") == 0
    assert world.etab == []


def test_name_servers_that_are_silent_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(exportfs_start, "_look_up", lambda client: signal.pause())
    assert exportfs_start.canonical_name("kokone", Deadline(100)) == "kokone"


def test_a_host_of_a_lost_record_is_found_by_its_canonical_name(world):
    world.etab = [exports.Entry("/mnt/e0.0", "kokone.example.org", "rw")]
    assert world.stop(clientspec="kokone") == 0
    assert world.etab == []


def test_the_filesystem_below_the_export_went_away(world):
    world.start()
    world.mounts = UNMOUNTED
    assert "no longer on the filesystem" in reason(world.monitor)
    assert "no longer on the filesystem" in reason(world.start), "a start may not give clients another directory"
    world.threads = 8
    assert world.stop() == 0
    assert (world.etab, world.unlocked) == ([], []), "what is there now is not ours to unlock"


def test_killed_between_the_intent_and_the_fact(world):
    world.deaf = True
    call = world.call()
    pair = exportfs.pairs(call.values)[0]
    place = exportfs.place_of("/mnt/e0.0", MountTable(MOUNTED))
    entry = exports.Entry("/mnt/e0.0", "192.0.2.0/24", "")
    record = exportfs.Record(boot="boot-1", done=False, declared="rw,sync,fsid=1", entry=entry, place=place)
    call.write_state(pair.record_name(), record.text())
    assert world.monitor() == 7, "exportfs did nothing yet"
    world.etab = [exports.Entry("/mnt/e0.0", "192.0.2.0/24", "rw,sync,fsid=1,wdelay,sec=sys")]
    assert "did not finish" in reason(world.monitor)
    world.deaf = False
    assert world.start() == 0
    assert world.monitor() == 0


def test_killed_in_a_stop_after_etab_and_before_the_caches(world):
    world.start()
    world.etab = []
    world.cached = [Cached("/mnt/e0.0", "192.0.2.0/24")]
    assert "the kernel still exports /mnt/e0.0" in reason(world.monitor)
    assert world.stop() == 0
    assert (world.cached, world.monitor()) == ([], 7)


def test_a_failed_start_leaves_nothing(world):
    world.deaf = True
    assert reason(world.start) == "1 exportfs failed"
    world.deaf = False
    assert (world.monitor(), os.listdir(world.state)) == (7, [])


def test_exportfs_that_says_nothing_and_does_nothing_is_not_believed(world, monkeypatch):
    monkeypatch.setattr(exportfs_start, "tell", lambda arguments, deadline: None)
    monkeypatch.setattr(exportfs_stop, "tell", lambda arguments, deadline: None)
    assert "etab has no 192.0.2.0/24:/mnt/e0.0" in reason(world.start)
    world.etab = [exports.Entry("/mnt/e0.0", "192.0.2.0/24", "rw")]
    assert "etab still has it" in reason(world.stop)


def test_a_taken_fsid_is_refused(world):
    world.etab = [exports.Entry("/srv/other", "192.0.2.0/24", "rw,fsid=1")]
    assert "fsid: 1 is already that of /srv/other" in reason(world.start)
    world.etab[0].client = "198.51.100.0/24"
    assert world.start() == 0, "handles of different clients do not meet"


def test_a_cache_that_does_not_empty_is_named_at_the_deadline(world):
    world.start()
    world.cached = [Cached("/mnt/e0.0", "sticky")]
    with pytest.raises(AgentError, match="export cache still holds /mnt/e0\\.0"):
        exportfs.stop(world.call(timeout_s=0))


def test_stop_without_nfsd_unlocks_nothing(world):
    world.start()
    world.stop()
    assert world.unlocked == []


def test_stop_of_what_was_never_started_releases_nothing(world):
    world.threads = 8
    world.holders = [holder("confirmed")]
    assert world.stop(expire_clients_on_stop="yes") == 0
    assert (world.unlocked, world.expired) == ([], [])


def holder(status):
    info = f'name: "kokone"\naddress: "192.0.2.10:800"\nstatus: {status}\n'
    return exports_nfsd.Holder("/x", info.encode())


@pytest.mark.parametrize(
    ("parameters", "status", "done"),
    [
        ({}, "confirmed", (True, False)),
        ({"unlock_on_stop": "0"}, "confirmed", (False, False)),
        ({"expire_clients_on_stop": "1"}, "confirmed", (True, True)),
        ({"wait_for_leasetime_on_stop": "1"}, "courtesy", (True, True)),
    ],
)
def test_nfsv4_clients_that_hold_files(world, capsys, parameters, status, done):
    world.threads = 8
    world.start(**parameters)
    world.holders = [holder(status)]
    assert world.stop(**parameters) == 0
    assert (bool(world.unlocked), bool(world.expired)) == done
    warned = "NFSv4 client kokone at 192.0.2.10:800 still holds files on /mnt/e0.0" in capsys.readouterr().err
    assert warned != done[1]


def test_a_kernel_that_does_not_list_clients_has_its_lease_waited_out_whole(world, monkeypatch):
    slept = []
    monkeypatch.setattr(exportfs_release.time, "sleep", slept.append)
    world.threads = 8
    world.start()
    world.holders = None
    assert exportfs.stop(world.call({"wait_for_leasetime_on_stop": "1"}, timeout_s=120)) == 0
    assert slept == [92]


def test_a_lease_that_does_not_fit_is_said_at_once(world):
    world.threads = 8
    world.start()
    world.holders = [holder("confirmed")]
    call = world.call({"wait_for_leasetime_on_stop": "1"}, timeout_s=60)
    assert "a lease of 90 s does not fit" in reason(exportfs.stop, call)
    world.holders = []
    assert exportfs.stop(world.call({"wait_for_leasetime_on_stop": "1"}, timeout_s=60)) == 0, "nobody to wait for"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"directory": "mnt"}, "directory: 'mnt' (mnt) is not an absolute path"),
        ({"directory": "/"}, "is the root directory"),
        ({"directory": '/a "/b'}, "double quote that does not end"),
        ({"directory": "/a\\134101"}, "backslash before three digits"),
        ({"directory": "/a\\000"}, "zero byte"),
        ({"clientspec": "192.0.2.0/24(rw)"}, "is not a list of clients"),
        ({"clientspec": "/mnt/e0.0"}, "may have changed places"),
        ({"options": "rw, sync"}, "is not a list of export options"),
        ({"options": "rw,fsid=x"}, "neither a number"),
        ({"fsid": "1,ro"}, "neither a number"),
        ({"fsid": "2147483648"}, "neither a number"),
        ({"fsid": ""}, "fsid: is required"),
        ({"fsid": "4f3c1f2e9d3a4a3b8a4e1d2c3b4a5f60", "directory": "/a /b"}, "must be a number"),
    ],
)
def test_wrong_parameters_are_wrong_everywhere(world, capsys, parameters, words):
    environment = {f"OCF_RESKEY_{name}": value for name, value in {**GIVEN, **parameters}.items()}
    for verb, code in (("validate-all", 6), ("start", 6), ("stop", 0)):
        assert runner.main(exportfs.AGENT, ["exportfs", verb], {**environment, "HA_RSCTMP": world.state}) == code
        assert code == 0 or words in capsys.readouterr().err


LIKELY = ["/mnt/e0.0", '"/a b" /c', "*", "fe80::1", "rw", "1", "root"]


@given(
    environment=st.dictionaries(
        st.sampled_from([parameter.name for parameter in exportfs.AGENT.parameters]),
        st.one_of(st.text(max_size=30), st.sampled_from(LIKELY)),
    ),
    verb=st.sampled_from(["start", "stop", "monitor", "validate-all", "reload-agent"]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_environment_is_a_traceback(world, environment, verb):
    given_ = {f"OCF_RESKEY_{name}": text for name, text in environment.items()}
    assert runner.main(exportfs.AGENT, ["exportfs", verb], {**given_, "HA_RSCTMP": world.state}) in (0, 1, 6, 7)


def test_the_arguments_of_haresources():
    words = ["/mnt/e0.0", "192.0.2.0/24", "rw,sync,no_root_squash,fsid=1"]
    found = parameters_for("exportfs", words)
    assert found == dict(zip(("directory", "clientspec", "options"), words, strict=True))
    assert parameters_for("exportfs", [*words[:2], "", "3"])["fsid"] == "3"
    with pytest.raises(ValueError, match="fsid: is required"):
        parameters_for("exportfs", words[:2])
    with pytest.raises(ValueError, match="changed places"):
        parameters_for("exportfs", [words[1], *words])


@pytest.mark.parametrize("directory", ["/mnt/e0.0", "/" + "ü" * 200, "/a/" * 60 + "x y", "/\udcff\t"])
def test_records_of_any_path_are_files_and_come_back(world, directory):
    call = world.call()
    pair = exportfs.Pair(directory, "192.0.2.0/24", "rw,fsid=1")
    place = exportfs.Place(os.makedev(152, 0), "/", "/mnt/\udcff \t")
    entry = exports.Entry(directory, "192.0.2.0/24", "rw")
    record = exportfs.Record(boot="b", done=True, declared="rw", entry=entry, place=place)
    call.write_state(pair.record_name(), record.text())
    back = exportfs.read_record(call, pair)
    assert (back.boot, back.done, back.entry.path, back.place.point) == ("b", True, directory, place.point)
    assert back.place.is_same(place)
    assert not exportfs.read_record(call, exportfs.Pair(directory, "192.0.2.0/25", ""))


def test_a_broken_record_is_none(world):
    call = world.call()
    pair = exportfs.pairs(call.values)[0]
    for text in ("", "x\n", "a\tb\tc\td\te\tf\tg\th\ti\n", "\0" * 10):
        call.write_state(pair.record_name(), text)
        assert exportfs.read_record(call, pair) is None
