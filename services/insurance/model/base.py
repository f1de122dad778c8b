"""What the tables of insurance stand on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Invalid


class NotAcceptable(Invalid):
    """Some of what was given is not acceptable."""


class Base(DeclarativeBase):
    """The tables of insurance."""

    type_annotation_map = {list[str]: JSON, dict[str, Any]: JSON}
