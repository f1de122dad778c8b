"""The revisions of insurance, the oldest first."""
