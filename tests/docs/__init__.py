"""The documents held to the programs: links, commands, files, configuration, and a runbook for each alarm."""

import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
