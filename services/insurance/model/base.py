"""The declarative base of insurance."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase

from chassis.errors import Invalid


class NotAcceptable(Invalid):
    """The data is not acceptable."""


class Base(DeclarativeBase):
    """The declarative base of insurance's tables."""

    type_annotation_map = {list[str]: JSON, dict[str, Any]: JSON}
