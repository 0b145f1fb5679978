"""The lab's machinery with virtual machines: each promise of ``lab.lab`` that a story relies on.

The first tests share one lab with three guests, in order; each leaves all guests running and all cables in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lab import plan
from lab.errors import GuestError, LabError
from lab.guest import Guest
from lab.lab import Lab
from lab.parts import Panel

PATIENCE_S = 300.0
"""Two processors, shared with whatever else this machine does."""

SERIAL = "/dev/ttyS0"
LISTEN = """
import os, sys, termios, tty
fd = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
tty.setraw(fd)
termios.tcflush(fd, termios.TCIOFLUSH)
open("/tmp/listening", "w").close()
while True:
    data = os.read(fd, 4096)
    with open("/tmp/heard", "ab") as file:
        file.write(data)
"""


@pytest.fixture(scope="module")
def lab(lab_dir: str) -> Iterator[Lab]:
    with Lab.open(lab_dir, image="sysv") as made:
        made.boot(timeout_s=PATIENCE_S)
        yield made


def until(what: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait for something in a guest or at the keeper."""
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, f"not within {limit_s:g} s"
        time.sleep(0.1)


def see_disk(guest: Guest) -> None:
    def seen() -> bool:
        guest.run(["aoe-discover"])
        return guest.run(["test", "-b", plan.SHELF_DEVICE], check=False).code == 0

    until(seen, PATIENCE_S)


# --- three guests -----------------------------------------------------------------------------------------


def test_each_guest_is_itself_with_its_cards(lab: Lab) -> None:
    for name, guest in lab.guests.items():
        assert guest.run(["uname", "-n"]).stdout == f"{name}\n"
        for nic in guest.plan.nics:
            assert guest.get(f"/sys/class/net/{nic.name}/address").decode().strip() == nic.mac
        assert guest.run(["hostname"]).code == 0
    assert b" noatime" in lab.pete.get("/proc/mounts") or b"ext4" in lab.pete.get("/proc/mounts")


def test_words_outputs_codes_and_files_arrive_exactly(lab: Lab) -> None:
    words = ["a b", "$HOME", "it's", "*", "", "-n", "\\", "é"]
    found = lab.pete.run(["sh", "-c", 'printf "%s|" "$@"; echo oops >&2; exit 7', "sh", *words], check=False)
    assert (found.code, found.stdout, found.stderr) == (7, "|".join(words) + "|", "oops\n")
    with pytest.raises(GuestError, match="exited 7") as caught:
        lab.pete.sh("exit 7")
    assert caught.value.code == 7
    assert lab.pete.run(["sh", "-c", "exit 255"], check=False).code == 255
    data = bytes(range(256)) * 1000
    lab.pete.put("/root/some file", data, 0o640)
    assert lab.pete.get("/root/some file") == data
    assert lab.pete.run(["stat", "-c", "%a", "/root/some file"]).stdout == "640\n"
    assert lab.pete.run(["cat"], input=data[:1000]).stdout.encode("utf-8", "surrogateescape")


def test_a_late_command_ends_on_time_and_the_next_one_works(lab: Lab) -> None:
    began = time.monotonic()
    with pytest.raises(GuestError, match=r"pete did not end 'sleep 30' within 1 s(?s:.*)LAB-READY"):
        lab.pete.run(["sleep", "30"], timeout_s=1)
    assert time.monotonic() - began < 28
    assert lab.pete.run(["true"]).code == 0


def test_nodes_do_not_hear_each_other_on_the_lab_s_own_network(lab: Lab) -> None:
    assert lab.pete.run(["ping", "-c1", "-W2", "10.9.0.2"], check=False).code != 0
    until(lambda: lab.pete.run(["ping", "-c1", "-W5", "mclaws"], check=False).code == 0)
    until(lambda: lab.kokone.run(["ping", "-c1", "-W5", "benjamin"], check=False).code == 0)


def test_there_is_no_way_out(lab: Lab) -> None:
    """No route beyond the lab's own networks, and the keeper's side does not forward either."""
    for guest in lab.guests.values():
        assert "default" not in guest.run(["ip", "route"]).stdout
    assert lab.kokone.run(["ping", "-c1", "-W2", "198.51.100.1"], check=False).code != 0


def test_both_nodes_see_the_shelf_s_disk(lab: Lab) -> None:
    for guest in (lab.pete, lab.mclaws):
        see_disk(guest)
    lab.pete.sh(f"echo hello there | dd of={plan.SHELF_DEVICE} bs=512 count=1 conv=sync,fsync 2>&1")
    read = f"dd if={plan.SHELF_DEVICE} bs=512 count=1 iflag=direct 2>/dev/null | head -c 11"
    assert lab.mclaws.sh(read).stdout == "hello there"
    with open(lab.shelf.path, "rb") as disk:
        assert disk.read(11) == b"hello there"


def test_the_witness_knows_who_read_and_who_wrote(lab: Lab) -> None:
    for guest in (lab.pete, lab.mclaws):
        see_disk(guest)
    begin = lab.shelf.mark()
    device = plan.SHELF_DEVICE
    lab.pete.sh(f"dd if=/dev/zero of={device} bs=64k seek=16 count=4 oflag=direct 2>&1")
    between = lab.shelf.mark()
    lab.mclaws.sh(f"dd if={device} of=/dev/null bs=64k skip=32 count=4 iflag=direct 2>&1")
    wrote = [frame for frame in lab.shelf.frames(mac_of="pete", since_ms=begin) if frame.kind == "write"]
    assert sum(frame.sectors for frame in wrote) >= 512
    assert {frame.lba // 128 for frame in wrote} == {16, 17, 18, 19}
    assert max(frame.t_ms for frame in wrote) <= between
    read = [frame for frame in lab.shelf.frames(mac_of="mclaws", since_ms=between) if frame.kind == "read"]
    assert sum(frame.sectors for frame in read if 4096 <= frame.lba < 4608) >= 512
    assert not [frame for frame in lab.shelf.frames(mac_of="mclaws", since_ms=begin) if frame.kind == "write"]


def test_outlet_off_is_death_before_the_outlet_reads_off(lab: Lab) -> None:
    see_disk(lab.pete)
    lab.pete.spawn(["dd", "if=/dev/zero", f"of={plan.SHELF_DEVICE}", "bs=64k", "oflag=direct"], log="/tmp/dd")
    until(lambda: len(lab.shelf.frames(mac_of="pete", since_ms=lab.now_ms() - 500)) > 10)
    lab.switch.press(1, "off")
    off = lab.now_ms()
    assert lab.switch.outlet_state(1) == "off"
    assert not lab.pete.on
    ended = lab.power_events()[-1]
    assert (ended.guest, ended.what, ended.by) == ("pete", "ended", "outlet")
    assert ended.t_ms <= off
    assert lab.mclaws.run(["true"]).code == 0
    assert not lab.shelf.frames(mac_of="pete", since_ms=ended.t_ms + 1)
    with pytest.raises(GuestError, match="pete is off"):
        lab.pete.run(["true"])
    lab.boot("pete", timeout_s=PATIENCE_S)
    assert lab.switch.outlet_state(1) == "on"
    assert lab.pete.boot == 2


def test_what_was_flushed_survives_a_power_cut_and_what_was_not_may_be_lost(lab: Lab) -> None:
    lab.pete.sh("echo kept >/root/kept; sync /root/kept /root; echo lost >/root/lost")
    lab.switch.press(1, "off")
    lab.boot("pete", timeout_s=PATIENCE_S)
    assert lab.pete.get("/root/kept") == b"kept\n"
    assert lab.pete.run(["cat", "/root/lost"], check=False).stdout in ("", "lost\n")


def test_a_command_that_runs_when_the_power_goes_is_lost_at_once(lab: Lab) -> None:
    cut = threading.Timer(1.0, lab.pull_cord, ("mclaws",))
    began = time.monotonic()
    cut.start()
    with pytest.raises(GuestError, match="mclaws was lost while it ran 'sleep 60'"):
        lab.mclaws.run(["sleep", "60"], timeout_s=90)
    assert time.monotonic() - began < 55
    cut.join()
    assert lab.switch.outlet_state(5) == "on"
    lab.switch.press(5, "off")
    lab.switch.press(5, "on")
    assert not lab.mclaws.on
    lab.plug_in("mclaws")
    assert lab.mclaws.view()["on"]
    lab.mclaws.wait_ready(PATIENCE_S)
    assert [event.by for event in lab.power_events() if event.guest == "mclaws"][-2:] == ["cord", "cord"]


def test_a_cut_link_takes_the_carrier_and_every_frame_even_over_a_boot(lab: Lab) -> None:
    def carrier() -> bytes:
        return lab.pete.get("/sys/class/net/eth2/carrier")

    link = lab.link("pete", "eth2")
    link.down()
    until(lambda: carrier() == b"0\n")
    assert lab.mclaws.run(["ping", "-c1", "-W2", "pete"], check=False).code != 0
    lab.switch.press(1, "off")
    lab.boot("pete", timeout_s=PATIENCE_S)
    assert carrier() == b"0\n"
    link.up()
    until(lambda: carrier() == b"1\n")
    until(lambda: lab.mclaws.run(["ping", "-c1", "-W2", "pete"], check=False).code == 0)


def test_the_switch_has_a_network_cable_too(lab: Lab) -> None:
    link = lab.link(plan.SWITCH, "eth0")
    link.down()
    assert lab.kokone.run(["ping", "-c1", "-W2", "benjamin"], check=False).code != 0
    link.up()
    until(lambda: lab.kokone.run(["ping", "-c1", "-W2", "benjamin"], check=False).code == 0)


def listen(guest: Guest) -> None:
    guest.run(["rm", "-f", "/tmp/listening", "/tmp/heard"])
    guest.put("/tmp/listen.py", LISTEN)
    guest.spawn(["/usr/bin/python3", "-IS", "/tmp/listen.py"], log="/tmp/listen.log")
    until(lambda: guest.run(["test", "-e", "/tmp/listening"], check=False).code == 0)


def heard(guest: Guest) -> bytes:
    return guest.run(["cat", "/tmp/heard"], check=False).stdout.encode()


def stop_listening(guest: Guest) -> None:
    guest.run(["pkill", "-f", "/tmp/listen.py"])


def test_the_null_modem_carries_text_both_ways(lab: Lab) -> None:
    lab.panel.join("pete", "mclaws")
    text = "".join(f"{number} hello there\n" for number in range(50))
    for sender, receiver in ((lab.pete, lab.mclaws), (lab.mclaws, lab.pete)):
        listen(receiver)
        sender.run(["sh", "-c", f"stty -F {SERIAL} 9600 raw -echo && cat >{SERIAL}"], input=text.encode())
        until(lambda receiver=receiver: heard(receiver) == text.encode())  # type: ignore[misc]
        stop_listening(receiver)


def test_what_is_sent_over_a_cut_cable_is_lost(lab: Lab) -> None:
    lab.panel.join("pete", "mclaws")
    listen(lab.mclaws)
    lab.panel.cut()
    say(lab.pete, "lost\n")
    until(lambda: sent(lab.panel) >= 5)
    lab.panel.join("pete", "mclaws")
    say(lab.pete, "kept\n")
    until(lambda: heard(lab.mclaws) == b"kept\n")
    stop_listening(lab.mclaws)


def say(guest: Guest, text: str) -> None:
    guest.run(["sh", "-c", f"stty -F {SERIAL} 9600 raw -echo && cat >{SERIAL}"], input=text.encode())


def sent(panel: Panel) -> int:
    return panel.view()["bytes_from"]["pete"]  # type: ignore[index, no-any-return]


def test_the_switch_answers_on_the_serial_line(lab: Lab) -> None:
    lab.panel.join("pete", "switch")
    listen(lab.pete)
    say(lab.pete, "\r")
    until(lambda: b"IPS>" in heard(lab.pete))
    assert b"Internet Power Switch" in heard(lab.pete)
    stop_listening(lab.pete)
    lab.panel.join("pete", "mclaws")


def test_a_reset_of_its_own_is_a_new_boot(lab: Lab) -> None:
    boot = lab.mclaws.boot
    lab.mclaws.spawn(["sh", "-c", "sleep 1; echo b >/proc/sysrq-trigger"], log="/dev/null")
    until(lambda: lab.mclaws.boot == boot + 1)
    lab.mclaws.wait_ready(PATIENCE_S)
    last = [(event.what, event.by) for event in lab.power_events() if event.guest == "mclaws"][-2:]
    assert last == [("ended", "own reset"), ("started", "own reset")]


def test_a_guest_that_powers_itself_off_stays_off(lab: Lab) -> None:
    lab.kokone.spawn(["sh", "-c", "sleep 1; poweroff -f"], log="/dev/null")
    until(lambda: not lab.kokone.on)
    assert lab.power_events()[-1].by == "own shutdown"
    with pytest.raises(LabError, match="it ended by itself; boot it again"):
        lab.kokone.wait_ready(5)
    lab.boot("kokone", timeout_s=PATIENCE_S)


def test_a_power_cut_of_the_switch_itself_cuts_both_nodes_and_boots_them(lab: Lab) -> None:
    boots = [guest.boot for guest in (lab.pete, lab.mclaws)]
    lab.switch.power_cycle()
    assert [lab.switch.outlet_state(plug) for plug in (1, 5)] == ["on", "on"]
    for guest in (lab.pete, lab.mclaws):
        guest.wait_ready(PATIENCE_S)
    assert [guest.boot for guest in (lab.pete, lab.mclaws)] == [boot + 1 for boot in boots]


def test_a_second_lab_there_is_refused_and_the_first_goes_on(lab: Lab, lab_dir: str) -> None:
    with pytest.raises(LabError, match="a lab runs there already"):
        Lab.open(lab_dir)
    attached = Lab.attach(lab_dir)
    assert attached.pete.run(["true"]).code == 0
    attached.close()
    assert lab.pete.on
