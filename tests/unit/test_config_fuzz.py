"""Any text whatever gives a configuration or problems; what was understood can be written and read again."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from failover_kit.manager import authkeys, hacf, haresources
from failover_kit.manager.config import (
    ClusterConfig,
    FenceDevice,
    Parsed,
    Resource,
    ResourceKind,
    SerialLink,
)
from failover_kit.manager.configtext import as_time, time_ms

LINE_OF = re.compile(r"(ha\.cf|haresources|authkeys)(:[0-9]+:[0-9]+)?: ")

HA_CF_SAMPLE = """
pete mclaws * wti_nps 1 2s 500ms 10 on off legacy eth1 192.0.2.1 /dev/ttyS0 ben fence_x plug.pete=1
plug.mclaws=1 plug=2 239.0.0.43 ff12::43 fe80::1%eth1 694 password="a x="y_z" # , " \\
"""
HARESOURCES_SAMPLE = """
pete mclaws jim 192.0.2.1 192.0.2.1/24/eth0 IPaddr::192.0.2.1 IPaddr2:: Filesystem::/dev/x::/y nfs :: / \\
ocf:heartbeat:IPaddr2::ip=192.0.2.1 ocf:a:b::op_monitor_interval=1 ocf:a:b::x=::1 fe80::1 add::0 OCF::a #
"""
AUTHKEYS_SAMPLE = "auth 0 1 15 16 ² sha1 crc sha256 key replace-this #"
DIRECTIVES = [*hacf.WITHOUT_MEANING, *hacf._SINGLE, *hacf._SEVERAL, *hacf._WHOLE_LINE]
ENDS = ["\t", "\n", "\r\n", "\\\n", "\\ \n"]
HA_CF_WORDS = st.sampled_from([*HA_CF_SAMPLE.split(), *DIRECTIVES, *ENDS])
HARESOURCES_WORDS = st.sampled_from([*HARESOURCES_SAMPLE.split(), *ENDS])
AUTHKEYS_WORDS = st.sampled_from([*AUTHKEYS_SAMPLE.split(), *ENDS])


def texts(words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Plain noise, and noise made of the language's own words, which gets deeper."""
    mixed = st.lists(words | st.text(max_size=6), max_size=40)
    return st.text(max_size=200) | mixed.map(" ".join) | mixed.map("".join)


def judge(parsed: Parsed[Any], text: str) -> None:
    """Either a value or problems, and each problem has a place in the text, a fact and a remedy."""
    assert (parsed.value is None) == bool(parsed.problems)
    lines = text.split("\n")
    for problem in (*parsed.problems, *parsed.notes):
        assert LINE_OF.match(str(problem)), problem
        assert str(problem).isprintable(), problem
        assert 0 <= problem.line <= len(lines)
        if problem.line:
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
    for problem in parsed.problems:
        assert "; " in problem.text, problem


@settings(max_examples=400, deadline=None)
@given(texts(HA_CF_WORDS))
@example("node a b\nserial /x\nfence_device a b c=" + "9" * 6000)
@example("node a b\nserial /x\nudpport ²\nbaud ²\nfence_level a ² b")
def test_any_ha_cf(text: str) -> None:
    judge(hacf.parse(text), text)
    hacf.nodes_of(text)


@settings(max_examples=400, deadline=None)
@given(texts(HARESOURCES_WORDS))
def test_any_haresources(text: str) -> None:
    judge(haresources.parse(text, ("pete", "mclaws")), text)
    judge(haresources.parse(text, None), text)


@settings(max_examples=400, deadline=None)
@given(texts(AUTHKEYS_WORDS))
def test_any_authkeys(text: str) -> None:
    judge(authkeys.parse(text), text)


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=24 * 60 * 60 * 1000))
def test_times_round_trip(value_ms: int) -> None:
    assert time_ms(as_time(value_ms)) == value_ms


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
PATHS = st.from_regex(r"/[a-z0-9]{1,8}(/[a-z0-9.]{1,8}){0,2}", fullmatch=True)
PRINTABLE = st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.just(" ")
VALUES = st.text(PRINTABLE, min_size=1, max_size=20)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_ha_cf(config: ClusterConfig) -> str:
    lines = [f"node {config.nodes[0]} {config.nodes[1]}"]
    lines += [f"serial {link.device}" for link in config.links if isinstance(link, SerialLink)]
    for device in config.fence_devices:
        words = [f"{name}={quoted(value)}" for name, value in device.parameters]
        words += [f"plug.{node}={quoted(plug)}" for node, plug in device.plugs]
        lines.append(" ".join(["fence_device", device.name, device.agent, *words]))
    lines += [f"fence_level {x.node} {x.level} {' '.join(x.devices)}" for x in config.fence_levels]
    lines.append(f"keepalive {as_time(config.timing.keepalive_ms)}")
    lines.append(f"deadtime {as_time(config.timing.deadtime_ms)}")
    return "\n".join(lines)


@settings(deadline=None)
@given(
    nodes=st.lists(NAMES, min_size=2, max_size=2, unique=True),
    serial=st.lists(PATHS, min_size=1, max_size=3, unique_by=lambda path: path.rpartition("/")[2]),
    devices=st.dictionaries(NAMES, st.dictionaries(st.just("password") | NAMES, VALUES, max_size=3), max_size=3),
    keepalive_ms=st.integers(min_value=1, max_value=10_000),
)
def test_ha_cf_round_trip(
    nodes: list[str], serial: list[str], devices: dict[str, dict[str, str]], keepalive_ms: int
) -> None:
    lines = [f"node {' '.join(nodes)}", f"serial {' '.join(serial)}", f"keepalive {keepalive_ms}ms"]
    for name, parameters in devices.items():
        words = [f"{key}={quoted(value)}" for key, value in parameters.items() if key not in ("plug", "action")]
        plugs = [f"plug.{nodes[0]}=1", f"plug.{nodes[1]}=2"]
        lines.append(" ".join(["fence_device", name, "fence_x", *words, *plugs]))
    for name in devices:
        lines += [f"fence_level {node} {list(devices).index(name) + 1} {name}" for node in nodes]
    parsed = hacf.parse("\n".join(lines)).value
    if any("nodename" in parameters for parameters in devices.values()):
        assert parsed is None
        return
    assert parsed is not None, hacf.parse("\n".join(lines)).problems
    assert hacf.parse(write_ha_cf(parsed)).value == parsed
    written = [
        FenceDevice(
            name=name,
            agent="fence_x",
            parameters=tuple((k, v) for k, v in parameters.items() if k not in ("plug", "action")),
            plugs=((nodes[0], "1"), (nodes[1], "2")),
        )
        for name, parameters in devices.items()
    ]
    assert list(parsed.fence_devices) == written


ARGUMENTS = st.from_regex(r"[A-Za-z0-9/._=,-]{1,12}", fullmatch=True).filter(lambda text: "::" not in text)
SCRIPTS = st.builds(
    lambda name, args: Resource(kind=ResourceKind.SCRIPT, type=name, args=tuple(args)),
    NAMES,
    st.lists(ARGUMENTS, max_size=3),
)
OCF = st.builds(
    lambda provider, kind, parameters, interval, depth, timeouts: Resource(
        kind=ResourceKind.OCF,
        provider=provider,
        type=kind,
        parameters=tuple(parameters.items()),
        monitor_interval_ms=interval,
        monitor_depth=depth,
        timeouts_ms=tuple(timeouts.items()),
    ),
    NAMES,
    NAMES,
    st.dictionaries(NAMES, ARGUMENTS, max_size=3),
    st.none() | st.integers(min_value=0, max_value=60_000),
    st.integers(min_value=0, max_value=100),
    st.dictionaries(st.sampled_from(["start", "stop"]), st.integers(min_value=1, max_value=60_000)),
)


def write_resource(resource: Resource) -> str:
    words = [resource.agent, *resource.args]
    words += [f"{name}={value}" for name, value in resource.parameters]
    if resource.monitor_interval_ms is not None:
        words.append(f"op_monitor_interval={resource.monitor_interval_ms}ms")
    if resource.monitor_depth:
        words.append(f"op_monitor_depth={resource.monitor_depth}")
    words += [f"op_{action}_timeout={value}ms" for action, value in resource.timeouts_ms]
    return "::".join(words)


@settings(deadline=None)
@given(st.lists(SCRIPTS | OCF, min_size=1, max_size=6), st.sampled_from([" ", "\t", " \\\n  ", "\\\n\t"]))
def test_haresources_round_trip(resources: list[Resource], joint: str) -> None:
    text = joint.join(["pete", *map(write_resource, resources)]) + "\n"
    parsed = haresources.parse(text, ("pete", "mclaws"))
    assert parsed.value is not None, parsed.problems
    assert list(parsed.value[0].resources) == resources


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 15), VALUES.map(lambda v: "k" + v.replace(" ", "_")), min_size=1))
def test_authkeys_round_trip(keys: dict[int, str]) -> None:
    text = "\n".join([f"auth {min(keys)}", *(f"{index} sha256 {key}" for index, key in keys.items())])
    parsed = authkeys.parse(text)
    assert parsed.value is not None, parsed.problems
    assert {index: secret.reveal().decode() for index, secret in parsed.value.keys.items()} == keys
