"""What builds a node's view mounts over /etc, /run and /sys: never in the machine's own mount namespace."""

import os

import pytest

from failover_kit.rehearsal import nodeinit


class NoKernel:
    """In the place of libc: nothing reaches the kernel, whatever the code under test does."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            return 0

        return call


@pytest.fixture
def kernel(monkeypatch):
    kernel = NoKernel()
    monkeypatch.setattr(nodeinit, "_libc", kernel)
    monkeypatch.setattr(nodeinit, "_own_mounts", set())
    return kernel


def test_a_node_is_not_built_where_no_namespace_was_made(kernel):
    with pytest.raises(OSError, match="refused outside of a mount namespace made for a node"):
        nodeinit.build({"kit": "/nowhere"})
    assert kernel.calls == []


@pytest.mark.parametrize("target", ["/sys/fs/xfs", "/etc", "/"])
def test_nothing_is_mounted_without_a_namespace(kernel, target):
    with pytest.raises(OSError, match=f"on {target}: refused"):
        nodeinit._mount("tmpfs", target, "tmpfs")
    assert kernel.calls == []


def test_the_namespace_that_one_was_in_before_is_no_node_s(kernel):
    """An unshare that did nothing."""
    with pytest.raises(OSError, match="the machine's mount namespace"):
        nodeinit.claim_mounts(nodeinit.mount_namespace())
    assert not nodeinit._own_mounts


def test_the_namespace_of_the_first_process_is_no_node_s(kernel, monkeypatch):
    monkeypatch.setattr(nodeinit, "mount_namespace", lambda pid="self": {"self": 7, "1": 7}[pid])
    with pytest.raises(OSError, match="the machine's mount namespace"):
        nodeinit.claim_mounts(outside=6)


def test_a_namespace_of_its_own_may_be_mounted_in_until_it_is_left(kernel, monkeypatch):
    here = {"self": 7, "1": 5}
    monkeypatch.setattr(nodeinit, "mount_namespace", lambda pid="self": here[pid])
    nodeinit.claim_mounts(outside=6)
    nodeinit._mount("tmpfs", "/sys/fs/xfs", "tmpfs")
    assert [call[0] for call in kernel.calls] == ["mount"]
    here["self"] = 5
    with pytest.raises(OSError, match="refused"):
        nodeinit._mount("tmpfs", "/sys/fs/xfs", "tmpfs")
    assert [call[0] for call in kernel.calls] == ["mount"]


def test_a_process_has_a_mount_namespace_and_nobody_has_none():
    assert nodeinit.mount_namespace() == os.stat("/proc/self/ns/mnt").st_ino
    assert nodeinit.mount_namespace("0") == 0
