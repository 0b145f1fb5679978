"""etc/failoverd.init, for machines without systemd: the LSB's words and exit codes, against a stand-in daemon."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.image.build import CHECKOUT

pytestmark = pytest.mark.root

DAEMON = """\
#!/usr/bin/python3 -IS
import os, signal, socket, sys
here = os.path.dirname(os.path.abspath(__file__))
if "--check" in sys.argv:
    code = int(open(here + "/check").read())
    if code:
        print("failoverd: ha.cf: not found", file=sys.stderr)
    sys.exit(code)
if os.path.exists(here + "/fails"):
    sys.exit("failoverd: no memory")
if os.path.exists(here + "/stays"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
path = here + "/control.sock"
if os.path.exists(path):
    os.unlink(path)
socket.socket(socket.AF_UNIX).bind(path)
while True:
    signal.pause()
"""


@dataclass
class Service:
    """The script with its paths in ``folder``."""

    folder: Path

    def call(self, action: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", str(self.folder / "init"), action],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def kill(self) -> None:
        """Kill the daemon, and wait until it is dead."""
        daemon = os.pidfd_open(self.pid())
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        assert select.select([daemon], [], [], 30)[0] == [daemon]
        os.close(daemon)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    script = Path(CHECKOUT, "etc/failoverd.init").read_text()
    changes = {
        "DAEMON=/usr/sbin/failoverd": f"DAEMON={tmp_path}/failoverd",
        "PIDFILE=/run/failoverd.pid": f"PIDFILE={tmp_path}/pid",
        "LOG=/var/log/failoverd.log": f"LOG={tmp_path}/log",
        "CONTROL=/run/failover-kit/control.sock": f"CONTROL={tmp_path}/control.sock",
        "/etc/default/failoverd": f"{tmp_path}/default",
        "STOP_LIMIT_S=600": "STOP_LIMIT_S=150",
        "sleep 1": "sleep 0.2",
        "START_LIMIT_S=30": "START_LIMIT_S=150",
    }
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "init").write_text(script)
    (tmp_path / "failoverd").write_text(DAEMON)
    (tmp_path / "failoverd").chmod(0o755)
    (tmp_path / "check").write_text("0")
    made = Service(tmp_path)
    yield made
    # Only a daemon of ours is ended: a test writes another program's pid there.
    if (tmp_path / "pid").exists() and made.call("status")[0] == 0:
        made.kill()


def test_a_life_of_the_service(service: Service) -> None:
    assert service.call("status") == (3, "failoverd does not run.\n")
    assert service.call("start") == (0, f"failoverd runs (pid {service.pid()}).\n")
    pid = service.pid()
    assert service.call("start") == (0, f"failoverd runs already (pid {pid}).\n")
    assert service.call("status") == (0, f"failoverd runs (pid {pid}).\n")
    assert service.call("restart")[0] == 0
    assert service.pid() != pid
    code, said = service.call("stop")
    assert (code, said) == (0, "failoverd has left; its resources are stopped or with the peer.\n")
    assert service.call("stop") == (0, "failoverd does not run.\n")
    assert service.call("try-restart") == (0, "")
    assert service.call("status")[0] == 3


def test_without_configuration_it_says_what_is_missing_and_exits_6(service: Service) -> None:
    (service.folder / "check").write_text("6")
    code, said = service.call("start")
    assert code == 6
    assert said == "failoverd: ha.cf: not found\nfailoverd is not started (exit code 6).\n"
    assert not (service.folder / "pid").exists()


def test_a_daemon_that_dies_at_once_is_no_success(service: Service) -> None:
    (service.folder / "fails").touch()
    (service.folder / "control.sock").touch()
    code, said = service.call("start")
    assert code == 1
    assert "failoverd did not come up" in said
    assert "failoverd: no memory" in said


def test_the_socket_of_a_crash_is_not_taken_for_a_start(service: Service) -> None:
    assert service.call("start")[0] == 0
    service.kill()
    assert service.call("status") == (1, f"failoverd is dead, its pid file {service.folder}/pid is left.\n")
    (service.folder / "fails").touch()
    assert service.call("start")[0] == 1
    (service.folder / "fails").unlink()
    assert service.call("start")[0] == 0


def test_a_daemon_that_still_stops_resources_is_not_killed(service: Service) -> None:
    (service.folder / "stays").touch()
    init = service.folder / "init"
    init.write_text(init.read_text().replace("STOP_LIMIT_S=150", "STOP_LIMIT_S=1"))
    assert service.call("start")[0] == 0
    pid = service.pid()
    code, said = service.call("stop")
    assert code == 1
    assert f"failoverd (pid {pid}) still stops its resources after 1 s and was left alone" in said
    assert service.call("status")[0] == 0


def test_a_pid_that_another_program_has_now_is_not_ours(service: Service) -> None:
    (service.folder / "pid").write_text(f"{os.getpid()}\n")
    assert service.call("status")[0] == 1
    assert service.call("stop") == (0, "failoverd does not run.\n")


def test_words_that_it_does_not_know_and_a_program_that_is_not_there(service: Service) -> None:
    assert service.call("explode")[0] == 2
    (service.folder / "failoverd").unlink()
    assert service.call("start")[0] == 5
    assert service.call("stop")[0] == 0


def test_its_header_is_what_boot_orders_by() -> None:
    text = Path(CHECKOUT, "etc/failoverd.init").read_text()
    head = text[text.index("### BEGIN INIT INFO") : text.index("### END INIT INFO")]
    for line in ("Provides:          failoverd", "Default-Start:     2 3 4 5", "Default-Stop:      0 1 6"):
        assert f"# {line}\n" in head
    assert "$remote_fs $network" in head
