"""A file begins well or not at all, and no cell of it begins a formula behind blanks."""

import pytest
from sqlalchemy.exc import OperationalError

from services.gateway.exports import formats
from services.gateway.read_models.queries import Reads
from tests.api.conftest import problem


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_a_file_that_cannot_begin_is_a_problem(district, name, monkeypatch):
    def fail(*_):
        raise OperationalError("SELECT 1", {}, Exception("secret address"))
        yield

    monkeypatch.setattr(Reads, "pages", fail)
    answer = district.client.request("GET", f"/v1/enterprises?format={name}")
    problem(answer, 503)
    assert b"secret" not in answer.data


@pytest.mark.parametrize("blank", [" ", "\u3000", "\xa0", "\ufeff", "\0", " \t"])
def test_a_formula_behind_blanks_is_escaped_too(blank):
    assert formats._value(f"{blank}=1+1") == f"'{blank}=1+1"
    assert formats._value(f"{blank}清源小館") == f"{blank}清源小館"
