"""Power cuts at random moments while a client writes: what it was told is on the disk must be there afterwards."""
