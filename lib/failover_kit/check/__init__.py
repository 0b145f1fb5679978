"""What can be wrong with a pair before it matters, on one node and between both; and the files of a new pair."""
