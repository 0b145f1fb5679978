"""The whole pair, its disk, its power switch and a client on one machine."""
