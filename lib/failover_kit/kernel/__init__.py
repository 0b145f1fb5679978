"""Layer 1: what Linux says and does: addresses, routes, ARP, mounts, processes."""
