"""Who acts on a thing may say by If-Match which state of it they have seen."""

import itertools

import eventlet
import pytest

from contracts.message import Act
from services.gateway.resources import POSTS
from tests import PATIENCE
from tests.api.conftest import problem
from tests.api.test_idempotency import away

keys = itertools.count(1)
RETURN = {"decision": "return", "reasons": ["不全"]}


@pytest.fixture
def filing(district):
    """The path of a filing that waits for its on-site review, and so for a decision."""
    made = district.file(district.register("restaurant"))
    return f"/v1/filings/{made}"


def seen(district, path):
    """Look at a thing: its entity tag, and its version."""
    answer = district.client.request("GET", path)
    return answer.headers["ETag"], answer.json()["version"]


def decide(district, filing, tag, key=None, body=RETURN, **more):
    headers = {"Idempotency-Key": key or f"seen-{next(keys)}"} | more
    headers |= {"If-Match": tag} if tag is not None else {}
    answer = district.client.request("POST", f"{filing}/decision", body, headers)
    district.settle()
    return answer


def test_of_two_officers_who_have_seen_one_state_one_is_told_that_it_has_changed(district, filing):
    tag, version = seen(district, filing)
    assert decide(district, filing, tag, by="officer-1").status == 200
    said = problem(decide(district, filing, tag, by="officer-2"), 412)
    assert said["type"] == "urn:bihuan:problem:precondition-failed"
    now, then = seen(district, filing)
    assert now != tag
    assert then == version + 1


def test_two_officers_at_the_same_moment_are_judged_by_the_service(district, filing):
    """Neither gateway knows of the other's decision yet: the version travels along."""
    tag, version = seen(district, filing)
    with away(district, "filing"):
        both = [
            eventlet.spawn(
                district.client.request,
                "POST",
                f"{filing}/decision",
                RETURN | {"by": officer},
                {"Idempotency-Key": f"seen-{officer}-{next(keys)}", "If-Match": tag},
            )
            for officer in ("officer-1", "officer-2")
        ]
        gateway = district.service("gateway")
        with eventlet.Timeout(PATIENCE):
            while len(gateway.components.intake._waiters) < 2:
                eventlet.sleep(0.01)
    answers = [thread.wait() for thread in both]
    assert sorted(answer.status for answer in answers) == [200, 409]
    lost = next(answer.json() for answer in answers if answer.status == 409)
    assert lost["type"] == "urn:bihuan:problem:changed"
    assert lost["version"] == version + 1


def test_a_repeat_has_its_answer_also_after_it_has_changed_the_thing(district, filing):
    tag, _ = seen(district, filing)
    first = decide(district, filing, tag, "repeat-1")
    again = decide(district, filing, tag, "repeat-1")
    assert (first.status, again.status) == (200, 200)
    assert again.data == first.data


def test_a_repeat_that_prefers_not_to_wait_is_told_where_to_look(district, filing):
    tag, _ = seen(district, filing)
    first = decide(district, filing, tag, "repeat-2")
    again = decide(district, filing, tag, "repeat-2", Prefer="respond-async")
    assert (first.status, again.status, again.data) == (200, 200, first.data)


def test_a_key_stands_for_the_state_that_was_seen_too(district, filing):
    tag, _ = seen(district, filing)
    assert decide(district, filing, tag, "reused").status == 200
    newer, _ = seen(district, filing)
    for other in (newer, '"another"', None):
        said = problem(decide(district, filing, other, "reused"), 422)
        assert said["type"] == "urn:bihuan:problem:key-reused"


def test_what_was_refused_uses_up_no_key(district, filing):
    problem(decide(district, filing, '"old"', "free"), 412)
    tag, _ = seen(district, filing)
    assert decide(district, filing, tag, "free").status == 200


def test_any_state_will_do_where_there_is_one(district, filing, unseen):
    problem(decide(district, unseen, "*"), 404)
    assert decide(district, filing, "*").status == 200


def test_one_of_several_states_will_do(district, filing):
    tag, _ = seen(district, filing)
    assert decide(district, filing, f'"a", W/"b" ,{tag}').status == 200


def test_a_weak_tag_is_never_sure(district, filing):
    tag, _ = seen(district, filing)
    problem(decide(district, filing, f"W/{tag}"), 412)


@pytest.mark.parametrize("tag", ["", "x", '"x', 'x"', '"a" "b"', "*, *", '*, "a"', ",", 'w/"a"'])
def test_what_is_no_list_of_tags_is_refused(district, filing, tag):
    problem(decide(district, filing, tag), 400)
    assert decide(district, filing, None).status == 200


def test_the_body_and_the_tag_must_not_speak_of_two_versions(district, filing):
    tag, version = seen(district, filing)
    said = decide(district, filing, tag, body=RETURN | {"seen_version": version + 1})
    problem(said, 422, "#/seen_version")
    agreed = decide(district, filing, tag, body=RETURN | {"seen_version": version})
    assert agreed.status == 200


def test_a_thing_that_is_not_there_has_no_state(district, unseen):
    problem(decide(district, unseen, '"a"'), 404)


@pytest.fixture
def unseen():
    return "/v1/filings/nobody"


def test_where_there_is_no_one_thing_no_state_of_it_can_be_seen(district, say):
    tag = {"If-Match": "*"}
    problem(district.client.request("POST", "/v1/enterprises", say.enterprise(), tag), 400)
    batch = tag | {"Content-Type": "application/x-ndjson"}
    problem(district.client.request("POST", "/v1/enterprises/batch", raw=b"{}", headers=batch), 400)
    problem(district.client.request("POST", "/v1/clock", {"at": "2030-01-01T00:00:00Z"}, tag), 400)


def test_everything_that_can_be_acted_upon_by_its_path_has_versions():
    assert [post.path for post in POSTS if post.of and not issubclass(post.command, Act)] == []
