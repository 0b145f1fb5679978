"""IPaddr among a thousand other addresses: the right one is found, and only the right one is taken away."""

import pytest

from agents.agent_worlds import reason, sh

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("ip", "length"), [("10.9.3.200", 16), ("2001:db8:9::3:c8", 64)])
def test_one_address_among_a_thousand(network, ipaddr, tmp_path, ip, length):
    six = ":" in ip
    several = [f"2001:db8:9::{n // 250}:{n % 250:x}" if six else f"10.9.{n // 250}.{n % 250}" for n in range(1000)]
    several.remove(ip)
    end = "nodad" if six else "brd +"
    batch = tmp_path / "batch"
    batch.write_text("".join(f"addr add {one}/{length} {end} dev eth0\n" for one in several))
    sh("ip", "-n", network.ns("a"), "-batch", batch)
    agent = ipaddr("a", ip=ip, nic="eth0", cidr_netmask=length, nodad="yes")

    def count():
        return network.ip("a", "-o", "addr").count(" inet6 2001:db8:9:" if six else " inet 10.9.")

    assert [agent("monitor"), agent("start"), agent("start"), agent("monitor")] == [7, 0, 0, 0]
    assert count() == 1000
    wrong = ipaddr("a", ip=ip, cidr_netmask=length - 1).run("monitor")
    assert wrong.returncode == 1
    assert f"prefix {length}, not {length - 1}" in reason(wrong)
    assert [agent("stop"), agent("monitor"), agent("stop")] == [0, 7, 0]
    assert count() == 999
    first = ipaddr("a", ip=several[0], nic="eth0", cidr_netmask=length)
    assert [first("monitor"), first("stop"), first("monitor")] == [0, 0, 7], "the one all others lean on"
    assert count() == 998
