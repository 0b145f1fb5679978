"""Runs in the client: holds a locked file and writes to it, a line at a time, each on the server's disk.

    python3 nfs_writer.py FILE LOG

LOG gets "locked", then a line "N BOOTTIME_MS" for each acknowledged write, and "ERROR …" for what a program would
see of an error.
"""

import fcntl
import os
import sys
import time

path, log = sys.argv[1:3]
out = open(log, "w", buffering=1, encoding="utf-8")  # noqa: SIM115  # open as long as we live
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
fcntl.lockf(fd, fcntl.LOCK_EX)
out.write("locked\n")
number = 0
while True:
    try:
        os.write(fd, b"%08d\n" % number)
        os.fsync(fd)
    except OSError as error:
        out.write(f"ERROR {error}\n")
        time.sleep(1)
        continue
    out.write(f"{number} {time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000}\n")
    number += 1
    time.sleep(0.1)
