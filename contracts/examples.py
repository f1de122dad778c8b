"""Examples of every contract, for the documents."""

from __future__ import annotations

from typing import Any

from contracts.message import Command, Contract, Envelope
from contracts.shared import SWEEPERS

_EXAMPLES = {"date": "2020-03-06", "date-time": "2020-03-06T00:00:00Z", "sealed": "3f9a01c2.Zm9v"}
_TIME = "2020-03-06T01:30:00Z"


def example(kind: type[Contract]) -> dict[str, Any]:
    """Return an example of a contract: its headers and its body."""
    payload = kind.from_data({name: value(name, shape) for name, shape in kind.describe().items()})
    source = "gateway" if issubclass(kind, Command) else kind.service or SWEEPERS[0]
    envelope = Envelope(
        id="0170ad1c-9d40-7c3e-8f21-5b8e4d1a6c02",
        source=source,
        type=kind.type,
        time=_TIME,
        partitionkey=payload.key,
        correlationid="0170ad1c-9d3f-7a11-b0c4-2f6d9e8a7b01",
    )
    return {"headers": envelope.headers(), "body": payload.to_data()}


def value(name: str, shape: dict[str, Any]) -> Any:
    """Return an example value of a field."""
    if "enum" in shape:
        return shape["enum"][0]
    if "items" in shape:
        return [value(name, shape["items"])]
    if "properties" in shape:
        return {inner: value(inner, of) for inner, of in shape["properties"].items()}
    if shape["type"] in ("integer", "number", "boolean", "object"):
        number = max(5, shape.get("minimum", 0))
        return {"integer": number, "number": 2.5, "boolean": True, "object": {}}[shape["type"]]
    return _EXAMPLES.get(
        shape.get("format", ""), "clock" if name == "clock" else f"{name.removesuffix('_id')}-1"
    )
