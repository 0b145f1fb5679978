#!/usr/bin/python3 -I
"""Write the manual pages into man1, man8 (commands), man5 (files) and man7 (agents): tools/manpages.py DIRECTORY.

The date in them is SOURCE_DATE_EPOCH, which Debian's packaging sets; without it there is none, so that the same
source makes the same pages.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(sys.path[0], "..", "lib"))

import emulator_page

from failover_kit.agents.haresources import agents
from failover_kit.cli import filemanuals, manuals
from failover_kit.ocf.manpage import page, page_name
from failover_kit.rehearsal import manuals as rehearsed
from failover_kit.stonith import arguments as stonith


def main(directory: str) -> None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""
    texts = {f"man7/{page_name(agent)}.7": page(agent, date) for agent in agents()}
    texts |= {f"man8/{name}.8": text for name, text in manuals.pages(date).items()}
    texts |= {f"man1/{name}.1": text for name, text in (emulator_page.pages(date) | rehearsed.pages(date)).items()}
    options = [(option.spelling, option.text) for option in stonith.OPTIONS]
    texts |= {f"man{name[-1]}/{name}": text for name, text in filemanuals.pages(date, options).items()}
    for name, text in texts.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tools/manpages.py DIRECTORY")
    main(sys.argv[1])
