"""Structured logs: a line of JSON for each unit of work and for each error."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402  (without the 5 MB that colour consoles, which it takes where it can)

if sys.modules["rich"] is None:
    del sys.modules["rich"]


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Write the logs to a stream (default: standard error), one JSON object a line."""
    out = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("nameko").setLevel(logging.ERROR)  # it warns of each connection closed
    logging.basicConfig(stream=out, level=logging.WARNING, format="%(message)s", force=True)


def log(service: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that names the service."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(service=service)
    return logger
