"""alerts.d: what is run, in which order, and that nothing a script does costs more than one line."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from failover_kit.manager import alertrunner
from failover_kit.manager.actions import Level, Note
from failover_kit.manager.alertrunner import Alerts, call
from failover_kit.manager.alerts import Translator, environment
from failover_kit.manager.alertscripts import find_scripts
from failover_kit.manager.events import StartFailed, Tick

TOP = pathlib.Path(__file__).resolve().parents[2]
PACEMAKER_SAMPLE = pathlib.Path("/usr/share/pacemaker/alerts/alert_file.sh.sample")
PATIENCE_MS = 60_000
WALL_US = 1_795_000_000_123_456


def put(folder: pathlib.Path, name: str, text: str, conf: str = "") -> pathlib.Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    if conf:
        (folder / f"{name}.conf").write_text(conf)
    return path


def note(code: str = "peer-silent", text: str = "mclaws is silent", level: Level = Level.WARNING) -> Note:
    return Note(level, code, text)


class Manager:
    """Alerts with their folder, and everything they said."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.calls: list[tuple[str, Mapping[str, str]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def say(self, level: Level, text: str) -> None:
        self.said.append(text)

    def fake(self, path: str, variables: Mapping[str, str], timeout_ms: int) -> tuple[str, str]:
        self.entered.release()
        if path.endswith("slow"):
            self.gate.wait(60)
        self.calls.append((os.path.basename(path), dict(variables)))
        return "", ""

    def alerts(self, *, real: bool = False) -> Alerts:
        translator = Translator("pete", "mclaws", ("web",), 10_000)
        return Alerts(str(self.folder), translator, self.say, call if real else self.fake, lambda: WALL_US)

    def send(self, *notes: Note, real: bool = False) -> None:
        """Each note in a turn of its own, until all are through."""

        async def whole() -> None:
            made = self.alerts(real=real)
            for one in notes:
                made.record(0, Tick(), [one])
            await made.close()

        asyncio.run(whole())


@pytest.fixture
def manager(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setattr(alertrunner, "CLOSE_LIMIT_S", 60.0)  # a loaded machine is no failure
    folder = tmp_path / "alerts.d"
    folder.mkdir(mode=0o755)
    return Manager(folder)


# --- which files ------------------------------------------------------------------------------------------


def test_no_directory_is_no_alert_and_no_complaint(tmp_path: pathlib.Path) -> None:
    assert find_scripts(str(tmp_path / "alerts.d")) == ([], [])


def test_scripts_in_the_order_of_names_without_leftovers_of_editors_and_packages(manager: Manager) -> None:
    for name in ("b", "a.sh", "c.sh.sample", "d~", ".hidden", "e.dpkg-old"):
        put(manager.folder, name, "#!/bin/sh\n")
    (manager.folder / "subdirectory").mkdir()
    scripts, problems = find_scripts(str(manager.folder))
    assert [os.path.basename(script.path) for script in scripts] == ["a.sh", "b"]
    assert problems == []


def test_settings_are_read_and_wrong_lines_are_named(manager: Manager) -> None:
    conf = "# where to\nrecipient = root\nrecipient=x@example.org\ntimeout=5s\ntimestamp-format=%s\nkey=a=b\n"
    put(manager.folder, "mail", "#!/bin/sh\n", conf + "noise\ntimeout=0\nCRM_alert_kind=node\n2x=1\n")
    (script,), problems = find_scripts(str(manager.folder))
    assert script.recipients == ("root", "x@example.org")
    assert (script.timeout_ms, script.timestamp_format) == (5_000, "%s")
    assert script.attributes == {"key": "a=b"}
    assert [problem.split(":")[2] for problem in problems] == ["7", "8", "9", "10"]
    assert "a=b" not in repr(script)


@pytest.mark.parametrize(
    ("mode", "word"), [(0o644, "chmod 755"), (0o775, "chmod go-w"), (0o757, "chmod go-w")]
)
def test_what_others_can_change_or_nobody_can_run_is_not_run(manager: Manager, mode: int, word: str) -> None:
    put(manager.folder, "mail", "#!/bin/sh\n").chmod(mode)
    scripts, problems = find_scripts(str(manager.folder))
    assert scripts == []
    assert len(problems) == 1 and word in problems[0]


def test_a_directory_others_can_write_into_is_not_used(manager: Manager) -> None:
    put(manager.folder, "mail", "#!/bin/sh\n")
    manager.folder.chmod(0o777)
    scripts, problems = find_scripts(str(manager.folder))
    assert scripts == [] and len(problems) == 1


def test_settings_without_their_script_are_one_line(manager: Manager) -> None:
    (manager.folder / "mail.conf").write_text("recipient=root\n")
    manager.send(note(), note(), note())
    assert len(manager.said) == 1
    assert "has no script mail" in manager.said[0]


# --- order and bounds -------------------------------------------------------------------------------------


def test_one_call_for_each_recipient_in_order_with_one_sequence_number(manager: Manager) -> None:
    put(manager.folder, "mail", "#!/bin/sh\n", "recipient=a\nrecipient=b\ncolour=red\n")
    manager.send(note(), note("peer-up", "mclaws is up", Level.INFO))
    seen = [(v["CRM_alert_recipient"], v["CRM_alert_node_sequence"], v["CRM_alert_desc"]) for _, v in manager.calls]
    assert seen == [("a", "1", "lost"), ("b", "1", "lost"), ("a", "2", "member"), ("b", "2", "member")]
    assert all(variables["colour"] == "red" for _, variables in manager.calls)


def test_a_slow_script_delays_neither_the_others_nor_the_loop(manager: Manager) -> None:
    put(manager.folder, "slow", "#!/bin/sh\n")
    put(manager.folder, "quick", "#!/bin/sh\n")
    manager.gate.clear()

    async def whole() -> None:
        made = manager.alerts()
        for _ in range(3):
            made.record(0, Tick(), [note()])
        while sum(name == "quick" for name, _ in manager.calls) < 3:
            await asyncio.sleep(0.001)
        assert not any(name == "slow" for name, _ in manager.calls)
        manager.gate.set()
        await made.close()

    asyncio.run(asyncio.wait_for(whole(), 60))
    numbers = [v["CRM_alert_node_sequence"] for name, v in manager.calls if name == "slow"]
    assert numbers == ["1", "2", "3"]


def test_what_a_slow_script_cannot_take_is_dropped_and_counted_once(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertrunner, "QUEUE_LIMIT", 3)
    put(manager.folder, "slow", "#!/bin/sh\n")
    manager.gate.clear()

    async def whole() -> None:
        made = manager.alerts()
        for number in range(6):
            made.record(0, Tick(), [note()])
            while made._waiting:  # the bound under test is the script's, not the dispatcher's
                await asyncio.sleep(0.001)
            assert number or manager.entered.acquire(timeout=60)
        manager.gate.set()
        await made.close()

    asyncio.run(asyncio.wait_for(whole(), 60))
    assert len(manager.calls) == 3
    assert [text for text in manager.said if "3 alerts did not reach it" in text]
    assert len(manager.said) == 1


def test_a_turn_without_a_sentence_costs_nothing(manager: Manager) -> None:
    made = manager.alerts()
    made.record(0, Tick(), [])
    assert made._waiting == 0
    asyncio.run(made.close())


# --- real children ----------------------------------------------------------------------------------------


def test_a_clean_environment_and_nothing_to_read(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("SECRET", "hunter2")
    out = manager.folder / "out"
    put(manager.folder, "env", f"#!/bin/sh\ncat > {out}; env >> {out}; pwd >> {out}\n")
    manager.send(note(), real=True)
    lines = out.read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if "=" in line}
    allowed = {"PATH", "LC_ALL", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
    assert {name for name in names if not name.startswith("CRM_alert_")} <= allowed
    assert lines[-1] == "/"
    assert manager.said == []


def test_a_failing_script_is_one_line_until_that_changes(manager: Manager) -> None:
    flag = manager.folder.parent / "works"
    put(manager.folder, "mail", f"#!/bin/sh\n[ -e {flag} ] && exit 0\necho $$ no such user >&2; exit 67\n")
    manager.send(note(), note(), note(), real=True)
    assert len(manager.said) == 1
    assert "mail exited 67: " in manager.said[0] and "no such user" in manager.said[0]


def test_a_hanging_script_is_killed_with_what_it_started(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    script = put(tmp_path, "hang", f"#!/bin/sh\nsleep 600 &\necho $! > {pid}.new; mv {pid}.new {pid}\nwait\n")
    for limit_s in (3, 30, 120):  # on a busy machine the script may need longer to tell of its child
        failure, _ = call(str(script), {}, limit_s * 1000)
        assert failure == f"did not end within {limit_s} s and was killed"
        if pid.exists():
            break
    stat = pathlib.Path(f"/proc/{int(pid.read_text())}/stat")

    def state() -> str:
        try:
            return stat.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "gone"

    patience = time.monotonic() + 60  # one that was killed may need a turn on a processor to end
    while (seen := state()) not in ("gone", "Z", "X") and time.monotonic() < patience:
        time.sleep(0.02)
    assert seen in ("gone", "Z", "X")


def test_a_daemon_that_keeps_the_pipe_does_not_keep_us(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    script = put(tmp_path, "daemon", f"#!/bin/sh\nsetsid sleep 600 &\necho $! > {pid}\nexit 3\n")
    assert call(str(script), {}, PATIENCE_MS) == ("exited 3", "")
    os.kill(int(pid.read_text()), 9)


def test_a_flood_of_output_is_read_and_not_kept(tmp_path: pathlib.Path) -> None:
    script = put(tmp_path, "flood", "#!/bin/sh\nhead -c 3000000 /dev/zero\necho\necho the end\nexit 1\n")
    assert call(str(script), {}, PATIENCE_MS) == ("exited 1", "the end")


def test_an_interpreter_that_is_missing_is_a_sentence(tmp_path: pathlib.Path) -> None:
    script = put(tmp_path, "mail", "#!/usr/bin/no-such-interpreter\n")
    assert call(str(script), {}, PATIENCE_MS) == ("cannot be executed: No such file or directory", "")


def test_scripts_are_not_protected_from_the_oom_killer(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = tmp_path / "oom_score_adj"
    lose_protection = alertrunner._lose_protection
    # In the child, as this test may not lower its own score everywhere.
    monkeypatch.setattr(alertrunner, "_lose_protection", lambda: lose_protection(str(score)))
    for before, after in (("-", "0"), ("5", "5")):
        score.write_text(before)
        assert call("/bin/true", {}, PATIENCE_MS) == ("", "")
        assert score.read_text() == after


@pytest.mark.skipif(not PACEMAKER_SAMPLE.exists(), reason="needs Debian's pacemaker-cli-utils or pacemaker")
def test_pacemakers_own_sample_runs_unchanged(manager: Manager) -> None:
    log = manager.folder.parent / "log"
    conf = f"recipient={log}\ntimestamp-format=%s\n"
    put(manager.folder, "alert_file.sh", PACEMAKER_SAMPLE.read_text(), conf)

    async def whole() -> None:
        made = manager.alerts(real=True)
        for event, one in (
            (Tick(), note()),
            (Tick(), note("fence-failed", "mclaws is not fenced: plug 2 reads ON", Level.ALARM)),
            (StartFailed("web", 1, "IPaddr:10.0.0.1", "x"), note("start-failed", "group web: x", Level.ALARM)),
            (Tick(), note("started", "group web: started on pete in 3 ms", Level.INFO)),
            (Tick(), note("parked", "group web: parked here (x)", Level.ALARM)),
        ):
            made.record(0, event, [one])
        await made.close()

    asyncio.run(whole())
    assert manager.said == []
    text = "mclaws is not fenced: plug 2 reads ON"
    assert log.read_text().splitlines() == [
        "1795000000: Node 'mclaws' is now 'lost'",
        f"1795000000: Fencing Operation off of mclaws by pete for failoverd@pete: {text}",
        "1795000000: Resource operation 'start' for 'IPaddr:10.0.0.1' on 'pete': error",
        "1795000000: Resource operation 'start' for 'web' on 'pete': ok",
        "1795000000: Attribute 'parked' on node 'pete' was updated to 'group web: parked here (x)'",
    ]


@pytest.mark.skipif(not PACEMAKER_SAMPLE.exists(), reason="needs Debian's pacemaker-cli-utils or pacemaker")
def test_what_a_script_says_without_failing_is_said_once(manager: Manager) -> None:
    put(manager.folder, "alert_file.sh", PACEMAKER_SAMPLE.read_text())  # nobody told it a recipient
    manager.send(note(), note(), real=True)
    assert len(manager.said) == 1
    assert "requires a recipient" in manager.said[0]


# --- our samples ------------------------------------------------------------------------------------------


def variables_of(one: Note, recipient: str) -> dict[str, str]:
    (alert,) = Translator("pete", "mclaws", ("web",), 10_000).alerts(WALL_US, Tick(), [one])
    return dict(environment(alert, 1, recipient=recipient))


def test_the_mail_sample_writes_a_mail(tmp_path: pathlib.Path) -> None:
    client = put(tmp_path, "sendmail", f"#!/bin/sh\necho \"$@\" > {tmp_path}/args\ncat > {tmp_path}/mail\n")
    given = {"email_client": str(client), "email_sender": "failoverd@pete"}
    one = note("parked", "group web: parked here; repair it", Level.ALARM)
    assert call(str(TOP / "etc/alerts/mail"), {**variables_of(one, "root"), **given}, PATIENCE_MS) == ("", "")
    assert (tmp_path / "args").read_text().split() == ["-t", "-i", "-f", "failoverd@pete"]
    head, _, body = (tmp_path / "mail").read_text().partition("\n\n")
    host = os.uname().nodename
    assert f"Subject: {host} alarm: group web: parked here; repair it" in head.splitlines()
    assert "To: root" in head.splitlines()
    assert body.startswith("group web: parked here; repair it\n")
    assert "attribute_name = parked" in body.splitlines()
    assert "docs/runbooks/README.md, section parked\n" in body


def test_the_mail_sample_lets_nobody_write_headers(tmp_path: pathlib.Path) -> None:
    client = put(tmp_path, "sendmail", f"#!/bin/sh\ncat > {tmp_path}/mail\n")
    values = variables_of(note(), "root\nBcc: evil@example.org")
    values["CRM_alert_failover_kit_text"] = "x\nBcc: evil@example.org"
    call(str(TOP / "etc/alerts/mail"), {**values, "email_client": str(client)}, PATIENCE_MS)
    head = (tmp_path / "mail").read_text().partition("\n\n")[0]
    assert not [line for line in head.splitlines() if line.startswith("Bcc")]


def test_the_samples_keep_quiet_below_their_level_but_tell_the_end(tmp_path: pathlib.Path) -> None:
    client = put(tmp_path, "sendmail", f"#!/bin/sh\ncat >> {tmp_path}/mail\n")
    for one in (
        note("started", "group web: started", Level.INFO),
        note("peer-up", "mclaws is up", Level.INFO),
    ):
        call(str(TOP / "etc/alerts/mail"), {**variables_of(one, "root"), "email_client": str(client)}, PATIENCE_MS)
    text = (tmp_path / "mail").read_text()
    assert text.count("Subject:") == 1 and "mclaws is up" in text


def test_the_mail_sample_says_what_is_missing(tmp_path: pathlib.Path) -> None:
    missing = {"email_client": str(tmp_path / "none")}
    failure, output = call(str(TOP / "etc/alerts/mail"), {**variables_of(note(), "root"), **missing}, PATIENCE_MS)
    assert failure == "exited 1" and "is missing" in output


class Hook(BaseHTTPRequestHandler):
    status = 200
    bodies: list[bytes] = []  # noqa: RUF012 - one server at a time

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.mark.parametrize("status", [200, 500])
def test_the_webhook_sample_posts_json_and_never_prints_the_url(status: int) -> None:
    Hook.status, Hook.bodies = status, []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/hooks/s3cret"
        failure, output = call(str(TOP / "etc/alerts/webhook"), variables_of(note(), url), PATIENCE_MS)
        thread.join(60)
    (body,) = Hook.bodies
    said = json.loads(body)
    assert said["text"] == f"{os.uname().nodename}: mclaws is silent"
    assert said["alert"]["desc"] == "lost"
    assert b"s3cret" not in body
    assert (failure, output) == (("", "") if status == 200 else ("exited 1", "the server answered 500"))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1:1/hooks/s3cret", "refused"),  # nothing listens on tcpmux
        ("http://127.0.0.1:1/hooks/s3cret again", "InvalidURL"),
        ("http://127.0.0.1:s3cret/", "InvalidURL"),
        ("ftp://s3cret/", "no URL"),
    ],
)
def test_the_webhook_sample_that_delivers_nothing_says_why_without_the_url(url: str, word: str) -> None:
    failure, output = call(str(TOP / "etc/alerts/webhook"), variables_of(note(), url), PATIENCE_MS)
    assert failure == "exited 1" and word in output
    assert "s3cret" not in output


