"""What the document allows is answered as it says, and what it forbids is refused."""

from tests.fuzzing.asking import ask

PHASES = "examples,coverage,fuzzing"


def test_the_api_answers_as_its_document_says(make_district):
    """Every operation, a few times, always alike; `make schemathesis` goes on for longer."""
    district = make_district(wait=1.0)
    district.begin()
    few = ("--max-examples=2", f"--phases={PHASES}", "--generation-deterministic", "--seed=1")
    code, said = ask(district, *few, seconds=900)
    assert code == 0, said


def test_an_answer_that_the_document_does_not_know_is_found(make_district, monkeypatch):
    """The checks are on: here the gateway gives figures that are none."""
    from services.gateway.read_models import queries

    monkeypatch.setattr(queries, "statistics", lambda _counted: {"registered": "many"})
    district = make_district(wait=1.0)
    district.begin()
    only = ("--include-path=/v1/statistics", "--max-examples=1", "--phases=examples,coverage")
    code, said = ask(district, *only, seconds=300)
    assert code == 1
    assert "/v1/statistics" in said
