"""A cached image is whole, unchanged and of the current content, or it is not used."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from lab.image import apt, build, cache, tree
from lab.image.tools import BuildError

VERSIONS = {"linux-image": "6.1.1"}


def _sources(tmp_path: Path) -> Path:
    folder = tmp_path / "guest"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    return folder


def _key(folder: Path, kind: str = "sysv", versions: dict[str, str] = VERSIONS) -> str:
    return cache.content_key(kind, (str(folder),), versions)


def test_the_key_depends_on_content_name_mode_kind_and_versions(tmp_path: Path) -> None:
    folder = _sources(tmp_path)
    keys = [_key(folder), _key(folder, kind="systemd"), _key(folder, versions={"linux-image": "6.1.2"})]
    (folder / "etc" / "hosts").chmod(0o755)
    keys.append(_key(folder))
    (folder / "etc" / "hosts").rename(folder / "etc" / "networks")
    keys.append(_key(folder))
    (folder / "etc" / "networks").write_text("other\n")
    keys.append(_key(folder))
    (folder / "etc" / "mtab").symlink_to("somewhere")
    keys.append(_key(folder))
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_depend_on_what_no_guest_sees(tmp_path: Path) -> None:
    folder = _sources(tmp_path)
    before = _key(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "apt.cpython-311.pyc").write_bytes(b"x")
    (folder / "boot.py").write_text("# how a guest is started")
    os.utime(folder / "etc" / "hosts", (1, 1))
    assert _key(folder) == before


def test_files_of_the_build_and_of_the_guest_are_both_in_the_key() -> None:
    counted = {os.path.basename(path) for path in cache._files(build.HERE)}
    assert {"build.py", "recipe.py", "tree.py"} <= counted
    assert "init" in {os.path.basename(path) for path in cache._files(tree.GUEST_FILES)}


def _image(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in cache.FILES:
        (folder / name).write_text(name)
    cache.write_receipt(str(folder))
    return folder


def test_a_whole_image_is_sound(tmp_path: Path) -> None:
    assert cache.sound(str(_image(tmp_path / "sysv-1"))) == ""


def test_an_image_that_is_not_there_or_half_there_is_refused(tmp_path: Path) -> None:
    assert cache.sound(str(tmp_path / "sysv-1")) == "there is none"
    folder = _image(tmp_path / "sysv-1")
    (folder / cache.RECEIPT).unlink()
    assert cache.sound(str(folder)) == "it was never finished"


@pytest.mark.parametrize("name", cache.FILES)
def test_a_missing_or_changed_file_is_noticed(tmp_path: Path, name: str) -> None:
    folder = _image(tmp_path / "sysv-1")
    text = (folder / name).read_text()
    (folder / name).write_text(text.upper())
    os.utime(folder / name, ns=(0, 12345))
    assert cache.sound(str(folder)) == f"{name} was changed after it was built"
    (folder / name).unlink()
    assert cache.sound(str(folder)) == f"{name} is missing"


def test_a_receipt_that_cannot_be_read_is_no_receipt(tmp_path: Path) -> None:
    folder = _image(tmp_path / "sysv-1")
    (folder / cache.RECEIPT).write_text('{"vmlinuz": [')
    assert cache.sound(str(folder)).startswith("its built.json cannot be read")


def test_sweeping_removes_dead_builds_and_old_images_but_none_that_is_held(tmp_path: Path) -> None:
    for name in ("sysv-old", "sysv-held", "sysv-new", "systemd-other"):
        _image(tmp_path / name)
    (tmp_path / "building-sysv-abc" / "scratch").mkdir(parents=True)
    descriptor = cache.hold(str(tmp_path / "sysv-held"))
    try:
        assert cache.sweep(str(tmp_path), "sysv", keep="sysv-new") == ["building-sysv-abc", "sysv-old"]
    finally:
        os.close(descriptor)
    assert cache.sweep(str(tmp_path), "sysv", keep="sysv-new") == ["sysv-held"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["systemd-other", "sysv-new"]


def test_publishing_replaces_a_broken_image_of_the_same_key(tmp_path: Path) -> None:
    broken = _image(tmp_path / "sysv-1")
    (broken / "root.img").unlink()
    work = _image(tmp_path / "building-sysv-1")
    cache.publish(str(work), str(broken))
    assert cache.sound(str(broken)) == ""
    assert not work.exists()


def test_a_second_build_waits_and_gives_up_with_a_sentence(tmp_path: Path) -> None:
    said: list[str] = []
    with (tmp_path / "lock").open("a") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)
        lock = cache.locked(str(tmp_path), said.append, wait_s=-1)
        with pytest.raises(BuildError, match=r"held .*/lock for"), lock:
            pytest.fail("two builds at once")
    assert said == [f"another run builds an image in {tmp_path}; waiting for it"]
    with cache.locked(str(tmp_path), said.append):
        pass


def test_a_tree_with_a_mount_in_it_is_not_removed() -> None:
    with pytest.raises(BuildError, match="mount point"):
        cache.remove_tree("/proc")


def test_the_cache_is_in_the_checkout_unless_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAILOVER_KIT_LAB_CACHE", raising=False)
    assert cache.root("/checkout") == "/checkout/.lab/cache"
    monkeypatch.setenv("FAILOVER_KIT_LAB_CACHE", "/var/cache/lab")
    assert cache.root("/checkout") == "/var/cache/lab"


class _Builds:
    """Stands in for the stages of a build; counts them, and fails when told."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False

    def make(self, kind: str, kernel: str, version: str, *, work: str, log: str, say: object) -> None:
        self.count += 1
        for name in cache.FILES:
            Path(work, name).write_text(name)
            if self.fails and name == "root.img":
                raise BuildError("mke2fs exited 1")


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Builds:
    stand_in = _Builds()
    monkeypatch.setenv("FAILOVER_KIT_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_make", stand_in.make)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(apt, "kernel_package", lambda: "linux-image-6.1")
    monkeypatch.setattr(apt, "candidates", lambda names: dict.fromkeys(names, "1"))
    return stand_in


def _ensure(said: list[str] | None = None) -> build.Image:
    image = build.ensure("sysv", (said if said is not None else []).append)
    os.close(image.hold)
    return image


def test_ensure_builds_once_and_again_after_a_change(builds: _Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _ensure()
    assert _ensure().root == first.root
    assert builds.count == 1
    monkeypatch.setattr(apt, "candidates", lambda names: dict.fromkeys(names, "2"))
    second = _ensure()
    assert builds.count == 2
    assert second.root != first.root
    assert not os.path.exists(os.path.dirname(first.root))


def test_ensure_never_uses_an_image_that_was_written_to(builds: _Builds) -> None:
    root = _ensure().root
    Path(root).write_text("a guest ran on it")
    said: list[str] = []
    _ensure(said)
    assert builds.count == 2
    assert "root.img was changed after it was built" in said[0]


def test_a_failed_build_leaves_nothing_that_could_be_used(builds: _Builds, tmp_path: Path) -> None:
    builds.fails = True
    with pytest.raises(BuildError, match="mke2fs exited 1"):
        _ensure()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    builds.fails = False
    _ensure()
    assert builds.count == 2


def test_missing_package_lists_are_fetched_once(builds: _Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[str] = []

    def kernel_package() -> str:
        if not known:
            raise BuildError("apt knows no linux-image-cloud-amd64")
        return "linux-image-6.1"

    monkeypatch.setattr(apt, "kernel_package", kernel_package)
    monkeypatch.setattr(apt, "update", known.append)
    said: list[str] = []
    _ensure(said)
    assert len(known) == 1
    assert "apt-get update" in said[0]


def test_unknown_kinds_and_users_without_rights_are_told(builds: _Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildError, match="there are sysv, systemd, pacemaker"):
        build.ensure("upstart", print)
    with monkeypatch.context() as elsewhere, pytest.raises(BuildError, match="this machine is aarch64"):
        elsewhere.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "6", "1", "aarch64")))
        build.ensure("sysv", print)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="as root"):
        build.ensure("sysv", print)
