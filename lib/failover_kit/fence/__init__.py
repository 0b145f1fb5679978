"""Layer 1: the fence agent contract, and devices as pure dialogues."""
