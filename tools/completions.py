#!/usr/bin/python3 -I
"""Write the commands' completion, a file for each: for bash, and for zsh when a second directory is given.

    tools/completions.py DIRECTORY [ZSH_DIRECTORY]
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))

from failover_kit.cli import completion, failoverctl, failoverd, zshcompletion

AGENT = "fence_wti_ips800"


def main(bash: str, zsh: str = "") -> None:
    scripts = {f"{bash}/{AGENT}": completion.of_fence_agent(AGENT)}
    if zsh:
        scripts[f"{zsh}/_{AGENT}"] = zshcompletion.of_fence_agent(AGENT)
    for parser in (failoverctl.build_parser(), failoverd.parser()):
        scripts[f"{bash}/{parser.prog}"] = completion.of_parser(parser)
        if zsh:
            scripts[f"{zsh}/_{parser.prog}"] = zshcompletion.of_parser(parser)
    for path, script in scripts.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(script)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: tools/completions.py DIRECTORY [ZSH_DIRECTORY]")
    main(*sys.argv[1:])
