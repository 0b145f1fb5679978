"""failoverd: builds the parts of one life and runs them until the end, on a host that ``hostcheck`` found fit.

Exit codes: 0 left in good order, 1 cannot run here, 2 usage, 3 a second failoverd on this node, 4 not root,
6 configuration, 7 something is left (``--left``), 70 a bug of ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from failover_kit import VERSION
from failover_kit.manager import dialect, host, law, leftbehind, wire
from failover_kit.manager.actions import Level
from failover_kit.manager.actionspace import AGENTS, ActionSpace, CgroupSpace, find_space
from failover_kit.manager.advice import advice, meaning, trusted_devices
from failover_kit.manager.agentserver import AgentServer, own_programs
from failover_kit.manager.alertscripts import FOLDER
from failover_kit.manager.callers import OUR_PROVIDER, CallKind
from failover_kit.manager.children import Calls
from failover_kit.manager.client import ControlError
from failover_kit.manager.config import FenceAction, in_beat_order, is_shared
from failover_kit.manager.control import ControlServer
from failover_kit.manager.core import Core
from failover_kit.manager.events import MonitorFailed
from failover_kit.manager.fencedevices import find_agents
from failover_kit.manager.fencetest import PlugTester
from failover_kit.manager.fencing import Fencer, SwitchLine
from failover_kit.manager.hostcheck import (
    EXIT_FAILED,
    EXIT_LEFT,
    EXIT_PERMISSION,
    EXIT_SECOND,
    CannotStart,
    Checked,
    Options,
    check_host,
)
from failover_kit.manager.journal import Journal, Life
from failover_kit.manager.links import make_links
from failover_kit.manager.links_base import Link
from failover_kit.manager.links_receive import FrameReceiver
from failover_kit.manager.logs import Log, systemd_reads_stderr
from failover_kit.manager.observing import Observing
from failover_kit.manager.pinger import Pinger
from failover_kit.manager.pinging import pace_of
from failover_kit.manager.records import CoreConfig, CoreGroup, NodeRecord
from failover_kit.manager.resources import GroupRunner, clear_strangers
from failover_kit.manager.shell import EXIT_BUG, Parts, Shell
from failover_kit.manager.snapshot import export_core
from failover_kit.manager.states import PeerState
from failover_kit.manager.status import LinkHealth, Operation, Recent, Status, proof_age_ms
from failover_kit.manager.store import Store, StoreError, StoreLocked
from failover_kit.manager.watchdog import Watchdog, timeout_ms
from failover_kit.spec.deadline import boottime_ms

_STACK_BYTES = 256 * 1024  # of each thread: they run a few calls deep, and memory is locked


def core_config(checked: Checked) -> CoreConfig:
    """What the core decides by, from what the files say."""
    config = checked.config
    names = in_beat_order(checked.links)
    return CoreConfig(
        node=checked.node,
        peer=checked.peer,
        groups=tuple(CoreGroup(name=group.name, home=group.home) for group in config.groups),
        links=names,
        keepalive_ms=config.timing.keepalive_ms,
        warntime_ms=config.timing.warntime_ms,
        deadtime_ms=config.timing.deadtime_ms,
        initdead_ms=config.timing.initdead_ms,
        auto_failback=config.auto_failback,
        can_fence=config.can_fence(checked.peer),
        fence_delay_ms=config.fence_delay_ms,
        fence_power_on=config.fence_action is FenceAction.REBOOT,
        boot_alone=config.boot_alone,
        monitor_interval_ms=config.monitor_interval_ms,
        failback_delay_ms=config.failback_delay_ms,
        monitor_failures=config.monitor_failures,
        digest=config.digest,
        fencing_digest=config.fencing_digest,
        prove_timeout_ms=config.prove_timeout_ms,
        pings=tuple(ping.name for ping in config.pings),
        deadping_ms=config.deadping_ms,
        ping_failover=config.ping_failover,
        release=VERSION,
        minor=dialect.MINOR,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Works:
    """The parts of one life that begin and end together."""

    core: Core
    journal: Journal
    observing: Observing
    shell: Shell
    receiver: FrameReceiver
    pinger: Pinger
    control: ControlServer
    status: Callable[[], Status]


class Daemon:
    """One life: from a checked host to the exit code."""

    def __init__(self, options: Options, checked: Checked, store: Store, log: Log) -> None:
        self._options = options
        self._checked = checked
        self._store = store
        self._log = log
        self._links: list[Link] = []
        self._runners: dict[str, GroupRunner] = {}
        self._calls = Calls()
        self._agent_server: AgentServer | None = None
        self._line = SwitchLine()
        self._recent = Recent()
        self._life: Shell | None = None
        self._notified_ms = 0
        config = checked.config
        self._watchdog: Watchdog | None = None
        if config.watchdog_device is not None:
            limit_ms = timeout_ms(config.timing.deadtime_ms, config.fence_delay_ms)
            self._watchdog = Watchdog(config.watchdog_device, limit_ms, self._say)
        self._watchdog_ms = host.watchdog_limit_ms(os.environ, checked.config.timing.deadtime_ms)

    async def run(self) -> int:
        """Until the core says Exit, or cannot go on."""
        boot_id = host.boot_id(self._options.boot_id_file)
        stored = self._loaded(boot_id)
        space, fencer = await self._cleared(stored)
        works = self._works(self._new_life(boot_id, stored), space, fencer)
        self._say_start(space, boot_id)
        try:
            await self._begin(works)
            return await works.shell.ended
        finally:
            await self._end(works)

    def _loaded(self, boot_id: str) -> NodeRecord | None:
        """The durable record; what is wrong with it is said, and a watchdog that was left running is taken up."""
        stored, damaged = self._store.load()
        if damaged:
            self._say(Level.ALARM, damaged)
        if self._store.remark:
            self._say(Level.WARNING, self._store.remark)
        self._take_up_watchdog(stored, boot_id)
        return stored

    async def _cleared(self, stored: NodeRecord | None) -> tuple[ActionSpace, Fencer | None]:
        """Where actions run, and what drives the switch, when nothing of an earlier life is left in either."""
        try:
            space = find_space(self._checked.node, self._options.run_dir)
            return space, await self._clean_up(space)
        except Exception:
            if self._watchdog is not None and stored is not None and law.keeps_still(stored):
                self._watchdog.let_go()  # people have the node, as at an ordered end
            raise

    def _new_life(self, boot_id: str, stored: NodeRecord | None) -> Life:
        return Life(
            config=core_config(self._checked),
            boot_id=boot_id,
            nonce=os.urandom(wire.NONCE_BYTES // 2).hex(),
            stored=stored,
            start_ms=boottime_ms(),
        )

    def _works(self, life: Life, space: ActionSpace, fencer: Fencer | None) -> _Works:
        """Every part, made and not begun."""
        core = Core(
            life.config, boot_id=life.boot_id, nonce=life.nonce, stored=life.stored, now_ms=life.start_ms
        )
        journal = Journal(
            os.path.join(self._options.state_dir, "journal"), life, snapshot=lambda: export_core(core)
        )
        observing = self._observing(core, journal)
        shell = self._shell(core, space, fencer, journal, observing)
        receiver = self._receiver(life, shell, observing)
        pace = pace_of(self._checked.config.deadping_ms, self._checked.config.timing.deadtime_ms)
        pinger = Pinger(self._checked.config.pings, pace, shell.feed, self._warn)

        def status() -> Status:
            problems = (space.weakness, journal.error, self._watchdog_problem(), pinger.problem)
            return self._status(shell, receiver, problems)

        control = ControlServer(
            shell.command,
            status,
            self._say,
            os.path.join(self._options.run_dir, leftbehind.SOCKET_NAME),
            test_plugs=self._tester(shell, space).test,
        )
        return _Works(
            core=core,
            journal=journal,
            observing=observing,
            shell=shell,
            receiver=receiver,
            pinger=pinger,
            control=control,
            status=status,
        )

    def _receiver(self, life: Life, shell: Shell, observing: Observing) -> FrameReceiver:
        return FrameReceiver(
            (self._checked.node, self._checked.peer),
            life.nonce,
            self._checked.loaded.authkeys.keys,
            observing.counted(shell.beat),
            note=self._warn,
            inform=self._inform,
            shared=[link.name for link in self._checked.links if is_shared(link)],
        )

    async def _begin(self, works: _Works) -> None:
        """In this order: orders are taken before the first beat goes out, and systemd is told last."""
        works.journal.start()
        await works.control.start()
        leftbehind.unmark(self._options.run_dir)
        self._catch_signals(works.shell)
        for link in self._links:
            link.start(works.receiver.take)
        works.shell.begin()
        works.pinger.start()
        works.observing.start(works.status)
        host.notify(self._ready())

    async def _end(self, works: _Works) -> None:
        """Also of what did not begin wholly."""
        host.notify("STOPPING=1")
        works.pinger.close()
        await works.shell.close()
        await self._close_agent_server()
        self._leave_watchdog(works.core)
        leftbehind.mark(self._options.run_dir, leftbehind.held(works.core.durable, works.core.boot_id))
        await works.control.close()
        for link in self._links:
            link.close()
        if works.shell.ended.result() != EXIT_BUG:  # then every moment until the next life is one of silence
            await works.observing.close()
        await works.journal.close()

    def _observing(self, core: Core, journal: Journal) -> Observing:
        folder = self._options.alerts_dir or os.path.join(self._options.config_dir, FOLDER)
        return Observing(core, journal, self._say, alerts_dir=folder, metrics_file=self._options.metrics_file)

    def _tester(self, shell: Shell, space: ActionSpace) -> PlugTester:
        """The agents for this node's own plugs are looked for only now: they serve this test and nothing else."""
        config, node, peer = self._checked.config, self._checked.node, self._checked.peer
        own, _ = find_agents(config, node, self._options.search)
        programs = {**own, **self._checked.agents}

        def runs(name: str) -> bool:
            return name == node or (name == peer and shell.view().peer_state == PeerState.UP.value)

        return PlugTester(config, programs, space, self._calls, line=self._line, runs=runs)

    def _status(self, shell: Shell, receiver: FrameReceiver, problems: tuple[str, ...]) -> Status:
        """What failoverctl shows: the core's view and what only the daemon sees."""
        view, wall_ms = shell.view(), int(time.time() * 1000)
        return Status(
            version=VERSION,
            wall_ms=wall_ms,
            view=view,
            operations=tuple(
                Operation(what=what, began_ms=began_ms, deadline_ms=deadline_ms)
                for what, began_ms, deadline_ms in self._calls.running()
            ),
            links=tuple(
                LinkHealth(
                    name=link.name,
                    error=link.error,
                    refused=receiver.refused.get(link.name, 0),
                    foreign=receiver.foreign.get(link.name, 0),
                    unsent=link.unsent,
                )
                for link in self._links
            ),
            problems=(
                *(problem for problem in problems if problem),
                *(sentence for runner in self._runners.values() for sentence in runner.degraded()),
            ),
            recent=self._recent.last(),
            remarks=trusted_devices(self._checked.config, self._checked.peer),
            proof_age_ms=proof_age_ms(view.proof, wall_ms),
        )

    async def _clean_up(self, space: ActionSpace) -> Fencer | None:
        """Before the first decision: nothing of an earlier life may still drive the switch."""
        config = self._checked.config
        for sentence in await clear_strangers(space, tuple(group.name for group in config.groups)):
            self._say(Level.ALARM, sentence)
        await self._start_agent_server(space)
        if not config.can_fence(self._checked.peer):
            return None
        fencer = Fencer(
            config, self._checked.peer, self._checked.agents, space, self._calls, line=self._line
        )
        stays = await fencer.clear()
        if stays:
            raise CannotStart(EXIT_FAILED, f"a fence agent of an earlier failoverd is left: {stays}")
        return fencer

    async def _start_agent_server(self, space: ActionSpace) -> None:
        """Where it is wanted and can be: with cells that a process forked by another one can enter (0052)."""
        stays = await space.clear(AGENTS)
        if stays:
            self._say(Level.WARNING, f"agent server of an earlier failoverd: {stays}; it can begin nothing")
        if not self._checked.config.agent_server or not isinstance(space, CgroupSpace):
            return
        callers = [caller for plan in self._checked.plans for caller in plan.callers]
        ocf = [caller for caller in callers if caller.kind is CallKind.OCF and caller.provider == OUR_PROVIDER]
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            try:
                loop.call_soon_threadsafe(self._warn, text)
            except RuntimeError:
                pass  # the loop is closed: failoverd is ending

        self._agent_server = AgentServer(space, own_programs(caller.program for caller in ocf), say)
        self._agent_server.start()

    async def _close_agent_server(self) -> None:
        if self._agent_server is not None:
            await self._agent_server.close()

    def _shell(
        self,
        core: Core,
        space: ActionSpace,
        fencer: Fencer | None,
        journal: Journal,
        observing: Observing,
    ) -> Shell:
        self._links = make_links(self._checked.links, self._warn)
        begin = self._agent_server.begin if self._agent_server is not None else None
        self._runners = {
            plan.name: GroupRunner(plan, space, self._monitor_failed, self._calls, self._warn, begin=begin)
            for plan in self._checked.plans
        }
        parts = Parts(
            keys=self._checked.loaded.authkeys,
            links=self._links,
            store=self._store,
            runners=self._runners,
            fencer=fencer,
            say=self._say,
            journal=journal,
            self_reset=self._reset,
            turned=lambda: self._turned(core),
            observers=observing.observers,
        )
        self._life = Shell(core, parts)
        return self._life

    def _monitor_failed(self, event: MonitorFailed) -> None:
        if self._life is not None:
            self._life.feed(event)

    def _say(self, level: Level, text: str) -> None:
        self._recent.add(int(time.time() * 1000), level, text)
        self._log.say(level, text)

    def _warn(self, text: str) -> None:
        self._say(Level.WARNING, text)

    def _inform(self, text: str) -> None:
        self._say(Level.INFO, text)

    def _ready(self) -> str:
        """What systemd is told when the node takes part (sd_notify(3))."""
        words = ["READY=1", f"STATUS=node {self._checked.node}, peer {self._checked.peer}"]
        if self._watchdog_ms:
            words.append(f"WATCHDOG_USEC={self._watchdog_ms * 1000}")
        return "\n".join(words)

    # --- the watchdogs ---------------------------------------------------------------------------------

    def _take_up_watchdog(self, stored: NodeRecord | None, boot_id: str) -> None:
        """What an earlier life of this boot left running would reset the node while leftovers are cleared.

        Held is what its record says. It may have been armed for an intent that never reached the disk, for what
        was in doubt, or the record may be lost: the kernel's word that it runs is enough, too.
        """
        if self._watchdog is None:
            return
        held = stored is not None and stored.boot_id == boot_id and any(record.held for record in stored.groups)
        if held or self._watchdog.runs():
            self._watchdog.turned(boottime_ms(), wanted=True, needed=True)

    def _leave_watchdog(self, core: Core) -> None:
        """At the end it is let go of unless something is held; in maintenance the operator has the node."""
        if self._watchdog is not None and (core.in_maintenance() or not core.holds()):
            self._watchdog.let_go()

    def _watchdog_problem(self) -> str:
        return self._watchdog.problem if self._watchdog is not None else ""

    def _reset(self, reason: str) -> str:
        """Rule 16: at once if that is allowed, else by the watchdog. Returns only why it did not happen at once."""
        why_not = "failoverd was not allowed to (--self-reset)"
        if self._options.self_reset:
            why_not = host.reset_now(reason)
        if self._watchdog is not None and self._watchdog.starve():
            why_not += "; the watchdog is fed no more and will"
        return why_not

    def _turned(self, core: Core) -> None:
        """systemd's watchdog is fed by turns of the core only: a core that stands still is to be killed.

        At the third part of the limit: between two turns there may be a keepalive, which is less than half of it.
        """
        now_ms = boottime_ms()
        if self._watchdog is not None:
            self._watchdog.turned(now_ms, wanted=core.intends(), needed=core.holds())
        if self._watchdog_ms and now_ms - self._notified_ms >= self._watchdog_ms // 3:
            self._notified_ms = now_ms
            host.notify("WATCHDOG=1")

    def _catch_signals(self, shell: Shell) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, shell.shut_down)
        loop.add_signal_handler(
            signal.SIGHUP, self._warn, "SIGHUP: the configuration is read at start only; restart failoverd"
        )

    def _say_start(self, space: ActionSpace, boot_id: str) -> None:
        for note in self._checked.loaded.notes:
            self._say(Level.INFO, str(note))
        config = self._checked.config
        names = ", ".join(group.name for group in config.groups)
        links = " and ".join(link.name for link in self._links)
        self._say(
            Level.INFO,
            f"failoverd starts on {self._checked.node}, peer {self._checked.peer} over {links}, "
            f"boot {boot_id[:8]}, groups {names}",
        )
        if not config.can_fence(self._checked.peer):
            self._say(
                Level.WARNING,
                f"no fence device for {self._checked.peer}: when it falls silent nothing is taken over until you "
                "confirm that it is dead; add fence_device to ha.cf",
            )
        if space.weakness:
            self._say(Level.WARNING, space.weakness)
        why_not = host.lock_memory()
        if why_not:
            self._say(Level.INFO, f"memory is not locked: {why_not}")


def _make_run_dir(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CannotStart(EXIT_FAILED, f"cannot make {path}: {error.strerror}; use --run-dir") from None


def run(options: Options, complain: Callable[[str], None], tell: Callable[[str], None] = print) -> int:
    """failoverd as a whole. ``complain`` prints a line of what keeps it from starting, ``tell`` an answer."""
    threading.stack_size(_STACK_BYTES)
    try:
        if os.geteuid() != 0:
            raise CannotStart(EXIT_PERMISSION, "failoverd must run as root: it mounts, sets addresses, cuts power")
        if options.left_only:
            return _tell_what_is_left(options, tell)
        checked = check_host(options)
        if options.check_only:
            _tell_of(checked, tell)
            return 0
        return _run_locked(options, checked)
    except CannotStart as problem:
        for text in problem.problems:
            complain(text)
        return problem.code


def _tell_of(checked: Checked, tell: Callable[[str], None]) -> None:
    for line in meaning(checked.config, checked.node, checked.links):
        tell(line)
    for note in checked.loaded.notes:
        tell(f"note: {note}")
    for line in advice(checked.config, checked.links):
        tell(f"warning: {line}")


def _tell_what_is_left(options: Options, tell: Callable[[str], None]) -> int:
    """For who removes the package or starts another manager: no configuration is needed, nothing is changed."""
    if leftbehind.runs(options.run_dir):
        raise CannotStart(EXIT_SECOND, "failoverd runs on this node; failoverctl status says what it holds")
    remedy = (
        "nothing else knows what still holds the disk: start failoverd, end maintenance if it is on, and stop "
        "failoverd; or boot this node"
    )
    try:
        held = leftbehind.held_by_record(options.state_dir, host.boot_id(options.boot_id_file))
        names = dict.fromkeys([*held, *leftbehind.marked(options.run_dir)])
    except (leftbehind.Unreadable, host.HostError) as error:
        raise CannotStart(EXIT_LEFT, f"what may run here is not known: {error}; {remedy}") from None
    if names:
        raise CannotStart(
            EXIT_LEFT, f"failoverd has ended and may have left running here: {', '.join(names)}; {remedy}"
        )
    tell("failoverd does not run, and left nothing running here")
    return 0


def _run_locked(options: Options, checked: Checked) -> int:
    # What this and all agents make is never open for others to write, whatever started failoverd without a umask.
    os.umask(os.umask(0o077) | 0o022)
    _make_run_dir(options.run_dir)
    try:
        store = Store(os.path.join(options.state_dir, "state"))
    except StoreLocked as error:
        raise CannotStart(EXIT_SECOND, str(error)) from None
    except StoreError as error:
        raise CannotStart(EXIT_FAILED, str(error)) from None
    log = Log(prefixed=systemd_reads_stderr(), use_syslog=options.syslog)
    try:
        return asyncio.run(Daemon(options, checked, store, log).run())
    except (host.HostError, ControlError) as error:
        raise CannotStart(EXIT_FAILED, str(error)) from None
    finally:
        store.close()
        log.flush()

