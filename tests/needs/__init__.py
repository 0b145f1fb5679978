"""What users of ClusterLabs' agents asked for, and what those agents were seen to get wrong: one scenario each."""
