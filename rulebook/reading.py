"""How the rulebook's files are read: every entry is judged, and a fault is told in one sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields, validate

from contracts.shapes import Point, Words
from rulebook.entries import Entry, RulebookError, Source

AnyEntry = TypeVar("AnyEntry", bound=Entry)
AnyField = fields.Field[Any]

_CODE = validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z", error="is not a code")
_WORDS = validate.And(validate.Regexp(r"\S", error="is empty"), validate.Length(max=2000))
_KNOWN = validate.OneOf(["seen", "secondary", "memory", "practice"])


class Day(fields.Field[date]):
    """A date as TOML writes it, without quotes."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> date:
        if type(value) is not date:
            raise ValidationError("is not a date")
        return value


class Whole(fields.Field[int]):
    """A whole number, not negative."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if type(value) is not int or value < 0:
            raise ValidationError("is not a whole number")
        return value


class Truth(fields.Field[bool]):
    """true or false."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if type(value) is not bool:
            raise ValidationError("is neither true nor false")
        return value


class Span(fields.Field[tuple[date, date]]):
    """A first and a last day, as a list of two."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> tuple[date, date]:
        days = value if isinstance(value, list) else []
        if len(days) != 2 or any(type(day) is not date for day in days) or days[0] > days[1]:
            raise ValidationError("is not a first and a last day")
        return days[0], days[1]


def text(check: Callable[[str], Any] = _WORDS, **options: Any) -> AnyField:
    """Make a field for text, required unless `load_default` is given."""
    return fields.String(**{"required": "load_default" not in options, **options}, validate=check)


def several(item: AnyField, **options: Any) -> AnyField:
    """Make a field for a list without repetition; none of it is none of them."""
    return fields.List(item, load_default=list, validate=_distinct, **options)


def among(known: Collection[str], where: str) -> Callable[[str], None]:
    """Make the check that a code is defined elsewhere; `where` names the file."""

    def check(code: str) -> None:
        if code not in known:
            raise ValidationError(f'"{code}" is not in {where}')

    return check


def _distinct(values: list[Any]) -> None:
    if len(set(values)) < len(values):
        raise ValidationError("says a thing twice")


class Files:
    """The TOML files of one district, each table of which is taken exactly once."""

    def __init__(self, folder: Path) -> None:
        """Parse every file of the folder; its `sources.toml` is read first."""
        self._files = {path.name: _parse(path) for path in sorted(folder.glob("*.toml"))}
        if not self._files:
            raise RulebookError(f"{folder} holds no TOML files.")
        self.sources: Mapping[str, Source] = self._sources()

    def table(
        self, file: str, name: str, kind: type[AnyEntry], **more: AnyField
    ) -> Mapping[str, AnyEntry]:
        """Read the entries `[[name]]` of a file by their codes, each with these further fields."""
        made: dict[str, AnyEntry] = {}
        for label, data in self._judged(file, name, self._schema(more)):
            entry = _entry(kind, data)
            if entry.code in made:
                raise fault(file, label, "code", "stands there twice")
            made[entry.code] = entry
        if not made:
            raise RulebookError(f"{file}: {name} is empty.")
        return MappingProxyType(made)

    def single(self, file: str, name: str, kind: type[AnyEntry], **more: AnyField) -> AnyEntry:
        """Read the one entry `[name]` of a file."""
        entries = self.table(file, name, kind, **more)
        if len(entries) > 1:
            raise RulebookError(f"{file}: there can be only one {name}.")
        return next(iter(entries.values()))

    def expect_nothing_more(self) -> None:
        """Raise `RulebookError` for a table that nobody asked for: a misspelt name, say."""
        for file, tables in self._files.items():
            for name in tables:
                raise RulebookError(f'{file}: the rulebook has no table "{name}".')

    def _schema(self, more: Mapping[str, AnyField]) -> Schema:
        source = text(among(self.sources, "sources.toml"))
        base = {"code": text(_CODE), "zh": text(), "en": text(), "source": source}
        return Schema.from_dict({**base, "from": Day(required=True), **more})()

    def _sources(self) -> Mapping[str, Source]:
        known = {"code": text(), "zh": text(), "en": text(), "known": text(_KNOWN)}
        entries = self._judged("sources.toml", "source", Schema.from_dict(known)())
        return MappingProxyType(
            {
                data["code"]: Source(
                    code=data["code"],
                    words=Words(zh=data["zh"], en=data["en"]),
                    known=data["known"],
                )
                for _, data in entries
            }
        )

    def _judged(self, file: str, name: str, schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
        found = self._files.get(file, {}).pop(name, None)
        entries = [found] if isinstance(found, dict) else found
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise RulebookError(f"{file}: there is no table [[{name}]].")
        for number, entry in enumerate(entries, start=1):
            label = f'{name} "{entry["code"]}"' if "code" in entry else f"{name} no. {number}"
            try:
                data: dict[str, Any] = schema.load(entry)
            except ValidationError as error:
                raise fault(file, label, *_first(error.messages)) from error
            yield label, data


def fault(file: str, label: str, field: str, what: str) -> RulebookError:
    """Make the one sentence that names the file, the entry, the field, and what is wrong."""
    return RulebookError(f'{file}: {label}, field "{field}": {what}.')


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RulebookError(f"{path.name} cannot be read: {error}.") from error


def _entry(kind: type[AnyEntry], data: dict[str, Any]) -> AnyEntry:
    words = Words(zh=data.pop("zh"), en=data.pop("en"))
    data["point"] = Point(code=data.pop("code"), words=words)
    data["since"] = data.pop("from")
    return kind(**{name: _fixed(value) for name, value in data.items()})


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first(messages: Any) -> tuple[str, str]:
    """Find the first message and the field that it is about."""
    field, inner = next(iter(messages.items()))
    while isinstance(inner, dict):
        inner = next(iter(inner.values()))
    message = str(inner[0])
    return str(field), message[0].lower() + message[1:].rstrip(".")
