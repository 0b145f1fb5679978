"""What happened to a cluster and why, told from a journal, and how long a failover may take."""
