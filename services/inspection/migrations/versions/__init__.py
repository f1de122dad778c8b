"""The revisions of inspection, the oldest first."""
