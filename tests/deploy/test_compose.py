"""docker-compose.yml holds together, and with all that it names. No engine is asked."""

import json
import os
import stat
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer.main

from chassis.settings import Settings
from console.app import app
from tests.deploy.files import (
    ONE_SHOTS,
    OPS,
    OURS,
    REPOSITORY,
    SECRETS,
    SERVICES,
    compose,
    environment,
    final,
    health_command,
    image_environment,
    make_secrets,
    seconds,
)

SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"
OF_THE_IMAGES = {
    "postgres": {"POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"},
    "rabbitmq": {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"},
    "grafana": {
        "GF_SECURITY_ADMIN_PASSWORD__FILE",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_USERS_ALLOW_SIGN_UP",
    },
}
"""Variables that the documentation of the others' images names."""
ALL = sorted(compose()["services"])
FILED = ("DATABASE_URL", "AMQP_URI", "BROKER_ADMIN_URI")
"""Settings that may be the content of a file."""


def service(name):
    return compose()["services"][name]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """A folder with what `make secrets` makes."""
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    make_secrets(folder)
    return folder


def test_the_file_is_a_compose_file():
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(compose())


# -- each container


@pytest.mark.parametrize("name", ALL)
def test_every_image_is_pinned(name):
    image, _, tag = service(name)["image"].rpartition(":")
    assert image
    assert tag[0].isdigit() or tag[0] == "v"
    assert tag.count(".") >= 1


def test_our_image_bears_our_version():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert {service(name)["image"] for name in OURS} == {f"bihuan:{version}"}
    (label,) = final("LABEL")
    assert f'version="{version}"' in label.rest


def test_each_service_has_a_process():
    for name in SERVICES:
        assert service(name)["command"] == ["run", name]
    for name in ONE_SHOTS:
        assert service(name)["command"][0] == name


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_bihuan(name):
    command, *words = service(name)["command"]
    group = typer.main.get_command(app)
    assert command in group.commands
    group.commands[command].make_context(command, words)  # raises for what it does not know


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_has_a_value_that_is_taken(name, secrets):
    given = service(name)["environment"]
    plain = {field.upper() for field in Settings.__dataclass_fields__}
    assert given.keys() <= plain | {f"{field}_FILE" for field in (*FILED, "DEPLOYMENT")}

    values = dict(environment(name))
    if name == "gateway":
        assert values.pop("DEPLOYMENT_FILE") == "/etc/machine-id"
    for field in FILED:
        if file := values.pop(f"{field}_FILE", None):
            assert field not in values
            values[field] = (secrets / Path(file).name).read_text().strip()
    values.setdefault("DATABASE_URL", "sqlite:///{service}")
    settings = Settings.read(values)
    assert (settings.http_address, settings.http_port) == ("0.0.0.0", 8000)


@pytest.mark.parametrize("name", [name for name in ALL if name not in OURS])
def test_every_variable_of_another_image_is_one_that_it_knows(name):
    assert service(name).get("environment", {}).keys() <= OF_THE_IMAGES.get(name, set())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_that_they_need_not(name):
    ours = service(name)
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert ours["tmpfs"] == ["/tmp"]
    assert "volumes" not in ours
    assert "user" not in ours, "the image's user is nobody special"
    assert ours["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_stop_has_the_time_that_the_service_takes(name):
    ours = service(name)
    within = float(ours["environment"]["STOP_WITHIN"])
    assert seconds(ours["stop_grace_period"]) >= within + 5
    assert ours["restart"] == "unless-stopped"
    assert "stop_signal" not in ours, "the image says it"


# -- what they are to each other


@pytest.mark.parametrize("name", ALL)
def test_whoever_waits_for_another_can_see_when_it_is_there(name):
    for other, how in service(name).get("depends_on", {}).items():
        condition = how["condition"]
        if condition == "service_healthy":
            assert health_command(other)
        else:
            assert condition == "service_completed_successfully"
            assert service(other)["restart"] == "no"
            assert other in ONE_SHOTS
        assert service(other).get("profiles", []) <= service(name).get("profiles", [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_begins_when_its_tables_and_exchanges_are_there(name):
    assert set(service(name)["depends_on"]) == {"postgres", "rabbitmq", *ONE_SHOTS}


def test_the_health_of_a_process_depends_on_nobody_else():
    """A broker that is away is no reason to restart a service."""
    for name in SERVICES:
        assert "healthcheck" not in service(name)
        command = " ".join(health_command(name))
        assert "/livez" in command
        assert "environ['HTTP_PORT']" in command
        assert environment(name)["HTTP_PORT"] == image_environment()["HTTP_PORT"]


def test_every_port_is_one_that_somebody_listens_on():
    listens = {"proxy": 8443, "prometheus": 9090, "grafana": 3000}
    for name in ALL:
        for port in service(name).get("ports", []):
            address, outside, inside = port.split(":")
            assert address == "127.0.0.1"
            assert int(outside) == int(inside) == listens[name]
        check = " ".join(health_command(name) or [])
        assert name not in listens or f":{listens[name]}" in check
    (exposed,) = final("EXPOSE")
    assert exposed.rest == image_environment()["HTTP_PORT"] == "8000"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_be_many(name):
    assert not {"ports", "container_name", "hostname", "volumes"} & service(name).keys()


def test_no_container_has_a_name_of_its_own():
    assert not [name for name in ALL if "container_name" in service(name)]


def test_the_gateway_believes_the_proxy_and_nobody_else():
    """Whoever stands on that net may say for whom it speaks: so nobody else stands there."""
    front = compose()["networks"]["front"]
    (where,) = front["ipam"]["config"]
    assert front["internal"] is True
    assert environment("gateway")["TRUSTED_PROXIES"] == where["subnet"]
    assert {name for name in ALL if "front" in service(name)["networks"]} == {"gateway", "proxy"}


def test_there_is_a_rate_where_others_can_reach_the_gateway():
    assert float(environment("gateway")["RATE_LIMIT"]) > 0


def test_the_proxy_may_do_nothing_that_it_need_not():
    proxy = service("proxy")
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert proxy["user"] != "0"
    assert proxy["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


def test_only_who_is_spoken_to_from_outside_is_on_a_net_with_a_way_out():
    assert compose()["networks"]["district"] == {"internal": True}
    edge = {name for name in ALL if "edge" in service(name)["networks"]}
    assert edge == {name for name in ALL if "ports" in service(name)}


# -- what they are given


@pytest.mark.parametrize("name", ALL)
def test_every_file_that_is_mounted_is_there(name):
    for mount in service(name).get("volumes", []):
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert (REPOSITORY / source).exists()
            assert mode == ["ro"]
        else:
            assert source in compose()["volumes"]


@pytest.mark.parametrize("name", ALL)
def test_every_secret_that_is_spoken_of_is_given(name):
    ours = service(name)
    spoken_of = [
        value.removeprefix(SECRETS)
        for value in map(str, ours.get("environment", {}).values())
        if value.startswith(SECRETS)
    ]
    given = ours.get("secrets", [])
    assert set(spoken_of) <= set(given)
    if name in OURS:
        assert sorted(spoken_of) == sorted(given), "no more than it needs"
        mine = name if name in SERVICES else "operator"
        keys = {"seal_key", "issuer_key"} if name == "gateway" else set()
        assert all(secret.startswith(mine) or secret in keys for secret in given)


def test_make_secrets_makes_every_secret_and_no_other(secrets):
    declared = compose()["secrets"]
    made = {file.name for file in secrets.iterdir()}
    assert made == declared.keys()
    assert {each["file"] for each in declared.values()} == {f"./ops/secrets/{n}" for n in made}
    used = {secret for name in ALL for secret in service(name).get("secrets", [])}
    assert used == made


def test_make_secrets_keeps_what_is_there(secrets, tmp_path):
    folder = tmp_path / "kept"
    make_secrets(folder)
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert "All secrets are in" in make_secrets(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before

    (folder / "seal_key").unlink()
    assert make_secrets(folder).startswith("1 new secrets")
    after = {file.name: file.read_text() for file in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"seal_key"}


def test_secrets_can_be_read_in_the_containers_and_by_nobody_on_the_host(secrets):
    """Compose mounts them as they are, and the containers' users are not the host's."""
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o444}


def test_no_secret_is_in_the_repository():
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert "/ops/secrets/" in ignored
    assert "password" not in (OPS / "rabbitmq" / "definitions.json").read_text()


def test_the_addresses_in_the_secrets_are_those_of_the_containers(secrets):
    ports = {("postgresql", "postgres"): 5432, ("amqp", "rabbitmq"): 5672}
    ports |= {("http", "rabbitmq"): 15672}
    for file in secrets.iterdir():
        text = file.read_text()
        if "://" in text:
            uri = urlsplit(text)
            assert ports[uri.scheme, uri.hostname] == uri.port
            assert file.name.startswith(f"{uri.username}_")
            assert len(uri.password) >= 32


def test_make_says_where_the_secrets_are():
    assert "ops/make_secrets.py" in (REPOSITORY / "Makefile").read_text()
    assert os.access(OPS / "postgres" / "roles.sh", os.X_OK)
