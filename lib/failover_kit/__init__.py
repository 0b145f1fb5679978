"""failover-kit: resource agents, fence agents and a two-node manager for Linux.

Nothing is imported here: a resource agent pays for every import on each call.
"""

VERSION = "0.1.0"
