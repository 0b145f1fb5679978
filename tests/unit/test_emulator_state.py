"""What the device remembers over a restart, and that it never forgets silently."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator_bench import Bench
from failover_kit.emulator import state
from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.main import main
from failover_kit.emulator.server import OutletConfig
from failover_kit.emulator.state import StateError
from failover_kit.emulator.variants import NPS


def test_everything_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    bench = Bench("changeme", p1="pete")
    outlet = bench.device.outlet(1)
    outlet.on, outlet.default_on, outlet.delay_ms, outlet.password = False, False, 5_000, "own"
    settings = bench.device.unit.settings
    settings.site_id, settings.address, settings.mask_addresses[0] = "room 2", "10.0.0.5", "255.255.255.255"
    state.save(path, bench.device.unit)
    other = Bench()
    assert state.load(path, other.device.unit)
    assert other.device.outlet(1) == outlet
    assert other.device.unit.settings == settings


def test_the_file_is_for_its_owner_only_and_no_half_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("an old one")
    path.chmod(0o644)
    state.save(str(path), Bench("changeme").device.unit)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state"]


def test_no_file_is_a_device_fresh_from_the_factory(tmp_path: Path) -> None:
    assert not state.load(str(tmp_path / "state"), Bench().device.unit)


def spoiled(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> str:
    path = tmp_path / "state"
    state.save(str(path), Bench("changeme").device.unit)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c.update(format=2), '"format": 1'),
        (lambda c: c.update(variant="nps"), "of the variant 'nps'"),
        (lambda c: c.pop("settings"), "settings does not have exactly the entries"),
        (lambda c: c["settings"].pop("echo"), "settings does not have exactly the entries"),
        (lambda c: c["settings"].update(echo=1), "echo of settings has the wrong type"),
        (lambda c: c["settings"].update(password=5), "password of settings has the wrong type"),
        (lambda c: c["settings"].update(idle_timeout_ms=0), "idle_timeout_ms of settings"),
        (lambda c: c["settings"].update(mask_addresses=[]), "mask_addresses of settings"),
        (lambda c: c["plugs"].pop("8"), "exactly the plugs 1 to 8"),
        (lambda c: c["plugs"]["3"].update(on="yes"), "on of plug 3 has the wrong type"),
        (lambda c: c["plugs"]["3"].update(name="9lives"), "name of plug 3"),
        (lambda c: c["plugs"]["3"].update(delay_ms=-1), "delay_ms of plug 3"),
    ],
)
def test_a_file_that_does_not_fit_is_an_error_and_nothing_is_taken_from_it(
    change: Callable[[dict[str, Any]], object], why: str, tmp_path: Path
) -> None:
    path = spoiled(change, tmp_path)
    before = Path(path).read_bytes()
    bench = Bench()
    with pytest.raises(StateError, match="move it away") as caught:
        state.load(path, bench.device.unit)
    assert why in str(caught.value)
    assert bench.device.unit.settings.password is None
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"{" * 2_000_000])
def test_a_file_that_is_no_state_file_at_all_ends_the_program_with_3(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    assert main(["--state", str(path), "--listen", "127.0.0.1:0"]) == 3
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"wti-emulator: {path}: not a state file that can be used")
    assert complaint.count("\n") == 1
    assert path.read_bytes() == content


def test_an_nps_does_not_take_the_file_of_an_ips(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    state.save(path, Bench().device.unit)
    with pytest.raises(StateError, match="of the variant 'ips', not 'nps'"):
        state.load(path, Bench(variant=NPS).device.unit)


def talk(switch: EmulatorProcess, *lines: str) -> bytes:
    """Type ``lines``, each once the device has asked for one, and leave if it still can be left."""
    with socket.create_connection((switch.address, switch.port), timeout=30) as client:
        said = b""
        for line in ("", *lines, "/x,y"):
            client.sendall(line.encode() + b"\r" if line else b"")
            while not said.endswith((b"> ", b": ")):
                part = client.recv(4096)
                if not part:
                    return said
                said += part
            said += b"\n"
    return said


def test_a_restarted_switch_has_its_password_names_and_relays_and_moves_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    outlets = {1: OutletConfig("pete", delay_ms=0)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, state=path) as switch:
        talk(switch, "/off 1,y", "/g", "1", "changeme", "/p5", "1", "mclaws", "/e")
        assert switch.outlet_state(1) == "off"
    with EmulatorProcess(str(tmp_path), outlets=outlets, state=path) as switch:
        assert switch.outlet_state(1) == "off"
        assert b"Invalid password" in talk(switch, "wrong", "wrong", "wrong")
        assert b"mclaws" in talk(switch, "changeme")
        assert len(switch.events("switched")) == 1


def test_at_power_up_every_plug_goes_to_its_default(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    outlets = {n: OutletConfig(delay_ms=0) for n in range(1, 9)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, state=path) as switch:
        talk(switch, "/off 1,y", "/p 2", "4", "2", "/e")
    with EmulatorProcess(str(tmp_path), outlets=outlets, state=path, extra=["--power-up"]) as switch:
        while switch.view()["busy"]:
            pass
        assert [switch.outlet_state(number) for number in (1, 2, 3)] == ["on", "off", "on"]


def test_a_disk_that_does_not_take_the_state_is_reported_and_the_switch_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    path, outlets = str(place / "state"), {1: OutletConfig(delay_ms=0)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, state=path) as switch:
        (place / "state").unlink()
        place.rmdir()
        switch.press(1, "off")
        assert switch.outlet_state(1) == "off"
        assert switch.events("not_saved")
    assert "not saved" in Path(switch.stderr_path).read_text()


def test_a_place_where_nothing_can_be_written_is_found_out_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no" / "where"
    assert main(["--state", str(path), "--listen", "127.0.0.1:0"]) == 3
    assert f"{path}: No such file or directory; name a file in a directory" in capsys.readouterr().err
