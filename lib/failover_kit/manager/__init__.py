"""Layer 2: the two-node manager: a pure core and an asyncio shell around it."""
