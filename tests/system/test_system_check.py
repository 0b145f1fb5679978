"""check --links between two network namespaces and over a pty cable, without a daemon and with both."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pair import PATIENCE_S, REPOSITORY, Node, Pair, wait_until

pytestmark = pytest.mark.root


def check(node: Node, *words: str) -> list[str]:
    """The command in the node's namespace: the links' interfaces are there."""
    return [
        "nsenter", f"--net=/run/netns/{node.namespace}", str(REPOSITORY / "bin" / "failoverctl"),
        "--socket", str(node.home / "run" / "control.sock"), "check", "--json",
        "--config-dir", str(node.home / "ha.d"), "--node", node.name, *words,
    ]  # fmt: skip


def both_test_their_links(pair: Pair, seconds: str) -> list[tuple[int, dict[str, dict[str, Any]]]]:
    """At the same time, as an operator would; each one's exit code and rows by the kind of link."""
    running = [
        subprocess.Popen(
            check(node, "--links", "--seconds", seconds), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for node in pair.nodes
    ]
    answers = []
    for process in running:
        out, err = process.communicate(timeout=float(seconds) + PATIENCE_S)
        assert out, err.decode()
        answers.append((process.returncode, by_kind(out)))
    return answers


def by_kind(out: str | bytes) -> dict[str, dict[str, Any]]:
    return {"udp" if row["link"] == "eth1" else "serial": row for row in json.loads(out)["links"]}


def directions(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[bool, bool | None]]:
    return {kind: (row["to_here"], row["to_there"]) for kind, row in rows.items()}


def whole(node: Node) -> bool:
    links = node.view().get("links", [])
    return len(links) == 2 and all(link["up"] and link["peer_hears"] for link in links)


def test_every_medium_in_both_directions_without_a_daemon(pair: Pair) -> None:
    for code, rows in both_test_their_links(pair, "30"):
        assert directions(rows) == {"udp": (True, True), "serial": (True, True)}
        assert code == 0


def test_a_pulled_cable_and_a_one_way_network_are_told_apart(pair: Pair) -> None:
    second = pair.nodes[1]
    pair.cable.pulled = True
    # What the second node sends goes to an address that nobody has: the first one does not hear it.
    config = second.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace("10.77.0.1\n", "10.77.0.9\n"))
    (code, here), (other_code, there) = both_test_their_links(pair, "12")
    assert directions(here) == {"udp": (False, None), "serial": (False, None)}
    assert directions(there) == {"udp": (True, False), "serial": (False, None)}
    assert (code, other_code) == (1, 1)


def test_with_daemons_both_directions_come_from_what_both_hear(pair: Pair) -> None:
    first, second = pair.start()
    for node in (first, second):
        wait_until("both links work both ways", partial(whole, node))

    def facts() -> str:
        return subprocess.run(
            check(second, "--facts"), capture_output=True, text=True, check=True, timeout=PATIENCE_S
        ).stdout

    done = subprocess.run(
        check(first, "--links", "--peer-facts", "-"),
        input=facts(), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(row["to_here"], row["to_there"]) for row in json.loads(done.stdout)["links"]] == [(True, True)] * 2

    pair.cable.deaf = 1  # one wire of two: nobody but the other node knows
    wait_until("the other node says so", lambda: any(link["peer_hears"] is False for link in first.view()["links"]))
    done = subprocess.run(check(first, "--links"), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert directions(by_kind(done.stdout)) == {"udp": (True, True), "serial": (True, False)}
    assert (done.returncode, done.stderr) == (1, "")
    wait_until("it is called by its name", lambda: any(link["one_way"] for link in first.view()["links"]))
    done = subprocess.run(check(first), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    (found,) = [row for row in json.loads(done.stdout)["findings"] if row["id"] == "link-one-way"]
    assert found["fact"].startswith(f"{second.name} does not hear {first.name} on ")

    pair.cable.deaf, pair.cable.pulled = None, True
    wait_until("the first node misses it", lambda: any(link["up"] is False for link in first.view()["links"]))
    done = subprocess.run(check(first), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 1
    found = {row["id"]: row for row in json.loads(done.stdout)["findings"]}
    assert "link-silent" in found
    assert "fence-unproved" in found
    assert pair.switch_log() == []  # a check asks no switch


def test_the_switch_is_read_only_when_asked_for_and_by_failoverd(pair: Pair) -> None:
    first, _ = pair.start()
    subprocess.run(check(first, "--switch"), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    asked = set(pair.switch_log())
    assert {"status 1", "status 2"} <= asked
    assert not any(line.startswith(("on", "off", "reboot")) for line in asked)


SSHD = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$1"'
PORT = 2222


@contextlib.contextmanager
def sshd(node: Node, folder: Path, forced: str) -> Iterator[Path]:
    """The real one on ``node``, for one key that may run ``forced``; gives the client's configuration."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "keys").write_text(f'restrict,command="{forced}" {(folder / "user.pub").read_text()}')
    (folder / "known").write_text(f"[10.77.0.2]:{PORT} {(folder / 'host.pub').read_text()}")
    (folder / "sshd").write_text(
        f"Port {PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/keys\nStrictModes no\nUsePAM no\n"
        "PidFile none\nPermitRootLogin forced-commands-only\nPasswordAuthentication no\n"
    )
    client = folder / "client"
    client.write_text(
        f"Host {node.name}\nHostName 10.77.0.2\nPort {PORT}\nUser root\nIdentityFile {folder}/user\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
    )
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{node.namespace}", "unshare", "-m", "sh", "-c", SSHD, "sh", folder / "sshd"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    try:
        yield client
    finally:
        server.kill()
        server.wait(PATIENCE_S)


def test_both_nodes_by_one_command_over_ssh(pair: Pair, tmp_path: Path) -> None:
    first, second = pair.nodes
    ask = check(second, "--facts")[2:]  # sshd is in its namespace already
    with sshd(second, tmp_path, " ".join(ask)) as client:

        def both(*words: str) -> subprocess.CompletedProcess[str]:
            argv = check(first, "--ssh", *words, "--ssh-config", str(client))
            return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

        wait_until("sshd answers", lambda: both().returncode != 5)
        config = second.home / "ha.d" / "ha.cf"
        config.write_text(config.read_text().replace("deadtime 3", "deadtime 4"))
        done = both()
        assert done.returncode == 1, done.stderr
        found = {row["id"] for row in json.loads(done.stdout)["findings"]}
        assert "files-differ" in found and "not-compared" not in found

        stranger = both("no-such-host.invalid")
        assert (stranger.returncode, stranger.stdout) == (5, "")
        assert "no-such-host.invalid" in stranger.stderr and "try by hand" in stranger.stderr

        (tmp_path / "known").write_text("")
        unknown = both()
        assert (unknown.returncode, unknown.stdout) == (5, "")
        assert "Host key verification failed" in unknown.stderr

    (tmp_path / "user").unlink()
    gone = both()
    assert (gone.returncode, gone.stdout) == (5, "")
