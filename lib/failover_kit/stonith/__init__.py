"""Layer 2: cluster-glue's ``stonith`` command, and its external plugins, over fence agents."""
