"""debian/ and rpm/ pack what `make install` installs, each file in one package, and nothing else."""

from __future__ import annotations

import collections
import pathlib
import re
import shutil
import subprocess

import pytest

from packaging_trees import Tree, differences, read, without

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("failover-kit", "failover-kit-agents", "failover-kit-compat", "failover-kit-rehearsal")
LICENCE = "usr/share/doc/failover-kit/COPYING"  # each kind of package has a place of its own for it
BYTECODE = ".*/__pycache__/"

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("dpkg-buildpackage", "dh", "dh_python3", "rpmbuild", "cpio")),
    reason="needs debhelper dh-python dpkg-dev rpm cpio",
)


def packed(kind: str, folder: pathlib.Path) -> pathlib.Path:
    argv = ["/bin/sh", str(TOP / "tools" / "packages.sh"), kind, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    dest = tmp_path_factory.mktemp("dest")
    argv = ["make", "-C", str(TOP), "install", "install-compat", f"DESTDIR={dest}"]
    subprocess.run(argv, check=True, capture_output=True, timeout=300)
    return without(read(dest), LICENCE)


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tree]:
    """Each package's tree as dpkg would unpack it."""
    folder = packed("deb", tmp_path_factory.mktemp("deb") / "out")
    trees = {}
    for archive in folder.glob("*.deb"):
        name = archive.name.partition("_")[0]
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / name)], check=True, timeout=60)
        trees[name] = read(folder / name)
    return trees


@pytest.fixture(scope="module")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tree]:
    folder = packed("rpm", tmp_path_factory.mktemp("rpm") / "out")
    trees = {}
    for archive in folder.glob("*.noarch.rpm"):
        name = re.sub(r"-[0-9].*", "", archive.name)
        (folder / name).mkdir()
        script = 'rpm2cpio "$0" | cpio --quiet -idm'
        subprocess.run(["sh", "-c", script, str(archive)], cwd=folder / name, check=True, timeout=60)
        # vendor-completions is Debian's; where rpm is at home zsh looks in site-functions.
        found = read(folder / name)
        trees[name] = {path.replace("site-functions", "vendor-completions"): found[path] for path in found}
    return trees


def together(trees: dict[str, Tree]) -> Tree:
    """One tree of all packages; a file in two of them is an error."""
    owners = collections.Counter(path for tree in trees.values() for path in tree)
    assert [path for path, count in owners.items() if count > 1] == []
    return {path: entry for tree in trees.values() for path, entry in tree.items()}


def test_the_debian_packages_are_what_make_install_installs(installed: Tree, debs: dict[str, Tree]) -> None:
    assert sorted(debs) == sorted(PACKAGES)
    of_debian = [r"usr/share/doc/failover-kit[^/]*/(copyright|changelog\.gz)$"]
    of_debian += ["usr/share/lintian/overrides/", r"usr/share/python3/runtime\.d/"]
    # Debian compiles at installation, for the interpreter that is there (docs/design/0042-packages.md).
    assert differences(without(installed, BYTECODE), without(together(debs), *of_debian)) == []


def test_the_rpm_packages_are_what_make_install_installs(installed: Tree, rpms: dict[str, Tree]) -> None:
    assert sorted(rpms) == sorted(PACKAGES)
    assert differences(installed, without(together(rpms), "usr/share/licenses/")) == []


def test_both_kinds_part_the_files_alike(debs: dict[str, Tree], rpms: dict[str, Tree]) -> None:
    own = (BYTECODE, r"usr/share/doc/failover-kit[^/]*/(copyright|changelog.gz)$", "usr/share/licenses/")
    own += ("usr/share/lintian/", "usr/share/python3/")
    for name in PACKAGES:
        assert sorted(without(debs[name], *own)) == sorted(without(rpms[name], *own)), name


def test_no_package_takes_a_path_of_another_project_but_the_one_that_diverts(debs: dict[str, Tree]) -> None:
    """The list in the scripts of failover-kit-compat is the list of its files."""
    theirs = {"usr/sbin/fence_wti", "usr/sbin/stonith", "usr/bin/cl_status", "usr/share/man/man8/fence_wti.8"}
    theirs |= {"usr/share/heartbeat/hb_standby", "usr/share/heartbeat/hb_takeover"}
    own = without(debs["failover-kit-compat"], "usr/share/doc/", "usr/share/lintian/")
    assert own.keys() == theirs
    for name in PACKAGES[:2] + PACKAGES[3:]:
        assert not theirs & debs[name].keys()
    for script in ("preinst", "postrm"):
        text = (TOP / "debian" / f"failover-kit-compat.{script}").read_text()
        diverted = re.search(r'^DIVERTED="([^"]*)"', text, re.M)
        assert diverted is not None
        assert {path.lstrip("/").removesuffix(".gz") for path in diverted[1].split()} == theirs


def test_rooms_of_the_library_lie_with_what_may_import_them(debs: dict[str, Tree]) -> None:
    """A package depends on the ones below it, so a room must not import one of a package above."""
    below = {
        "failover-kit-agents": {"failover-kit-agents"},
        "failover-kit": {"failover-kit-agents", "failover-kit"},
        "failover-kit-rehearsal": {"failover-kit-agents", "failover-kit", "failover-kit-rehearsal"},
    }
    library = "usr/share/failover-kit/failover_kit/"
    home = {
        path.removeprefix(library).split("/")[0]: name
        for name, tree in debs.items()
        for path in tree
        if path.startswith(library)
    }
    for path in sorted((TOP / "lib" / "failover_kit").rglob("*.py")):
        room = path.relative_to(TOP / "lib" / "failover_kit").parts[0]
        for other in re.findall(r"^\s*(?:from|import) failover_kit\.(\w+)", path.read_text(), re.M):
            assert home[other] in below[home[room]], f"{path} imports {other}"


def test_a_page_of_a_command_that_is_not_there_is_explained_to_lintian(debs: dict[str, Tree]) -> None:
    """`make deb` fails at one that is not; lintian itself takes minutes."""
    paths = together(debs)
    commands = {path.rpartition("/")[2] for path in paths if re.match(r"usr/s?bin/", path)}
    pages = {path for path in paths if re.match(r"usr/share/man/man[18]/", path)}
    spare = {path for path in pages if path.rpartition("/")[2].rpartition(".")[0] not in commands}
    said = "\n".join(path.read_text() for path in (TOP / "debian").glob("*.lintian-overrides"))
    assert "failoverd" in commands
    assert spare == set(re.findall(r"^\S+: spare-manual-page \[(\S+)\.gz\]$", said, re.M))
