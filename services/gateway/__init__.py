"""The gateway: the HTTP API for commands and queries."""
