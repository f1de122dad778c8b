"""The configuration: read from the environment, and each wrong value one sentence."""

from pathlib import Path

import pytest

from chassis.settings import Misconfigured, Settings


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"CLOCK": "broken"}, "CLOCK must be real or manual, not 'broken'."),
        ({"HTTP_PORT": "http"}, "HTTP_PORT must be a number, not 'http'."),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT must be between 0 and 65535."),
        ({"BATCH": "0"}, "BATCH must be greater than 0."),
        ({"SLOTS": "-1"}, "SLOTS must be greater than 0."),
        ({"WAIT": "long"}, "WAIT must be a number, not 'long'."),
        ({"WAIT": "0"}, "WAIT must be greater than 0."),
        ({"STOP_WITHIN": "0"}, "STOP_WITHIN must be greater than 0."),
        (
            {"DATABASE_URL": "postgresql://db/all"},
            "DATABASE_URL must hold {service} where the service's name goes.",
        ),
        ({"AMQP_URI": "amqp://broker"}, "AMQP_URI needs a DATABASE_URL of PostgreSQL."),
    ],
)
def test_a_wrong_value_is_one_sentence(environ, sentence):
    with pytest.raises(Misconfigured, match=f"^{sentence}$"):
        Settings.read(environ)


def test_nothing_given_is_an_embedded_district():
    settings = Settings.read({})
    assert (settings.amqp_uri, settings.clock) == ("", "real")
    assert settings.database_of("filing") == f"sqlite:///{Path.cwd()}/bihuan-data/filing.db"


def test_the_environment_is_read_and_what_is_empty_is_not_set():
    settings = Settings.read({"HTTP_PORT": "9000", "DATA": "elsewhere", "CLOCK": ""})
    assert (settings.http_port, settings.data, settings.clock) == (9000, Path("elsewhere"), "real")


def test_what_is_given_goes_before_the_environment():
    assert Settings.read({"HTTP_PORT": "nonsense"}, http_port=1).http_port == 1


def test_each_service_has_a_database_of_its_own():
    settings = Settings.read({"DATABASE_URL": "postgresql://db/bihuan_{service}"})
    assert settings.database_of("filing") == "postgresql://db/bihuan_filing"
