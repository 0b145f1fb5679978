"""Packages by the machine's own apt: its sources, keys and proxies, its candidates. No host is named here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from lab.image import recipe, tools
from lab.image.tools import BuildError

APT_DIR = "/etc/apt"
OS_RELEASE = "/etc/os-release"
UPDATE = "run `apt-get update` as root and look at its errors; then try again"

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)$")
_OPTION_NAMES = {"arch": "Architectures", "lang": "Languages", "trusted": "Trusted", "signed-by": "Signed-By"}
_OPTION_NAMES |= {"check-valid-until": "Check-Valid-Until", "check-date": "Check-Date", "by-hash": "By-Hash"}

Stanza = dict[str, str]


def codename(os_release: str = OS_RELEASE) -> str:
    """The release that runs here, as its sources name it. BuildError when it does not say."""
    with open(os_release, encoding="utf-8") as file:
        for line in file:
            name, _, value = line.strip().partition("=")
            if name == "VERSION_CODENAME" and value:
                return value.strip("'\"")
    raise BuildError(f"{os_release} has no VERSION_CODENAME; the lab is built on Debian 12 or newer")


def sources(release: str, apt_dir: str = APT_DIR) -> str:
    """The machine's own sources of ``release``, as one deb822 text for the guest's package manager.

    Both formats are read: sources.list(5) lines and stanzas. Left out are disabled entries, source packages
    and other suites (a vendor's packages have no place in a guest). BuildError when nothing is left.
    """
    everything = list(_stanzas(apt_dir))
    stanzas = [stanza for stanza in everything if _usable(stanza, release)]
    if not stanzas:
        suites = " ".join(sorted({suite for stanza in everything for suite in stanza.get("Suites", "").split()}))
        raise BuildError(
            f"no package source of {release} in {apt_dir}/sources.list or {apt_dir}/sources.list.d (suites there: "
            f"{suites or 'none'}); the guests are made of this machine's own sources: name {release} in one"
        )
    for stanza in stanzas:
        stanza["Suites"] = " ".join(suite for suite in stanza["Suites"].split() if _ours(suite, release))
        stanza["Types"] = "deb"
    return "\n".join("".join(f"{name}: {value}\n" for name, value in stanza.items()) for stanza in stanzas)


def acquire_options(dump: str) -> str:
    """Those lines of ``apt-config dump Acquire`` that say how to fetch (proxies, checks, retries).

    Indexes are left out: which of them the machine reads does not matter to a guest.
    """
    kept = [
        line
        for line in dump.splitlines()
        if line.startswith("Acquire::")
        and not line.startswith(("Acquire::IndexTargets", "Acquire::CompressionTypes", "Acquire::Languages"))
        and not line.endswith(' "";')
    ]
    return "".join(f"{line}\n" for line in [*kept, 'Acquire::Languages "none";'])


def kernel_package() -> str:
    """The kernel that KERNEL_META depends on, such as linux-image-6.1.0-40-cloud-amd64. BuildError: none known."""
    depends = tools.output(["apt-cache", "depends", "--important", recipe.KERNEL_META])
    for line in depends.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    raise BuildError(f"apt knows no {recipe.KERNEL_META}, which Debian 12 has: {UPDATE}")


def candidates(packages: Iterable[str]) -> dict[str, str]:
    """Package to the version apt would install. BuildError names every package that has none."""
    wanted = list(packages)
    found = parse_policy(tools.output(["apt-cache", "policy", *wanted]))
    lacking = [name for name in wanted if found.get(name, "(none)") == "(none)"]
    if lacking:
        raise BuildError(f"apt has no candidate for {' '.join(lacking)}: {UPDATE}")
    return {name: found[name] for name in wanted}


def parse_policy(text: str) -> dict[str, str]:
    """``apt-cache policy``'s answer as package to candidate."""
    found: dict[str, str] = {}
    package = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            package = line.rstrip(":")
        elif line.strip().startswith("Candidate:"):
            found[package] = line.split(":", 1)[1].strip()
    return found


def update(log: str) -> None:
    """Fetch the machine's package lists anew."""
    tools.run(["apt-get", "update", "-q"], log=log, timeout_s=600, remedy="is this machine's network up?")


def download(package: str, version: str, folder: str, log: str) -> str:
    """The path of ``package``'s archive, fetched into ``folder`` and not installed."""
    # apt drops to the user _apt for downloads, who may not write where root builds.
    argv = ["apt-get", "-q", "-o", 'APT::Sandbox::User=root', "download", f"{package}={version}"]
    tools.run(argv, log=log, timeout_s=900, cwd=folder, remedy=UPDATE)
    archives = [name for name in os.listdir(folder) if name.startswith(f"{package}_") and name.endswith(".deb")]
    if len(archives) != 1:
        raise BuildError(f"apt-get download {package} left {archives or 'nothing'} in {folder}; see {log}")
    return os.path.join(folder, archives[0])


def _stanzas(apt_dir: str) -> Iterator[Stanza]:
    parts = os.path.join(apt_dir, "sources.list.d")
    names = [os.path.join(apt_dir, "sources.list")]
    names += [os.path.join(parts, name) for name in sorted(os.listdir(parts))] if os.path.isdir(parts) else []
    for name in names:
        if not os.path.isfile(name) or not name.endswith((".list", ".sources")):
            continue
        with open(name, encoding="utf-8") as file:
            text = file.read()
        yield from _one_line_style(text) if name.endswith(".list") else _deb822(text)


def _one_line_style(text: str) -> Iterator[Stanza]:
    """sources.list(5), ONE-LINE-STYLE FORMAT."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match is None:
            continue
        stanza = {"Types": "deb", "URIs": match["uri"], "Suites": match["suite"]}
        if match["components"].strip():
            stanza["Components"] = match["components"].strip()
        for option in (match["options"] or "").split():
            name, _, value = option.partition("=")
            if name.rstrip("+-") == name and name in _OPTION_NAMES:
                stanza[_OPTION_NAMES[name]] = value.replace(",", " ")
        yield stanza


def _deb822(text: str) -> Iterator[Stanza]:
    """sources.list(5), DEB822-STYLE FORMAT. A key may stand in the stanza itself, over several lines."""
    stanza: Stanza = {}
    field = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0].isspace():
            if field:
                stanza[field] += "\n" + line
        else:
            name, _, value = line.partition(":")
            field = _canonical(name)
            stanza[field] = value.strip()


def _canonical(name: str) -> str:
    """Field names are read in any case: uris, URIs."""
    known = {word.lower(): word for word in ("Types", "URIs", "Suites", "Components", *_OPTION_NAMES.values())}
    return known.get(name.strip().lower(), name.strip())


def _usable(stanza: Stanza, release: str) -> bool:
    if stanza.get("Enabled", "yes").lower() in ("no", "false", "off", "0"):
        return False
    if "deb" not in stanza.get("Types", "").split() or not stanza.get("URIs"):
        return False
    return any(_ours(suite, release) for suite in stanza.get("Suites", "").split())


def _ours(suite: str, release: str) -> bool:
    """bookworm, bookworm-updates, bookworm-security; not backports, whose versions nobody asked for."""
    name = suite.strip("/")
    if name.endswith("-backports"):
        return False
    return name == release or name.startswith((f"{release}-", f"{release}/"))
