"""The base classes of commands and events, and the envelope of a message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, dataclass_transform, get_type_hints

from contracts.shapes import Code, Count, Key, Part, moment_from_json

PUBLIC = "public"
"""The default author of a command."""

RULE = "rule"
"""The author of commands and decisions by the rules."""

LONGEST = {
    "id": 64,
    "source": 32,
    "type": 64,
    "time": 40,
    "partitionkey": 64,
    "correlationid": 64,
    "causationid": 64,
    "causationtype": 64,
    "traceparent": 64,
}
"""Maximum length of each attribute of a message, in characters: that of its columns."""

PREFIX = "cloudEvents_"
"""Prefix of the CloudEvents attributes among the AMQP headers (binary mode)."""

declared: dict[str, type[Contract]] = {}
"""Every declared contract, by its type."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Contract(Part):
    """A command or an event: its type from the class name, its service from the module.

    Exactly one field is annotated `Key`: the partition key.
    """

    type: ClassVar[str] = ""
    service: ClassVar[str | None] = None
    key_field: ClassVar[str] = ""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        cls.type = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        module = cls.__module__.rpartition(".")[2]
        cls.service = None if module == "shared" else module
        if cls.type in declared and declared[cls.type].__module__ != cls.__module__:
            raise TypeError(f"{cls.type} is declared twice")
        declared[cls.type] = cls

    @classmethod
    def key_name(cls) -> str:
        """Return the name of the field that is the partition key."""
        if not cls.key_field:
            keys = [name for name, hint in get_type_hints(cls).items() if hint is Key]
            if len(keys) != 1:
                raise TypeError(f"{cls.__name__} must have exactly one field of type Key")
            cls.key_field = keys[0]
        return cls.key_field

    @property
    def key(self) -> str:
        """The value of the partition key."""
        return str(getattr(self, self.key_name()))


class Event(Contract, abstract=True):
    """A fact that has happened; the service of its module publishes it."""

    @classmethod
    def echo(cls, command: Contract, **more: Any) -> Self:
        """Return an event with the fields that it shares with a command; `more` takes
        precedence."""
        shared = {name: value for name, value in command.__dict__.items() if name in cls.names()}
        return cls(**shared | more)


class Change(Event, abstract=True):
    """An event about the change of one thing; `version` counts its changes."""

    version: Count = 0

    def numbered(self, version: int) -> Self:
        """Return the same event with the version of the thing after the change."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, version=version)
        return made


class Command(Contract, abstract=True):
    """A request to the service of its module; `by` names the author."""

    by: Code = PUBLIC


class Act(Command, abstract=True):
    """A command to an existing thing. `seen_version` is the version that the author saw, and
    optional: if the thing has changed since, the command is rejected."""

    seen_version: Count | None = None


@dataclass(slots=True)
class Envelope:
    """The CloudEvents 1.0 attributes of one message; `time` is RFC 3339 in UTC.

    `partitionkey` orders, `correlationid` is the request or the hour that began the chain,
    `causationid` and `causationtype` are the message whose handler published this one.
    """

    id: str
    source: str
    type: str
    time: str
    partitionkey: str
    correlationid: str
    causationid: str | None = None
    causationtype: str | None = None
    traceparent: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the attributes as AMQP headers, without absent ones."""
        made = {
            PREFIX + name: value
            for name in _ATTRIBUTES
            if (value := getattr(self, name)) is not None
        }
        made[PREFIX + "specversion"] = "1.0"
        made[PREFIX + "subject"] = self.partitionkey
        return made

    @classmethod
    def from_headers(cls, headers: Mapping[str, Any]) -> Envelope:
        """Read the attributes from AMQP headers; raises `ValueError` with the name of an invalid
        one.

        Headers are untrusted, so each attribute is validated: present, text without control
        characters, not too long, and the time a moment since 1970.
        """
        values = {name: headers.get(PREFIX + name) for name in _ATTRIBUTES}
        given: dict[str, Any] = {
            name: value for name, value in values.items() if value is not None or name in _REQUIRED
        }
        for name, value in given.items():
            if not isinstance(value, str) or not 1 <= len(value) <= LONGEST[name]:
                raise ValueError(f"{name} is not a text of 1 to {LONGEST[name]} characters")
        if not _TEXT.fullmatch("".join(given.values())):
            raise ValueError("an attribute contains a control character or an unpaired surrogate")
        if not _is_moment(given["time"]):
            raise ValueError("time is not an RFC 3339 moment since 1970")
        return cls(**values)  # type: ignore[arg-type]


_ATTRIBUTES = tuple(field.name for field in fields(Envelope))
_REQUIRED = _ATTRIBUTES[:6]
_TEXT = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def is_text(value: Any, longest: int) -> bool:
    """Return whether a value is a text of limited length, without control characters and unpaired
    surrogates, which databases do not store."""
    return isinstance(value, str) and len(value) <= longest and bool(_TEXT.fullmatch(value))


def _is_moment(text: Any) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        moment = moment_from_json(text)
    except ValueError:
        return False
    return _FIRST <= moment < _LAST


_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""AMQP timestamps begin in 1970, and every time zone can represent the day."""
