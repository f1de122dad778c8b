"""The configuration: read from the environment, and each wrong value one sentence."""

import re
from dataclasses import fields
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
        ({"PARTITIONS": "-1"}, "PARTITIONS must be greater than 0."),
        ({"DATABASE_POOL": "0"}, "DATABASE_POOL must be greater than 0."),
        ({"WAIT": "long"}, "WAIT must be a number, not 'long'."),
        ({"WAIT": "0"}, "WAIT must be greater than 0."),
        ({"STOP_WITHIN": "0"}, "STOP_WITHIN must be greater than 0."),
        ({"RATE_LIMIT": "-1"}, "RATE_LIMIT must be 0, for no limit, or greater."),
        ({"RATE_BURST": "0"}, "RATE_BURST must be greater than 0."),
        ({"HEADERS_WITHIN": "0"}, "HEADERS_WITHIN must be greater than 0."),
        ({"BODY_WITHIN": "0"}, "BODY_WITHIN must be greater than 0."),
        ({"CONNECTIONS": "0"}, "CONNECTIONS must be greater than 0."),
        ({"CONNECTIONS_EACH": "0"}, "CONNECTIONS_EACH must be greater than 0."),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS cannot be read: '.' is not an origin such as .*"),
        ({"TRUSTED_PROXIES": "proxy"}, "TRUSTED_PROXIES cannot be read: 'proxy' does not .*"),
        ({"STREAMS": "0"}, "STREAMS must be greater than 0."),
        ({"WEBHOOKS_TO": "all"}, "WEBHOOKS_TO must be public or private, not 'all'."),
        (
            {"AMQP_URI_FILE": "nowhere/amqp"},
            "AMQP_URI_FILE cannot be read: .Errno 2. No such file or directory: 'nowhere/amqp'.",
        ),
        ({"AMQP_URI": "amqp://broker"}, "AMQP_URI needs a PostgreSQL DATABASE_URL."),
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


def test_several_services_need_several_databases():
    settings = Settings.read({"DATABASE_URL": "postgresql://db/all"})
    settings.need_databases_of(1)
    with pytest.raises(Misconfigured, match=r"DATABASE_URL must contain \{service\}"):
        settings.need_databases_of(2)


def test_a_secret_may_stand_in_a_file(tmp_path):
    file = tmp_path / "url"
    file.write_text("postgresql://filing:secret@db/filing\n")
    settings = Settings.read({"DATABASE_URL_FILE": str(file)})
    assert settings.database_of("filing") == "postgresql://filing:secret@db/filing"


def test_every_setting_is_in_the_table_for_operators_with_its_default():
    text = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", section, re.MULTILINE))
    assert table.keys() == {field.name.upper() for field in fields(Settings)}
    for field in fields(Settings):
        default = f"`{field.default}`" if field.default != "" else "empty"
        assert table[field.name.upper()].split(":")[0] == default, field.name
