"""The clock of a replay is set by hand: forward, by whole hours, and before anything else."""

import itertools

import pytest

from tests.api.conftest import Sentences, problem, stored

keys = itertools.count(1)


def set_clock(district, at, key=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Idempotency-Key"] = key or f"clock-{next(keys)}"
    body = at if isinstance(at, dict) else {"at": at}
    return district.client.request("POST", "/v1/clock", body, headers)


def test_nothing_is_taken_in_before_the_clock_is_set(make_district):
    district = make_district()
    district.codes = itertools.count(1)
    asked, key = Sentences(district).enterprise(), {"Idempotency-Key": "early"}
    before = stored(district)
    problem(district.client.request("POST", "/v1/enterprises", asked, key), 409)
    raw = b'{"name": ""}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    problem(district.client.request("POST", "/v1/enterprises/batch", headers=headers, raw=raw), 409)
    assert stored(district) == before
    assert district.client.get("/v1/enterprises")["items"] == []
    assert district.statistics()["as_of"] == {"position": 0, "time": None}
    assert set_clock(district, "2020-02-10T00:00:00+08:00").status == 200
    assert district.client.request("POST", "/v1/enterprises", asked, key).status == 201


def test_a_real_clock_is_not_set(make_district):
    district = make_district(clock="real")
    problem(set_clock(district, "2020-02-10T00:00:00+08:00"), 409)


def test_the_clock_goes_forward_only_and_the_same_hour_again_is_harmless(district):
    first = set_clock(district, "2020-02-10T08:00:00+08:00")
    assert first.json()["swept"]
    before = stored(district)
    for same in ("2020-02-10T08:00:00+08:00", "2020-02-10T00:00:00Z", "2020-02-09T19:00:00-05:00"):
        again = set_clock(district, same)
        assert (again.status, again.data) == (200, first.data)
    said = problem(set_clock(district, "2020-02-10T07:00:00+08:00"), 409)
    assert said["now"] == "2020-02-10T00:00:00Z"
    assert stored(district) == before


@pytest.mark.parametrize(
    "at",
    [
        "2020-02-10T09:30:00+08:00",
        "2020-02-10T09:00:00.000001+08:00",
        "2020-02-10T09:00:00+05:30",
        "2020-02-10T09:00:00",
        "2020-02-10",
        "9 o'clock",
        "",
        None,
        1581296400,
        True,
        "\ud800",
        "0001-01-01T00:00:00+08:00",
        "9999-12-31T23:00:00-08:00",
        "2100-01-01T01:00:00Z",
    ],
)
def test_a_time_that_is_no_hour_is_refused(district, unchanged, at):
    problem(set_clock(district, at), 422, "#/at")


def test_the_clock_takes_a_time_and_nothing_else(district, unchanged):
    problem(set_clock(district, {}), 422, "#/at")
    asked = {"at": "2020-02-10T09:00:00+08:00", "zone": "Asia/Shanghai"}
    problem(set_clock(district, asked), 422, "#/zone")


def test_who_does_not_wait_for_an_hour_may_ask_again(district):
    at = "2020-02-10T09:00:00+08:00"
    first = set_clock(district, at, Prefer="respond-async")
    assert (first.status, first.json()["swept"]) == (202, False)
    again = set_clock(district, at)
    assert (again.status, again.json()["swept"]) == (200, True)
    assert again.json()["hour_id"] == first.json()["hour_id"]


def test_an_hour_is_answered_when_what_it_made_due_is_done(district):
    shop = district.register()
    district.client.post(
        "/v1/filings",
        Sentences(district).filing(shop, reopen_on="2020-02-12"),
    )
    district.settle()
    assert set_clock(district, "2020-02-11T23:00:00+08:00").status == 200
    assert district.state(shop) == "registered"
    assert set_clock(district, "2020-02-12T00:00:00+08:00").json()["swept"]
    assert district.state(shop) == "open"
