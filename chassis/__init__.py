"""The technical base of every service: messaging, storage, HTTP, logs and metrics."""
