"""From command line and environment to one handler and one exit code.

The rules, in one place for all agents (OCF Resource Agent API 1.1; exit codes and what Pacemaker
makes of them: lib/pengine/unpack.c in Pacemaker):

* the verb is the first argument, further arguments are ignored; an unknown verb exits 3;
* what is wrong with the *parameters* is wrong on every node: start and validate-all exit 6. With a
  wrong identity (a required parameter) nothing can have been started: stop exits 0, a probe 7, a
  recurring monitor 1. With any other parameter wrong, stop and monitor go on with its default;
* at most one line with the prefix ``ocf-exit-reason:`` goes to stderr, for failures only;
* every action has a deadline a little before the caller's, so that it is the agent that says what
  it was waiting for: Pacemaker kills without a word.
"""

import posix
import sys

from failover_kit.ocf import codes
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline, DeadlineExpired
from failover_kit.spec.parameter import check_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from failover_kit.ocf.agent import Agent
    from failover_kit.spec.parameter import Problem

REASON_PREFIX = "ocf-exit-reason:"
# Pacemaker shows the reason in one line of crm_mon.
REASON_LIMIT = 600
# What the agent keeps back of the caller's timeout: enough to write its reason on a busy machine.
MARGIN_MAX_MS = 3000
RESKEY = "OCF_RESKEY_"


def run(agent: "Agent") -> "NoReturn":
    """What a launcher calls: main() on this process's own arguments, and the end of the process.

    The interpreter is not taken down in good order: that is a fifth of a monitor's whole run, and
    there is nothing to save that main() has not closed.
    """
    code = main(agent, sys.argv, _environment())
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
        sys.stdout.write(_usage(agent))
        return codes.SUCCESS
    if verb != "validate-all" and verb not in agent.handlers:
        wrong = f"action '{verb}' is not implemented" if verb else "no action given"
        sys.stderr.write(f"{agent.name}: {wrong}\n{_usage(agent)}")
        return codes.ERR_UNIMPLEMENTED
    try:
        return _perform(agent, verb, environ)
    except AgentError as error:
        _tell(environ, str(error))
        return error.code
    except DeadlineExpired as error:
        _tell(environ, str(error))
    except OSError as error:
        import errno

        _tell(environ, f"{verb}: {error}")
        if error.errno in (errno.EPERM, errno.EACCES):
            return codes.ERR_PERM
    except Exception as error:
        import traceback

        traceback.print_exc()
        _tell(environ, f"{agent.name} {verb}: {type(error).__name__}: {error}; this is a bug in the agent")
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
        instance=environ.get("OCF_RESOURCE_INSTANCE") or "default",
        environ=environ,
    )
    if problems:
        code = _judge_problems(call, verb, problems)
        if code is not None:
            return code
    elif agent.consistency is not None and verb not in ("stop", "monitor"):
        wrong = agent.consistency(values)
        if wrong:
            raise AgentError(codes.ERR_CONFIGURED, "; ".join(wrong))
    handler = agent.handlers.get(verb)
    if handler is None or (verb == "validate-all" and call.level < 10):
        # Level 0 of validate-all is the parameters alone, without a look at the host.
        return codes.SUCCESS
    answer: object = handler(call)
    if isinstance(answer, int):
        return answer
    _tell(environ, f"{agent.name} {verb}: the handler returned {answer!r}; this is a bug in the agent")
    return codes.ERR_GENERIC


def _judge_problems(call: Call, verb: str, problems: "list[Problem]") -> "int | None":
    """The exit code that wrong parameters mean for ``verb``; None to go on with defaults."""
    text = "; ".join(map(str, problems))
    if verb not in ("stop", "monitor"):
        raise AgentError(codes.ERR_CONFIGURED, text)
    if not any(problem.parameter.required for problem in problems):
        call.log("warning", f"{verb} goes on without: {text}")
        return None
    if verb == "stop":
        call.log("warning", f"nothing to stop, these parameters can never have been started: {text}")
        return codes.SUCCESS
    if call.probe:
        call.log("warning", f"not running, these parameters can never have been started: {text}")
        return codes.NOT_RUNNING
    raise AgentError(codes.ERR_GENERIC, text)


def deadline_of(agent: "Agent", verb: str, raw: "Mapping[str, str]") -> Deadline:
    """The caller's timeout (CRM_meta_timeout, milliseconds) or the advised one, less a margin."""
    total_ms = _milliseconds(raw.get("CRM_meta_timeout", ""))
    if total_ms <= 0:
        advised = [action.timeout_s for action in agent.actions if action.name == verb]
        total_ms = 1000 * (advised[0] if advised else 20)
    return Deadline(total_ms - min(total_ms // 10, MARGIN_MAX_MS))


def _milliseconds(text: str) -> int:
    """Numbers the cluster manager sets; what is not a number counts as 0, as in the shell library."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _tell(environ: "Mapping[str, str]", reason: str) -> None:
    prefix = environ.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX
    sys.stderr.write(prefix + " ".join(reason.split())[:REASON_LIMIT] + "\n")


def _usage(agent: "Agent") -> str:
    verbs = "|".join(dict.fromkeys(action.name for action in agent.actions))
    known = {parameter.name: parameter for parameter in agent.parameters}
    wide = max(map(len, known), default=0)
    lines = [
        f"usage: {agent.name} {verbs}",
        f"{agent.shortdesc}. Parameters come as OCF_RESKEY_<name> in the environment (meta-data tells more):",
        *(
            f"  {name:{wide}}  {'(required) ' if parameter.required else ''}{parameter.shortdesc}"
            for name, parameter in known.items()
        ),
    ]
    return "\n".join(lines) + "\n"
