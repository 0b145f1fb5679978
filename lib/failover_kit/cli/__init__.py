"""failoverctl and the Heartbeat-compatible commands."""
