"""The tests; what several of them share."""

PATIENCE = 120
"""Seconds after which a test waits for a fact no longer; no measure: a loaded machine is slow."""
