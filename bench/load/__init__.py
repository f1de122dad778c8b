"""The load generator: a separate process, so that it delays no contender."""
