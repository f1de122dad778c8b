"""How it is carried: outbox, relay, listener, inbox, parked messages, the bus, HTTP, metrics."""
