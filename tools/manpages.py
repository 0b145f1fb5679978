#!/usr/bin/python3 -I
"""Write the manual pages of the resource agents into a directory: tools/manpages.py DIRECTORY.

The date in them is SOURCE_DATE_EPOCH, which Debian's packaging sets; without it there is none, so that the same
source makes the same pages.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))

from failover_kit.agents.haresources import agents
from failover_kit.ocf.manpage import page, page_name


def main(directory: str) -> None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""
    for agent in agents():
        with open(f"{directory}/{page_name(agent)}.7", "w", encoding="ascii") as file:
            file.write(page(agent, date))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tools/manpages.py DIRECTORY")
    main(sys.argv[1])
