"""exportfs with the real exportfs(8) and an /var/lib/nfs of the cell; no kernel server is needed for etab."""

from pathlib import Path

from agents.agent_worlds import sh
from failover_kit.kernel import exports
from needs.catalogue import Outcome, need

NET = "192.0.2.0/24"
ETAB = Path("/var/lib/nfs/etab")
NAMES = ["e0.0", "100%s", 'q"uote', "dollar$x", "back`tick", "(x)", "s*tar", "ü", "a blank"]


def exporting(world, **parameters):
    """The agent, with a state directory of NFS that is empty and ours alone."""
    world.needs("exportfs")
    for name in ("etab", "rmtab"):
        Path("/var/lib/nfs", name).touch()
    given = {"clientspec": NET, "options": "rw,sync,no_root_squash", "fsid": "1", **parameters}
    return world.agent("exportfs", **given)


def exported():
    """What etab has: directory and client of each line."""
    return [(entry.path, entry.client) for entry in exports.parse(ETAB.read_bytes())]


def reboot(agent):
    """What a reboot does to it: /run is empty again, /var/lib/nfs is not."""
    for record in agent.state_dir.iterdir():
        record.unlink()


@need("18", source="#821")
def need_18_etab_survives_a_reboot_821(world):
    """After a reboot etab still has the line, and no client is served: stopped, and start makes it true."""
    agent = exporting(world, directory=world.place("data"))
    answers = [agent.act("start")]
    reboot(agent)
    answers += [agent.act("monitor", interval_s=0), agent.act("start"), agent.act("monitor"), agent.act("stop")]
    codes = [answer.code for answer in answers]
    return Outcome(codes == [0, 7, 0, 0, 0] and exported() == [], ", ".join(map(str, answers)))


@need("18", source="#821")
def need_18_stop_takes_out_what_it_did_not_put_there_821(world):
    """The line is in etab (it came with the shared disk), but not by this boot's start: stop takes it out."""
    agent = exporting(world, directory=world.place("data"))
    start = agent.act("start")
    reboot(agent)
    stop = agent.act("stop")
    left = exported()
    return Outcome((start.code, stop.code, left) == (0, 0, []), f"{stop}, {len(left)} lines left in etab")


@need("18", source="#2104 #2070")
def need_18_directories_of_any_name_2104_2070(world):
    """Directories whose names mean something to a shell: exported, found again, unexported."""
    failed = []
    for name in NAMES:
        path = str(world.place(f"exports/{name}"))
        # Each side gets the spelling that its manual has for such a name; the peer has none.
        agent = exporting(world, directory=exports.escape(path) if world.side == "ours" else path)
        codes = [agent.act(verb).code for verb in ("start", "monitor", "stop", "monitor")]
        if codes != [0, 0, 0, 7] or exported():
            failed.append(f"{name!r} {codes}")
            ETAB.write_text("")
    seen = f"{len(NAMES) - len(failed)} of {len(NAMES)} names work"
    return Outcome(not failed, seen + (f"; start, monitor, stop, monitor: {', '.join(failed)}" if failed else ""))


@need("18", source="#724")
def need_18_fsid_may_be_root_or_a_uuid_724(world):
    """The forms of fsid that exports(5) has arrive as they were given."""
    uuid = "4f3c1f2e-9d3a-4a3b-8a4e-1d2c3b4a5f60"
    wrong = []
    for fsid, written in (("root", "0"), (uuid, uuid), ("0", "0"), ("41", "41")):
        agent = exporting(world, directory=world.place(f"fsid-{fsid}"), fsid=fsid)
        start, monitor = agent.act("start"), agent.act("monitor")
        found = [entry.fsid() for entry in exports.parse(ETAB.read_bytes())]
        stop = agent.act("stop")
        if [start.code, monitor.code, stop.code] != [0, 0, 0] or found != [written]:
            wrong.append(f"{fsid}: {start}, in etab {found}")
    return Outcome(not wrong, "; ".join(wrong) or "root, UUID, 0 and 41 as given")


@need("18", source="#1430")
def need_18_one_directory_for_two_resources_1430(world):
    """Two resources export one directory to two networks: stopping one leaves the other."""
    path = world.place("data")
    first = exporting(world, directory=path)
    second = exporting(world, directory=path, clientspec="198.51.100.0/24")
    second.instance = "second"
    answers = [first.act("start"), second.act("start"), first.act("stop"), first.act("monitor")]
    codes = [answer.code for answer in (*answers, second.act("monitor"))]
    left = exported()
    holds = codes == [0, 0, 0, 7, 0] and left == [(str(path), "198.51.100.0/24")]
    return Outcome(holds, f"after the stop of one: monitors {codes[3]} and {codes[4]}, {len(left)} lines in etab")


@need("18")
def need_18_several_networks_in_one_resource(world):
    """One resource exports a directory to two networks, and takes both away."""
    path = world.place("data")
    networks = [NET, "198.51.100.0/24"]
    agent = exporting(world, directory=path, clientspec=" ".join(networks))
    codes = [agent.act("start").code, agent.act("monitor").code]
    there = sorted(client for _, client in exported())
    codes += [agent.act("stop").code, agent.act("monitor").code]
    holds = codes == [0, 0, 0, 7] and there == sorted(networks) and exported() == []
    return Outcome(holds, f"start, monitor, stop, monitor: {codes}, {len(there)} networks in etab after start")


@need("18")
def need_18_changed_options_are_seen(world):
    """Somebody made the export read-only: that is not what was declared, so monitor fails."""
    path = world.place("data")
    agent = exporting(world, directory=path)
    start = agent.act("start")
    sh("exportfs", "-o", "ro,fsid=1", f"{NET}:{path}")
    monitor = agent.act("monitor")
    return Outcome((start.code, monitor.code) == (0, 1), f"{monitor}: {monitor.reason() or 'no reason given'}")
