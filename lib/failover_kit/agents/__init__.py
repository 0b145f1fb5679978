"""Layer 2: the resource agents: declarations and actions; long descriptions stand apart."""
