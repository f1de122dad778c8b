"""The revisions of complaints, the oldest first."""
