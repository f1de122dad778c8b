"""How it is carried: outbox, relay, listener, inbox, letters, the bus, HTTP, metrics."""
