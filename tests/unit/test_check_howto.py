"""The HOWTO's own files: what a check would have told its authors."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from check_world import World
from failover_kit.check import examine
from failover_kit.check.findings import Severity
from failover_kit.cli.checkscreen import render
from failover_kit.cli.screen import Style
from picture_worlds import howto_world

FILES = Path(__file__).parents[1] / "data" / "howto-files" / "etc"
REAL = {Severity.ERROR, Severity.WARNING}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """pete, as far as the HOWTO takes him before its step "remove the boot links"."""
    return howto_world(tmp_path)


def test_at_least_five_real_faults_of_the_files(world: World) -> None:
    """Of the files alone: what this node lacks beside them is not counted."""
    in_files = ("ha.cf", "haresources", "authkeys", "/etc/exports")
    real = {f.id: f.place for f in world.findings() if f.severity in REAL and f.place.startswith(in_files)}
    assert real == {
        "address-first": "haresources:2:3",  # the address before disk and NFS
        "one-medium": "ha.cf:6",
        "example-password": "ha.cf:8",
        "password-readable": "ha.cf:8",
        "fence-address-dns": "ha.cf:8",
        "key-short": "authkeys:2",
        "export-no-fsid": "/etc/exports:2",
    }
    assert len(real) >= 5


def test_the_boot_links_it_removes_are_found_until_they_are(world: World) -> None:
    def places() -> list[str]:
        return [f.place for f in world.findings() if f.id == "boot-enabled"]

    assert places() == ["/etc/rc2.d/S20nfs-common", "/etc/rc2.d/S20nfs-kernel-server"]
    for script in ("nfs-common", "nfs-kernel-server"):
        world.remove(f"/etc/rc2.d/S20{script}")
    assert places() == []
    world.link("/etc/rc2.d/S20nfs-common", "../init.d/nfs-common")  # a package update brought it back
    assert places() == ["/etc/rc2.d/S20nfs-common"]


def test_the_right_order_of_resources_is_written_out(world: World) -> None:
    fix = next(f.fix for f in world.findings() if f.id == "address-first")
    assert fix == (
        "write: pete Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs killnfsd nfs-common nfs-kernel-server "
        "IPaddr::205.185.197.220"
    )


def test_its_questions_about_the_switch_are_asked(world: World) -> None:
    advice = {f.id for f in world.findings() if f.severity is Severity.ADVICE}
    assert {"fence-by-name", "circuits"} <= advice


def test_the_variant_without_a_cable_lacks_an_address(world: World) -> None:
    """``ucast eth1``: derived where that is beyond doubt, an error with the line to write where not."""
    shutil.copy(FILES / "ha.d" / "ha.cf.without-serial-cable", world.root / "etc/ha.d/ha.cf")
    found = next(f for f in world.findings() if f.id == "ucast-no-address")
    assert found.severity is Severity.WARNING
    assert found.fix == "write: ucast eth1 192.168.1.2"
    world.probes.interfaces["eth1"] = ("192.168.1.1/24",)
    found = next(f for f in world.findings() if f.id == "ucast-no-address")
    assert found.severity is Severity.ERROR
    assert "write ucast eth1 ADDRESS" in found.fix


def page_of(world: World) -> str:
    """What docs/check-howto.md shows: the findings on pete, as on a terminal of 80 columns."""
    subject = world.subject()
    found = examine.compared(subject, examine.own_facts(subject), None)
    return render("pete", found, Style(width=80))


def test_the_page_shows_what_is_found(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "check-howto.md").read_text()
    block = textwrap.indent(page_of(world), "    ", lambda line: bool(line.strip()))
    assert block in page, f"docs/check-howto.md should show:\n{block}"
