"""Layer 1: the OCF Resource Agent API: exit codes, the runner, metadata, haresources arguments."""
