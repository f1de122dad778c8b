"""What operations see: counters and histograms of the carriage and of HTTP."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

MESSAGES = Counter(
    "bihuan_messages_total",
    "Messages taken by a service, by what became of them",
    ["service", "outcome"],
)
BATCH_SECONDS = Histogram(
    "bihuan_batch_seconds", "Time of one batch, commit included", ["service"], buckets=_FAST
)
PUBLISHED = Counter("bihuan_published_total", "Outbox rows that became safe", ["service"])
OUTBOX_UNSENT = Gauge("bihuan_outbox_unsent", "Outbox rows not yet safe", ["service"])
OUTBOX_OLDEST = Gauge(
    "bihuan_outbox_oldest_seconds", "Age of the oldest unsent outbox row", ["service"]
)
LETTERS = Gauge("bihuan_letters", "Letters set aside", ["service", "state"])
STORAGE_DOWN = Counter(
    "bihuan_storage_unavailable_total", "Batches put off because storage failed", ["service"]
)
BUS_DOWN = Counter(
    "bihuan_bus_unavailable_total", "Publishing put off for want of a bus", ["service"]
)
REQUESTS = Histogram(
    "bihuan_http_request_seconds",
    "Time of HTTP requests",
    ["method", "route", "status"],
    buckets=_FAST,
)
