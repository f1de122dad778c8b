"""How stories are told: once, with every message delivered twice, and in disorder; and how what
came of it is compared."""

import json
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Float, select

from chassis.storage.tables import outbox, parked_messages
from console.runtime.district import SERVICES
from services.gateway.tables import commands, counters
from tests.conftest import bus_for
from tests.district import TestDistrict
from tests.loop.hasty import HastyDistrict

STORIES = {}
MODES = ("once", "twice", "shuffled")
_NAMES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # identities
    r"|FZ-\d+-\d+"  # the liaison officer follows from the enterprise's identity
    r"|(?:[0-9a-f]{24}|[0-9a-f]{8})\.[\w=-]{20,}"  # what is sealed looks different each time
    r"|\b[0-9a-f]{24}\b"  # and the key of a person, by chance
    r"|〔\d{4}〕\d+號"  # numbers of papers are drawn in the order in which they come to be written
    r"|\b[0-9a-f]{40}\b"  # and so does what stands for it, under a district's own key
    r"|\b[0-9a-f]{64}\b"  # and what seals it together with what came before
)
_told = {}


def story(tell):
    """Add a story; its name is a sentence."""
    STORIES[tell.__name__] = tell
    return tell


@dataclass(frozen=True)
class Outcome:
    """What came of a story: the state of every service, without names, and what caused what; and
    how often a message has overtaken an earlier one on the way."""

    state: dict
    edges: frozenset
    overtaken: int = field(default=0, compare=False)

    @property
    def parked(self):
        """What was set aside, and is still."""
        return sum(
            (rows for what, rows in self.state.items() if what.endswith(" parked")), Counter()
        )


def outcome_on(district, name):
    """Tell a story to a distributed district, which has forgotten the one before."""
    district.forget()
    return _outcome(district, name)


def outcome_of(name, deliver):
    """Tell a story in one way of delivery; told once a session."""
    if (name, deliver) not in _told:
        kind = HastyDistrict if deliver == "shuffled" else TestDistrict
        with tempfile.TemporaryDirectory() as folder:
            district = kind(Path(folder), bus_for(deliver))
            try:
                _told[name, deliver] = _outcome(district, name)
            finally:
                district.stop()
    return _told[name, deliver]


def _outcome(district, name):
    before = district.overtaken
    district.begin()
    STORIES[name](district)
    district.rest()
    return Outcome(state_of(district), edges_of(district), district.overtaken - before)


def state_of(district):
    """Read every table of every service, names and order left out."""
    state = {}
    for service in SERVICES:
        store = district.store(service.name)
        with store.engine.connect() as connection:
            for table in service.metadata.sorted_tables:
                if table is not commands:
                    query = select(*_lasting(table))
                    if table is counters:  # one that came back to 0 is as good as none
                        query = query.where(counters.c.value != 0)
                    rows = connection.execute(query)
                    state[f"{service.name}.{table.name}"] = _without_names(rows)
            said = select(outbox.c.type, outbox.c.time, outbox.c.causationtype, outbox.c.body)
            state[f"{service.name} said"] = _without_names(connection.execute(said))
            parked = select(parked_messages.c.type, parked_messages.c.state)
            state[f"{service.name} parked"] = _without_names(connection.execute(parked))
    return state


def _lasting(table):
    return [
        column
        for column in table.columns
        if column.name not in ("position", "wrapped_by")  # the id of a district's own key
        and not isinstance(column.type, Float)
    ]


def _without_names(rows):
    return Counter(
        _NAMES.sub("·", json.dumps([str(value) for value in row], ensure_ascii=False))
        for row in rows
    )


def edges_of(district):
    """Give (service that said the effect, cause, effect) for all that was said."""
    edges = set()
    for service in SERVICES:
        with district.store(service.name).engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.causationtype, outbox.c.type, outbox.c.exchange)
            )
            edges |= {
                (service.name, row.causationtype, row.type)
                for row in rows
                if row.type not in ("command-settled", "hour-swept")
            }
    return frozenset(edges)
