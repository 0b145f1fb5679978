"""A network namespace of its own, with addresses of a test network on its loopback interface."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def namespace(*addresses: str) -> Iterator[list[str]]:
    """Gives the words that run a command in it. The namespace ends with the process that holds it."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "600"])
    try:
        enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        mine = os.stat("/proc/self/ns/net").st_ino
        for _ in range(3000):
            if os.stat(f"/proc/{holder.pid}/ns/net").st_ino != mine:
                break
            time.sleep(0.01)
        subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
        for address in addresses:
            subprocess.run([*enter, "ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        yield enter
    finally:
        holder.kill()
        holder.wait()
