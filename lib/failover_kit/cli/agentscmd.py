"""failoverctl install-agents: resource agents, fence agent, launchers of haresources, where others look for them.

For a library that came by pip or stands in a checkout. The agents get a copy of the library of their own, laid
out as ``make install`` does it: they run under ``/usr/bin/python3 -IS``, which sees no virtual environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator

from failover_kit.manager.actions import ExitCode

HELP = "place the resource and fence agents below a directory"
EXPLANATION = (
    "For a library that came by pip or stands in a checkout; what a package or make install brought is in place. "
    "Files of an earlier install-agents are replaced."
)
LIBRARY = "usr/share/failover-kit/failover_kit"
_OCF = "usr/lib/ocf/resource.d/failover-kit"
_COMPAT = "usr/lib/failover-kit/compat"
_PLUGINS = "usr/lib/stonith/plugins/external"
_OF_DPKG = "var/lib/dpkg/info/failover-kit-agents.list"
# Where a file goes, and where it stands in a checkout; a test compares with `make install`.
FILES = {
    **{f"{_OCF}/{name}": f"ocf/{name}" for name in ("Filesystem", "IPaddr", "exportfs", "killnfsd", "nfsserver")},
    "usr/sbin/fence_wti_ips800": "stonith/fence_wti_ips800",
    f"{_COMPAT}/stonith": "stonith/stonith",
    f"{_COMPAT}/resource.d/failover-kit": "compat/resource.d/failover-kit",
    f"{_PLUGINS}/failover-kit-wti": "stonith/external/failover-kit-wti",
}
LINKS = {
    **{
        f"{_COMPAT}/resource.d/{name}": "failover-kit"
        for name in ("Filesystem", "IPaddr", "IPaddr2", "exportfs", "killnfsd", "nfsserver")
    },
    f"{_COMPAT}/fence_wti": "/usr/sbin/fence_wti_ips800",
    f"{_PLUGINS}/failover-kit-wti-file": "failover-kit-wti",
    f"{_PLUGINS}/failover-kit-agent": "failover-kit-wti",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``failoverctl install-agents``."""
    parser.add_argument("--root", required=True, metavar="DIR", help="place them below DIR; / is this machine")


def run(options: argparse.Namespace) -> int:
    """Place everything; returns the exit code."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    root = os.path.abspath(options.root)
    sources = _sources(package)
    lacking = sorted(set(FILES.values()) - set(sources))
    if lacking:
        print(
            f"failoverctl: {package}: {', '.join(lacking)} did not come with it; a package or make install has put "
            "the agents in place, else install from a checkout",
            file=sys.stderr,
        )
        return ExitCode.FAILED.value
    if not os.path.isdir(root):
        print(f"failoverctl: {root}: no such directory; make it, or correct --root", file=sys.stderr)
        return ExitCode.USAGE.value
    if os.path.exists(os.path.join(root, _OF_DPKG)):
        print(
            f"failoverctl: the package failover-kit-agents has its files below {root}; nothing was changed: remove "
            "the package first, or give another --root",
            file=sys.stderr,
        )
        return ExitCode.REFUSED.value
    os.umask(0o022)  # programs that root runs are nobody else's to write, and everybody's to read
    try:
        _copy_library(package, root)
        for name, source in FILES.items():
            _place(sources[source], os.path.join(root, name))
        for name, target in LINKS.items():
            _link(target, os.path.join(root, name))
    except PermissionError as error:
        print(f"failoverctl: {error.filename}: {error.strerror}; run it as root", file=sys.stderr)
        return ExitCode.PERMISSION.value
    except OSError as error:
        print(f"failoverctl: {error.filename}: {error.strerror}; nothing was undone, try again", file=sys.stderr)
        return ExitCode.FAILED.value
    print(f"failoverctl: {len(FILES)} programs and {len(LINKS)} links are below {root}, the library in {LIBRARY}")
    return ExitCode.DONE.value


def _sources(package: str) -> dict[str, str]:
    """Each file of FILES that can be found: in the checkout, or among what pip installed beside the library."""
    checkout = os.path.dirname(os.path.dirname(package))
    found = {name: os.path.join(checkout, name) for name in FILES.values()}
    if all(os.path.isfile(path) for path in found.values()):
        return found
    return dict(_from_pip())


def _from_pip() -> Iterator[tuple[str, str]]:
    import importlib.metadata  # slow, and no other command needs it

    mark = "/share/failover-kit/launchers/"
    try:
        files = importlib.metadata.files("failover-kit") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        path = os.path.realpath(str(file.locate()))
        if mark in path:
            yield path.partition(mark)[2], path


def _copy_library(package: str, root: str) -> None:
    """The library, compiled so that a copy with other times than its sources' is as good (unchecked hashes)."""
    import compileall
    import py_compile

    place = os.path.join(root, LIBRARY)
    fresh, old = f"{place}.new", f"{place}.old"
    for rest in (fresh, old):
        shutil.rmtree(rest, ignore_errors=True)
    shutil.copytree(package, fresh, ignore=shutil.ignore_patterns("__pycache__"))
    compiled = compileall.compile_dir(
        fresh,
        quiet=1,
        stripdir=fresh,
        prependdir=f"/{LIBRARY}",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise OSError(5, "a module could not be compiled", fresh)
    # Agents may run meanwhile: two renames, not the time in which some hundred files are deleted.
    if os.path.lexists(place):
        os.rename(place, old)
    os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)


def _place(source: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copyfile(source, f"{path}.new")
    os.chmod(f"{path}.new", 0o755)  # noqa: S103 - programs for everybody
    os.replace(f"{path}.new", path)


def _link(target: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(f"{path}.new"):
        os.unlink(f"{path}.new")
    os.symlink(target, f"{path}.new")
    os.replace(f"{path}.new", path)
