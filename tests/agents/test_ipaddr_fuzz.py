"""IPaddr with parameters nobody would write: documented exit codes, one reason, no traceback; nothing left."""

import os

import pytest

from agents.agent_worlds import ROOT, sh

pytestmark = pytest.mark.root
SEED = int(os.environ.get("FUZZ_SEED", "20261126"))
ROUNDS = 400

# Runs inside a node: every call is one action, as the launcher would make it.
PROGRAM = """
import contextlib, io, os, random, sys
sys.path.insert(0, sys.argv[1])
from failover_kit.agents.ipaddr import AGENT
from failover_kit.ocf import codes
from failover_kit.ocf.runner import main

rng = random.Random(int(sys.argv[2]))
ODD = ["", " ", "0", "-1", "yes", "no", "forever", "ü", "%s", "a b", "/", ":", "..", "1e3", "\\\\040", "x" * 300,
       "\\udcff", "999999999999999999999", "eth0:", ":web", "eth0:a:b", "10.77.0.9/24", "::", "2001:db8::9%eth0",
       "nil\\n"]
USUAL = {
    "ip": ["10.77.0.9", "10.77.0.77", "2001:db8:77::9", "fe80::9", "127.0.0.9", "203.0.113.9"],
    "nic": ["", "eth0", "eth0:web", "eth9", "lo", "mv1"],
    "cidr_netmask": ["", "24", "255.255.255.0", "64", "32", "128"],
    "broadcast": ["", "+", "-", "10.77.0.255"],
    "iflabel": ["", "web", "much-too-long"],
    "link_status": ["", "fail", "degraded", "ignore"],
    "preferred_lft": ["", "0", "forever", "60"],
    "network_namespace": ["", "", "", "no-such"],
}
ALLOWED = {"start": {0, 1, 5, 6}, "stop": {0}, "monitor": {0, 1, 7, 190}, "validate-all": {0, 1, 5, 6},
           "reload-agent": {0, 1, 6, 7}}

def text(name):
    usual = USUAL.get(name, ["", "yes", "no", "0", "1"])
    return rng.choice(usual if rng.random() < 0.85 else ODD)

for number in range(int(sys.argv[3])):
    verb = rng.choice(list(ALLOWED))
    names = [parameter.name for parameter in AGENT.parameters if parameter.name == "ip" or rng.random() < 0.4]
    environ = {f"OCF_RESKEY_{name}": text(name) for name in names}
    environ |= {"OCF_RESKEY_CRM_meta_timeout": "300", "OCF_RESKEY_nodad": "yes", "HA_RSCTMP": sys.argv[4]}
    environ["OCF_CHECK_LEVEL"] = rng.choice(["0", "10"])
    environ["OCF_RESKEY_CRM_meta_interval"] = rng.choice(["0", "10000"])
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(AGENT, ["IPaddr", verb], environ)
    reasons = [line for line in said.getvalue().splitlines() if line.startswith("ocf-exit-reason:")]
    story = f"round {number}: {verb} {environ} gave {code}: {said.getvalue()}"
    assert code in ALLOWED[verb], story
    assert "Traceback" not in story and "this is a bug" not in story, story
    assert len(reasons) == (code in (1, 5, 6)), story
"""


def test_no_parameters_are_too_strange(network, tmp_path):
    network.ip("a", "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
    network.ip("a", "-6", "addr", "add", "2001:db8:77::1/64", "dev", "eth0", "nodad")
    argv = ("-IS", "-X", "utf8", "-c", PROGRAM, ROOT / "lib", SEED, ROUNDS, tmp_path)
    done = sh("ip", "netns", "exec", network.ns("a"), "/usr/bin/python3", *argv, check=False, timeout=300)
    assert done.returncode == 0, f"FUZZ_SEED={SEED}: {done.stderr[-3000:]}"
