"""`failoverd --check` does the sum that decides how long clients wait."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from failover_kit.manager import configfiles
from failover_kit.manager.advice import meaning

FILES = {
    "ha.cf": "node pete mclaws\nkeepalive 1\ndeadtime 10\nucast eth1 192.0.2.1\nucast eth1 192.0.2.2\n"
    "fence_device benjamin fence_wti_ips800 ip=192.0.2.9 password_file=/x\n",
    "haresources": "pete IPaddr::192.0.2.220/24/eth0\n",
    "authkeys": "auth 1\n1 sha256 0123456789abcdef0123456789abcdef\n",
}


@pytest.mark.parametrize(("node", "seconds"), [("pete", 26), ("mclaws", 42)])
def test_the_wait_before_fencing_is_deadtime_and_the_turns_of_rule_10(
    tmp_path: Path, node: str, seconds: int
) -> None:
    """The home node of the first group waits fence_delay (10 + 1 + 5 s), the other twice that."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    loaded = configfiles.load(str(tmp_path))
    lines = "\n".join(meaning(loaded.config, node, loaded.config.links))
    assert re.search(rf"begins here after {seconds} s: deadtime 10 s, then {seconds - 10} s", lines)
