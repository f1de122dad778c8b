"""On RabbitMQ and PostgreSQL, too, what is stored of one person is moved under one reference."""

import pytest

from services.gateway.person_keys import by_identity
from tests.console.test_moving import NUMBER, OTHER, Office


@pytest.fixture
def office(distributed, postgres, rabbitmq, monkeypatch):
    distributed.begin()
    settings = distributed.running.settings
    distributed.environ = {
        "DATABASE_URL": postgres,
        "AMQP_URI": rabbitmq,
        "DATA": str(settings.data),
        "SEAL_KEY_FILE": settings.seal_key_file,
    }
    made = Office(distributed, monkeypatch)
    made.environ = distributed.environ
    return made


def test_one_person_is_one_after_the_move_and_two_on_record_are_named(office):
    with office.before():
        alone = office.enrol(f"{OTHER[:6]} {OTHER[6:]}")
        first, second = office.enrol(NUMBER), office.enrol(f"{NUMBER}\u200b")
    out = office.say("person", "move", code=1)
    assert "medics: 1 moved, 1 could not be moved, 0 pending" in out
    assert f"  medics/{second} is the same person as medics/{first}: withdraw one of them" in out
    persons = office.persons()
    assert persons[alone] == by_identity(office.seal, OTHER)
    assert persons[second] != persons[first] == by_identity(office.seal, NUMBER)
