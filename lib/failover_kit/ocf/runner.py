"""From command line and environment to one handler and one exit code.

The rules, in one place for all agents (OCF Resource Agent API 1.1; exit codes and what Pacemaker
makes of them: lib/pengine/unpack.c in Pacemaker):

* the verb is the first argument, further arguments are ignored; an unknown verb exits 3;
* what is wrong with the *parameters* is wrong on every node: start and validate-all exit 6. With a
  wrong identity (a required parameter, or one declared so) nothing can have been started: stop exits 0, a
  probe 7, a recurring monitor 1. With any other parameter wrong, stop and monitor go on with its default;
* at most one line with the prefix ``ocf-exit-reason:`` goes to stderr, for failures only; where the cluster
  manager names a log (ocf/log.py), it stands there as an error, too, as with the shell library's agents;
* 6 bans the resource from every node, so a monitor and a stop, which look at one node, never exit with it;
* every action has a deadline a little before the caller's, so that it is the agent that says what
  it was waiting for: Pacemaker kills without a word.
"""

import posix
import sys

from failover_kit.ocf import codes
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline, DeadlineExpired
from failover_kit.spec.parameter import check_all, wrong_parameters
from failover_kit.spec.values import is_number, quoted, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from failover_kit.ocf.agent import Agent
    from failover_kit.spec.parameter import Problem

# What names a log beside stderr. It stands here because ocf/log.py is imported only when there is one.
LOG_SETTINGS = (
    "HA_LOGFACILITY", "HA_logfacility", "PCMK_LOGFACILITY", "PCMK_logfacility", "HA_LOGFILE", "HA_DEBUGLOG",
    "HA_LOGD", "HA_use_logd",
)  # fmt: skip
REASON_PREFIX = "ocf-exit-reason:"
# Pacemaker shows the reason in one line of crm_mon.
REASON_LIMIT = 600
# What the agent keeps back of the caller's timeout: enough to write its reason on a busy machine.
MARGIN_MAX_MS = 3000
# A timeout beyond a day is no timeout, and poll(2) takes no more than 31 bits of milliseconds.
TIMEOUT_MAX_MS = 86_400_000
RESKEY = "OCF_RESKEY_"


def run(agent: "Agent") -> "NoReturn":
    """What a launcher calls: main() on this process's own arguments, and the end of the process."""
    fill_streams()
    leave(main(agent, sys.argv, _environment()))


def fill_streams() -> None:
    """/dev/null for each standard stream that the caller closed.

    Otherwise the next file that is opened has its number: a disk may become the stdout of a child.
    """
    if sys.stdin is not None and sys.stdout is not None and sys.stderr is not None:
        return
    import os

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def leave(code: int) -> "NoReturn":
    """End the process.

    The interpreter is not taken down in good order: that is a fifth of a monitor's whole run, and
    there is nothing to save that main() has not closed.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or codes.ERR_GENERIC
    posix._exit(code)


def _environment() -> "dict[str, str]":
    """What ``os.environ`` says, without ``os``: importing that is a tenth of a monitor that does not need it."""
    coding = sys.getfilesystemencoding()
    return {
        name.decode(coding, "surrogateescape"): text.decode(coding, "surrogateescape")
        for name, text in posix.environ.items()
    }


def main(agent: "Agent", argv: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """Run the action named by ``argv[1]`` and return the exit code of the process."""
    verb = argv[1] if len(argv) > 1 else ""
    if verb == "meta-data":
        from failover_kit.ocf.metadata import document

        sys.stdout.write(document(agent))
        return codes.SUCCESS
    if verb in ("help", "--help", "-h", "usage"):
        from failover_kit.ocf.usage import usage

        sys.stdout.write(usage(agent))
        return codes.SUCCESS
    if verb != "validate-all" and verb not in agent.handlers:
        from failover_kit.ocf.usage import synopsis

        wrong = f"action {quoted(verb)} is not implemented" if verb else "no action given"
        _to_stderr(f"{agent.name}: {shown(wrong)}\n{synopsis(agent)}")
        return codes.ERR_UNIMPLEMENTED
    try:
        return _perform(agent, verb, environ)
    except AgentError as error:
        tell(agent, environ, str(error))
        if error.code == codes.ERR_CONFIGURED and verb in ("stop", "monitor"):
            return codes.ERR_GENERIC
        return error.code
    except DeadlineExpired as error:
        tell(agent, environ, str(error))
    except OSError as error:
        import errno

        tell(agent, environ, f"{verb}: {error}")
        if error.errno in (errno.EPERM, errno.EACCES):
            return codes.ERR_PERM
    except Exception as error:
        import traceback

        traceback.print_exc()
        fact = f"{type(error).__name__}: {error}"
        tell(agent, environ, f"{agent.name} {verb}: {fact}; this is a bug in the agent")
    return codes.ERR_GENERIC


def _perform(agent: "Agent", verb: str, environ: "Mapping[str, str]") -> int:
    raw = {name[len(RESKEY) :]: text for name, text in environ.items() if name.startswith(RESKEY)}
    values, problems = check_all(agent.parameters, raw)
    probe = verb == "monitor" and _milliseconds(raw.get("CRM_meta_interval", "")) == 0
    call = Call(
        agent,
        values,
        deadline_of(agent, verb, raw),
        level=_milliseconds(environ.get("OCF_CHECK_LEVEL") or raw.get("OCF_CHECK_LEVEL", "")),
        probe=probe,
        instance=instance_of(environ),
        environ=environ,
    )
    if verb not in ("stop", "monitor"):
        wrong = wrong_parameters(values, problems, agent.consistency)
        if wrong:
            raise AgentError(codes.ERR_CONFIGURED, together(wrong))
    elif problems:
        code = _judge_problems(call, verb, problems)
        if code is not None:
            return code
    handler = agent.handlers.get(verb)
    if handler is None or (verb == "validate-all" and call.level < 10):
        # Level 0 of validate-all is the parameters alone, without a look at the host.
        return codes.SUCCESS
    answer: object = handler(call)
    if isinstance(answer, int):
        return answer
    tell(agent, environ, f"{agent.name} {verb}: the handler returned {answer!r}; this is a bug in the agent")
    return codes.ERR_GENERIC


def _judge_problems(call: Call, verb: str, problems: "list[Problem]") -> "int | None":
    """The exit code that wrong parameters mean for a stop or a monitor; None to go on with defaults."""
    text = together([str(problem) for problem in problems])
    if not any(problem.parameter.identity for problem in problems):
        call.log("warning", f"{verb} goes on without: {text}")
        return None
    if verb == "stop":
        call.log("warning", f"nothing to stop, these parameters can never have been started: {text}")
        return codes.SUCCESS
    if call.probe:
        call.log("warning", f"not running, these parameters can never have been started: {text}")
        return codes.NOT_RUNNING
    raise AgentError(codes.ERR_GENERIC, text)


def together(wrong: "list[str]") -> str:
    """All of it in one reason; what does not fit into a line of crm_mon is counted at its end."""
    text = wrong[0]
    for number, sentence in enumerate(wrong[1:], 1):
        if len(shown(text)) + len(shown(sentence)) > REASON_LIMIT - len("; and 99 more"):
            return f"{text}; and {len(wrong) - number} more"
        text += "; " + sentence
    return text


def deadline_of(agent: "Agent", verb: str, raw: "Mapping[str, str]") -> Deadline:
    """The caller's timeout (CRM_meta_timeout, milliseconds) or the advised one, less a margin."""
    total_ms = min(_milliseconds(raw.get("CRM_meta_timeout", "")), TIMEOUT_MAX_MS)
    if total_ms <= 0:
        advised = [action.timeout_s for action in agent.actions if action.name == verb]
        total_ms = 1000 * (advised[0] if advised else 20)
    return Deadline(total_ms - min(total_ms // 10, MARGIN_MAX_MS))


def _milliseconds(text: str) -> int:
    """Numbers the cluster manager sets; what is not a number counts as 0, as in the shell library."""
    return int(text) if is_number(text) else 0


def tell(agent: "Agent", environ: "Mapping[str, str]", reason: str) -> None:
    """Give the one reason: to whoever called us, and to the log when there is one beside the caller's."""
    text = shown(reason.strip())[:REASON_LIMIT]
    _to_stderr(shown(environ.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX) + text + "\n")
    if not sys.stderr.isatty() and any(environ.get(name) for name in LOG_SETTINGS):
        from failover_kit.ocf.log import record

        record(f"{agent.name}({instance_of(environ)})", "error", text, environ)


def instance_of(environ: "Mapping[str, str]") -> str:
    return environ.get("OCF_RESOURCE_INSTANCE") or "default"


def _to_stderr(text: str) -> None:
    """stderr may be a pipe that nobody reads any more: the exit code says the rest."""
    try:
        sys.stderr.write(text)
    except OSError:
        pass
