"""After a failure: what tells how it came, copied to where it outlives the lab."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.guest import Guest
    from lab.lab import Lab

LOOK = """\
exec 2>&1
for command in 'failoverctl status' 'dmesg' 'ps axf' 'mount' 'ip -d addr' 'cat /proc/locks' 'rpcinfo -p' \\
    'cat /proc/fs/nfsd/threads' 'ls -laR /var/lib/nfs/' 'cat /etc/ha.d/haresources'; do
    echo "=== $command"
    timeout 20 $command || echo "exit code $?"
done
for file in /var/log/failoverd.log /var/log/messages /var/log/syslog; do
    [ ! -e $file ] || { echo "=== $file"; cat $file; }
done
"""
JOURNAL = "tar -C /var/lib/failover-kit -cf - . 2>/dev/null || true\n"


def collect(lab: Lab, folder: str, say: Callable[[str], None]) -> None:
    """Consoles, and of each guest that runs its state, its logs and its journal. Never raises LabError."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    try:
        lab.save_logs(folder)
        for guest in lab.guests.values():
            if guest.on:
                _of_guest(guest, folder)
    except LabError as error:
        say(f"not all logs could be kept: {str(error).splitlines()[0]}")
    say(f"consoles, journals and diaries are kept in {folder}")


def _of_guest(guest: Guest, folder: str) -> None:
    for name, script in (("state.txt", LOOK), ("evidence.txt", EVIDENCE)):
        try:
            result = guest.sh(script, timeout_s=240, check=False)
        except LabError as error:
            text = str(error)
        else:
            text = result.stdout
        with open(os.path.join(folder, f"{guest.name}.{name}"), "w", encoding="utf-8") as file:
            file.write(text)
    guest.sh(f"{JOURNAL.replace('-cf -', '-cf /run/journal.tar')}", timeout_s=60, check=False)
    try:
        content = guest.get("/run/journal.tar")
    except LabError:
        return
    with open(os.path.join(folder, f"{guest.name}.journal.tar"), "wb") as file:
        file.write(content)


EVIDENCE = """\
for file in /var/tmp/lab-evidence/*; do
    [ -f "$file" ] || continue
    echo "=== $file"
    tail -n 60 "$file"
done
"""
