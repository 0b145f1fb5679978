"""Setting a switch up: read, compare, change what differs, read again, and say what became of it.

Everything is read before anything is changed, so that a menu we do not understand costs nothing. Each change is
read back from the menu. A new password is proved by a new login, and an address that was changed over TCP by a new
login there; these come last, since a failure in them leaves the fewest ways back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from failover_kit.fence.secret import Secret
from failover_kit.spec.deadline import Deadline
from failover_kit.switch import steps
from failover_kit.switch.menu import Label, Menu, MenuError, find
from failover_kit.switch.plan import NETWORK, Caller, Plan, Progress, Seen, Setting, decide, needed_menus
from failover_kit.switch.session import CONNECT_MS, OutOfTime, Place, Session, Unreachable, connect
from failover_kit.switch.settings import Rule, Wanted, rules_of

# A network interface that restarts answers after some seconds, a unit that boots after some more.
RECONNECT_MS = 60_000
PROBE_MS = 2_000
STILL_OPEN = (
    "the session could not be closed: the console stays taken, and the network refused, until the unit's "
    "disconnect timeout"
)


class Result(Enum):
    """How an operation ended."""

    DONE = "done"
    NOTHING = "nothing to do"
    WOULD = "dry run"
    FAILED = "failed"
    REFUSED = "refused"
    DENIED = "not let in"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"


@dataclass(slots=True)
class Outcome:
    """What to print. ``errors`` are sentences, the first says most."""

    place: str
    result: Result = Result.FAILED
    seen: Seen | None = None
    settings: list[Setting] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in. ``passwords``: each is presented once, in this order."""

    username: str = ""
    passwords: tuple[Secret, ...] = ()
    ask_password: Callable[[], Secret] | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller decided beyond the values."""

    dry_run: bool = False
    yes_network: bool = False
    clients: tuple[str, ...] = ()
    reconnect_ms: int = RECONNECT_MS


class Setup:
    """One run. ``run`` never raises for what the switch does; ^C and signals end it cleanly, too."""

    def __init__(
        self,
        place: Place,
        wanted: Wanted,
        access: Access,
        choices: Choices,
        deadline: Deadline,
        *,
        say: Callable[[str], None] = lambda _: None,
        debug: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._place = place
        self._wanted = wanted
        self._access = access
        self._choices = choices
        self._debug = debug
        self._say = say
        self._out = Outcome(str(place))
        passwords = list(access.passwords)
        may_ask = access.ask_password is not None and not passwords
        if wanted.password is not None and wanted.password not in passwords and not may_ask:
            # A second run with the same options meets the password that the first one set.
            passwords.append(wanted.password)
        self._session = self._new_session(place, passwords, deadline, access.ask_password)
        self._password: Secret | None = None

    def run(self) -> Outcome:
        try:
            self._out.result = self._work()
        except steps.Denied as error:
            self._fail(Result.DENIED, str(error))
        except (Unreachable, steps.NotServed) as error:
            self._fail(Result.UNREACHABLE, str(error))
        except (OutOfTime, steps.NothingHeard) as error:
            self._fail(Result.TIMED_OUT, str(error))
        except (steps.StepFailed, MenuError) as error:
            self._fail(Result.FAILED, str(error))
        except KeyboardInterrupt:
            self._fail(Result.INTERRUPTED, "interrupted; the session at the switch is closed")
        finally:
            self._leave()
        return self._out

    # --- the course of it -------------------------------------------------------------------------------

    def _work(self) -> Result:
        plan = self._look()
        self._out.settings, self._out.warnings = plan.settings, plan.warnings
        differing = plan.differing()
        for setting in differing:
            setting.progress = Progress.WOULD if self._choices.dry_run else Progress.TODO
        if plan.refusals:
            self._out.errors += plan.refusals
            return Result.REFUSED
        if not differing:
            return Result.NOTHING
        if self._choices.dry_run:
            return Result.WOULD
        by_tcp = not self._place.serial
        late = [setting for setting in differing if setting.secret or (setting.network and by_tcp)]
        early = [setting for setting in differing if setting not in late]
        if early:
            for setting in early:
                self._change(setting)
            self._save()
        if any(setting.secret for setting in late):
            self._change_password(next(setting for setting in late if setting.secret), early)
        network = [setting for setting in late if setting.network]
        if network:
            self._change_network(network)
        return Result.DONE

    def _look(self) -> Plan:
        """Log in and read everything that is needed."""
        entered = self._session.enter()
        self._password = self._session.entered_with
        if ":" in self._session.own_address:
            raise steps.StepFailed("an IPS, NPS or TPS has no IPv6 address; connect to its IPv4 address")
        plugs = self._session.run(steps.status())
        if entered.prompt not in steps.CLASSIC:
            raise steps.StepFailed(
                f"a unit with the prompt {entered.prompt}> has other menus than an IPS, NPS or TPS, and user "
                "accounts instead of a system password; set it up by hand: failoverctl switch console"
            )
        menus = {command: self._session.run(steps.read(command)) for command in needed_menus(self._wanted, plugs)}
        rules = self._rules(menus)
        seen = Seen(entered.prompt, entered.banner, plugs, menus, rules)
        self._out.seen = seen
        caller = Caller(self._session.own_address, self._choices.clients, self._choices.yes_network)
        return decide(seen, self._wanted, caller, self._password)

    def _rules(self, menus: dict[str, Menu]) -> tuple[Rule, ...] | None:
        if self._choices.clients and NETWORK not in menus:
            menus[NETWORK] = self._session.run(steps.read(NETWORK))
        return read_rules(self._session, menus[NETWORK]) if NETWORK in menus else None

    def _change(self, setting: Setting) -> None:
        """Set one thing and read it back."""
        self._inside()
        self._say(f"{setting.title}: {setting.before} -> {setting.after}")
        setting.progress = Progress.UNCERTAIN
        self._session.run(_setter(setting, self._password))
        menu = self._session.run(steps.read(setting.command))
        if not setting.confirmed_by(menu):
            raise steps.StepFailed(
                f"{setting.title}: the unit did not take it; read again, its menu says:\n"
                + "\n".join(f"    {line}" for line in menu.lines())
            )
        setting.progress = Progress.CHANGED

    def _save(self) -> None:
        """Save; a unit that logs out by it is entered again when it is next needed."""
        if not self._session.run(steps.save()):
            self._session.logged_out()

    def _inside(self) -> None:
        """Be logged in, with the password that is now in force."""
        if not self._session.inside:
            self._leave()
            passwords = [self._password] if self._password is not None else []
            self._session = self._new_session(self._place, passwords, self._session.deadline)
            self._session.enter()

    def _change_password(self, setting: Setting, saved: list[Setting]) -> None:
        """Set it, log out, log in anew with it."""
        new = setting.value
        assert isinstance(new, Secret)  # noqa: S101 - what Setting.secret says
        self._change(setting)
        setting.progress = Progress.UNCERTAIN
        self._save()
        self._leave()
        old = self._password
        passwords = [new, old] if old is not None else [new]
        self._session = self._new_session(self._place, passwords, self._session.deadline)
        rest = "everything else that was to change before it is saved" if saved else "nothing else was changed"
        try:
            self._session.enter()
        except steps.Denied as error:
            raise steps.Denied(
                "the switch took a new system password at its menu and lets nobody in with it, nor with the old "
                f"one ({error}); {rest}. It may have shortened or altered it. The way back is its serial console: "
                "press the default button while it asks for the password (NPS guide, 4.2), then /G"
            ) from None
        except (Unreachable, OutOfTime, steps.StepFailed) as error:
            raise type(error)(
                f"the switch took and saved a new system password, but no login could prove it yet; {rest}. Try it "
                f"with failoverctl switch show. What stood in the way: {error}"
            ) from None
        if self._session.entered_with is None:
            raise steps.StepFailed(
                "the switch took a new system password at its menu, but asks for none at the login: it stands "
                f"open; {rest}. Is automated mode on (it switches passwords off)?"
            )
        if self._session.entered_with != new:
            setting.progress = Progress.TODO
            raise steps.StepFailed(
                "the switch took a new system password at its menu and rejects it at the login; the OLD one is "
                f"still in force; {rest}"
            )
        self._password = new
        setting.progress = Progress.CHANGED

    def _change_network(self, network: list[Setting]) -> None:
        """Over TCP: the connection may be lost by it, and the new address has to answer."""
        target = next((str(setting.value) for setting in network if setting.label is Label.ADDRESS), "")
        try:
            for setting in network:
                self._change(setting)
            self._save()
        except (steps.LostConnection, steps.NothingHeard):
            if any(setting.progress is Progress.TODO for setting in network):
                raise
            self._say("the connection ended with the change, as it may")  # the new login tells what became of it
        self._leave()
        for setting in network:
            setting.progress = Progress.UNCERTAIN
        place = Place(ip=target or self._place.ip, port=self._place.port)
        self._say(f"logging in at {place}")
        menu = self._read_network_at(place)
        for setting in network:
            if not setting.confirmed_by(menu):
                raise steps.StepFailed(f"{setting.title}: the switch answers at {place}, but shows another value")
            setting.progress = Progress.CHANGED

    def _read_network_at(self, place: Place) -> Menu:
        passwords = [self._password] if self._password is not None else []
        self._session = self._new_session(place, passwords, Deadline(self._choices.reconnect_ms + CONNECT_MS))
        try:
            self._session.enter(self._choices.reconnect_ms)
        except (Unreachable, steps.LostConnection, steps.NothingHeard) as error:
            reason = error.reason if isinstance(error, Unreachable) else str(error)
            old = place != self._place and _answers(self._place)
            where = f"; {self._place} still answers" if old else ""
            raise Unreachable(
                f"the new network values were given to the switch, and it does not answer at {place} within "
                f"{self._choices.reconnect_ms / 1000:g} s ({reason}){where}. It may need its network interface "
                "restarted (/T at its prompt) or to be switched off and on. Its serial console answers in any case"
            ) from None
        return self._session.run(steps.read(NETWORK))

    # --- small things -----------------------------------------------------------------------------------

    def _new_session(
        self, place: Place, passwords: list[Secret], deadline: Deadline, ask: Callable[[], Secret] | None = None
    ) -> Session:
        return Session(
            place, username=self._access.username, passwords=passwords, ask_password=ask, deadline=deadline,
            debug=self._debug,
        )  # fmt: skip

    def _leave(self) -> None:
        if not self._session.leave():
            self._out.warnings.append(STILL_OPEN)

    def _fail(self, result: Result, text: str) -> None:
        self._out.result = result
        self._out.errors.append(text)


def read_rules(session: Session, network: Menu) -> tuple[Rule, ...] | None:
    """IP security, if there is a menu of it; a unit that shows On or Off there is not touched: it might toggle."""
    try:
        item = find(network, Label.IP_SECURITY)
    except MenuError:
        return None
    if item.value.casefold() == "off":
        return ()
    if item.value.casefold() == "on":
        return None
    menu = session.run(steps.read_submenu(NETWORK, Label.IP_SECURITY))
    return rules_of(menu) if menu is not None else None


def _setter(setting: Setting, current: Secret | None) -> steps.Step[None]:
    if isinstance(setting.value, int):
        return steps.set_minutes(setting.command, setting.label, setting.value)
    if setting.label is Label.CONFIRMATION and isinstance(setting.value, str):
        return steps.set_word(setting.command, setting.label, setting.value)
    return steps.set_text(setting.command, setting.label, setting.value, current if setting.secret else None)


def _answers(place: Place) -> bool:
    """Does anybody take a connection there? Says nothing and hangs up."""
    try:
        transport, _ = connect(place, Deadline(PROBE_MS))
    except Unreachable:
        return False
    transport.close()
    return True
