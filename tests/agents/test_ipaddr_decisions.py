"""What IPaddr's start decides when the kernel's answers are not the usual ones; no root, no network."""

import pytest

from failover_kit.agents import ipaddr, ipaddr_duplicates, ipaddr_stop
from failover_kit.kernel import addresses
from failover_kit.kernel.addresses import Address
from failover_kit.kernel.links import IFF_LOWER_UP, IFF_UP, Link
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.parameter import check_all

IP = bytes((192, 0, 2, 9))
ETH0 = Link(2, "eth0", IFF_UP | IFF_LOWER_UP, 1, bytes(6))
NO_LINK = "192.0.2.9 is configured, but eth0 has no carrier"


def call(left_ms=0, **parameters):
    values, problems = check_all(ipaddr.AGENT.parameters, {"ip": "192.0.2.9", **parameters})
    assert problems == []
    return Call(ipaddr.AGENT, values, Deadline(left_ms))


class Kernel:
    """Answers ``observe()`` with one thing, and remembers what was taken away."""

    def __init__(self, monkeypatch, answer):
        self.removed = []
        monkeypatch.setattr(ipaddr_duplicates, "observe", lambda wanted, link: answer)
        monkeypatch.setattr(ipaddr_stop, "remove_alone", lambda link, address: self.removed.append(address))
        monkeypatch.setattr("failover_kit.kernel.neighbours.who_has", lambda *_, **__: b"\x02\0\0\0\0\7")


def finish(asked, added):
    ipaddr_duplicates.await_usable(asked, ipaddr.Wanted(asked), None, ETH0, added)


@pytest.mark.parametrize(
    ("flags", "problem", "linkless", "words"),
    [
        (0, "192.0.2.9 is configured, but eth0 is down", "", "is down"),
        (0, "", NO_LINK, "no carrier"),
        (addresses.IFA_F_TENTATIVE, "detection has not finished", "", "did not finish in time"),
        (addresses.IFA_F_DADFAILED, "refused by the kernel", "", "in use by 02:00:00:00:00:07"),
    ],
)
def test_a_failed_start_takes_its_own_address_away(monkeypatch, flags, problem, linkless, words):
    ours = Address(2, IP, 24, flags=flags)
    kernel = Kernel(monkeypatch, ([ours], problem, linkless))
    with pytest.raises(AgentError, match=words) as error:
        finish(call(), ours)
    assert error.value.code == 1
    assert kernel.removed == [ours]


def test_a_start_that_came_second_leaves_the_other_s_address(monkeypatch):
    kernel = Kernel(monkeypatch, ([Address(2, IP, 24)], "192.0.2.9 is configured on eth1, not on eth0", ""))
    with pytest.raises(AgentError, match="not on eth0"):
        finish(call(), None)
    assert kernel.removed == []


@pytest.mark.parametrize("policy", ["degraded", "ignore"])
def test_a_link_that_went_meanwhile_is_what_link_status_says(monkeypatch, policy):
    ours = Address(2, IP, 24)
    kernel = Kernel(monkeypatch, ([ours], "", NO_LINK))
    finish(call(link_status=policy), ours)
    assert kernel.removed == []


def test_detection_is_waited_for_and_never_beyond_the_deadline(monkeypatch):
    pauses = []
    monkeypatch.setattr(ipaddr_duplicates.time, "sleep", pauses.append)
    tentative, ready = Address(2, IP, 24, flags=addresses.IFA_F_TENTATIVE), Address(2, IP, 24)
    answers = [([tentative], "not finished", "")] * 3 + [([ready], "", "")]
    monkeypatch.setattr(ipaddr_duplicates, "observe", lambda wanted, link: answers.pop(0))
    asked = call(left_ms=600_000)
    assert ipaddr_duplicates.settled(asked, ipaddr.Wanted(asked), None) == ([ready], "", "")
    assert len(pauses) == 3
    monkeypatch.setattr(ipaddr_duplicates, "observe", lambda wanted, link: ([tentative], "not finished", ""))
    late = call(left_ms=0)
    assert ipaddr_duplicates.settled(late, ipaddr.Wanted(late), None, whole=True)[1] == "not finished"


@pytest.mark.parametrize(
    ("text", "fine"),
    [("127.0.0.10", True), ("127.255.0.1", True), ("127.0.0.1", False), ("127.0.0", False), ("0.0.0.0", False)],
)
def test_which_loopback_addresses_can_be_a_resource(text, fine):
    _, problems = check_all(ipaddr.AGENT.parameters, {"ip": text})
    assert (problems == []) == fine


def test_what_reload_agent_may_change_is_declared():
    declared = {parameter.name for parameter in ipaddr.AGENT.parameters if parameter.reloadable}
    assert declared == {
        "arp_count", "arp_count_refresh", "arp_interval", "flush_routes", "kill_connections", "link_status",
        "nodad", "preferred_lft", "run_arping",
    }  # fmt: skip
    assert "reload-agent" in {action.name for action in ipaddr.AGENT.actions}
