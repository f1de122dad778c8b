"""insurance: given facts, then facts."""

from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

from contracts.filing.events import EnterpriseCorrected, EnterpriseRegistered
from contracts.filing.types import Size
from contracts.insurance.commands import (
    CorrectMedic,
    CoverHolder,
    ExpirePolicy,
    ReidentifyMedic,
    WithdrawMedic,
)
from contracts.insurance.events import (
    ClaimApproved,
    ClaimChecked,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    CoverMissing,
    CoverNotDue,
    MedicReidentified,
    PolicyEnded,
    PolicyIssued,
)
from contracts.insurance.types import Benefit, GapReason, HolderKind
from contracts.shared import CommandSettled, HourSwept, SweepHour
from services.insurance.model import Claim, Medic, Policy, PolicyState
from services.insurance.service import Insurance
from tests.insured import TWO_BENEFITS, approve, check, district, file_claim, pay, reject
from tests.service.sayings import (
    TODAY,
    after,
    enrol,
    faults,
    hour,
    only,
    refusal,
    refused,
    register,
    registered,
)
from tests.service.sayings import types as all_types

BEGINS = date(2020, 3, 1)
AFTER_A_YEAR = date(2021, 2, 10)
WITHDRAW = WithdrawMedic(medic_id="medic", reason="調離一線")


def types(said):
    """Name what was said, without the word from one sweep of an hour to the next."""
    return all_types(fact for fact in said if not isinstance(fact, SweepHour))


@pytest.fixture
def insurer(given):
    return given(Insurance)


@pytest.fixture
def ruled(insurer, tmp_path):
    """Gives the insurer of another district, from its own rulebook."""

    def by(**files):
        insurer.service.rulebook = district(tmp_path, **files)
        return insurer

    return by


@pytest.fixture
def late(ruled):
    """The insurer of a district whose schemes begin on 1 March."""
    return ruled(schemes=("from = 2020-02-10", f"from = {BEGINS}"))


def policy_of(insurer, medic="medic", person="person"):
    return only(PolicyIssued, insurer.when(enrol(medic, person))).policy_id


@pytest.fixture
def claim(insurer):
    """Makes claims under the policy of the only medic."""
    policy = policy_of(insurer)

    def make(claim="claim", **more):
        return file_claim(claim, **({"policy": policy} | more))

    return make


# who is covered


@pytest.mark.parametrize("size", [Size.SMALL, Size.MICRO])
def test_a_small_firm_gets_its_free_cover_for_a_year(insurer, size):
    policy = only(PolicyIssued, insurer.when(registered(size=size)))
    assert (policy.holder_kind, policy.holder_id) == (HolderKind.ENTERPRISE, "shop")
    assert (policy.covers_from, policy.covers_until) == (TODAY, date(2021, 2, 9))
    assert (policy.sum_insured, policy.benefits) == (None, [])


@pytest.mark.parametrize("size", [Size.MEDIUM, Size.LARGE])
def test_a_larger_firm_gets_none_and_lacks_none(insurer, size):
    assert insurer.when(registered(size=size)) == []
    assert types(insurer.when(hour(TODAY))) == []


def test_a_medic_is_covered_for_300_000_yuan(insurer):
    said = insurer.when(enrol())
    assert types(said) == ["medic-enrolled", "policy-issued"]
    policy = only(PolicyIssued, said)
    assert (policy.holder_kind, policy.sum_insured) == (HolderKind.MEDIC, 300_000)
    assert policy.benefits == [Benefit(casualty="death", amount=300_000)]
    assert policy.edition == insurer.service.rulebook.on(TODAY).version


def test_a_person_is_enrolled_once(insurer):
    said = insurer.facts(enrol()).when(enrol("again"))
    assert refused(said) == (409, "already-enrolled")
    assert refusal(said)["medic_id"] == "medic"
    assert refusal(said)["last_change"]["what"] == "medic-enrolled"


def test_a_person_twice_in_one_batch_is_enrolled_once(insurer):
    said = insurer.when(enrol(), enrol("again"))
    assert types(said) == ["medic-enrolled", "policy-issued"]
    assert [s.outcome for s in said if isinstance(s, CommandSettled)] == ["done", "rejected"]


def test_a_firm_registered_before_the_scheme_began_lacks_cover_until_it_begins(late):
    missing = only(CoverMissing, late.when(registered()))
    assert (missing.holder_id, missing.holder_kind) == ("shop", HolderKind.ENTERPRISE)
    assert (missing.reason, missing.scheme) == (GapReason.NOT_BEGUN, "enterprise-epidemic")
    assert (missing.since, missing.begins_on) == (TODAY, BEGINS)
    assert types(late.on(after(1)).when(hour(after(1)))) == []
    said = late.on(BEGINS).when(hour(BEGINS))
    assert types(said) == ["cover-holder", "policy-issued"]
    policy = only(PolicyIssued, said)
    assert (policy.covers_from, policy.covers_until) == (BEGINS, date(2021, 2, 28))
    assert types(late.when(hour(BEGINS, 1))) == []


def test_when_a_scheme_begins_those_longest_known_are_covered_first_and_all_of_them(late):
    late.facts(*(registered(f"early-{n:03}") for n in range(120)))
    late.facts(registered("large", size=Size.LARGE))
    late.on(after(1)).facts(
        EnterpriseRegistered.echo(register("a-late-one"), registered_on=after(1))
    )
    said = late.on(BEGINS).when(hour(BEGINS))
    covered = [fact.holder_id for fact in said if isinstance(fact, PolicyIssued)]
    asked = [fact.holder_id for fact in said if isinstance(fact, CoverHolder)]
    assert len(covered) == len(set(covered)) == 121
    assert asked[:120] == [f"early-{n:03}" for n in range(120)]
    assert asked[120:] == ["a-late-one"]
    assert [fact.last for fact in said if isinstance(fact, HourSwept)][-1]


def corrected(size):
    asked = register(size=size)
    return EnterpriseCorrected.echo(
        asked, changed=["size"], reason="更正", corrected_on=TODAY, size=size
    )


def test_a_size_that_is_corrected_gives_the_cover_at_once_and_none_takes_it_away(insurer):
    insurer.facts(registered(size=Size.LARGE))
    assert only(PolicyIssued, insurer.when(corrected(Size.SMALL))).holder_id == "shop"
    assert insurer.when(corrected(Size.MICRO)) == []
    assert insurer.when(corrected(Size.LARGE)) == []


def test_a_firm_that_grows_before_the_scheme_begins_needs_no_cover(late):
    said = late.facts(registered()).when(corrected(Size.LARGE))
    assert said == [CoverNotDue(holder_id="shop", on=TODAY, version=2)]


# medics


def test_a_withdrawn_medic_is_covered_no_longer_and_the_hour_changes_nothing(insurer):
    insurer.facts(enrol())
    said = insurer.on(after(5)).when(WITHDRAW)
    assert types(said) == ["medic-withdrawn", "policy-ended"]
    ended = only(PolicyEnded, said)
    assert (ended.covers_until, ended.reason) == (after(5), "調離一線")
    assert types(insurer.on(AFTER_A_YEAR).when(hour(AFTER_A_YEAR))) == []
    assert refused(insurer.when(WITHDRAW)) == (409, "already-withdrawn")


def test_who_was_withdrawn_may_be_enrolled_again(insurer):
    insurer.facts(enrol()).facts(WITHDRAW)
    said = insurer.when(enrol("again"))
    assert types(said) == ["medic-enrolled", "policy-issued"]
    assert refused(insurer.when(enrol("third"))) == (409, "already-enrolled")


def test_a_medic_withdrawn_before_the_scheme_begins_lacks_no_cover(late, tmp_path):
    text = (tmp_path / "district" / "schemes.toml").read_text()
    late.service.rulebook = district(
        tmp_path / "later", schemes=text.replace("from = 2020-02-10", f"from = {BEGINS}")
    )
    assert types(late.when(enrol())) == ["medic-enrolled", "cover-missing"]
    assert types(late.when(WITHDRAW)) == ["medic-withdrawn", "cover-not-due"]
    assert types(late.on(BEGINS).when(hour(BEGINS))) == []


def test_an_institution_is_put_right_and_its_cover_given(ruled):
    insurer = ruled(schemes=('holder = "medic"', 'holder = "medic"\ninstitutions = ["第一醫院"]'))
    assert types(insurer.when(enrol())) == ["medic-enrolled"]
    correct = CorrectMedic(medic_id="medic", institution="第一醫院")
    assert types(insurer.when(correct)) == ["medic-corrected", "policy-issued"]
    assert faults(insurer.when(correct)) == ["institution"]
    away = CorrectMedic(medic_id="medic", institution="診所")
    assert types(insurer.when(away)) == ["medic-corrected"]


def test_an_unknown_medic_is_not_found(insurer):
    assert refused(insurer.when(WITHDRAW)) == (404, "not-found")
    assert refused(insurer.when(CorrectMedic(medic_id="x", institution="甲"))) == (404, "not-found")


def test_who_saw_another_version_of_a_medic_is_refused(insurer):
    insurer.facts(enrol())
    said = insurer.when(WithdrawMedic(medic_id="medic", reason="錯", seen_version=7))
    assert refused(said) == (409, "changed")


# time


def test_cover_expires_by_the_clock_once_and_is_then_lacked(insurer):
    insurer.facts(registered())
    last = date(2021, 2, 9)
    assert types(insurer.on(last).when(hour(last, 23))) == []
    said = insurer.on(AFTER_A_YEAR).when(hour(AFTER_A_YEAR))
    assert types(said) == ["expire-policy", "policy-expired", "cover-missing"]
    missing = only(CoverMissing, said)
    assert (missing.reason, missing.begins_on) == (GapReason.EXPIRED, None)
    assert types(insurer.when(hour(AFTER_A_YEAR, 1))) == []


def test_the_cover_that_ended_first_expires_first_and_none_is_left(insurer):
    insurer.on(after(1)).facts(*(registered(f"b-{n:03}") for n in range(130)))
    insurer.on(TODAY).facts(*(registered(f"a-{n:03}") for n in range(20)))
    day = date(2021, 3, 1)
    said = insurer.on(day).when(hour(day))
    asked = [fact.covers_until for fact in said if isinstance(fact, ExpirePolicy)]
    assert asked == sorted(asked)
    assert len(asked) == types(said).count("policy-expired") == 150


def test_an_ended_scheme_is_followed_by_the_next(ruled):
    following = """
[[scheme]]
code = "enterprise-next"
zh = "新險"
en = "The next cover"
holder = "enterprise"
sizes = ["small", "micro"]
years = 1
report_days = 10
source = "article"
from = 2020-06-01
"""
    confirmed = 'years_source = "district practice, to be confirmed"\nreport_days = 730\n'
    first = f'{confirmed}source = "article"\nfrom = 2020-02-10\n'
    insurer = ruled(schemes=(first, f"{first}until = 2020-05-31\n{following}\n"))
    insurer.facts(registered())
    june = date(2020, 6, 1)
    assert types(insurer.on(june).when(hour(june))) == []
    said = insurer.on(AFTER_A_YEAR).when(hour(AFTER_A_YEAR))
    assert types(said) == ["expire-policy", "policy-expired", "policy-issued"]
    assert only(PolicyIssued, said).scheme == "enterprise-next"


def test_expiry_of_what_is_not_there_is_not_found(insurer):
    asked = ExpirePolicy(holder_id="x", policy_id="x", covers_until=TODAY)
    assert refused(insurer.when(asked)) == (404, "not-found")
    assert refused(insurer.when(CoverHolder(holder_id="x", scheme="s"))) == (404, "not-found")


# claims


def test_a_claim_is_for_the_sum_of_the_policy(insurer, claim):
    assert only(ClaimFiled, insurer.when(claim())).amount == 300_000


def test_a_scheme_that_changes_later_changes_no_old_policy(insurer, tmp_path):
    later = (
        TWO_BENEFITS.replace("medic-accident", "medic-covid-19")
        .replace("on-death", "medic-covid-19-death")
        .replace("from = 2020-02-10", f"from = {BEGINS}")
    )
    fengze = district(tmp_path / "a").on(TODAY)
    book = district(
        tmp_path / "b", schemes=(tmp_path / "a/district/schemes.toml").read_text() + later
    )
    insurer.service.rulebook = book
    old = only(PolicyIssued, insurer.when(enrol()))
    assert old.sum_insured == 300_000
    insurer.on(BEGINS)
    new = only(PolicyIssued, insurer.when(enrol("other", "other")))
    assert (new.sum_insured, old.edition == new.edition) == (500_000, False)
    infection = file_claim(policy=old.policy_id, casualty="infection", on=BEGINS)
    assert faults(insurer.when(infection)) == ["casualty"]
    death = file_claim(policy=old.policy_id, on=BEGINS)
    assert only(ClaimFiled, insurer.when(death)).amount == 300_000
    assert fengze.schemes["medic-covid-19"].sum_insured == 300_000


def test_another_districts_scheme_pays_on_infection_and_the_rest_on_death(ruled):
    insurer = ruled(schemes=TWO_BENEFITS)
    policy = policy_of(insurer)
    amounts = []
    for name, casualty in (("one", "infection"), ("two", "death")):
        asked = file_claim(name, policy=policy, casualty=casualty)
        amounts.append(only(ClaimFiled, insurer.when(asked)).amount)
        insurer.facts(check(name)).facts(approve(name)).facts(pay(name, f"P-{name}"))
    assert amounts == [200_000, 300_000]
    assert refused(insurer.when(file_claim("three", policy=policy))) == (409, "claim-stands")


def test_the_same_claim_twice_is_refused_and_told_who_filed_the_first_and_when(insurer, claim):
    said = insurer.facts(claim()).when(claim("second", casualty="death"))
    assert refused(said) == (409, "claim-stands")
    told = refusal(said)
    assert (told["claim_id"], told["version"]) == ("claim", 1)
    assert told["last_change"]["what"] == "claim-filed"
    assert {"by", "at"} < told["last_change"].keys()


def test_of_two_claims_at_once_one_stands(insurer, claim):
    said = insurer.when(claim("one"), claim("two"))
    assert types(said) == ["claim-filed"]
    assert [s.outcome for s in said if isinstance(s, CommandSettled)] == ["done", "rejected"]


def blind_once(monkeypatch, kind, name, without):
    """Let the first two calls see nothing of each other, as in two processes at one moment."""
    seeing, calls = getattr(kind, name), []

    def call(self, *arguments):
        calls.append(self)
        return seeing(self, *(without(arguments) if len(calls) <= 2 else arguments))

    monkeypatch.setattr(kind, name, call)
    return calls


def test_the_same_claim_twice_at_one_moment_is_stopped_by_the_database(insurer, claim, monkeypatch):
    """The fault of a check that looks and then saves: both have looked before either has saved."""
    calls = blind_once(monkeypatch, Policy, "claim", lambda args: (*args[:3], []))
    said = insurer.when(claim("one"), claim("two"))
    assert len(calls) == 4  # both undone together, and then taken one by one
    settled = [fact for fact in said if isinstance(fact, CommandSettled)]
    assert types(said) == ["claim-filed"]
    assert [s.outcome for s in settled] == ["done", "rejected"]
    assert settled[1].problem["claim_id"] == "one"


def test_two_payments_of_two_people_under_one_reference_at_one_moment_pay_one(insurer, monkeypatch):
    for medic in ("one", "two"):
        policy = policy_of(insurer, medic, medic)
        insurer.facts(file_claim(medic, medic, policy)).facts(check(medic, medic=medic))
        insurer.facts(approve(medic, medic=medic))
    blind_once(monkeypatch, Claim, "pay", lambda args: (*args[:2], None))
    said = insurer.when(*(pay(medic, "P-1", medic) for medic in ("one", "two")))
    assert types(said) == ["claim-paid"]
    (lost,) = [s for s in said if isinstance(s, CommandSettled) and s.problem]
    assert lost.problem["type"].endswith(":reference-used")
    assert (lost.problem["claim_id"], lost.problem["last_change"]["what"]) == ("one", "claim-paid")


@pytest.mark.parametrize(("state", "other"), [("filed", "infection"), ("paid", "death")])
def test_no_two_rows_can_hold_what_may_stand_once(insurer, state, other):
    with insurer.store.write() as uow:
        for name, casualty in (("one", "death"), ("two", other)):
            uow.add(
                Claim(
                    id=name,
                    policy_id="p",
                    medic_id=name,
                    person="person",
                    scheme="s",
                    casualty=casualty,
                    amount=1,
                    state=state,
                    checkers=[],
                )
            )
        with pytest.raises(IntegrityError):
            uow.flush()
        uow.rollback()


def test_the_person_is_the_same_under_another_id(insurer, claim):
    insurer.facts(claim()).facts(WITHDRAW)
    other = policy_of(insurer, "again")
    said = insurer.when(file_claim("second", "again", other))
    assert refused(said) == (409, "claim-stands")
    insurer.facts(check()).facts(approve()).facts(pay())
    assert refused(insurer.when(file_claim("third", "again", other))) == (409, "claim-stands")


def test_a_persons_rows_are_unique_while_on_record(insurer):
    with insurer.store.write() as uow:
        for name in ("one", "two"):
            uow.add(Medic(id=name, holder_ref="p", name="n", identity="i", institution="院"))
        with pytest.raises(IntegrityError):
            uow.flush()
        uow.rollback()


def test_after_a_rejected_claim_there_may_be_another(insurer, claim):
    insurer.facts(claim()).facts(check()).facts(reject())
    assert types(insurer.when(claim("second"))) == ["claim-filed"]


def test_a_claim_lies_within_the_term_and_not_in_the_future(insurer, claim):
    assert faults(insurer.when(claim(on=after(-1)))) == ["occurred_on"]
    assert faults(insurer.when(claim(on=after(1)))) == ["occurred_on"]


def test_after_the_cover_has_expired_a_day_within_it_is_claimed_for(insurer, claim):
    insurer.on(AFTER_A_YEAR).facts(hour(AFTER_A_YEAR))
    assert faults(insurer.when(claim(on=AFTER_A_YEAR))) == ["occurred_on"]
    assert types(insurer.when(claim(on=after(3)))) == ["claim-filed"]


def test_after_a_withdrawal_a_day_before_it_is_claimed_for(insurer, claim):
    insurer.on(after(5)).facts(WITHDRAW)
    insurer.on(after(9))
    assert faults(insurer.when(claim(on=after(6)))) == ["occurred_on"]
    assert types(insurer.when(claim(on=after(5)))) == ["claim-filed"]


def test_a_claim_is_under_the_medics_own_policy(insurer, claim):
    assert faults(insurer.when(claim(medic="other"))) == ["policy_id"]
    assert refused(insurer.when(claim(policy="none"))) == (404, "not-found")


def test_an_enterprises_cover_is_not_claimed_under(insurer):
    policy = only(PolicyIssued, insurer.when(registered("shop"))).policy_id
    assert faults(insurer.when(file_claim(medic="shop", policy=policy))) == ["policy_id"]


def test_an_approved_claim_is_paid_once(insurer, claim):
    insurer.facts(claim())
    assert refused(insurer.when(pay())) == (409, "not-approved")
    assert only(ClaimChecked, insurer.when(check())).missing == []
    assert only(ClaimApproved, insurer.when(approve())).amount == 300_000
    assert only(ClaimPaid, insurer.when(pay())).amount == 300_000
    twice = insurer.when(pay(reference="P-2"))
    assert refused(twice) == (409, "already-paid")
    assert refusal(twice)["last_change"]["what"] == "claim-paid"


def test_of_two_decisions_and_two_payments_at_once_one_is_done(insurer, claim):
    insurer.facts(claim()).facts(check())
    for both in ((approve(by="a"), reject(by="b")), (pay(), pay(reference="P-2"))):
        said = insurer.when(*both)
        outcomes = [s for s in said if isinstance(s, CommandSettled)]
        assert [s.outcome for s in outcomes] == ["done", "rejected"]
        assert outcomes[1].problem["status"] == 409
        assert outcomes[1].problem["last_change"]["what"] == types(said)[0]


def test_two_who_decide_from_the_state_they_saw_do_not_both_succeed(insurer, claim):
    insurer.facts(claim()).facts(check())
    insurer.facts(approve(by="a", seen_version=2))
    said = insurer.when(pay(seen_version=2))
    assert refused(said) == (409, "changed")
    assert refusal(said)["last_change"]["by"] == "a"
    assert (refusal(said)["version"], types(insurer.when(pay(seen_version=3)))) == (
        3,
        ["claim-paid"],
    )


def test_whoever_checked_a_claim_does_not_decide_it_unless_the_rules_waive_it(
    insurer, claim, ruled
):
    insurer.facts(claim()).facts(check(by="a"))
    said = insurer.when(approve(by="a"))
    assert refused(said) == (409, "same-person")
    ruled(claims=("four_eyes = true", "four_eyes = false"))
    assert types(insurer.when(approve(by="a"))) == ["claim-approved"]


def test_missing_documents_and_reasons_are_of_the_rulebook_and_each_is_named(insurer, claim):
    insurer.facts(claim())
    said = insurer.when(check(missing=["diagnosis", "x", "y"]))
    assert faults(said) == ["missing/1", "missing/2"]
    (missing,) = only(ClaimChecked, insurer.when(check(missing=["diagnosis"]))).missing
    assert (missing.code, missing.words.zh) == ("diagnosis", "確診證明")
    assert refused(insurer.when(approve())) == (409, "not-checked")
    assert faults(insurer.when(reject(reasons=["x"]))) == ["reasons/0"]
    assert faults(insurer.when(reject(reasons=[]))) == ["reasons"]
    fact = only(ClaimRejected, insurer.when(reject(reasons=["documents_missing"])))
    assert [point.words.zh for point in fact.reasons] == ["材料不全"]
    assert refused(insurer.when(approve())) == (409, "already-decided")


def test_an_unknown_claim_is_not_found(insurer):
    for asked in (check(), approve(), pay()):
        assert refused(insurer.when(asked)) == (404, "not-found")


# one person under two references


def reidentify(medic="medic", person="person"):
    return ReidentifyMedic(medic_id=medic, holder_ref=person, by="operator")


def held(insurer, kind, identity):
    with insurer.store.read() as session:
        return session.get(kind, identity)


def test_who_is_on_record_by_an_earlier_reference_is_not_enrolled_again(insurer):
    insurer.when(enrol("medic", "spelled"))
    said = insurer.when(enrol("other", "person", earlier_refs=["fifteen", "spelled"]))
    assert refusal(said)["type"].endswith(":already-enrolled")
    assert refusal(said)["medic_id"] == "medic"
    assert types(insurer.when(enrol("third", "else", earlier_refs=["x"])))[0] == "medic-enrolled"


def test_a_medic_becomes_the_person_with_another_reference_and_keeps_the_claims(insurer):
    policy = policy_of(insurer, person="spelled")
    insurer.when(file_claim(policy=policy))
    said = insurer.when(reidentify())
    fact = only(MedicReidentified, said)
    assert (fact.holder_ref, fact.earlier_ref, fact.version) == ("person", "spelled", 2)
    assert held(insurer, Medic, "medic").holder_ref == "person"
    assert held(insurer, Claim, "claim").person == "person"
    assert types(insurer.when(reidentify())) == [], "once"
    assert refused(insurer.when(enrol("other", "person"))) == (409, "already-enrolled")
    assert types(insurer.when(enrol("third", "spelled")))[0] == "medic-enrolled"


def test_two_medics_on_record_are_never_joined(insurer):
    insurer.when(enrol("medic", "spelled"), enrol("other", "person"))
    said = insurer.when(reidentify())
    assert refusal(said)["medic_id"] == "other"
    assert held(insurer, Medic, "medic").holder_ref == "spelled"
    insurer.when(WITHDRAW)
    only(MedicReidentified, insurer.when(reidentify()))


def test_medics_with_claims_that_no_person_has_beside_each_other_are_never_joined(insurer):
    mine, others = policy_of(insurer, person="spelled"), policy_of(insurer, "other")
    insurer.when(file_claim(policy=mine), file_claim("theirs", "other", others), WITHDRAW)
    said = insurer.when(reidentify())
    assert refused(said) == (409, "claim-stands")
    assert refusal(said)["claim_id"] == "theirs"
    assert held(insurer, Claim, "claim").person == "spelled"


def test_with_a_withdrawn_medic_ends_no_other_cover(insurer):
    mine, others = policy_of(insurer, person="spelled"), policy_of(insurer, "other")
    insurer.when(WITHDRAW)
    states = [held(insurer, Policy, policy).state for policy in (mine, others)]
    assert states == [PolicyState.ENDED, PolicyState.ACTIVE]
