"""Evidence from the client: programs that write, read and walk on an NFS mount and record what they were promised,
and the host's side that proves the promises kept.

The programs (``writer``, ``reader``, ``walker``, ``probe_lock``, ``lock_watch``) run in guests as
``python3 -m lab.client.NAME``; they and what they import use the standard library only and nothing outside this
package. ``evidence`` is the host's side, ``audit`` the proof.
"""
