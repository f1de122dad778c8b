"""How callers are told apart, and their keys: by issuer and subject, and without ambiguity."""

from hypothesis import assume, given
from hypothesis import strategies as st

from services.gateway.access.callers import Caller, scope_of

ABROAD = "https://id.example"
subjects = st.text(st.sampled_from("ab %~/0"), min_size=1, max_size=6).filter(str.strip)
callers = st.builds(
    lambda subject, issuer: Caller(subject, frozenset(), issuer=issuer),
    subjects,
    st.sampled_from(["", ABROAD, "https://other.example"]),
)
paths = st.sampled_from(["/v1/filings", "/v1/filings/a/withdrawal", "/v1/webhooks"])
keys = st.text(st.sampled_from("ab %~/0"), min_size=1, max_size=6)
requests = st.tuples(callers, paths, keys)


def caller(subject, issuer=""):
    return Caller(subject, frozenset(), issuer=issuer)


@given(requests, requests)
def test_two_requests_that_differ_in_anything_are_never_kept_under_the_same(one, other):
    assume(one != other)
    assert scope_of(*one).text != scope_of(*other).text


@given(requests, requests)
def test_what_an_earlier_version_wrote_is_found_only_under_the_text_that_it_wrote(one, other):
    scope, subject = scope_of(*one), one[0].subject
    written = f"{one[1]} {subject} {one[2]}"
    assert (scope.before or scope.text) == written
    if scope_of(*other).text == written and not other[0].issuer:
        assert other[0].subject == subject or scope.before is not None


def test_an_ordinary_subject_is_kept_as_it_has_always_been():
    for subject in ("chen", "FZ-003-01", "王小明", "a/b", "https://x"):
        assert caller(subject).known_as == subject
        scope = scope_of(caller(subject), "/v1/filings", "k 1")
        assert scope == (f"/v1/filings {subject} k 1", None)


def test_what_the_parts_of_a_request_are_kept_under_says_of_which_kind_they_are():
    scope = scope_of(caller("a b"), "/v1/visits/batch", "k")
    assert scope.of("POST") == ("POST /v1/visits/batch a%20b k", "POST /v1/visits/batch a b k")
    assert scope.of("ROW", "/7").text == "ROW /v1/visits/batch a%20b k/7"


def test_no_subject_is_taken_for_somebody_of_another_issuer():
    abroad = caller("chen", ABROAD)
    assert abroad.known_as != "chen"
    assert len(abroad.known_as) <= 64
    feigned = caller(abroad.known_as)
    assert len({abroad.known_as, feigned.known_as, caller(feigned.known_as).known_as}) == 3


def test_what_is_kept_fits_however_long_subject_and_key_are():
    path = f"/v1/enterprises/{'e' * 64}/roster/lines"
    texts = {scope_of(caller(" " * n + "%" * (64 - n)), path, "k" * 200).text for n in range(63)}
    assert len(texts) == 63
    assert max(map(len, texts)) + len("ROW /5000") <= 400
