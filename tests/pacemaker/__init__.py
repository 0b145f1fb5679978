"""The rehearsal's pair under Debian's corosync and Pacemaker, with our agents: see ``__main__``."""
