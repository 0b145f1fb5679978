"""What only the machine itself can say about a request, without a word to the device: for ``validate-all``."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from failover_kit.fence.config import Config, Way
from failover_kit.fence.passwords import source_problem


def host_problems(config: Config, environment: Mapping[str, str]) -> list[str]:
    """Every problem at once, a line each."""
    problems = []
    if config.has_password_source() and (problem := source_problem(config, environment)):
        problems.append(f"Failed: {problem}")
    if config.identity_file and not os.path.isfile(config.identity_file):
        problems.append(f"Failed: Identity file {config.identity_file} does not exist")
    if config.way is Way.SSH and not os.access(config.ssh_path, os.X_OK):
        problems.append(f"Failed: {config.ssh_path} cannot be run; install openssh-client or give --ssh-path")
    if config.ca_file and not _reads_like_certificates(config.ca_file):
        problems.append(f"Failed: --ca-file {config.ca_file} cannot be read or has no PEM certificate in it")
    # A line that is not there is no error: the adapter may be in the other node.
    serial_exists = config.way is Way.SERIAL and os.path.exists(config.serial)
    if serial_exists and not stat.S_ISCHR(os.stat(config.serial).st_mode):
        problems.append(f"Failed: {config.serial} is not a serial line")
    return problems + [f"Failed: {problem}" for problem in missing_libraries(config)]


def missing_libraries(config: Config) -> list[str]:
    """Python modules the transport needs and this machine does not have, with the packages they are in."""
    from importlib.util import find_spec

    module, package = {
        Way.SSH: ("pexpect", "python3-pexpect"),
        Way.SERIAL: ("serial", "python3-serial"),
    }.get(config.way, ("", ""))
    if module and find_spec(module) is None:
        return [f"the Python module '{module}' is missing; install the package {package}"]
    return []


def _reads_like_certificates(path: str) -> bool:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return "-----BEGIN CERTIFICATE-----" in file.read(1 << 20)
    except OSError:
        return False
