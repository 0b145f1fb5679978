"""``make peers-heartbeat``: Heartbeat 3.0.6 and failoverd through the same schedules; see ``__main__``."""
