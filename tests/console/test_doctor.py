"""`bihuan doctor` looks at a district, changes nothing, and says what to do."""

import json
import shutil
from typing import NamedTuple

import pytest

from console.cli import doctor
from tests.console.conftest import here

ALONE = {"DATABASE_URL": "", "AMQP_URI": ""}


def look(environ, *words):
    """Return the exit code, and how each check came out, with what was seen and what to do."""
    code, lines, _ = here(ALONE | environ, "doctor", "--json", *words)
    found = [json.loads(line) for line in lines]
    assert code == any(each["state"] == "fault" for each in found)
    assert all(bool(each["remedy"]) == (each["state"] != "ok") for each in found)
    return found


def unwell(found):
    return [(each["state"], each["check"], each["says"]) for each in found if each["state"] != "ok"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The data folder of a district that has run and stopped."""
    from chassis.messaging.memory_bus import EmbeddedBus
    from tests.district import TestDistrict

    folder = tmp_path_factory.mktemp("quiet") / "d"
    district = TestDistrict(folder, EmbeddedBus())
    district.stop()
    return folder


@pytest.fixture
def folder(quiet, tmp_path):
    return shutil.copytree(quiet, tmp_path / "d")


def test_a_folder_that_nobody_has_used_yet_is_well_and_stays_untouched(tmp_path):
    assert unwell(look({"DATA": str(tmp_path / "new")})) == []
    assert not (tmp_path / "new").exists()


def test_a_district_that_runs_is_well(running):
    before = running.client.get("/v1/statistics")
    found = look(running.environ)
    assert unwell(found) == []
    checks = {each["check"] for each in found}
    assert {f"database of {name}" for name in doctor.KINDS} <= checks
    assert ("clock of filing" in checks) == bool(running.environ["DATABASE_URL"])
    assert running.client.get("/v1/statistics") == before


def test_it_tells_people_in_a_line_each(folder):
    code, lines, errors = here(ALONE, "doctor", "--data", folder)
    assert (code, errors) == (0, [])
    assert lines[0] == "ok       settings: can be read"
    assert len(lines) == 15


def test_a_wrong_setting_is_a_fault_and_nothing_more_is_looked_at(tmp_path):
    found = look({"DATA": str(tmp_path), "CLOCK": "broken"})
    assert unwell(found) == [("fault", "settings", "CLOCK must be real or manual, not 'broken'.")]
    assert len(found) == 1


def test_a_key_that_others_can_read_is_a_fault(folder):
    (folder / "seal.key").chmod(0o644)
    ((state, check, says),) = unwell(look({"DATA": str(folder)}))
    assert (state, check) == ("fault", "seal key")
    assert says.endswith("seal.key can be read by others (mode 0644)")


def test_a_key_that_is_gone_or_none_is_a_fault(folder):
    (folder / "seal.key").write_text("nonsense")
    (folder / "issuer.key").unlink()
    found = unwell(look({"DATA": str(folder)}))
    assert [(state, check) for state, check, _ in found] == [
        ("fault", "seal key"),
        ("fault", "issuer key"),
    ]


def test_a_database_that_is_behind_is_a_fault(folder):
    import sqlite3

    with sqlite3.connect(folder / "filing.db") as database:
        database.execute("DROP TABLE alembic_version")
    found = look({"DATA": str(folder)})
    assert unwell(found) == [("fault", "database of filing", "is not set up")]
    (sick,) = (each for each in found if each["state"] == "fault")
    assert sick["remedy"] == "Run `bihuan migrate filing`."


def test_a_database_of_an_unreleased_version_is_a_fault(folder):
    import sqlite3

    with sqlite3.connect(folder / "filing.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0003'")
    found = look({"DATA": str(folder)})
    says = "was made by an unreleased version, at revision 0003"
    assert unwell(found) == [("fault", "database of filing", says)]
    (sick,) = (each for each in found if each["state"] == "fault")
    assert sick["remedy"] == "Move it away and start with an empty one."


def test_a_database_that_does_not_answer_is_a_fault_for_each_service(tmp_path):
    url = "postgresql://nobody@127.0.0.1:1/{service}"
    found = unwell(look({"DATA": str(tmp_path), "DATABASE_URL": url}))
    assert [check for _, check, _ in found] == [f"database of {name}" for name in doctor.KINDS]
    assert all("cannot be used" in says for _, _, says in found)


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "state"), [(1024**3, "warning"), (1024**2, "fault")], ids=["little", "too little"]
)
def test_a_disk_that_is_nearly_full_is_noticed(folder, monkeypatch, free, state):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(free))
    assert [each[:2] for each in unwell(look({"DATA": str(folder)}))] == [(state, "disk")]


@pytest.mark.parametrize(
    ("settings", "states"),
    [
        ({"HTTP_ADDRESS": "127.0.0.2"}, []),
        ({"HTTP_ADDRESS": "localhost"}, []),
        ({"HTTP_ADDRESS": "0.0.0.0"}, ["warning", "warning"]),
        ({"HTTP_ADDRESS": "::", "RATE_LIMIT": "50"}, ["warning"]),
        (
            {"HTTP_ADDRESS": "0.0.0.0", "RATE_LIMIT": "50", "TRUSTED_PROXIES": "172.31.250.0/28"},
            [],
        ),
        (
            {"HTTP_ADDRESS": "10.1.1.1", "RATE_LIMIT": "5", "TRUSTED_PROXIES": "10.0.0.0/8"}
            | {"CLOCK": "manual"},
            ["fault"],
        ),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, ["fault"]),
        ({"TRUSTED_PROXIES": "::/0"}, ["fault"]),
        ({"CORS_ORIGINS": "https://a.example.org, http://localhost:3000"}, []),
        ({"CORS_ORIGINS": "http://a.example.org"}, ["warning"]),
    ],
)
def test_settings_that_are_dangerous_together_are_noticed(tmp_path, settings, states):
    found = unwell(look({"DATA": str(tmp_path)} | settings))
    assert [state for state, _, _ in found] == states
    assert {check for _, check, _ in found} <= {"exposure"}


def test_a_rulebook_that_cannot_be_read_is_a_fault(tmp_path):
    found = unwell(look({"DATA": str(tmp_path), "RULEBOOK": "nowhere"}))
    assert found == [("fault", "rulebook", "nowhere contains no TOML files.")]


def test_a_service_that_is_none_is_a_mistake(tmp_path):
    code, _, errors = here(ALONE | {"DATA": str(tmp_path)}, "doctor", "post")
    assert code == 2
    assert errors[0].startswith("bihuan: Unknown service post. Services:")


def test_one_service_alone_is_looked_at(folder):
    found = look({"DATA": str(folder)}, "insurance")
    assert [each["check"] for each in found if "of" in each["check"]] == ["database of insurance"]
    assert "seal key" not in {each["check"] for each in found}
