"""The import graph of the package, held to docs/design/0001: arrows run downward only."""

from __future__ import annotations

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "lib" / "failover_kit"

# Which rooms a room may import from, itself aside.
ALLOWED: dict[str, set[str]] = {
    "spec": set(),
    "kernel": {"spec"},
    "ocf": {"spec"},
    "fence": {"spec"},
    "agents": {"spec", "kernel", "ocf"},
    "manager": {"spec", "kernel", "ocf", "fence", "agents"},
    "stonith": {"spec", "fence"},
    "switch": {"spec", "fence"},
    "emulator": {"spec"},
    "explain": {"spec", "manager"},
    "check": {"spec", "kernel", "agents", "manager"},
    "watch": {"spec", "manager"},
    "cib": {"spec", "agents", "manager"},
    "cli": {"spec", "kernel", "ocf", "fence", "agents", "manager", "switch", "check", "explain", "watch", "cib"},
    "rehearsal": {
        "spec", "kernel", "ocf", "fence", "agents", "manager", "switch", "check", "explain", "watch", "cib",
        "cli", "emulator",
    },
}

# The manager's pure modules: they may import each other and these, so that a decision can be replayed.
PURE = {
    "actions",
    "codec",
    "authkeys",
    "config",
    "configtext",
    "core",
    "coredata",
    "dialect",
    "drill",
    "events",
    "groups",
    "hacf",
    "hacf_fencing",
    "hacf_links",
    "hacf_pings",
    "haresources",
    "hearing",
    "law",
    "maintenance",
    "orders",
    "pinging",
    "pingvotes",
    "records",
    "requests",
    "shooting",
    "snapshot",
    "states",
    "status",
    "view",
    "wire",
    "wireitems",
}
PURE_STDLIB = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "ipaddress",
    "itertools",
    "re",
    "struct",
    "types",
    "typing",
    "urllib.parse",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: pathlib.Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found.add(node.module or "")
            if (node.module or "").startswith("failover_kit") and (node.module or "").count(".") <= 1:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_run_downward_only(path: pathlib.Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    room = parts[0] if len(parts) > 1 else ""
    for name in imports_of(path):
        pieces = name.split(".")
        if pieces[0] != "failover_kit" or len(pieces) == 1 or pieces[1] not in ALLOWED:
            continue
        assert room, f"{path.name} imports {name}: the package itself imports nothing"
        assert pieces[1] == room or pieces[1] in ALLOWED[room], f"{room} must not import {name}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_cannot_see_the_world(name: str) -> None:
    for imported in imports_of(PACKAGE / "manager" / f"{name}.py"):
        pieces = imported.split(".")
        if pieces[0] != "failover_kit":
            assert pieces[0] in PURE_STDLIB or imported in PURE_STDLIB, f"manager/{name}.py imports {imported}"
        elif len(pieces) >= 3:
            assert pieces[1] == "manager", f"manager/{name}.py imports {imported}"
            assert pieces[2] in PURE, f"manager/{name}.py imports the impure {imported}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ALLOWED)
