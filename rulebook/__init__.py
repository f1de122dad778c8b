"""The district's rules as data: each entry with its source and the date from which it holds."""

from rulebook.book import Rulebook
from rulebook.entries import Entry, RulebookError, Source, Unknown
from rulebook.following import FollowsRules

__all__ = ["Entry", "FollowsRules", "Rulebook", "RulebookError", "Source", "Unknown"]
