"""Watching a pair from a third machine as a client sees it, and asking for a takeover (docs/watch.md)."""
