"""Tools that fail are quoted, kernels and projects become disks, and the guests know the plan's names."""

from __future__ import annotations

import lzma
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import plan
from lab.image import boot, disks, project, recipe, tools, tree
from lab.image.tools import BuildError


def _log(tmp_path: Path) -> str:
    return str(tmp_path / "build.log")


def test_a_failed_tool_is_quoted_with_its_last_lines_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        script = "for i in $(seq 20); do echo line $i; done; echo >&2 no space left; exit 7"
        tools.run(["sh", "-c", script], log=_log(tmp_path), timeout_s=30, remedy="make room")
    text = str(caught.value)
    assert text.startswith("sh exited 7; its last lines:")
    assert "  | line 20\n  | no space left\n" in text
    assert "line 8\n" not in text
    assert "What to do: make room" in text
    assert text.endswith(f"The whole output is in {_log(tmp_path)}")


def test_only_the_lines_of_the_tool_that_failed_are_shown(tmp_path: Path) -> None:
    tools.run(["echo", "all is well"], log=_log(tmp_path), timeout_s=30)
    with pytest.raises(BuildError) as caught:
        tools.run(["false"], log=_log(tmp_path), timeout_s=30)
    assert "all is well" not in str(caught.value)
    assert "(it said nothing)" in str(caught.value)
    assert "all is well" in Path(_log(tmp_path)).read_text()


def test_a_tool_in_its_own_namespaces_is_called_by_its_own_name(tmp_path: Path) -> None:
    Path(_log(tmp_path)).write_text("x\n")
    text = tools.failure(tools.apart(["mmdebstrap", "bookworm"]), "exited 25", _log(tmp_path), 0, "")
    assert text.startswith("mmdebstrap exited 25")


def _state(pid: int) -> str:
    """The letter of /proc/PID/stat, or "gone"."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    script = f"sh -c 'echo $$ > {mark}; exec sleep 1000' & wait"
    for limit_s in (3, 30, 120):  # on a busy machine the child may need longer to say who it is
        with pytest.raises(BuildError, match="did not end within"):
            tools.run(["sh", "-c", script], log=_log(tmp_path), timeout_s=limit_s)
        if mark.exists() and mark.read_text().endswith("\n"):
            break
    pid = int(mark.read_text())
    # Without its parent it may stay as a zombie, and a killed one may need a turn on a processor to end.
    patience = time.monotonic() + 30
    while (state := _state(pid)) not in ("gone", "Z", "X") and time.monotonic() < patience:
        time.sleep(0.02)
    assert state in ("gone", "Z", "X")


def test_a_program_that_is_not_there_names_the_setup(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no-such-tool is not installed; run `sh tools/setup\.sh lab`"):
        tools.run(["no-such-tool"], log=_log(tmp_path), timeout_s=1)
    with pytest.raises(BuildError, match=r"^no-tool-a, no-tool-b are not installed"):
        tools.check_installed(["sh", "no-tool-a", "no-tool-b"])
    with pytest.raises(BuildError, match="no-such-tool is not installed"):
        tools.output(["no-such-tool"])


def test_a_full_disk_is_told_before_the_work(tmp_path: Path) -> None:
    tools.check_room(str(tmp_path), 0)
    with pytest.raises(BuildError, match=r"MiB are free in .*FAILOVER_KIT_LAB_CACHE"):
        tools.check_room(str(tmp_path), 1 << 40)


@pytest.mark.root
def test_nothing_of_a_tool_outlives_the_one_who_runs_it(tmp_path: Path) -> None:
    """Killed without a chance to clean up: the tool ends, and what it has mounted is nowhere else."""
    mark = tmp_path / "in"
    point = tmp_path / "point"
    point.mkdir()
    os.mkfifo(mark)
    script = f"mount -t tmpfs x {point} && touch {point}/there && echo on > {mark} && exec sleep 1000"
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from lab.image import tools
tools.run(tools.apart(["sh", "-c", {script!r}]), log={_log(tmp_path)!r}, timeout_s=100)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as runner:
        with mark.open() as told:  # opens when the tool has mounted
            assert told.readline() == "on\n"
        found = subprocess.run(["pgrep", "-P", str(runner.pid)], capture_output=True, text=True, check=True)
        tool = int(found.stdout)
        assert list(point.iterdir()) == []
        gone = os.pidfd_open(tool)
        runner.kill()
    assert select.select([gone], [], [], 30)[0] == [gone]
    os.close(gone)


def test_tools_see_the_machines_proxies_and_nothing_else_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("LD_PRELOAD", "/tmp/x.so")
    found = tools.environment()
    assert found["http_proxy"] == "http://proxy.example:3128"
    assert "LD_PRELOAD" not in found


def _kernel(folder: Path, ending: str = ".ko") -> str:
    blocks, net = folder / "kernel" / "block", folder / "kernel" / "net"
    blocks.mkdir(parents=True)
    net.mkdir()
    for name in ("virtio", "virtio_ring", "virtio_blk"):
        data = f"module {name}".encode()
        (blocks / f"{name}{ending}").write_bytes(lzma.compress(data) if ending == ".ko.xz" else data)
    (folder / "modules.dep").write_text(
        f"kernel/block/virtio_blk{ending}: kernel/block/virtio{ending} kernel/block/virtio_ring{ending}\n"
        f"kernel/block/virtio{ending}: kernel/block/virtio_ring{ending}\nkernel/block/virtio_ring{ending}:\n"
    )
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio-pci.ko\n")
    return str(folder)


def test_modules_are_loaded_after_what_they_need_and_built_in_ones_not_at_all(tmp_path: Path) -> None:
    order = disks.load_order(_kernel(tmp_path), ["virtio_pci", "virtio_blk", "ext4", "virtio"])
    assert [os.path.basename(path) for path in order] == ["virtio_ring.ko", "virtio.ko", "virtio_blk.ko"]
    with pytest.raises(BuildError, match="has no module virtio_net"):
        disks.load_order(str(tmp_path), ["virtio_net"])


def test_compressed_modules_are_unpacked_and_unknown_compressions_refused(tmp_path: Path) -> None:
    kernel = _kernel(tmp_path / "xz", ".ko.xz")
    assert disks._module(f"{kernel}/kernel/block/virtio.ko.xz") == b"module virtio"
    (tmp_path / "a.ko.zst").write_bytes(b"x")
    with pytest.raises(BuildError, match="a kind of compression"):
        disks._module(str(tmp_path / "a.ko.zst"))


def test_the_initrd_holds_busybox_the_script_and_the_modules_in_order(tmp_path: Path) -> None:
    (tmp_path / "init").write_text("#!/bin/busybox sh\n")
    (tmp_path / "init").chmod(0o755)
    image = str(tmp_path / "initrd")
    disks.initrd(_kernel(tmp_path / "k"), str(tmp_path / "init"), ["virtio_blk"], image, _log(tmp_path))
    listed = subprocess.run(["cpio", "-t", "--quiet", "-I", image], capture_output=True, text=True, check=True)
    assert {"init", "bin/busybox", "m/order", "m/virtio_blk.ko", "new", "project"} <= set(listed.stdout.split())
    assert not os.path.exists(f"{image}.tree")


def test_a_busybox_that_needs_libraries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"\x7fELF" + b"\0" * 600 + b"/lib64/ld-linux-x86-64.so.2\0")
    with pytest.raises(BuildError, match="install busybox-static"):
        disks.check_static(str(tmp_path / "busybox"))
    with pytest.raises(BuildError, match="busybox-static"):
        disks.check_static(str(tmp_path / "none"))


def _tree(folder: Path) -> Path:
    (folder / "lib" / "systemd").mkdir(parents=True)
    (folder / "usr" / "lib").mkdir(parents=True)
    (folder / "lib" / "systemd" / "a.service").write_text("[Unit]\n")
    (folder / "usr" / "lib" / "b.py").write_text("b = 1\n")
    return folder


def test_a_guest_whose_lib_is_a_link_gets_all_below_usr(tmp_path: Path) -> None:
    installed = _tree(tmp_path / "tree")
    project.merge_usr(str(installed))
    assert sorted(os.listdir(installed)) == ["usr"]
    assert (installed / "usr" / "lib" / "systemd" / "a.service").read_text() == "[Unit]\n"


def test_the_projects_id_is_about_contents_and_modes_not_times(tmp_path: Path) -> None:
    installed = _tree(tmp_path / "tree")
    files = sorted(project._files(str(installed)))
    first = project.digest(str(installed), files)
    os.utime(installed / "usr" / "lib" / "b.py", (5, 5))
    assert project.digest(str(installed), files) == first
    (installed / "usr" / "lib" / "b.py").chmod(0o755)
    second = project.digest(str(installed), files)
    (installed / "usr" / "lib" / "b.py").write_text("b = 2\n")
    assert len({first, second, project.digest(str(installed), files)}) == 3


def _in_image(image: str, path: str) -> str:
    argv = ["debugfs", "-R", f"cat {path}", image]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="needs e2fsprogs")
def test_the_projects_disk_holds_what_the_guest_needs(tmp_path: Path) -> None:
    image = project.build(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["project.img", "project.log"]
    files = _in_image(image, "/.project-files").splitlines()
    wanted = [
        "usr/sbin/failoverd",
        "usr/sbin/failoverctl",
        "usr/sbin/stonith",
        "usr/sbin/fence_wti",
        "etc/init.d/failoverd",
        "usr/lib/systemd/system/failoverd.service",
        "usr/lib/ocf/resource.d/failover-kit/Filesystem",
        "usr/share/failover-kit/failover_kit/__pycache__/__init__.cpython-311.pyc",
    ]
    assert [name for name in wanted if name not in files] == []
    assert len(_in_image(image, "/.project-id").strip()) == 64
    assert "Provides:          failoverd" in _in_image(image, "/etc/init.d/failoverd")


def test_a_project_that_cannot_be_installed_shows_makes_last_lines(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "Makefile").write_text("install:\n\t@echo no rule for this; false\n")
    with pytest.raises(BuildError, match=r"(?s)make exited 2.*no rule for this.*What to do: "):
        project.build(str(tmp_path), str(tmp_path / "checkout"))


def test_the_guests_hosts_file_has_the_plans_names_on_the_front_network() -> None:
    lines = Path(tree.GUEST_FILES, "common/etc/hosts").read_text().splitlines()
    known = {name: address for address, *names in (line.split() for line in lines) for name in names}
    wanted = {guest.name: guest.nic("eth2").address for guest in plan.GUESTS}
    assert known == wanted | {
        "localhost": "127.0.0.1",
        plan.SWITCH: plan.SWITCH_ADDRESS,
        plan.CLUSTER: plan.CLUSTER_ADDRESS,
    }


def test_a_card_without_address_is_only_brought_up() -> None:
    first = boot.Nic("eth0", "02:00:00:00:00:01", "t0", "10.9.0.1/24")
    words = boot.append("pete", [first, boot.Nic("eth1", "02:00:00:00:01:01", "t1")]).split()
    assert words[-3:] == ["NODE=pete", "NIC=eth0,02:00:00:00:00:01,10.9.0.1/24", "NIC=eth1,02:00:00:00:01:01"]
    assert "console=ttyS1" in words


def test_both_kinds_have_what_the_story_needs() -> None:
    for packages in recipe.PACKAGES.values():
        assert {"nfs-kernel-server", "aoetools", "xfsprogs", "openssh-server", "python3-pexpect"} <= set(packages)
        assert len(set(packages)) == len(packages)


@pytest.mark.parametrize("name", ["initrd/init", "sysv/etc/init.d/lab-early", "common/usr/local/sbin/lab-ready"])
def test_the_guests_scripts_are_shell(name: str) -> None:
    path = os.path.join(tree.GUEST_FILES, name)
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)
