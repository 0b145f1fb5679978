"""Layer 0: declarations, checked values, deadlines, running a command. Imports nothing heavy."""
