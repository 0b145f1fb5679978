"""A pair of nodes, a disk, a power switch and a client on one machine, in fourteen scenes."""
