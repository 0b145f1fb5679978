"""Frames that are lost at a port, by chance and in one direction.

netem is not in every kernel; a classic BPF program that asks for a random number is (net/core/filter.c,
SKF_AD_RANDOM), as a classifier in its direct-action mode (tc-bpf(8)): it answers "drop" or "no opinion".
"""

from __future__ import annotations

from failover_kit.rehearsal.namespaces import COMMAND_MS, NamespaceError, NetworkNamespace
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run

_LOAD_WORD, _JUMP_IF_GREATER, _RETURN = 0x20, 0x25, 0x06  # include/uapi/linux/bpf_common.h
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM, include/uapi/linux/filter.h
_NO_OPINION, _DROP = 0xFFFFFFFF, 2  # TC_ACT_UNSPEC, TC_ACT_SHOT, include/uapi/linux/pkt_cls.h


def program(percent: int) -> str:
    """The program as tc(8) takes it; 0 lets everything pass, 100 nothing."""
    if not 0 <= percent <= 100:
        raise ValueError(f"a loss is 0 to 100 percent, not {percent}")
    if percent == 100:
        return f"1,{_RETURN} 0 0 {_DROP}"
    least = percent * 0xFFFFFFFF // 100
    # A random number above the threshold goes to the next line, any other skips it.
    lines = (
        f"{_LOAD_WORD} 0 0 {_RANDOM}", f"{_JUMP_IF_GREATER} 0 1 {least}",
        f"{_RETURN} 0 0 {_NO_OPINION}", f"{_RETURN} 0 0 {_DROP}",
    )  # fmt: skip
    return ",".join((str(len(lines)), *lines))


def drop(patch: NetworkNamespace, port: str, percent: int) -> None:
    """From now on lose ``percent`` of what comes in at ``port``; 0 ends it. Raises NamespaceError."""
    if percent == 0:
        _tc(patch, "qdisc", "del", "dev", port, "clsact")
        return
    _tc(patch, "qdisc", "replace", "dev", port, "clsact")
    where = ["filter", "replace", "dev", port, "ingress", "protocol", "all", "prio", "1", "handle", "1"]
    _tc(patch, *where, "bpf", "direct-action", "bytecode", program(percent))


def _tc(patch: NetworkNamespace, *words: str) -> None:
    result = run([*patch.prefix(), "tc", *words], Deadline(COMMAND_MS))
    if not result.ok():
        raise NamespaceError(f"tc {' '.join(words)}: {result.last_line()}")
