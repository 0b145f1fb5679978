"""docs/howto/the-switch.md: its commands run as they stand there, and print what the page says they print."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from switch.network import namespace

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "howto" / "the-switch.md").read_text()
STONITH = "/usr/sbin/stonith"
DEVICE, PASSWORD_FILE, ADDRESS = "/dev/ttyS0", "/etc/ha.d/benjamin.password", "192.0.2.219"


def examples() -> list[tuple[str, str]]:
    """(command, what the page prints of it), in order."""
    found = re.findall(r"^ {4}(failoverctl switch (?:setup|show) .*)\n\n((?: {6}.*\n|\n)+)", PAGE, re.MULTILINE)
    return [(command, re.sub(r"^ {4}", "", output, flags=re.MULTILINE).strip("\n")) for command, output in found]


@pytest.mark.root
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("THE-PASSWORD\n")
    secret.chmod(0o600)
    assert len(examples()) == 4
    with (
        namespace(ADDRESS) as enter,
        EmulatorProcess(str(tmp_path), outlets={}, serial=True, address=ADDRESS, port=23, prefix=enter) as switch,
    ):

        def run(command: str) -> str:
            words = command.replace(DEVICE, switch.serial_path).replace(PASSWORD_FILE, str(secret)).split()
            program = {"failoverctl": "bin/failoverctl", "fence_wti_ips800": "stonith/fence_wti_ips800"}[words[0]]
            done = subprocess.run(
                [*enter, str(TOP / program), *words[1:]],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout.replace(switch.serial_path, DEVICE)

        for command, output in examples():
            printed = [line.rstrip() for line in run(command).strip("\n").splitlines()]
            assert printed == output.splitlines(), command
            if "--dry-run" in command:
                run(command.replace(" --dry-run", ""))  # "then the same without"
        agent = re.search(r"^ {4}(fence_wti_ips800 .* list-status)$", PAGE, re.MULTILINE)
        assert agent is not None
        assert "5,mclaws,on" in run(agent[1])
        if Path(STONITH).exists():  # and somebody else's client finds the machines by these names and this password
            # cluster-glue's; the password in its arguments is its way, not ours
            words = [STONITH, "-t", "wti_nps", "-p", f"{ADDRESS} THE-PASSWORD", "-l"]
            listed = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=120, check=False)
            assert (listed.returncode, listed.stdout.split()) == (0, ["pete", "mclaws"]), listed.stderr
