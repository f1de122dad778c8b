"""Benchmarks: Bihuan and its peers, on the same machine, broker and database, in one run."""
