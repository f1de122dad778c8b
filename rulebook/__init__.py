"""The district's rules as data: each entry with its source and the date from which it holds."""

from rulebook.book import Rulebook
from rulebook.entries import (
    Channel,
    Deadline,
    Entry,
    Grid,
    Premises,
    Rule,
    RulebookError,
    Scheme,
    Section,
    Source,
    Supervision,
    Track,
    Unknown,
)

__all__ = [
    "Channel",
    "Deadline",
    "Entry",
    "Grid",
    "Premises",
    "Rule",
    "Rulebook",
    "RulebookError",
    "Scheme",
    "Section",
    "Source",
    "Supervision",
    "Track",
    "Unknown",
]
