"""A service of the chassis that does what the peers do, and nothing else."""
