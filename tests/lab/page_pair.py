"""Two guests as docs/howto/a-real-pair.md has them before a manager is chosen: links, disk, switch, three files.

The page's files get two changes that the lab asks for: the front network is eth2 there, and where the guests
are slow the times are longer.
"""

from __future__ import annotations

import pathlib
import re

from lab.systemd_pair import PASSWORD, Pair

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "howto" / "a-real-pair.md"
DEADTIME = "    deadtime 10\n    initdead 60\n"
DEADTIME_S, INITDEAD_S = 10, 60
OP_TIMEOUT_S = 60
"""What ha.cf without the word means."""
MOST_SLOW = 10


def howto_files(pace: int = 1) -> dict[str, str]:
    """ha.cf and haresources of the page, for the lab. AssertionError when the page is another than thought."""
    text = PAGE.read_text(encoding="utf-8")
    assert DEADTIME in text and "/24/eth0\n" in text, f"{PAGE}: its files have changed; look at this module"
    if pace > 1:
        times = f"    deadtime {DEADTIME_S * pace}\n    initdead {INITDEAD_S * pace}\n"
        text = text.replace(DEADTIME, f"{times}    op_timeout {OP_TIMEOUT_S * pace}\n")
    text = text.replace("/24/eth0\n", "/24/eth2\n")
    found = {}
    for name, first in (("ha.cf", "node pete mclaws\n"), ("haresources", "pete Filesystem::")):
        block = re.search(rf"^    {first}(?:.*\n)*?(?=^\S)", text, re.MULTILINE)
        assert block is not None, f"{PAGE} has no {name}"
        found[name] = re.sub(r"^ {4}", "", block[0], flags=re.MULTILINE).rstrip("\n") + "\n"
    return found


class PagePair(Pair):
    """The nodes with the files of the page; nothing is started."""

    method = "sha256"
    """Of authkeys."""

    def prepare(self) -> None:
        """Links, disk, switch, and the three files of the HOWTO in /etc/ha.d; nothing is started."""
        self.lab.boot(timeout_s=900)
        self.lab.panel.join("pete", "mclaws")
        for node in self.nodes:
            self._prepare_links(node)
            node.sh("mkdir -p -m 700 /etc/ha.d\n")
        self._prepare_switch()
        self._prepare_disk()
        self._measure()
        for node in self.nodes:
            for name, text in self.files(min(self.pace, MOST_SLOW)).items():
                node.put(f"/etc/ha.d/{name}", text)
            node.put("/etc/ha.d/authkeys", f"auth 1\n1 {self.method} of-the-lab-and-nobody-else\n", 0o600)
            node.put("/etc/ha.d/benjamin.password", PASSWORD, 0o600)

    def files(self, pace: int) -> dict[str, str]:
        """ha.cf and haresources; ``pace``: how many times slower than a real machine the guests are."""
        return howto_files(pace)
