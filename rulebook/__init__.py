"""The district's rules as data: each entry with its source and its first day."""

from rulebook.book import Rulebook
from rulebook.entries import Entry, RulebookError, Source, Unknown
from rulebook.following import rules_of

__all__ = ["Entry", "Rulebook", "RulebookError", "Source", "Unknown", "rules_of"]
