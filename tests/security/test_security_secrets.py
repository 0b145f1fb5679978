"""Files that our commands write, and what an exception shows of a secret: every place where one is in our hands."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import stat
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from marked import Marks
from wirepair import served

import status_examples
from failover_kit.fence import secret as fence_secret
from failover_kit.manager import config, configfiles, wire
from failover_kit.manager.actions import Level
from failover_kit.manager.config import ConfigError, LoadedConfig
from failover_kit.manager.metrics import Extra
from failover_kit.manager.metricsfile import Meter, MetricsFile
from failover_kit.manager.shell import EXIT_BUG, Parts, Shell

REPOSITORY = Path(__file__).resolve().parents[2]
UMASKS = ("000", "077")
INIT = [
    "init", "--node", "pete", "--node", "mclaws", "--link", "eth1=10.0.0.1,10.0.0.2", "--one-link",
    "--address", "10.1.1.9/24/eth0",
]  # fmt: skip


def under(umask: str, *words: str) -> subprocess.CompletedProcess[str]:
    """failoverctl under that umask."""
    shell = ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "sh", str(REPOSITORY / "bin" / "failoverctl")]
    return subprocess.run([*shell, *words], capture_output=True, text=True, check=False, timeout=120)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


# --- what commands write ----------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", UMASKS)
def test_init_writes_authkeys_for_root_alone_under_any_umask(folder: Path, umask: str) -> None:
    done = under(umask, *INIT, "--no-fence", "--config-dir", str(folder / "ha.d"))
    assert done.returncode == 0, done.stderr
    open_to = {0o644, 0o600}  # under 077 they may be closed; they say so little that 0644 is fine, too
    found = modes(folder / "ha.d")
    assert found.pop("authkeys") == 0o600
    assert set(found) == {"ha.cf", "haresources"}
    assert set(found.values()) <= open_to
    assert stat.S_IMODE((folder / "ha.d").stat().st_mode) & 0o022 == 0
    key = (folder / "ha.d" / "authkeys").read_text().split()[-1]
    assert len(key) == 64 and key not in done.stdout + done.stderr


@pytest.mark.parametrize("umask", UMASKS)
def test_init_replacing_an_open_authkeys_closes_it_and_keeps_the_old_mode_of_the_backup(
    folder: Path, umask: str
) -> None:
    for name in ("ha.cf", "haresources", "authkeys"):
        (folder / name).write_text("# old\n")
        (folder / name).chmod(0o600)
    done = under(umask, *INIT, "--no-fence", "--force", "--new-key", "--config-dir", str(folder))
    assert done.returncode == 0, done.stderr
    found = modes(folder)
    assert found["authkeys"] == 0o600
    backups = [mode for name, mode in found.items() if ".before-" in name]
    assert backups == [0o600] * 3


@pytest.mark.parametrize("umask", UMASKS)
def test_an_ha_cf_with_a_password_is_for_root_alone_and_a_dry_run_hides_it(folder: Path, umask: str) -> None:
    password = Marks().of["telnet password"]
    device = f"ipmi fence_ipmilan ip=192.0.2.1 password={password} plug.pete=1 plug.mclaws=2"
    words = [*INIT, "--fence-device", device, "--config-dir", str(folder / "ha.d")]
    shown = under(umask, *words, "--dry-run")
    assert shown.returncode == 0 and "password=***" in shown.stdout
    done = under(umask, *words)
    assert done.returncode == 0, done.stderr
    assert "ha.cf (mode 0600)" in done.stdout
    assert password not in shown.stdout + shown.stderr + done.stdout + done.stderr
    assert password in (folder / "ha.d" / "ha.cf").read_text()
    assert modes(folder / "ha.d")["ha.cf"] == 0o600


@pytest.mark.parametrize("umask", UMASKS)
def test_the_page_of_explain_is_not_for_others_to_write(folder: Path, umask: str) -> None:
    journal = REPOSITORY / "tests" / "data" / "recorded-takeover" / "pete"
    done = under(umask, "explain", "--journal", str(journal), "--html", str(folder / "page.html"))
    assert done.returncode == 0, done.stderr
    mode = stat.S_IMODE((folder / "page.html").stat().st_mode)
    assert mode == {"000": 0o644, "077": 0o600}[umask]


@pytest.mark.parametrize("umask", UMASKS)
def test_an_exported_cib_is_for_root_alone(folder: Path, umask: str) -> None:
    done = under(umask, *INIT, "--no-fence", "--config-dir", str(folder / "ha.d"))
    assert done.returncode == 0, done.stderr
    out = folder / "cib.xml"
    under(umask, "export-cib", "--config-dir", str(folder / "ha.d"), "--node", "pete", "--output", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("umask", UMASKS)
def test_the_debug_file_of_the_fence_agent_is_for_its_user_alone(folder: Path, umask: str) -> None:
    agent = str(REPOSITORY / "stonith" / "fence_wti_ips800")
    given = f"action=status\nip=127.0.0.1\nipport=9\nplug=1\ntimeout=1\npassword=x\ndebug_file={folder}/debug\n"
    subprocess.run(
        ["/bin/sh", "-c", f"umask {umask}; exec {agent}"], input=given, text=True, check=False,
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert stat.S_IMODE((folder / "debug").stat().st_mode) == 0o600


def test_the_metrics_file_is_not_written_through_a_link(folder: Path) -> None:
    """The collector's directory may belong to the collector's user, and failoverd is root."""
    precious = folder / "shadow"
    precious.write_text("precious")
    place = folder / "collector"
    place.mkdir()
    draft, path = place / ".failover_kit.prom.new", place / "failover_kit.prom"
    for link in (draft, path):
        link.symlink_to(precious)
    seen: list[tuple[bool, int]] = []
    turns, beats, counts = Meter(("eth1",), ("web",)).take(0)
    extra = Extra(
        uptime_ms=1, maintenance=False, persist_error=False, journal_error=False, turns=turns, beats=beats,
        counts=counts,
    )  # fmt: skip

    async def whole() -> None:
        metrics = MetricsFile(str(path), lambda: (status_examples.status_of(), extra), lambda _, text: None)
        metrics.start()
        await metrics._worker.run(lambda: seen.append((path.is_symlink(), stat.S_IMODE(path.stat().st_mode))))
        await metrics.close()

    asyncio.run(whole())
    assert seen == [(False, 0o644)]
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o666, 0o602, 0o620, 0o601, 0o777])
def test_authkeys_open_to_anybody_else_is_refused_with_the_remedy(folder: Path, mode: int) -> None:
    key = Marks().of["authkeys key"]
    write_config(folder, key, "irrelevant")
    (folder / "authkeys").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        configfiles.load(str(folder))
    text = " ".join(str(problem) for problem in caught.value.problems)
    assert f"is open to others (mode {mode:04o}); chmod 600 {folder}/authkeys, and change the keys" in text
    assert key not in text


@pytest.mark.root
def test_authkeys_of_somebody_else_are_refused_with_the_remedy(folder: Path) -> None:
    write_config(folder, Marks().of["authkeys key"], "irrelevant")
    os.chown(folder / "authkeys", 65534, 65534)
    with pytest.raises(ConfigError, match="chown root"):
        configfiles.load(str(folder))


# --- what exceptions show ---------------------------------------------------------------------------------


def write_config(folder: Path, key: str, password: str) -> None:
    (folder / "authkeys").write_text(f"auth 1\n1 sha1 {key}\n")
    (folder / "authkeys").chmod(0o600)
    (folder / "haresources").write_text("pete ocf:test:Dummy::name=one\n")
    device = f"fence_device d fence_wti_ips800 ip=192.0.2.1 password={password} plug.pete=1 plug.mclaws=2"
    lines = ("node pete mclaws", "ucast eth1 10.0.0.2", device)
    (folder / "ha.cf").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def loaded(folder: Path) -> tuple[LoadedConfig, Marks]:
    marks = Marks()
    write_config(folder, marks.of["authkeys key"], marks.of["telnet password"])
    return configfiles.load(str(folder)), marks


SHOWN: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda thing: f"{thing} {thing!r} {thing:}",
    "percent": lambda thing: "%s %r %a" % (thing, thing, thing),  # noqa: UP031
    "json": lambda thing: json.dumps(thing, default=str),
    "log": lambda thing: logging.Formatter().format(logging.makeLogRecord({"msg": "%r", "args": (thing,)})),
}


@pytest.mark.parametrize("way", SHOWN)
def test_the_configuration_shows_no_secret_however_it_is_printed(
    loaded: tuple[LoadedConfig, Marks], way: str
) -> None:
    whole, marks = loaded
    assert whole.authkeys.keys[1].reveal().decode() == marks.of["authkeys key"], "it is in there"
    parts = (whole.config, whole.authkeys, *whole.config.fence_devices, *whole.authkeys.keys.values())
    for thing in (whole, *parts):
        assert marks.found_in(str(SHOWN[way](thing)).encode()) == []


def test_a_secret_is_not_pickled_or_copied_out() -> None:
    for secret in (config.Secret(b"mark"), fence_secret.Secret("mark")):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
        with pytest.raises(TypeError):
            copy.deepcopy(secret)


def test_a_traceback_with_all_local_values_shows_no_key(loaded: tuple[LoadedConfig, Marks]) -> None:
    """As a debugger or an error reporter would print it: every frame of ours with every variable in it."""
    whole, marks = loaded
    keys = whole.authkeys.keys
    beat = wire.decode(served().first.sent[-1], {1: config.Secret(b"WhatAboutTheKey")})
    good = wire.encode(beat, keys, 1)
    shown = []
    for call in (
        lambda: wire.decode(good[:-20], keys),
        lambda: wire.decode(good.replace(b"web", b"wib"), keys),
        lambda: wire.decode(good.replace(b"auth 1", b"auth 2"), keys),
        lambda: wire.encode(beat, keys, 7),
        lambda: configfiles.load("/nonexistent"),
    ):
        try:
            call()
        except Exception as error:
            shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    assert len(shown) == 5
    assert any("keys = " in text for text in shown), "local values were printed"
    for text in shown:
        assert marks.found_in(text.encode()) == []


class BrokenLink:
    """Raises in the middle of sending, with the frame and the keys in the frames above it."""

    def send(self, frame: bytes) -> None:
        raise RuntimeError("planted")


def test_a_bug_in_failoverd_is_logged_with_its_traceback_and_without_secrets(
    loaded: tuple[LoadedConfig, Marks],
) -> None:
    whole, marks = loaded
    said: list[str] = []

    async def life() -> int:
        parts = Parts(
            keys=whole.authkeys, links=[BrokenLink()], store=None, runners={}, fencer=None,  # type: ignore[arg-type]
            say=lambda level, text: said.append(f"{level.value}: {text}"),
        )  # fmt: skip
        pair = served()
        shell = Shell(pair.first.core, parts, clock=lambda: pair.clock.now_ms + 200)
        shell.begin()
        return await asyncio.wait_for(shell.ended, 30)

    assert asyncio.run(life()) == EXIT_BUG
    text = "\n".join(said)
    assert f"{Level.ALARM.value}: this is a bug in failover-kit" in text and "planted" in text
    assert marks.found_in(text.encode()) == []


@pytest.mark.parametrize(
    "authkeys",
    ["auth 1\n1 {}\n", "auth {}\n1 sha1 k\n", "{}\n", "auth 1\n1 sha1 {} more\n", "1 sha1 {}\n",
     "auth 1\n1 {} sha1\n", "auth 1\n1 sha1 {}\n1 sha1 {}\n", "auth 1 {}\n1 sha1 x\n"],
)  # fmt: skip
def test_an_authkeys_that_cannot_be_read_is_refused_without_quoting_the_key(folder: Path, authkeys: str) -> None:
    key = Marks().of["authkeys key"]
    write_config(folder, "k" * 20, "p")
    (folder / "authkeys").write_text(authkeys.replace("{}", key))
    with pytest.raises(ConfigError) as caught:
        configfiles.load(str(folder))
    assert key not in "".join(traceback.format_exception(caught.value))
    assert key not in " ".join(str(problem) for problem in caught.value.problems)


def test_the_marks_are_found_in_every_form() -> None:
    """The search itself can fail a test."""
    marks = Marks()
    for name, form in marks.forms():
        assert name.partition(",")[0] in {found.partition(",")[0] for found in marks.found_in(b"x" + form + b"y")}
    assert marks.found_in(b"nothing of the kind") == []
