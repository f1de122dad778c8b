"""Node and npm, with which a department of another language is played."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from tests.servers.packages import PATH, need


@dataclass(frozen=True)
class Node:
    """The programs."""

    node: str
    npm: str


def node() -> Node:
    """Find them, or install them where that is allowed; raises `Unavailable`."""
    return need(_find, "nodejs", "npm")


def _find() -> Node | None:
    found, npm = shutil.which("node", path=PATH), shutil.which("npm", path=PATH)
    return Node(found, npm) if found and npm else None
