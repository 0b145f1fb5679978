"""Layer 1: what Linux says and does: addresses, links, routes, ARP, mounts, block devices, processes."""
