"""The metrics: of the service host, of HTTP, of webhooks."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

MESSAGES = Counter(
    "bihuan_messages_total",
    "Messages processed by a service, by outcome",
    ["service", "outcome"],
)
BATCH_SECONDS = Histogram(
    "bihuan_batch_seconds",
    "Seconds to process one batch, commit included",
    ["service"],
    buckets=_FAST,
)
PUBLISHED = Counter("bihuan_published_total", "Outbox rows published and confirmed", ["service"])
RETIRED = Counter("bihuan_retired_total", "Old rows deleted", ["service", "table"])
RESENT = Counter("bihuan_resent_total", "Outbox rows resent", ["service"])
RESENDS_SHORT = Counter(
    "bihuan_resends_short_total",
    "Resend requests for messages of which the outbox no longer held all",
    ["service"],
)
OUTBOX_UNSENT = Gauge(
    "bihuan_outbox_unsent", "Outbox rows not yet published and confirmed", ["service"]
)
OUTBOX_OLDEST = Gauge(
    "bihuan_outbox_oldest_seconds", "Age of the oldest unsent outbox row", ["service"]
)
OUTBOX_HELD = Gauge(
    "bihuan_outbox_held_keys",
    "Keys blocked because a receiver refuses their next message",
    ["service"],
)
PARKED = Gauge("bihuan_parked_messages", "Parked messages, by state", ["service", "state"])
PARKED_OLDEST = Gauge(
    "bihuan_parked_messages_oldest_seconds",
    "Age of the oldest parked message, by blocking state",
    ["service", "state"],
)
STORAGE_DOWN = Counter(
    "bihuan_storage_unavailable_total",
    "Batches put off because the database was unavailable",
    ["service"],
)
BROKER_BLOCKED = Gauge(
    "bihuan_broker_blocked", "1 while the broker blocks publishing (memory or disk alarm)"
)
CLOCK_OFFSET = Gauge(
    "bihuan_clock_offset_seconds",
    "Seconds by which this machine's clock is ahead of the database's; negative if behind",
    ["service"],
)
PARTITIONS = Gauge("bihuan_partitions", "Partitions served by this replica", ["service"])
RELAYS = Gauge("bihuan_relay_active", "1 while this replica relays for its service", ["service"])
BUS_DOWN = Counter(
    "bihuan_bus_unavailable_total",
    "Publishing put off because the bus was unavailable",
    ["service"],
)
REQUESTS = Histogram(
    "bihuan_http_request_seconds",
    "Seconds to respond to HTTP requests",
    ["method", "route", "status"],
    buckets=_FAST,
)
REFUSED = Counter(
    "bihuan_http_refused_total",
    "Requests and connections rejected by a limit, by status",
    ["status"],
)
STREAMS = Gauge("bihuan_streams", "Open event streams")
WEBHOOKS = Counter(
    "bihuan_webhook_attempts_total", "Attempts to deliver to a webhook, by outcome", ["outcome"]
)
WEBHOOKS_OLDEST = Gauge(
    "bihuan_webhook_oldest_seconds",
    "Age of the oldest pending webhook delivery",
)
WEBHOOKS_HELD = Gauge(
    "bihuan_webhooks_held",
    "1 while webhooks are held: this is a copy of the deployment that sends them",
)
