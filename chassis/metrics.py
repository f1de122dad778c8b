"""What operations see: counters and histograms of the service host and of HTTP."""

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
RETIRED = Counter("bihuan_retired_total", "Old rows taken away", ["service", "table"])
RESENT = Counter("bihuan_resent_total", "Outbox rows that were sent again", ["service"])
RESENDS_SHORT = Counter(
    "bihuan_resends_short_total",
    "Requests to send again what had in part gone from the outbox",
    ["service"],
)
OUTBOX_UNSENT = Gauge("bihuan_outbox_unsent", "Outbox rows not yet safe", ["service"])
OUTBOX_OLDEST = Gauge(
    "bihuan_outbox_oldest_seconds", "Age of the oldest unsent outbox row", ["service"]
)
OUTBOX_HELD = Gauge(
    "bihuan_outbox_held_keys",
    "Keys held back since somebody does not take what is next",
    ["service"],
)
PARKED = Gauge("bihuan_parked_messages", "Parked messages set aside", ["service", "state"])
PARKED_OLDEST = Gauge(
    "bihuan_parked_messages_oldest_seconds",
    "Age of the oldest parked message of a state that holds back",
    ["service", "state"],
)
STORAGE_DOWN = Counter(
    "bihuan_storage_unavailable_total", "Batches put off because storage failed", ["service"]
)
BROKER_BLOCKED = Gauge(
    "bihuan_broker_blocked", "1 while the broker blocks publishing (an alarm for memory or disk)"
)
CLOCK_OFFSET = Gauge(
    "bihuan_clock_offset_seconds",
    "Seconds by which this machine's clock is ahead of the database's; negative where it is behind",
    ["service"],
)
PARTITIONS = Gauge("bihuan_partitions", "Partitions that this replica serves", ["service"])
RELAYS = Gauge("bihuan_relay_active", "1 while this replica relays for its service", ["service"])
BUS_DOWN = Counter(
    "bihuan_bus_unavailable_total", "Publishing put off for want of a bus", ["service"]
)
REQUESTS = Histogram(
    "bihuan_http_request_seconds",
    "Time of HTTP requests",
    ["method", "route", "status"],
    buckets=_FAST,
)
REFUSED = Counter(
    "bihuan_http_refused_total", "Requests and connections beyond a limit, by status", ["status"]
)
STREAMS = Gauge("bihuan_streams", "Streams of events that are open")
WEBHOOKS = Counter(
    "bihuan_webhook_attempts_total", "Attempts to deliver to a webhook, by outcome", ["outcome"]
)
WEBHOOKS_OLDEST = Gauge(
    "bihuan_webhook_oldest_seconds",
    "Age of the oldest delivery that waits, where webhooks are sent",
)
WEBHOOKS_HELD = Gauge(
    "bihuan_webhooks_held",
    "1 while no webhook is sent: this is a copy of a district whose home is elsewhere",
)
