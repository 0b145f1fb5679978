"""Layer 1: the OCF resource agent contract: exit codes, runner, metadata."""
