"""How a guest is started from an image: the words for QEMU and for the kernel.

One guest by hand, inside a network namespace that has the tap ``pete-eth0``, ends up as

    qemu-system-x86_64 -accel tcg,thread=multi,tb-size=128 -cpu max -M q35 -m 384 -smp 1
        -display none -no-reboot -nodefaults
        -kernel vmlinuz -initrd initrd
        -append "console=ttyS1 quiet … NODE=pete NIC=eth0,02:00:00:00:00:01,10.9.0.1/24"
        -drive file=pete.img,format=raw,if=none,id=root,cache=writeback -device virtio-blk-pci,drive=root
        -drive file=project.img,format=raw,if=none,id=project,readonly=on -device virtio-blk-pci,drive=project
        -netdev tap,id=n0,ifname=pete-eth0,script=no,downscript=no
        -device virtio-net-pci,netdev=n0,mac=02:00:00:00:00:01,romfile=
        -serial null -serial file:pete.log
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KERNEL_WORDS = (
    "console=ttyS1",  # ttyS0 is the heartbeat's cable
    "quiet",  # each character of the serial console is an exit from the emulated CPU
    "panic=-1",  # and -no-reboot: a guest that panics is off
    "mitigations=off",
    "nokaslr",
    "net.ifnames=0",
    # An emulated processor that the host lets wait while its kernel measures the TSC measures nonsense: 325 MHz
    # instead of 2595 was seen, a guest whose seconds took an eighth of one, and "tsc=reliable" believed it. The
    # HPET follows the host's clock, whatever the load.
    "tsc=unstable",
    "clocksource=hpet",
    "no_timer_check",
    "random.trust_cpu=on",
    "audit=0",
    "cgroup_disable=memory",
    "rw",
)


ACCELERATOR = "tcg,thread=multi,tb-size=128"
"""128 MiB of translated code are enough for a guest; without the limit QEMU takes 1 GiB of host memory for it."""


@dataclass(frozen=True)
class Nic:
    """A network card of a guest: name inside, MAC address, the tap outside, an address with prefix or ''."""

    name: str
    mac: str
    tap: str
    address: str = ""

    def word(self) -> str:
        """The kernel argument that the initrd reads."""
        return f"NIC={self.name},{self.mac}" + (f",{self.address}" if self.address else "")


def append(node: str, nics: Sequence[Nic], more: Sequence[str] = ()) -> str:
    """The kernel's command line."""
    return " ".join([*KERNEL_WORDS, f"NODE={node}", *(nic.word() for nic in nics), *more])


def qemu_argv(
    node: str,
    nics: Sequence[Nic],
    *,
    kernel: str,
    initrd: str,
    root: str,
    root_format: str,
    project: str,
    serial: str,
    console: str,
    memory_mib: int = 384,
    more: Sequence[str] = (),
) -> list[str]:
    """QEMU's arguments. ``serial`` is ttyS0 (``null``, a pty's path, ``unix:…``), ``console`` the file of ttyS1."""
    argv = ["qemu-system-x86_64", "-accel", ACCELERATOR, "-cpu", "max", "-M", "q35", "-m", str(memory_mib)]
    argv += ["-smp", "1", "-display", "none", "-no-reboot", "-nodefaults", "-kernel", kernel, "-initrd", initrd]
    argv += ["-append", append(node, nics)]
    argv += ["-drive", f"file={root},format={root_format},if=none,id=root,cache=writeback"]
    argv += ["-device", "virtio-blk-pci,drive=root"]
    argv += ["-drive", f"file={project},format=raw,if=none,id=project,readonly=on"]
    argv += ["-device", "virtio-blk-pci,drive=project"]
    for number, nic in enumerate(nics):
        argv += ["-netdev", f"tap,id=n{number},ifname={nic.tap},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev=n{number},mac={nic.mac},romfile="]
    return [*argv, "-serial", serial, "-serial", f"file:{console}", *more]
