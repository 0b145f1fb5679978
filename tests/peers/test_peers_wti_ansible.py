"""WTI's own Ansible modules (collection wti.remote, package ansible) operate the REST interface.

They are the only client of that interface its maker publishes. The REST interface belongs to current
units, so most of this is done with a VMR; but the emulator offers it on all variants, so each is tried.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run

ANSIBLE = shutil.which("ansible", path="/usr/bin:/bin")
COLLECTION = "/usr/lib/python3/dist-packages/ansible_collections/wti/remote/plugins/modules/cpm_plugcontrol.py"
TIMEOUT_MS = 120_000
PASSWORD = "changeme"

pytestmark = pytest.mark.skipif(
    ANSIBLE is None or not Path(COLLECTION).exists(), reason="needs the package ansible"
)


@pytest.fixture
def variant() -> str:
    return "vmr"


@pytest.fixture
def switch(variant: str, tmp_path: Path) -> Iterator[EmulatorProcess]:
    outlets = {n: OutletConfig(f"node{n}", delay_ms=0) for n in range(1, 9)}
    user = "operator" if variant == "vmr" else ""
    with EmulatorProcess(
        str(tmp_path), outlets=outlets, password=PASSWORD, variant=variant, user=user, rest=True
    ) as emulator:
        yield emulator


def ansible(switch: EmulatorProcess, module: str, **arguments: str) -> tuple[bool, Any]:
    """Run one module of the collection; returns whether it succeeded, and its answer."""
    home = os.path.dirname(switch.rest_cert)
    arguments = {
        "cpm_url": f"{switch.address}:{switch.rest_port}",
        "cpm_username": "operator",
        "cpm_password": PASSWORD,
        **arguments,
    }
    env = {
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": switch.rest_cert,
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    argv = [str(ANSIBLE), "localhost", "-m", f"wti.remote.{module}"]
    argv += ["-a", json.dumps(arguments)]
    result = run(argv, Deadline(TIMEOUT_MS), env=env)
    assert result.stdout.strip(), result.describe()
    answer = json.loads(result.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return result.code == 0, answer


def control(switch: EmulatorProcess, action: str, plug: str, **more: str) -> tuple[bool, Any]:
    return ansible(switch, "cpm_plugcontrol", cpm_action=action, plug_id=plug, **more)


def settled(switch: EmulatorProcess, plug: str) -> str:
    """The plug's state once the device no longer says busy."""
    deadline = Deadline(TIMEOUT_MS)
    while True:
        deadline.require(f"plug {plug} is no longer busy")
        found = control(switch, "getplugcontrol", plug)[1]["data"]["powerplugs"][0]
        if found["busy"] == "0":
            return str(found["state"])


@pytest.mark.parametrize("variant", ["ips", "nps", "vmr"])
def test_it_reads_switches_and_reads_again(switch: EmulatorProcess) -> None:
    done, answer = control(switch, "getplugcontrol", "all")
    assert done
    assert answer["data"]["status"] == {"code": "0", "text": "OK"}
    assert answer["data"]["powerplugs"][4]["plugname"] == "node5"
    done, answer = control(switch, "setplugcontrol", "5", plug_state="off")
    assert (done, answer["changed"]) == (True, True)
    assert settled(switch, "5") == "off"
    assert switch.outlet_state(5) == "off"
    control(switch, "setplugcontrol", "node5", plug_state="on")
    assert settled(switch, "node5") == "on"


def test_two_plugs_in_one_request(switch: EmulatorProcess) -> None:
    done, _ = control(switch, "setplugcontrol", "2,node3", plug_state="off")
    assert done
    assert [settled(switch, plug) for plug in ("2", "3")] == ["off", "off"]
    assert [switch.outlet_state(number) for number in (1, 2, 3, 4)] == ["on", "off", "off", "on"]


def test_it_sets_a_plugs_parameters(switch: EmulatorProcess) -> None:
    done, _ = ansible(
        switch, "cpm_plugconfig", cpm_action="setplugconfig", plug_id="2", plug_name="mclaws",
        plug_bootdelay="3", plug_default="0", plug_bootpriority="1",
    )  # fmt: skip
    assert done
    _, answer = ansible(switch, "cpm_plugconfig", cpm_action="getplugconfig", plug_id="2")
    assert answer["data"]["powerplugs"] == [
        {"plug": "2", "plugname": "mclaws", "bootdelay": "3", "default": "0", "bootpriority": "1"}
    ]
    assert control(switch, "getplugcontrol", "mclaws")[0]


def test_a_wrong_password_and_a_plug_that_is_not_there_are_failures(switch: EmulatorProcess) -> None:
    done, answer = control(switch, "setplugcontrol", "5", plug_state="off", cpm_password="wrong")
    assert not done
    assert "401" in answer["msg"]
    done, answer = control(switch, "setplugcontrol", "99", plug_state="off")
    assert not done
    assert "400" in answer["msg"]
    assert switch.events("switched") == []


def test_a_stuck_relay_stays_on_for_it_too(switch: EmulatorProcess) -> None:
    switch.fault("stuck", 5)
    assert control(switch, "setplugcontrol", "5", plug_state="off")[0]  # accepted, which proves nothing
    assert settled(switch, "5") == "on"
