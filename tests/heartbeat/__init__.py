"""The pair under Debian's Heartbeat with our scripts and our plugin, and on to failoverd: see ``__main__``."""
