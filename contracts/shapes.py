"""The types of message fields, with their marshmallow fields and JSON forms.

A contract declares its fields as annotations. This module turns each annotation into a strict
marshmallow field, which validates untrusted input, and into a pair of plain functions, which
convert trusted values to and from JSON on the bus without the cost of the former.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import (
    Annotated,
    Any,
    NewType,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, post_load, validate

Key = NewType("Key", str)
"""The partition key of a message: messages with one key from one publisher arrive in order."""

Id = NewType("Id", str)
"""The id of a thing, other than the partition key."""

LONGEST_TEXT = 2000
"""Longest text accepted from outside, in characters."""


MOST_WRONG = 21
"""Errors of a list after which no more items are validated: one more than a problem reports."""


class NotBlank(validate.Length):
    """A length limit for texts that must not be blank."""

    def __call__(self, value: Any) -> Any:
        """Validate a text; raises `ValidationError`."""
        super().__call__(value)
        if not value.strip():
            raise ValidationError("Must not be blank.")
        return value


Text = Annotated[str, NotBlank(min=1, max=LONGEST_TEXT)]
"""A text by a person: not blank, at most 2,000 characters."""

Code = Annotated[str, NotBlank(min=1, max=64)]
"""A short code, defined by the rulebook or another register."""

Count = Annotated[int, validate.Range(min=0, max=10_000_000)]
"""A count of people or things."""


class Sealed(str):
    """Encrypted personal data: a key id, a dot and the ciphertext. Never the clear text."""

    __slots__ = ()


class _Integer(fields.Integer):
    """A whole number; texts and booleans are invalid."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value


class _Number(fields.Float):
    """A number; texts and booleans are invalid."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return float(super()._deserialize(value, *args, **kwargs))


class _Boolean(fields.Boolean):
    """true or false, without equivalents."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class _String(fields.String):
    """A text without further rules: it may be empty, and has a maximum length."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"validate": validate.Length(max=LONGEST_TEXT)} | kwargs)


class _List(fields.List[Any]):
    """A list whose validation stops after a number of wrong items."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        made, wrong = [], {}
        for number, item in enumerate(value):
            try:
                made.append(self.inner.deserialize(item, **kwargs))
            except ValidationError as error:
                wrong[number] = error.messages
                if len(wrong) == MOST_WRONG:
                    break
        if wrong:
            raise ValidationError(wrong)  # type: ignore[arg-type]
        return made


class _Day(fields.Date):
    """A day from 1900 to 2199."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> date:
        day: date = super()._deserialize(value, *args, **kwargs)
        if not 1900 <= day.year < 2200:
            raise ValidationError("Must be a day from 1900 to 2199.")
        return day


class _Moment(fields.AwareDateTime):
    """A moment with its offset, written in UTC."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else moment_to_json(value)


def moment_to_json(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_from_json(text: str) -> datetime:
    """Parse an RFC 3339 moment; one without an offset is an error."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return moment


Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of an annotation: its validation, and its conversion to and from JSON."""

    field: Callable[..., fields.Field[Any]]
    write: Convert | None
    read: Convert | None
    describe: dict[str, Any]


def _typed(kind: type) -> Convert:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


_ID = validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z", error="not an identifier")
_SIMPLE: dict[Any, Shape] = {
    str: Shape(_String, None, _typed(str), {"type": "string"}),
    int: Shape(_Integer, None, _typed(int), {"type": "integer"}),
    float: Shape(_Number, None, _number, {"type": "number"}),
    bool: Shape(_Boolean, None, _typed(bool), {"type": "boolean"}),
    date: Shape(_Day, date.isoformat, date.fromisoformat, {"type": "string", "format": "date"}),
    datetime: Shape(
        _Moment, moment_to_json, moment_from_json, {"type": "string", "format": "date-time"}
    ),
    Sealed: Shape(fields.String, str, Sealed, {"type": "string", "format": "sealed"}),
    Key: Shape(
        lambda **kw: fields.String(validate=_ID, **kw), None, _typed(str), {"type": "string"}
    ),
    Id: Shape(
        lambda **kw: fields.String(validate=_ID, **kw), None, _typed(str), {"type": "string"}
    ),
}


def shape_of(annotation: Any) -> Shape:
    """Return the shape of an annotation; raises `TypeError` for a type without a JSON form."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _constrained(shape_of(args[0]), args[1:])
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        return _optional(shape_of(args[0] if args[1] is type(None) else args[1]))
    if origin is list:
        return _list(shape_of(args[0]))
    if origin is dict:
        return Shape(fields.Dict, None, _typed(dict), {"type": "object"})
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _enum(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _part(annotation)
    raise TypeError(f"a contract cannot have a field of type {annotation!r}")


_BOUNDS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}


def _constrained(base: Shape, validators: tuple[Any, ...]) -> Shape:
    describe = dict(base.describe)
    for validator in validators:
        names = _BOUNDS.get(describe["type"], ("minimum", "maximum"))
        for bound, name in zip(("min", "max"), names, strict=True):
            if (value := getattr(validator, bound, None)) is not None:
                describe[name] = value
    return dataclasses.replace(
        base,
        field=lambda **kw: base.field(validate=list(validators), **kw),
        describe=describe,
    )


def _optional(base: Shape) -> Shape:
    write, read = base.write, base.read
    return Shape(
        lambda **kw: base.field(**{**kw, "allow_none": True}),
        write and (lambda value: None if value is None else write(value)),
        read and (lambda value: None if value is None else read(value)),
        {**base.describe, "nullable": True},
    )


def _list(item: Shape) -> Shape:
    write, read = item.write, item.read

    def read_all(values: Any) -> list[Any]:
        if type(values) is not list:
            raise TypeError(f"{values!r} is not a list")
        return [read(value) for value in values] if read else values

    return Shape(
        lambda **kw: _List(item.field(), **{"validate": validate.Length(max=1000), **kw}),
        write and (lambda values: [write(value) for value in values]),
        read_all,
        {"type": "array", "items": item.describe},
    )


def _enum(kind: type[StrEnum]) -> Shape:
    return Shape(
        lambda **kw: fields.Enum(kind, by_value=True, **kw),
        str,
        kind,
        {"type": "string", "enum": [str(member) for member in kind]},
    )


def _part(kind: type[Part]) -> Shape:
    return Shape(
        lambda **kw: fields.Nested(kind.schema(), **kw),
        kind.to_data,
        kind.from_data,
        {"type": "object", "properties": kind.describe()},
    )


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The shape of a class: its fields with their shapes, and the optional ones."""

    shapes: dict[str, Shape]
    writers: tuple[tuple[str, Convert | None], ...]
    readers: tuple[tuple[str, Convert | None], ...]
    defaults: dict[str, Callable[[], Any]]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Part:
    """An immutable value with named fields; contracts and their parts are Parts."""

    __compiled: _Compiled | None = None
    __schema: Schema | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, kw_only=True)(cls)
        cls.__compiled = cls.__schema = None

    @classmethod
    def _compile(cls) -> _Compiled:
        if cls.__compiled is None:
            hints = get_type_hints(cls, include_extras=True)
            parts = dataclasses.fields(cls)  # type: ignore[arg-type]
            shapes = {part.name: shape_of(hints[part.name]) for part in parts}
            cls.__compiled = _Compiled(
                shapes,
                tuple((name, shape.write) for name, shape in shapes.items()),
                tuple((name, shape.read) for name, shape in shapes.items()),
                {part.name: maker for part in parts if (maker := _default(part)) is not None},
            )
        return cls.__compiled

    @classmethod
    def names(cls) -> Collection[str]:
        """Return the names of the fields."""
        return cls._compile().shapes.keys()

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Return each field's JSON shape, for the catalogue and the golden files."""
        compiled = cls._compile()
        return {
            name: {
                **shape.describe,
                **({} if name not in compiled.defaults else {"optional": True}),
            }
            for name, shape in compiled.shapes.items()
        }

    @classmethod
    def schema(cls) -> Schema:
        """Return the marshmallow schema that validates untrusted input: unknown fields are
        errors."""
        if cls.__schema is None:
            compiled = cls._compile()
            made: dict[str, Any] = {
                name: shape.field(
                    **(
                        {"load_default": compiled.defaults[name]}
                        if name in compiled.defaults
                        else {"required": True}
                    )
                )
                for name, shape in compiled.shapes.items()
            }
            made["Meta"] = type("Meta", (), {"unknown": RAISE})
            made["build"] = post_load(lambda _self, data, **_kw: cls(**data))
            cls.__schema = type(f"{cls.__name__}Schema", (Schema,), made)()
        return cls.__schema

    def to_data(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values = self.__dict__
        return {
            name: values[name] if write is None else write(values[name])
            for name, write in self._compile().writers
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Any:
        """Read the fields from JSON values: unknown ones are ignored, missing ones take defaults.

        Raises `marshmallow.ValidationError` with the name of each invalid field.
        """
        compiled = cls._compile()
        try:
            values = {
                name: (data[name] if read is None else read(data[name]))
                if name in data
                else compiled.defaults[name]()
                for name, read in compiled.readers
            }
        except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
            if not isinstance(data, Mapping):
                raise ValidationError("not an object") from error
            cls.schema().load(dict(data), unknown=EXCLUDE)
            raise ValidationError(str(error)) from error
        made = object.__new__(cls)
        made.__dict__.update(values)
        return made


def _default(part: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if part.default is not dataclasses.MISSING:
        value = part.default
        return lambda: value
    if part.default_factory is not dataclasses.MISSING:
        return part.default_factory
    return None


class Words(Part):
    """A text for people, in Chinese (traditional) and in English."""

    zh: str
    en: str


class Point(Part):
    """A point to note or to mend: its code in the rulebook, and its words."""

    code: Code
    words: Words


def moment_of(seconds: float | None) -> str | None:
    """Return an instant of the real clock as RFC 3339."""
    return None if seconds is None else moment_to_json(datetime.fromtimestamp(seconds, UTC))
