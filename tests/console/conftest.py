"""Districts that run, on either kind of database, and the command line of their operators."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import psycopg
import pytest

from console.main import main
from tests.broker.conftest import NAMES
from tests.district import TestDistrict
from tests.emptied import tables_anew


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request, tmp_path):
    """A district that runs, and the environment of its operator."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    if url:
        tables_anew(url)
    district = TestDistrict(tmp_path / "d", None, **({"database_url": url} if url else {}))
    district.begin()
    district.environ = {"DATABASE_URL": url, "DATA": str(tmp_path / "d")}
    yield district
    district.stop()


def empty(url):
    """Empty the databases of every service."""
    for name in NAMES:
        address = url.format(service=name).replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


def here(environ, *words, said=""):
    """Run `bihuan` in the test's own process: exit code, lines of output, lines of errors."""
    out, errors = io.StringIO(), io.StringIO()
    argv = ["bihuan", *map(str, words)]
    with (
        mock.patch.dict(os.environ, environ),
        mock.patch.multiple(sys, argv=argv, stdin=io.StringIO(said)),
        redirect_stdout(out),
        redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return ended.value.code, out.getvalue().splitlines(), errors.getvalue().splitlines()
