"""Installed trees as data: what `make install`, debian/ and rpm/ each make, and in what they differ."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import re

Tree = dict[str, tuple[str, int, str]]
"""Path to (kind, mode, target of a link or digest of the content)."""


def read(folder: pathlib.Path) -> Tree:
    """Files and links below ``folder``; manual pages unpacked, and without the date of their build."""
    found: Tree = {}
    for where, folders, names in os.walk(folder):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(where, name)))]:
            path = pathlib.Path(where, name)
            place = path.relative_to(folder).as_posix()
            # Debian 12 has its units in /lib, which is a link to /usr/lib; rpm's macro says /usr/lib.
            place = f"usr/{place}" if place.startswith("lib/") else place
            if path.is_symlink():
                # Debian's links are relative below /usr; where they lead is what counts.
                target = os.path.normpath(os.path.join("/", os.path.dirname(place), os.readlink(path)))
                found[place] = ("link", 0, target)
                continue
            content = path.read_bytes()
            if place.startswith("usr/share/man/"):
                content = gzip.decompress(content) if place.endswith(".gz") else content
                content = re.sub(rb"^\.TH .*", b".TH", content)
                place = place.removesuffix(".gz")
            found[place] = ("file", path.stat().st_mode & 0o7777, hashlib.sha256(content).hexdigest())
    return found


def without(tree: Tree, *patterns: str) -> Tree:
    """``tree`` without the paths that one of the regular expressions matches from their beginning."""
    return {path: entry for path, entry in tree.items() if not any(re.match(pattern, path) for pattern in patterns)}


def differences(one: Tree, other: Tree) -> list[str]:
    """A line for each path that is not alike in both."""
    lines = [f"only in the first: {path}" for path in sorted(one.keys() - other.keys())]
    lines += [f"only in the second: {path}" for path in sorted(other.keys() - one.keys())]
    both = sorted(one.keys() & other.keys())
    return lines + [f"{path}: {one[path]} and {other[path]}" for path in both if one[path] != other[path]]
