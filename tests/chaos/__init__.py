"""A nemesis against real pairs: faults drawn from a seed, a ledger outside, and a bound for the way back."""
