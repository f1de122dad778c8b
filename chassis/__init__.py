"""How it is carried: outbox, relay, consumer, inbox, letters, the bus, HTTP, metrics."""
