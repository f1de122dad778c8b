"""How it is carried: outbox, relay, consumer, inbox, parked messages, the bus, HTTP, metrics."""
