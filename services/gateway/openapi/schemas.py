"""JSON schemas of marshmallow fields, and of documents that follow from events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from contracts.catalogue import sealed_fields
from contracts.message import Change
from contracts.shapes import NotBlank
from services.gateway.commands.parsing import LONGEST_SEALED
from services.gateway.http import request
from services.gateway.resources.columns import NUMBER
from services.gateway.resources.post import Post
from services.gateway.resources.view import View

Json = dict[str, Any]

NOT_BLANK = r"\S"
IDENTIFIER: Json = {
    "type": "string",
    "pattern": f"^{request.IDENTIFIER.pattern}$",
    "examples": ["0170ad1c-9d40-7c3e-8f21-5b8e4d1a6c02"],
}
TEXT: Json = {"type": "string"}
MOMENT: Json = {"type": "string", "format": "date-time"}
COUNT: Json = {"type": "integer", "minimum": 0}
SEALED: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_SEALED,
    "pattern": NOT_BLANK,
    "description": "Personal data: sealed before it is stored, never returned.",
}
_SAID_DAY = "^(19|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}$"
_KINDS: tuple[tuple[type[fields.Field[Any]], Json], ...] = (
    (fields.Boolean, {"type": "boolean"}),
    (fields.Integer, {"type": "integer"}),
    (fields.Float, {"type": "number"}),
    (fields.Date, {"type": "string", "format": "date", "pattern": _SAID_DAY}),
    (fields.DateTime, MOMENT),
    (fields.Dict, {"type": "object"}),
    (fields.String, TEXT),
)
_LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
_PAPER = (
    "The number of an identity card (GB 11643) or of another paper in the rulebook, in any "
    "spelling. Sealed before it is stored, never returned."
)
_BY = "The person who acts: the caller, unless the caller may act for others."


def ref(name: str, among: str = "schemas") -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{among}/{name}"}


def closed(properties: Mapping[str, Json], required: Iterable[str] = ()) -> Json:
    """Return a schema of an object with these properties and no others."""
    return opened(properties, required) | {"additionalProperties": False}


def opened(properties: Mapping[str, Json], required: Iterable[str] = ()) -> Json:
    """Return a schema of an object with these properties, which may get others later."""
    names = sorted(required)
    made: Json = {"type": "object", "properties": dict(properties)}
    return made | ({"required": names} if names else {})


def array(items: Json) -> Json:
    """Describe an array."""
    return {"type": "array", "items": items}


def or_null(schema: Json) -> Json:
    """Return a schema that also allows null."""
    kinds = _types(schema)
    made = schema | {"type": kinds if "null" in kinds else [*kinds, "null"]}
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    return made


# -- requests


def of_schema(schema: Schema, without: Iterable[str] = ()) -> Json:
    """Describe the input of a marshmallow schema; unknown fields are errors."""
    left = {name: field for name, field in schema.fields.items() if name not in {*without}}
    required = [name for name, field in left.items() if field.required]
    return closed({name: of_field(field) for name, field in left.items()}, required)


def of_field(field: fields.Field[Any]) -> Json:
    """Describe the input of a marshmallow field."""
    if isinstance(field, fields.Nested):
        made = of_schema(field.schema)
    elif isinstance(field, fields.List):
        made = array(of_field(field.inner))
    elif isinstance(field, fields.Enum):
        made = {"type": "string", "enum": [str(member.value) for member in field.enum]}
    else:
        made = dict(next(said for kind, said in _KINDS if isinstance(field, kind)))
    for validator in field.validators:
        made |= _bounds(validator, made["type"])
    return or_null(made) if field.allow_none else made


def _bounds(validator: Any, kind: str) -> Json:
    if isinstance(validator, validate.Regexp):
        return {"pattern": str(validator.regex.pattern).replace(r"\Z", "$")}
    if not isinstance(validator, validate.Length | validate.Range):
        return {}
    low, high = _LENGTHS.get(kind, ("minimum", "maximum"))
    made: Json = {
        name: bound
        for name, bound in ((low, validator.min), (high, validator.max))
        if isinstance(bound, int | float)
    }
    return made | ({"pattern": NOT_BLANK} if isinstance(validator, NotBlank) else {})


def of_body(post: Post) -> Json:
    """Describe the body of a POST: its command, without the fields that the gateway supplies."""
    made = of_schema(post.command.schema(), post.supplied)
    properties = made["properties"]
    for name in sealed_fields(post.command.type) & properties.keys():
        properties[name] = or_null(SEALED) if "null" in _types(properties[name]) else SEALED
    if post.reference:
        properties[post.reference.source] = SEALED | {"description": _PAPER}
    supplied = {*post.copies} | ({post.creates.id_field} if post.creates else set())
    for name in supplied & properties.keys():
        properties[name] = or_null(properties[name])
    required = [name for name in made.pop("required", ()) if name not in supplied]
    properties["by"] = or_null(properties["by"]) | {"description": _BY}
    return made | ({"required": required} if required else {})


# -- responses


def of_shape(shape: Mapping[str, Any]) -> Json:
    """Describe a value of an event by its type, without its bounds."""
    made = {name: shape[name] for name in ("type", "format", "enum") if name in shape}
    if "items" in shape:
        made["items"] = of_shape(shape["items"])
    if "properties" in shape:
        made["properties"] = {name: of_shape(of) for name, of in shape["properties"].items()}
    return or_null(made) if shape.get("nullable") else made


def of_documents(view: View) -> Json:
    """Describe the documents of a view as far as declared; they may contain more."""
    alternatives_of: dict[str, list[Json]] = {}
    for effect in view.fed_by:
        shapes = effect.event.describe()
        for name in effect.fields:
            alternatives_of.setdefault(name, []).append(of_shape(shapes[name]))
        for name, value in effect.constants.items():
            alternatives_of.setdefault(name, []).append(_of_constant(value))
    for name, kind in view.columns.items():
        alternatives = alternatives_of.setdefault(name, [])
        if all(_types(one) == ["null"] for one in alternatives):
            alternatives.append({"type": "integer" if kind is NUMBER else "string"})
        alternatives.append({"type": "null"})
    properties = {name: _one_of(schemas) for name, schemas in sorted(alternatives_of.items())}
    fixed: Json = {"id": IDENTIFIER, "updated_at": MOMENT}
    if any(issubclass(kind, Change) and kind not in view.others for kind in view.changes):
        fixed["version"] = COUNT | {"description": "The number of changes of the thing."}
    return opened(properties | fixed, ["id", "updated_at"])


def _of_constant(value: Any) -> Json:
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", type(None): "null"}
    return {"type": kinds[type(value)]}


def _one_of(schemas: list[Json]) -> Json:
    """Describe a field that several events set: all its types, and the keywords they share."""
    kinds = list(dict.fromkeys(kind for one in schemas for kind in _types(one)))
    told = {json.dumps(_but_type(one), sort_keys=True) for one in schemas if _but_type(one)}
    common: Json = json.loads(told.pop()) if len(told) == 1 else {}
    if "enum" in common and any(
        _types(one) == ["string"] and not _but_type(one) for one in schemas
    ):
        common = {}  # a constant may be absent from the event's own values
    if "enum" in common and "null" in kinds:
        common["enum"] = [*common["enum"], None]
    return common | {"type": kinds if len(kinds) > 1 else kinds[0]}


def _types(schema: Json) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def _but_type(schema: Json) -> Json:
    left = {name: value for name, value in schema.items() if name != "type"}
    if "enum" in left:
        left["enum"] = [value for value in left["enum"] if value is not None]
    return left
