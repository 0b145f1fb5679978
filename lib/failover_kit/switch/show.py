"""Looking at a switch: its plugs and, when asked, what its general and network menus show. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from failover_kit.spec.deadline import Deadline
from failover_kit.switch import steps
from failover_kit.switch.menu import Menu, MenuError
from failover_kit.switch.plan import GENERAL, NETWORK, Seen
from failover_kit.switch.session import OutOfTime, Place, Session, Unreachable
from failover_kit.switch.setup import STILL_OPEN, Access, Outcome, Result, read_rules


def show(
    place: Place, access: Access, deadline: Deadline, *, everything: bool, debug: Callable[[str], None]
) -> Outcome:
    """Log in, read, log out. Never raises for what the switch does."""
    out = Outcome(str(place))
    session = Session(
        place, username=access.username, passwords=access.passwords, ask_password=access.ask_password,
        deadline=deadline, debug=debug,
    )  # fmt: skip
    try:
        out.seen = _read(session, out, everything=everything)
        out.result = Result.DONE
    except steps.Denied as error:
        out.result, out.errors = Result.DENIED, [str(error)]
    except (Unreachable, steps.NotServed) as error:
        out.result, out.errors = Result.UNREACHABLE, [str(error)]
    except (OutOfTime, steps.NothingHeard) as error:
        out.result, out.errors = Result.TIMED_OUT, [str(error)]
    except (steps.StepFailed, MenuError) as error:
        out.result, out.errors = Result.FAILED, [str(error)]
    except KeyboardInterrupt:
        out.result, out.errors = Result.INTERRUPTED, ["interrupted; logged out"]
    finally:
        if not session.leave():
            out.warnings.append(STILL_OPEN)
    return out


def _read(session: Session, out: Outcome, *, everything: bool) -> Seen:
    entered = session.enter()
    plugs = session.run(steps.status())
    menus: dict[str, Menu] = {}
    if not everything:
        return Seen(entered.prompt, entered.banner, plugs, menus)
    if entered.prompt not in steps.CLASSIC:
        out.warnings.append(
            f"the menus of a unit with the prompt {entered.prompt}> are not known here; only its plugs are shown"
        )
        return Seen(entered.prompt, entered.banner, plugs, menus)
    for command in (GENERAL, NETWORK):
        menus[command] = session.run(steps.read(command))
    return Seen(entered.prompt, entered.banner, plugs, menus, read_rules(session, menus[NETWORK]))
