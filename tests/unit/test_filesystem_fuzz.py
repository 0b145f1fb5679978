"""Filesystem in any environment: a documented exit code, at most one reason of one line, never a traceback."""

import contextlib
import io
import random

import pytest

from failover_kit.agents.filesystem import AGENT
from failover_kit.ocf.runner import REASON_PREFIX, main

SEED = 20261126
ROUNDS = 3000
PIECES = (
    "/", "dev", "sda", "nas:", "//", "[", "]", "::1", "UUID=", "LABEL=", "-U ", "a b", "\n", "\udcfe", "%s", "..",
    ".", "bind", "ro", "rw", ",", "x-", "yes", "no", "safe", "TERM", "9", "-1", "\t", "é", "\u202e", "none", "nfs",
    "xfs", "1e9", "_", "\\012", "'", '"',
)  # fmt: skip
DEVICES = ("/dev/fkra", "nas:/x", "//n/s", "LABEL=fkra\n9", "/srv", "UUID=00000000-0000-4000-8000-000000000000")
CODES = {"monitor": {1, 7}, "validate-all": {0, 6}, "reload-agent": {1, 6}}


def environment(chance, state):
    names = [parameter.name for parameter in AGENT.parameters] + ["CRM_meta_clone", "CRM_meta_interval"]
    device, directory = chance.choice(DEVICES) + chance.choice(PIECES), f"/fkra{chance.choice(PIECES)}x"
    reskeys = {"device": device, "directory": directory, "CRM_meta_interval": chance.choice(("0", "10000"))}
    share = chance.choice((0.05, 0.5))
    for name in names:
        if chance.random() < share:
            reskeys[name] = "".join(chance.choice(PIECES) for _ in range(chance.randint(0, 5)))
    logfile = {"HA_LOGFILE": f"{state}/log"} if chance.random() < 0.5 else {}
    return {
        "HA_RSCTMP": f"{state}/state",
        "OCF_RESKEY_CRM_meta_timeout": "2000",
        **logfile,
        **{f"OCF_RESKEY_{name}": value for name, value in reskeys.items()},
    }


@pytest.mark.parametrize("verb", sorted(CODES))
def test_any_environment(tmp_path, verb):
    chance = random.Random(SEED)
    seen = set()
    for _ in range(ROUNDS):
        environ = environment(chance, tmp_path)
        stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        with contextlib.redirect_stderr(stderr):
            code = main(AGENT, ["Filesystem", verb], environ)
        stderr.flush()
        text = stderr.buffer.getvalue().decode()
        assert code in CODES[verb], (environ, text)
        assert "Traceback" not in text, (environ, text)
        assert sum(line.startswith(REASON_PREFIX) for line in text.splitlines()) <= 1, (environ, text)
        seen.add(code)
    assert seen == CODES[verb], "the dice reach every answer"
