"""The revisions of filing, the oldest first."""
