"""What schemathesis is told of bodies that are rows: they are sent as the text that they are."""

import schemathesis


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_text(_context, value):
    """Write a body as text, whatever it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
