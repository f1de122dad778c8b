"""A service of the chassis that does the same as the peers."""
