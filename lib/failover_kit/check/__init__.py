"""What can be wrong with a pair before it matters: the configuration, this host, and both nodes side by side."""
