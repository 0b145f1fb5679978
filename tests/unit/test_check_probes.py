"""The questions a check asks of the machine it runs on: each has an answer, whatever the machine is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.check.probes import Probes

UUID = "0a1b2c3d-4e5f-4061-8273-8495a6b7c8d9"


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A loop device with an XFS of a known UUID."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", f"uuid={UUID}", "-L", "fk-check", image], check=True)
    made = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.root
def test_a_disk_is_read_by_its_path_and_by_its_uuid(loop: str) -> None:
    for spec in (loop, f"UUID={UUID}"):
        disk = Probes().disk(spec)
        assert (disk.problem, disk.fstype, disk.uuid, disk.label, disk.bytes) == (
            "",
            "xfs",
            UUID,
            "fk-check",
            320 << 20,
        )


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ("/dev/etherd/e9.9", True),
        ("UUID=00000000-0000-4000-8000-00000000dead", True),
        ("/dev/null", False),
        ("tmpfs", False),
    ],
)
def test_what_is_no_disk_says_why(spec: str, missing: bool) -> None:
    disk = Probes().disk(spec)
    assert disk.problem
    assert disk.missing is missing
    assert disk.uuid == ""


def test_the_machine_answers(tmp_path: Path) -> None:
    probes = Probes()
    assert probes.node() == os.uname().nodename.lower()
    assert probes.clock_synchronised() in (True, False, None)
    assert any(address.startswith("127.") or address == "::1" for address in probes.addresses_of("localhost"))
    assert probes.addresses_of("no-such-host.invalid") == ()
    assert probes.addresses_of("-h") == ()
    assert "lo" in probes.networks()
    assert any(mount.point == "/" for mount in probes.mounts())
    assert probes.entries(str(tmp_path)) == 0
    (tmp_path / "file").touch()
    assert probes.entries(str(tmp_path)) == 1
    assert probes.entries(str(tmp_path / "none")) == -1
    assert probes.free_bytes(str(tmp_path)) is not None
    assert probes.free_bytes(str(tmp_path / "none")) is None
