"""Layer 2: the resource agents themselves, one module each."""
