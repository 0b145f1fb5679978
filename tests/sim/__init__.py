"""The simulator of the manager: a world of two nodes around the real core (docs/design/0014-simulator.md)."""
