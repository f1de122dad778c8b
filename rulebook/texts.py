"""The texts of slips and notices: English in the code, Chinese in a gettext catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from babel.messages.pofile import PoFileError, read_po

from contracts.shapes import Point, Words
from rulebook.entries import RulebookError, Unknown

_PLACE = re.compile(r"%\((\w+)\)s")


class Texts:
    """A catalogue: English texts with placeholders such as `%(day)s`, each with its Chinese."""

    __slots__ = ("_chinese",)

    def __init__(self, chinese: Mapping[str, str]) -> None:
        """Store the Chinese of each English text."""
        self._chinese = dict(chinese)

    @classmethod
    def read(cls, path: Path) -> Texts:
        """Read a PO file; each text must be translated, with the same placeholders."""
        try:
            with path.open("rb") as file:
                catalogue = read_po(file, locale="zh_Hant", abort_invalid=True)
        except (OSError, ValueError, PoFileError) as error:
            raise RulebookError(f"{path.name} cannot be read: {error}.") from error
        chinese = {str(one.id): str(one.string or "") for one in catalogue if one.id}
        for english, translated in chinese.items():
            if not translated:
                raise RulebookError(f'{path.name}: text "{english}" has no translation.')
            if _places(english) != _places(translated):
                raise RulebookError(
                    f'{path.name}: text "{english}" has other placeholders in its translation.'
                )
        return cls(chinese)

    def say(self, english: str, values: Mapping[str, object]) -> Words:
        """Return a text in both languages with its values; raises `Unknown` for a missing text or
        value."""
        chinese = self._chinese.get(english)
        if chinese is None:
            raise Unknown(f'The catalogue has no text "{english}".')
        words = {name: _words(value) for name, value in values.items()}
        try:
            return Words(
                zh=chinese % {name: value.zh for name, value in words.items()},
                en=english % {name: value.en for name, value in words.items()},
            )
        except KeyError as missing:
            raise Unknown(f'The text "{english}" needs a value for {missing}.') from None


def _places(text: str) -> list[str]:
    """Return the placeholders of a text; a percent sign without a name is an unnamed one."""
    return sorted([*_PLACE.findall(text), *re.findall("%", _PLACE.sub("", text))])


def _words(value: object) -> Words:
    """Return a value in both languages: words and points in each, a list joined, a date as ISO."""
    if isinstance(value, Words):
        return value
    if isinstance(value, Point):
        return value.words
    if isinstance(value, list | tuple):
        parts = [_words(part) for part in value]
        return Words(
            zh="\N{FULLWIDTH SEMICOLON}".join(part.zh for part in parts),
            en="; ".join(part.en for part in parts),
        )
    plain = value.isoformat() if isinstance(value, date) else str(value)
    return Words(zh=plain, en=plain)
