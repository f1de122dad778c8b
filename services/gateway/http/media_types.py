"""Media types of requests and responses."""

from __future__ import annotations

JSON = "application/json"
PROBLEM = "application/problem+json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CLOUD_EVENTS = "application/cloudevents-batch+json"
"""Bare events, one after the other, in CloudEvents 1.0."""
EVENT_STREAM = "text/event-stream"
