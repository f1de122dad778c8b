"""The revisions of gateway, the oldest first."""
