"""The tables that every contender writes: an inbox row, a row of state, an outbox row per event."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from datetime import date
from hashlib import blake2b
from typing import Any

from sqlalchemy import BigInteger, Date, Float, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables of a peer, the same as ours."""


class Inbox(Base):
    """A message that was handled: a repeat is a conflict."""

    __tablename__ = "inbox"

    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(16))
    handled_at: Mapped[float] = mapped_column(Float)


class Visit(Base):
    """The row of state."""

    __tablename__ = "visits"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    enterprise_id: Mapped[str] = mapped_column(String(64))
    grid: Mapped[str] = mapped_column(String(64))
    visited_on: Mapped[date] = mapped_column(Date)
    officers: Mapped[int] = mapped_column(Integer)


class Outbox(Base):
    """An event to publish."""

    __tablename__ = "outbox"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    exchange: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(32))
    type: Mapped[str] = mapped_column(String(64))
    time: Mapped[str] = mapped_column(String(40))
    partitionkey: Mapped[str] = mapped_column(String(64))
    correlationid: Mapped[str] = mapped_column(String(64))
    causationid: Mapped[str | None] = mapped_column(String(64))
    causationtype: Mapped[str | None] = mapped_column(String(64))
    traceparent: Mapped[str | None] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    written_at: Mapped[float] = mapped_column(Float)
    sent_at: Mapped[float | None] = mapped_column(Float)


def rows_of(headers: Mapping[str, Any], payload: Mapping[str, Any]) -> list[Base]:
    """Return the three rows of one event."""
    message, now = headers["cloudEvents_id"], time.time()
    body = json.dumps(payload)
    columns = {name: payload[name] for name in ("visit_id", "enterprise_id", "grid")}
    return [
        Inbox(
            id=message,
            fingerprint=blake2b(body.encode(), digest_size=8).hexdigest(),
            handled_at=now,
        ),
        Visit(
            id=payload["visit_id"],
            enterprise_id=payload["enterprise_id"],
            grid=payload["grid"],
            visited_on=date.fromisoformat(payload["visited_on"]),
            officers=payload["officers"],
        ),
        Outbox(
            id=str(uuid.uuid4()),
            exchange="tally.events",
            source="tally",
            type="visit-counted",
            time=headers["cloudEvents_time"],
            partitionkey=payload["visit_id"],
            correlationid=headers["cloudEvents_correlationid"],
            causationid=message,
            causationtype=headers["cloudEvents_type"],
            body=json.dumps(columns),
            written_at=now,
        ),
    ]
