"""What every story of one service may ask for."""

import pytest

from chassis.messaging import parked
from tests.service.given import Given


@pytest.fixture
def given(tmp_path):
    """Return services with databases of their own, closed at the end."""
    made = []

    def one(kind):
        made.append(Given(kind, tmp_path))
        return made[-1]

    yield one
    for story in made:
        story.store.close()


@pytest.fixture
def no_pauses(monkeypatch):
    """Let back-off take no time."""
    monkeypatch.setattr(parked, "pause", lambda _attempts, **_longest: 0.0)
