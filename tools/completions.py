#!/usr/bin/python3 -I
"""Write the commands' completion for bash into a directory, a file for each: tools/completions.py DIRECTORY."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))

from failover_kit.cli import completion, failoverctl, failoverd


def main(directory: str) -> None:
    scripts = {
        "failoverctl": completion.of_parser(failoverctl.build_parser()),
        "failoverd": completion.of_parser(failoverd.parser()),
        "fence_wti_ips800": completion.of_fence_agent("fence_wti_ips800"),
    }
    for name, script in scripts.items():
        with open(f"{directory}/{name}", "w", encoding="ascii") as file:
            file.write(script)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tools/completions.py DIRECTORY")
    main(sys.argv[1])
