"""What the story reads and concludes, without any machine: each test has a text that must not pass, too."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from failover_kit.manager import haresources
from failover_kit.manager.config import ResourceKind
from lab.howto import files, proofs, readings
from lab.howto.readings import ReadingError
from lab.howto.story import MOVE, POWER_CUT, RECOMMENDED, Choice

NODES = ("pete", "mclaws")

ARPING = """\
ARPING 192.0.2.220 from 192.0.2.10 eth2
Unicast reply from 192.0.2.220 [02:00:00:00:02:01]  1.543ms
Unicast reply from 192.0.2.220 [02:00:00:00:02:01]  1.1ms
Sent 3 probes (1 broadcast(s))
Received 2 response(s)
"""


def test_the_one_address_that_answers_arping() -> None:
    assert readings.answering_mac(ARPING) == "02:00:00:00:02:01"


def test_two_nodes_that_answer_are_no_answer() -> None:
    both = ARPING.replace("[02:00:00:00:02:01]  1.1ms", "[02:00:00:00:02:02]  1.1ms")
    with pytest.raises(ReadingError, match="2 machines answer"):
        readings.answering_mac(both)


def test_nobody_answers_arping() -> None:
    with pytest.raises(ReadingError, match="nobody"):
        readings.answering_mac("Sent 3 probes (3 broadcast(s))\nReceived 0 response(s)\n")


def test_aoe_stat() -> None:
    found = readings.aoe_devices("      e0.0         0.536GB       eth3 8704  up            \n")
    assert found["e0.0"].state == "up" and found["e0.0"].interfaces == ("eth3",)
    assert readings.aoe_devices("e0.0 0.536GB eth3 8704 down,closewait\n")["e0.0"].state != "up"
    assert readings.aoe_devices("") == {}


LINKS = "/etc/rc2.d/S01nfs-kernel-server /etc/rcS.d/S03nfs-common /etc/rc0.d/K01nfs-common /etc/rc2.d/S02ssh"


def test_boot_links_of_a_service_and_of_no_other() -> None:
    assert readings.boot_links(LINKS, "nfs-common") == ["/etc/rcS.d/S03nfs-common", "/etc/rc0.d/K01nfs-common"]
    assert readings.boot_links(LINKS, "nfs") == []


def test_daemons_and_kernel_threads_of_nfs() -> None:
    assert readings.daemons_of_nfs("init\nrpcbind\nrpc.statd\nnfsd\nnfsd\nlockd\nnfsiod\n") == ["lockd", "nfsd", "rpc.statd"]
    assert readings.daemons_of_nfs("init\nrpcbind\nrpciod\nnfsiod\n") == []


def test_plugs_of_the_fence_agent() -> None:
    assert readings.plugs("1,pete,on\n2,,on\n5,mclaws,OFF\n") == {"1": ("pete", "on"), "2": ("", "on"), "5": ("mclaws", "off")}


SCREEN = """\
DEBUG: received: Internet Power Switch v1.41h    Site ID: (undefined)
DEBUG: received: Plug | Name             | Password    | Status | Boot/Seq. Delay | Default |
DEBUG: received: -----+------------------+-------------+--------+-----------------+---------+
""" + "".join(
    f"DEBUG: received:  {plug}   | (undefined)      | (undefined) |   ON   |     0.5 Secs    |   ON    |\n" for plug in range(1, 9)
) + """\
DEBUG: received: "/H" for help.
DEBUG: received: IPS>
"""


def test_the_document_s_screen() -> None:
    assert readings.screen(SCREEN).complete


@pytest.mark.parametrize("part", ["v1.41h", "Boot/Seq. Delay", '"/H" for help.', "IPS>", "-----+-----", "  8   |"])
def test_a_screen_that_lacks_something(part: str) -> None:
    assert not readings.screen(SCREEN.replace(part, "")).complete


def test_one_uuid() -> None:
    assert readings.one_uuid(["ab\n", "ab\n"]) == "ab"
    for answers in (["ab", "cd"], ["", ""], []):
        with pytest.raises(ReadingError):
            readings.one_uuid(answers)


# --- the files -----------------------------------------------------------------------------------------------


def test_haresources_of_the_document() -> None:
    (group,) = haresources.parse(files.HARESOURCES, NODES).value or ()
    names = [resource.type for resource in group.resources]
    assert group.home == "pete"
    assert names == ["IPaddr", "Filesystem", "killnfsd", "nfs-common", "nfs-kernel-server"]
    assert {resource.kind for resource in group.resources} == {ResourceKind.SCRIPT}


def test_the_blank_after_the_backslash_stands_where_the_story_says() -> None:
    (problem,) = haresources.parse(files.BLANK_AFTER_BACKSLASH, NODES).problems
    assert (problem.line, problem.column) == (files.BLANK_LINE, files.BLANK_COLUMN)


def test_the_recommended_group_has_the_address_last() -> None:
    (group,) = haresources.parse(files.RECOMMENDED, NODES).value or ()
    assert [resource.type for resource in group.resources] == ["Filesystem", "nfsserver", "exportfs", "IPaddr"]


def test_the_variant_without_a_serial_cable_differs_in_its_link_only() -> None:
    lines = files.WITHOUT_SERIAL.split("\n")
    assert lines[files.UCAST_LINE - 1] == "ucast eth1"
    assert [line for line in files.HA_CF.split("\n") if line not in lines] == ["baud 9600", "serial /dev/ttyS0"]


# --- the witness ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    t_ms: float
    kind: str = "write"


def test_a_clean_handover() -> None:
    verdict = proofs.handover([Frame(1), Frame(5)], [Frame(2, "read"), Frame(9)], NODES)
    assert verdict.trouble == "" and verdict.gap_ms == 4


def test_a_write_of_the_old_node_after_the_first_of_the_new_one() -> None:
    assert "after the first of mclaws" in proofs.handover([Frame(1), Frame(9.5)], [Frame(9)], NODES).trouble


@pytest.mark.parametrize(("giver", "taker"), [([], [Frame(1)]), ([Frame(1)], []), ([Frame(1)], [Frame(2, "read")])])
def test_no_writes_prove_nothing(giver: list[Frame], taker: list[Frame]) -> None:
    assert "nothing is proved" in proofs.handover(giver, taker, NODES).trouble


def test_a_frame_of_any_kind_from_a_node_that_is_off() -> None:
    assert proofs.silent([Frame(1), Frame(20)], 2, 20, "pete") == ""
    assert "pete" in proofs.silent([Frame(1), Frame(3, "read")], 2, 20, "pete")


def test_who_wrote_in_turn() -> None:
    pete, mclaws = [Frame(1), Frame(2), Frame(9)], [Frame(4), Frame(3), Frame(8, "read")]
    assert proofs.turns({"pete": pete, "mclaws": mclaws}) == ["pete", "mclaws", "pete"]


# --- what is played ------------------------------------------------------------------------------------------


def test_the_turns_of_the_whole_story() -> None:
    one = ["pete", "mclaws", "pete", "mclaws"]
    assert Choice().turns() == one + one
    assert Choice().active_at_the_end() == "mclaws"


def test_the_turns_of_a_part_of_it() -> None:
    assert Choice(scenes=(POWER_CUT,), rounds=(RECOMMENDED,)).turns() == ["pete", "mclaws"]
    assert Choice(scenes=(MOVE,)).turns() == ["pete", "mclaws", "pete", "mclaws", "pete"]
    assert not Choice(scenes=(MOVE,)).whole
