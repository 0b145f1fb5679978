"""docs/stonith.md shows no password on a command line, and what it shows instead works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

REPOSITORY = Path(__file__).resolve().parents[2]
LEGACY = Path("/usr/sbin/fence_legacy")
PASSWORD = "open-sesame"


def test_no_page_shows_a_password_among_arguments() -> None:
    """``password=VALUE`` in an example command; on standard input, and in ha.cf with mode 0600, it may stand."""
    on_purpose = re.compile(r"^\s*printf .*\| ")  # into standard input
    for page in sorted(REPOSITORY.glob("docs/**/*.md")):
        for line in page.read_text().splitlines():
            if "-o " in line and not on_purpose.match(line):
                given = re.search(r"-o pass\w*=(\w+)", line.replace("password_file=", ""))
                assert given is None, f"{page.name}: {line.strip()}"


@pytest.mark.skipif(not LEGACY.exists(), reason="needs the package pacemaker")
def test_fence_legacy_takes_the_password_from_a_file(folder: Path) -> None:
    """As Pacemaker calls it: the parameters of the device on standard input."""
    secret = folder / "benjamin.password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    with EmulatorProcess(str(folder), outlets={1: OutletConfig("pete")}, password=PASSWORD) as switch:
        stonith = REPOSITORY / "stonith" / "stonith"
        given = [
            "plugin=wti_nps", f"stonith={stonith}", f"ipaddr={switch.address}", f"ipport={switch.port}",
            f"password_file={secret}", "action=off", "nodename=pete", "port=pete",
        ]  # fmt: skip
        done = subprocess.run(
            [str(LEGACY)], input="".join(f"{line}\n" for line in given), capture_output=True, text=True,
            check=False, timeout=120, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert switch.outlet_state(1) == "off"
        assert PASSWORD not in done.stdout + done.stderr
