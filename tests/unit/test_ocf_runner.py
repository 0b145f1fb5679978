"""The OCF contract: verbs, exit codes, reasons, deadlines, metadata. No host is looked at."""

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from lxml import etree

from failover_kit.agents.exportfs import AGENT as EXPORTFS
from failover_kit.agents.filesystem import AGENT as FILESYSTEM
from failover_kit.agents.ipaddr import AGENT as IPADDR
from failover_kit.agents.killnfsd import AGENT as KILLNFSD
from failover_kit.agents.nfsserver import AGENT as NFSSERVER
from failover_kit.ocf import codes, runner
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import AgentError
from failover_kit.ocf.metadata import document
from failover_kit.spec.deadline import DeadlineExpired
from failover_kit.spec.parameter import Action, Parameter

GOOD = {"OCF_RESKEY_ip": "192.0.2.1"}
ALL = [IPADDR, FILESYSTEM, NFSSERVER, EXPORTFS, KILLNFSD]
RIGHT = {
    "IPaddr": {"ip": "192.0.2.9"},
    "Filesystem": {"device": "/dev/sdz9", "directory": "/no/where"},
    "exportfs": {"directory": "/no/where", "clientspec": "*", "fsid": "1"},
}  # fmt: skip


# Where an agent reads a parameter, directly or as an option of a daemon's; the name may be made of parts.
READS = re.compile(r'(?:values\.(?:text|number|flag)\(|option\(call, "[^"]*", )f?"([^"]+)"')
NOT_READ = ("Accepted and not used", "Refused", "Only as no")


def make(**handlers):
    """A small agent whose handlers are given; missing ones succeed."""
    every = {verb: lambda call: codes.SUCCESS for verb in ("start", "stop", "monitor", "validate-all")}
    return Agent(
        "Toy",
        version="0",
        shortdesc="A toy",
        text_module="none",
        parameters=(
            Parameter("ip", kind="ipv4", required=True, shortdesc="address"),
            Parameter("fast", kind="boolean", shortdesc="fast"),
        ),
        actions=(Action("start", 20), Action("monitor", 7, interval_s=10)),
        handlers={**every, **{name.replace("_", "-"): work for name, work in handlers.items()}},
        positional=("ip",),
    )


def raising(error):
    def work(call):
        raise error

    return work


def reasons(capsys):
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("ocf-exit-reason:") for line in lines if line.startswith("ocf-exit-reason:")]


def test_verb_comes_first_and_the_rest_is_ignored():
    assert runner.main(make(), ["Toy", "start", "x", "y"], GOOD) == 0


@pytest.mark.parametrize("verb", ["promote", "demote", "notify", "migrate_to", "reload", "status", "Start", ""])
def test_unknown_verbs_exit_3_even_without_parameters(verb):
    assert runner.main(make(), ["Toy", verb], {}) == 3
    assert runner.main(make(), ["Toy"], {}) == 3


@pytest.mark.parametrize(
    ("verb", "interval", "environ", "code"),
    [
        ("start", "0", {}, 6),
        ("validate-all", "0", {}, 6),
        ("stop", "0", {}, 0),
        ("monitor", "0", {}, 7),
        ("monitor", "10000", {}, 1),
        ("start", "0", {"OCF_RESKEY_ip": "192.0.2.999"}, 6),
        ("stop", "0", {"OCF_RESKEY_ip": "192.0.2.999"}, 0),
        ("monitor", "10000", {"OCF_RESKEY_ip": "192.0.2.999"}, 1),
        ("start", "0", {**GOOD, "OCF_RESKEY_fast": "maybe"}, 6),
    ],
)
def test_wrong_parameters_by_verb(verb, interval, environ, code):
    def never(call):
        raise AssertionError("the handler must not run")

    agent = make(start=never, stop=never, monitor=never, validate_all=never)
    assert runner.main(agent, ["Toy", verb], {**environ, "OCF_RESKEY_CRM_meta_interval": interval}) == code


@pytest.mark.parametrize("verb", ["stop", "monitor"])
def test_a_wrong_extra_does_not_hide_what_may_be_running(verb):
    """Answering "stopped" because of a typo in an option would be a lie about a mounted disk."""
    agent = make(**{verb: raising(AgentError(1, "busy"))})
    assert runner.main(agent, ["Toy", verb], {**GOOD, "OCF_RESKEY_fast": "maybe"}) == 1


def test_a_monitor_never_answers_6(capsys):
    for interval in ("0", "10000"):
        assert runner.main(make(), ["Toy", "monitor"], {"OCF_RESKEY_CRM_meta_interval": interval}) != 6


def test_one_reason_line_however_long_the_story(capsys):
    agent = make(start=raising(AgentError(5, "first\nsecond\tthird " + "x" * 5000)))
    assert runner.main(agent, ["Toy", "start"], GOOD) == 5
    (line,) = reasons(capsys)
    assert line.startswith(r"first\012second\011third x")
    assert len(line) <= runner.REASON_LIMIT


def test_the_reason_prefix_of_the_caller_is_used(capsys):
    agent = make(start=raising(AgentError(1, "why")))
    runner.main(agent, ["Toy", "start"], {**GOOD, "OCF_EXIT_REASON_PREFIX": "because:"})
    assert capsys.readouterr().err == "because:why\n"


def test_none_from_a_handler_is_a_bug_and_exits_1(capsys):
    assert runner.main(make(start=lambda call: None), ["Toy", "start"], GOOD) == 1
    assert "bug in the agent" in reasons(capsys)[0]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DeadlineExpired("mounting: not done within 18 s"), 1, "mounting"),
        (PermissionError(1, "Operation not permitted"), 4, "not permitted"),
        (OSError(5, "Input/output error"), 1, "Input/output"),
        (ZeroDivisionError("division by zero"), 1, "bug in the agent"),
    ],
)
def test_errors_become_codes(capsys, error, code, words):
    assert runner.main(make(stop=raising(error)), ["Toy", "stop"], GOOD) == code
    assert words in reasons(capsys)[0]


def test_validate_all_looks_at_the_host_from_level_10_on():
    agent = make(validate_all=raising(AgentError(5, "not here")))
    assert runner.main(agent, ["Toy", "validate-all"], GOOD) == 0
    assert runner.main(agent, ["Toy", "validate-all"], {**GOOD, "OCF_CHECK_LEVEL": "10"}) == 5


@pytest.mark.parametrize(
    ("timeout", "total_ms"),
    [("20000", 18000), ("1000", 900), ("120000", 117000), ("", 6300), ("soon", 6300), ("-5", 6300)],
)
def test_the_deadline_is_a_little_before_the_caller_s(timeout, total_ms):
    assert runner.deadline_of(make(), "monitor", {"CRM_meta_timeout": timeout}).total_ms == total_ms


def test_the_call_knows_level_probe_and_instance():
    seen = {}

    def look(call):
        seen.update(level=call.level, probe=call.probe, instance=call.instance)
        return codes.SUCCESS

    environ = {
        **GOOD,
        "OCF_CHECK_LEVEL": "20",
        "OCF_RESOURCE_INSTANCE": "vip:0",
        "OCF_RESKEY_CRM_meta_interval": "9",
    }
    assert runner.main(make(monitor=look), ["Toy", "monitor"], environ) == 0
    assert seen == {"level": 20, "probe": False, "instance": "vip:0"}
    assert runner.main(make(monitor=look), ["Toy", "monitor"], GOOD) == 0
    assert seen == {"level": 0, "probe": True, "instance": "default"}


def test_state_files_stay_in_their_directory_whatever_the_name(tmp_path):
    paths = []

    def look(call):
        paths.append(call.state_path("../../etc/passwd x"))
        call.write_state("a/b", "text")
        return codes.SUCCESS

    runner.main(make(start=look), ["Toy", "start"], {**GOOD, "HA_RSCTMP": str(tmp_path / "deep" / "state")})
    assert paths == [f"{tmp_path}/deep/state/failover-kit-Toy-..%2f..%2fetc%2fpasswd%20x"]
    assert [file.read_text() for file in (tmp_path / "deep" / "state").iterdir()] == ["text"]


def reskeys(settings):
    return {f"OCF_RESKEY_{name}": value for name, value in settings.items()}


@pytest.mark.parametrize("name", ["/srv/" + "x/" * 100, "ü" * 300, "\udc80" * 250])
def test_state_files_of_long_names_are_made_and_told_apart(tmp_path, name):
    """The mount point of a Filesystem is one; a file name has 255 bytes, and a path may have 4096."""

    def keep(call):
        call.write_state(name, "one")
        call.write_state(name + "y", "two")
        return codes.SUCCESS

    assert runner.main(make(start=keep), ["Toy", "start"], {**GOOD, "HA_RSCTMP": str(tmp_path)}) == 0
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("agent", ALL, ids=lambda agent: agent.name)
class TestParameters:
    """The rules about wrong parameters, held by every agent."""

    def test_validate_all_at_level_0_does_not_look_at_the_host(self, agent, monkeypatch, capsys):
        import os

        def looked(*args, **kwargs):
            raise AssertionError(f"looked at the host: {args}")

        settings = reskeys(RIGHT.get(agent.name, {}))
        with monkeypatch.context() as patch:
            for name in ("open", "stat", "lstat", "readlink", "listdir", "scandir", "access", "fork"):
                patch.setattr(os, name, looked)
            patch.setattr("builtins.open", looked)
            codes_seen = [
                runner.main(agent, [agent.name, "validate-all"], environ)
                for environ in (settings, {**settings, "OCF_CHECK_LEVEL": "9"})
            ]
        assert codes_seen == [0, 0]
        assert capsys.readouterr().err == ""

    def test_level_10_never_says_6(self, agent):
        """What this node lacks is not wrong everywhere."""
        settings = {**reskeys(RIGHT.get(agent.name, {})), "OCF_CHECK_LEVEL": "10"}
        assert runner.main(agent, [agent.name, "validate-all"], settings) in (0, 1, 4, 5)

    def test_two_wrong_parameters_are_both_in_the_reason(self, agent, capsys):
        right = RIGHT.get(agent.name, {})
        for one in agent.parameters:
            for other in agent.parameters:
                if one is other:
                    continue
                wrong = {one.name: " x", other.name: " y"}
                assert runner.main(agent, [agent.name, "start"], reskeys({**right, **wrong})) == 6
                (line,) = reasons(capsys)
                assert f"{one.name}: ' x' " in line
                assert f"{other.name}: ' y' " in line

    def test_all_wrong_at_once_are_named_or_counted(self, agent, capsys):
        wrong = reskeys({parameter.name: " x" for parameter in agent.parameters})
        assert runner.main(agent, [agent.name, "validate-all"], wrong) == 6
        (line,) = reasons(capsys)
        named = sum(f"{parameter.name}: ' x' " in line for parameter in agent.parameters)
        more = line.rpartition("; and ")[2].removesuffix(" more")
        assert named + (int(more) if more.isdigit() else 0) == len(agent.parameters)
        assert len(line) <= runner.REASON_LIMIT

    def test_without_what_is_required_nothing_can_be_running(self, agent):
        required = [parameter.name for parameter in agent.parameters if parameter.required]
        for name in required:
            settings = reskeys({**RIGHT[agent.name], name: ""})
            assert runner.main(agent, [agent.name, "stop"], settings) == 0
            assert runner.main(agent, [agent.name, "monitor"], settings) == 7
            recurring = {**settings, "OCF_RESKEY_CRM_meta_interval": "10000"}
            assert runner.main(agent, [agent.name, "monitor"], recurring) == 1

    def test_help_names_every_parameter_and_its_default(self, agent, capsys):
        assert runner.main(agent, [agent.name, "--help"], {}) == 0
        text = capsys.readouterr().out
        for parameter in agent.parameters:
            line = next(line for line in text.splitlines() if line.startswith(f"  {parameter.name} "))
            assert not parameter.default or f"default {parameter.default}" in line
            assert ("required" in line) == parameter.required
            assert all(choice in line for choice in parameter.choices)


def test_relations_are_told_with_single_mistakes_unless_the_identity_is_wrong(capsys):
    """Held against a default that nobody wrote, a relation would be a mistake that nobody made."""
    settings = {"ip": "2001:db8::9", "broadcast": "192.0.2.255", "arp_count": "many"}
    assert runner.main(IPADDR, ["IPaddr", "start"], reskeys(settings)) == 6
    (line,) = reasons(capsys)
    assert "arp_count: 'many' is not a whole number; broadcast: IPv6 has no broadcast" in line
    assert runner.main(IPADDR, ["IPaddr", "start"], reskeys({"ip": "x", "cidr_netmask": "64"})) == 6
    (line,) = reasons(capsys)
    assert line.startswith("ip: 'x' ")
    assert "cidr_netmask" not in line


@pytest.mark.parametrize("verb", ["stop", "monitor"])
def test_6_of_a_handler_is_never_handed_on_by_stop_and_monitor(verb, capsys):
    agent = make(**{verb: raising(AgentError(codes.ERR_CONFIGURED, "looks wrong from here"))})
    assert runner.main(agent, ["Toy", verb], GOOD) == 1
    assert len(reasons(capsys)) == 1


@pytest.mark.parametrize("agent", ALL, ids=lambda agent: agent.name)
class TestMetadata:
    """OCF Resource Agent API 1.1, its schema ra-api-1.1.rng in words."""

    def root(self, agent):
        return ET.fromstring(document(agent))

    def test_it_can_be_read_as_text_too(self, agent):
        """crmsh 4.4 hands lxml decoded text, which must not name an encoding: no agent of ours was one to it."""
        assert etree.fromstring(document(agent)).get("name") == agent.name

    def test_shape(self, agent):
        root = self.root(agent)
        assert root.tag == "resource-agent"
        assert [child.tag for child in root] == ["version", "longdesc", "shortdesc", "parameters", "actions"]
        assert root.findtext("version") == "1.1"
        for described in (root, *root.findall("parameters/parameter")):
            for tag in ("longdesc", "shortdesc"):
                assert described.find(tag).get("lang") == "en"
                assert described.findtext(tag).strip()

    def test_parameters(self, agent):
        allowed = {"name", "required", "reloadable", "unique-group"}
        for parameter in self.root(agent).findall("parameters/parameter"):
            assert set(parameter.attrib) <= allowed
            assert parameter.get("required") in ("0", "1")
            # Without a reload-agent action nothing can be changed while it runs.
            assert parameter.get("reloadable") == "0" or "reload-agent" in agent.handlers
            # An identity never can.
            assert parameter.get("required") == "0" or parameter.get("reloadable") == "0"
            content = parameter.find("content")
            assert content.get("type") in ("string", "integer", "boolean")
            declared = agent.parameter(parameter.get("name"))
            assert (content.get("default") or "") == declared.default
            assert not (declared.required and declared.default)

    def test_actions(self, agent):
        found = [action.attrib for action in self.root(agent).findall("actions/action")]
        names = {action["name"] for action in found}
        assert {"start", "stop", "monitor", "validate-all", "meta-data"} <= names
        # validate-all needs no handler where there is nothing on the host to look at.
        assert names - {"meta-data"} == set(agent.handlers) | {"validate-all"}
        for action in found:
            assert action["timeout"].endswith("s")
            assert action.get("interval", "1s").endswith("s")

    def test_every_parameter_has_its_text_and_no_text_is_left_over(self, agent):
        from importlib import import_module

        texts = import_module(agent.text_module).PARAMETERS
        assert set(texts) == {parameter.name for parameter in agent.parameters}

    def test_every_parameter_is_read_by_the_agent(self, agent):
        from pathlib import Path

        import failover_kit.agents as package

        stem = agent.text_module.rpartition(".")[2].removesuffix("_text")
        sources = "".join(path.read_text() for path in Path(package.__path__[0]).glob(f"{stem}*.py"))
        read = READS.findall(sources.replace("'", '"'))
        names = re.compile("|".join(re.sub(r"\\?\{.*?\}", r"\\w+", re.escape(name)) for name in read))
        for parameter in agent.parameters:
            if parameter.shortdesc not in NOT_READ:
                assert names.fullmatch(parameter.name), parameter.name

    def test_every_default_passes_its_own_check(self, agent):
        for parameter in agent.parameters:
            if parameter.default:
                parameter.parse(parameter.default)


def test_metadata_escapes(monkeypatch):
    text = SimpleNamespace(LONGDESC='a < b & "c"', PARAMETERS={"ip": "<b>", "fast": "x"})
    monkeypatch.setattr("failover_kit.ocf.metadata.import_module", lambda name: text)
    assert ET.fromstring(document(make())).findtext("longdesc").strip() == 'a < b & "c"'
