"""Reads the rulebook's files: every entry is validated, and an error is one sentence."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields, validate

from contracts.shapes import Point, Words
from rulebook.entries import Entry, RulebookError, Source

AnyEntry = TypeVar("AnyEntry", bound=Entry)
AnyField = fields.Field[Any]

_ONE_DAY = timedelta(days=1)
_CODE = validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z", error="is not a code")
_WORDS = validate.And(validate.Regexp(r"\S", error="is empty"), validate.Length(max=2000))
_KNOWN = validate.OneOf(["seen", "secondary", "memory", "practice"])


class Day(fields.Field[date]):
    """A date in TOML, without quotes."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> date:
        if type(value) is not date:
            raise ValidationError("is not a date")
        return value


class Whole(fields.Field[int]):
    """A non-negative whole number."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        if type(value) is not int or value < 0:
            raise ValidationError("is not a whole number")
        return value


class Number(fields.Field[float]):
    """A non-negative number."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> float:
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise ValidationError("is not a number")
        return float(value)


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
    """Return a field for text, required unless `load_default` is given."""
    return fields.String(**{"required": "load_default" not in options, **options}, validate=check)


def several(item: AnyField, **options: Any) -> AnyField:
    """Return a field for a list without repetition, by default empty."""
    return fields.List(item, load_default=list, validate=_distinct, **options)


def among(known: Collection[str], where: str) -> Callable[[str], None]:
    """Return a validator for codes that are defined elsewhere; `where` names the file."""

    def check(code: str) -> None:
        if code not in known:
            raise ValidationError(f'"{code}" is not in {where}')

    return check


def _distinct(values: list[Any]) -> None:
    if len(set(values)) < len(values):
        raise ValidationError("has a repetition")


Tables = dict[str, dict[str, Any]]


class Files:
    """The TOML files of one district as of a day, whose tables must each be read exactly once."""

    def __init__(self, tables: Tables) -> None:
        """Store the tables of each file, and read those of `sources.toml`."""
        self._tables = tables
        self._files = {file: dict(held) for file, held in tables.items()}
        self.sources: Mapping[str, Source] = self._sources()

    def digest(self, file: str) -> str:
        """Return a digest of a file's contents."""
        return digest(self._tables.get(file, {}))

    def perhaps(
        self, file: str, name: str, kind: type[AnyEntry], **more: AnyField
    ) -> Mapping[str, AnyEntry]:
        """Return the entries `[[name]]` of a file, which are optional for a district."""
        if self._files.get(file, {}).get(name):
            return self.table(file, name, kind, **more)
        self._files.get(file, {}).pop(name, None)
        return MappingProxyType({})

    def table(
        self, file: str, name: str, kind: type[AnyEntry], **more: AnyField
    ) -> Mapping[str, AnyEntry]:
        """Return the entries `[[name]]` of a file by their codes, each with these further
        fields."""
        made = self.any(file, name, kind, **more)
        if not made:
            raise RulebookError(f"{file}: {name} is empty.")
        return made

    def any(
        self, file: str, name: str, kind: type[AnyEntry], **more: AnyField
    ) -> Mapping[str, AnyEntry]:
        """Return entries of which there may be none on a day: they begin later, or have ended."""
        made: dict[str, AnyEntry] = {}
        for label, data in self._judged(file, name, self._schema(more)):
            entry = _entry(kind, data)
            if entry.code in made:
                raise fault(file, label, "code", "is repeated")
            made[entry.code] = entry
        return MappingProxyType(made)

    def single(self, file: str, name: str, kind: type[AnyEntry], **more: AnyField) -> AnyEntry:
        """Return the one entry `[name]` of a file; of several, the latest."""
        entries = [*self.table(file, name, kind, **more).values()]
        latest = max(entry.since for entry in entries)
        newest = [entry for entry in entries if entry.since == latest]
        if len(newest) > 1:
            raise RulebookError(f"{file}: there can be only one {name}.")
        return newest[0]

    def expect_nothing_more(self) -> None:
        """Raise `RulebookError` for an unread table, for example one with a misspelt name."""
        for file, tables in self._files.items():
            for name in tables:
                raise RulebookError(f'{file}: the rulebook has no table "{name}".')

    def _schema(self, more: Mapping[str, AnyField]) -> Schema:
        source = text(among(self.sources, "sources.toml"))
        base = {"code": text(_CODE), "zh": text(), "en": text(), "source": source}
        dates = {"from": Day(required=True), "until": Day(load_default=None)}
        return Schema.from_dict({**base, **dates, **more})()

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


def parse(folder: Path, common: Path) -> Tables:
    """Parse every file of a district's folder, after those common to all districts.

    A district adds to their tables; its own entry replaces a common one with the same code that
    began earlier. Raises `RulebookError`.
    """
    tables = {path.name: _parse(path) for path in sorted(common.glob("*.toml"))}
    own = {path.name: _parse(path) for path in sorted(folder.glob("*.toml"))}
    if not own:
        raise RulebookError(f"{folder} contains no TOML files.")
    for file, held in own.items():
        common_ones = tables.setdefault(file, {})
        for name, given in held.items():
            before = common_ones.get(name)
            common_ones[name] = given if before is None else [*_list(before), *_list(given)]
    return tables


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def turns(tables: Tables) -> list[date]:
    """Return the days on which rules begin or end, starting with the district's first day."""
    district = tables.get("district.toml", {}).get("district")
    first = district.get("from") if isinstance(district, dict) else None
    if type(first) is not date:
        raise RulebookError("district.toml: the first day of the district is missing.")
    days = {first}
    for entry in _entries(tables):
        begins, ends = entry.get("from"), entry.get("until")
        days |= {begins} if type(begins) is date else set()
        days |= {ends + _ONE_DAY} if type(ends) is date else set()
    return sorted(day for day in days if day >= first)


def as_of(tables: Tables, day: date) -> Tables:
    """Return the tables as of a day: of the entries with one code, the latest."""
    return {
        file: {name: _held(given, day) for name, given in held.items()}
        for file, held in tables.items()
    }


def _entries(tables: Tables) -> Iterator[dict[str, Any]]:
    for held in tables.values():
        for given in held.values():
            for entry in given if isinstance(given, list) else [given]:
                if isinstance(entry, dict):
                    yield entry


def _held(given: Any, day: date) -> Any:
    """Remove what is not in force on a day; malformed values stay, for validation."""
    if not isinstance(given, list):
        return given
    latest: dict[Any, date] = {}
    for entry in given:
        begins = entry.get("from") if isinstance(entry, dict) else None
        if type(begins) is date and begins <= day:
            latest[entry.get("code")] = max(begins, latest.get(entry.get("code"), begins))
    return [
        entry
        for entry in given
        if not isinstance(entry, dict)
        or type(entry.get("from")) is not date
        or (entry["from"] == latest.get(entry.get("code")) and not _is_over(entry, day))
    ]


def _is_over(entry: Mapping[str, Any], day: date) -> bool:
    ends = entry.get("until")
    return type(ends) is date and ends < day


def digest(said: Any) -> str:
    """Return a short digest of parsed files."""
    text = json.dumps(said, sort_keys=True, default=str, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=4).hexdigest()


def fault(file: str, label: str, field: str, what: str) -> RulebookError:
    """Return the error sentence with the file, the entry, the field, and the fault."""
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
    del data["until"]
    return kind(**{name: _fixed(value) for name, value in data.items()})


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first(messages: Any) -> tuple[str, str]:
    """Return the first error message and its field."""
    field, inner = next(iter(messages.items()))
    while isinstance(inner, dict):
        inner = next(iter(inner.values()))
    message = str(inner[0])
    return str(field), message[0].lower() + message[1:].rstrip(".")
