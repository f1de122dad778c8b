"""The media types of what is sent and received."""

from __future__ import annotations

JSON = "application/json"
PROBLEM = "application/problem+json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CLOUD_EVENTS = "application/cloudevents-batch+json"
"""Events alone, one after the other, by CloudEvents 1.0."""
EVENT_STREAM = "text/event-stream"
