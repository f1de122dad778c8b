"""The load generator: a process of its own, so that no contender waits for it."""
