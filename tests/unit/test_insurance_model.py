"""The aggregates of insurance by themselves: they guard, then state the fact."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.insurance.commands import CorrectMedic, EnrolMedic, ReidentifyMedic, WithdrawMedic
from contracts.insurance.events import (
    ClaimApproved,
    ClaimChecked,
    ClaimFiled,
    ClaimPaid,
    ClaimRejected,
    CoverMissing,
    CoverNotDue,
    MedicCorrected,
    MedicEnrolled,
    MedicReidentified,
    MedicWithdrawn,
    PolicyEnded,
    PolicyExpired,
    PolicyIssued,
)
from contracts.insurance.types import Benefit, GapReason, HolderKind
from contracts.shapes import Point, Sealed, Words
from rulebook import Rulebook
from services.insurance import model as insurance
from tests.insured import approve, check, enrolled, file_claim, pay, reject, small
from tests.unit.sayings import TODAY, day, said

BOOK = Rulebook.load()
SCHEME = BOOK.schemes["medic-covid-19"]
POINT = Point(code="x", words=Words(zh="好", en="Good"))


def policy(on=TODAY, **terms):
    holder = insurance.Holder.medic(enrolled())
    return insurance.Policy.issue(replace(SCHEME, **terms), "edition", holder, on)


def with_benefits(sum_insured, **amounts):
    (one,) = SCHEME.benefits.values()
    benefits = {name: replace(one, amount=amount) for name, amount in amounts.items()}
    return policy(sum_insured=sum_insured, benefits=benefits)


def claim(under=None, before=(), **more):
    return (under or policy()).claim(file_claim(**more), TODAY, "person", before)


def approved(**more):
    made = claim(**more)
    made.check(check(), [])
    made.decide(approve(), [], four_eyes=True)
    return made


def paid(reference="P-1", **more):
    made = approved(**more)
    made.pay(pay(reference=reference), TODAY)
    return made


def last(aggregate):
    return aggregate.take_pending()[-1]


def at(raised):
    return [error["pointer"].removeprefix("#/") for error in raised.value.errors]


def refuses(kind, act, *arguments, **more):
    """Return what a conflict tells beside who changed the thing last."""
    with pytest.raises(kind) as raised:
        act(*arguments, **more)
    extra = dict(raised.value.extra)
    assert extra.pop("version") >= 1
    assert "last_change" in extra
    del extra["last_change"]
    return str(raised.value), extra


def not_acceptable(act, *arguments, **more):
    with pytest.raises(insurance.NotAcceptable) as raised:
        act(*arguments, **more)
    return [(e["pointer"].removeprefix("#/"), e["detail"]) for e in raised.value.errors]


# medics


def medic():
    return insurance.Medic.enrol(
        EnrolMedic(
            medic_id="medic",
            name=Sealed("k.n"),
            identity=Sealed("k.i"),
            holder_ref="person",
            institution="甲",
        ),
        TODAY,
    )


CORRECT = CorrectMedic(medic_id="medic", institution="乙")
WITHDRAW = WithdrawMedic(medic_id="medic", reason="調離")


def test_an_enrolled_medic_is_on_record_sealed():
    made = medic()
    assert (made.id, made.holder_ref, made.name) == ("medic", "person", "k.n")
    assert (made.identity, made.institution) == ("k.i", "甲")
    assert last(made) == MedicEnrolled(
        medic_id="medic",
        name=Sealed("k.n"),
        identity=Sealed("k.i"),
        holder_ref="person",
        institution="甲",
        enrolled_on=TODAY,
        version=1,
    )


def test_a_correction_changes_the_institution():
    made = medic()
    assert made.correct(CORRECT) == MedicCorrected(medic_id="medic", institution="乙", version=2)
    assert made.institution == "乙"
    assert not_acceptable(made.correct, CORRECT) == [("institution", "is unchanged")]


def test_a_medic_is_withdrawn_once_and_not_corrected_afterwards():
    made = medic()
    assert made.withdraw(WITHDRAW, day(3)) == MedicWithdrawn(
        medic_id="medic", withdrawn_on=day(3), reason="調離", version=2
    )
    for act in (lambda: made.withdraw(WITHDRAW, day(4)), lambda: made.correct(CORRECT)):
        _, extra = refuses(insurance.AlreadyWithdrawn, act)
        assert extra == {"withdrawn_on": "2020-02-13"}
    assert (made.withdrawn_on, made.institution) == (day(3), "甲")


# holders


def test_an_enterprise_is_covered_by_its_size_and_a_medic_by_the_institution():
    shop, person = insurance.Holder.enterprise(small()), insurance.Holder.medic(enrolled())
    assert (shop.id, shop.kind, shop.size) == ("shop", HolderKind.ENTERPRISE, "micro")
    assert (shop.since, shop.withdrawn, shop.institution) == (TODAY, False, None)
    assert (person.id, person.kind, person.institution) == ("medic", HolderKind.MEDIC, "豐澤區醫院")
    assert (person.since, person.withdrawn, person.size) == (TODAY, False, None)
    assert shop.due(BOOK).code == "enterprise-epidemic"
    assert person.due(BOOK).code == "medic-covid-19"
    shop.size = "large"
    assert shop.due(BOOK) is None
    person.withdrawn = True
    assert person.due(BOOK) is None


def test_a_medic_is_covered_by_the_cover_of_the_own_institution():
    own = replace(SCHEME, institutions=frozenset({"甲"}))
    book = replace(BOOK, schemes={"own": own})
    assert insurance.Holder.medic(enrolled(institution="甲")).due(book) is own
    assert insurance.Holder.medic(enrolled(institution="乙")).due(book) is None


def test_what_a_holder_lacks_is_said_once_for_a_reason():
    made = insurance.Holder.enterprise(small())
    made.need_none(TODAY)
    assert made.take_pending() == []
    for _ in range(2):
        made.lack("scheme", GapReason.NOT_BEGUN, TODAY, day(5))
    assert made.take_pending() == [
        CoverMissing(
            holder_id="shop",
            holder_kind=HolderKind.ENTERPRISE,
            scheme="scheme",
            reason=GapReason.NOT_BEGUN,
            since=TODAY,
            begins_on=day(5),
            version=1,
        )
    ]
    made.lack("scheme", GapReason.EXPIRED, day(6))
    expired = last(made)
    assert (expired.reason, expired.begins_on, expired.since) == (GapReason.EXPIRED, None, day(6))
    for _ in range(2):
        made.need_none(day(7))
    assert made.take_pending() == [CoverNotDue(holder_id="shop", on=day(7), version=3)]


def test_cover_closes_the_gap_and_lapses():
    made = insurance.Holder.enterprise(small())
    assert not made.is_covered()
    made.lack("scheme", GapReason.NOT_BEGUN, TODAY)
    made.cover("scheme", day(9))
    assert (made.scheme, made.covered_until, made.gap) == ("scheme", day(9), None)
    assert made.is_covered()
    made.lapse()
    assert (made.scheme, made.is_covered()) == ("scheme", False)


# policies


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 5))
@example(date(2020, 2, 29), 1)
@example(date(2020, 2, 29), 4)
@example(date(2021, 2, 28), 3)
@example(date(2020, 3, 29), 1)
def test_cover_ends_the_day_before_its_anniversary(start, years):
    (fact,) = policy(start, years=years).take_pending()
    try:
        anniversary = start.replace(year=start.year + years)
    except ValueError:  # 29 February, in a year that has none
        anniversary = date(start.year + years, 3, 1)
    if (start.month, start.day) == (2, 29):
        anniversary = date(start.year + years, 3, 1) if years % 4 else anniversary
        assert fact.covers_until == date(start.year + years, 2, 28)
    else:
        assert fact.covers_until + timedelta(days=1) == anniversary


def test_a_policy_keeps_the_terms_under_which_it_was_given():
    holder = insurance.Holder.medic(enrolled())
    made = insurance.Policy.issue(SCHEME, "edition", holder, TODAY)
    assert last(made) == PolicyIssued(
        policy_id=insurance.Policy.id_of("medic-covid-19", "medic"),
        holder_id="medic",
        holder_kind=HolderKind.MEDIC,
        scheme="medic-covid-19",
        edition="edition",
        covers_from=TODAY,
        covers_until=date(2021, 2, 9),
        sum_insured=300_000,
        benefits=[Benefit(casualty="death", amount=300_000)],
        report_days=730,
        version=1,
    )
    assert (made.scheme, made.holder_id, made.edition) == ("medic-covid-19", "medic", "edition")
    assert (made.covers_from, made.covers_until) == (TODAY, date(2021, 2, 9))
    assert (made.sum_insured, made.benefits) == (300_000, {"death": 300_000})
    assert (made.report_days, made.state) == (730, "active")
    assert (holder.scheme, holder.covered_until) == ("medic-covid-19", date(2021, 2, 9))


def test_a_policy_has_an_identity_of_its_own_for_each_scheme_and_holder():
    ids = {insurance.Policy.id_of(scheme, holder) for scheme in "ab" for holder in "cd"}
    assert len(ids) == 4
    lasting = insurance.Policy.id_of("medic-covid-19", "medic")
    assert (
        lasting == "8ef3f7dd-6212-5520-a5f6-b967ca5e3215"
    )  # a later version must find the policies of an earlier one


def test_cover_expires_when_its_last_day_is_over_and_once():
    made = policy()
    made.take_pending()
    assert not made.expire(made.covers_until)
    assert made.state == "active"
    assert made.expire(made.covers_until + timedelta(days=1))
    assert made.state == "expired"
    assert not made.expire(made.covers_until + timedelta(days=2))
    assert made.take_pending() == [
        PolicyExpired(
            policy_id=made.id, holder_id="medic", covers_until=date(2021, 2, 9), version=2
        )
    ]
    made.end(day(1), "reason")
    assert (made.state, made.take_pending()) == ("expired", [])


def test_cover_that_is_ended_ends_on_that_day():
    made = policy()
    made.take_pending()
    made.end(day(4), "調離")
    assert (made.state, made.covers_until) == ("ended", day(4))
    made.end(day(2), "again")
    assert made.take_pending() == [
        PolicyEnded(
            policy_id=made.id, holder_id="medic", covers_until=day(4), reason="調離", version=2
        )
    ]
    late = policy()
    late.end(day(500), "late")
    assert late.covers_until == date(2021, 2, 9)


# claims under a policy


def test_a_claim_is_for_the_benefit():
    made = claim()
    assert last(made) == ClaimFiled(
        claim_id="claim",
        medic_id="medic",
        policy_id="policy",
        scheme="medic-covid-19",
        casualty="death",
        occurred_on=TODAY,
        filed_on=TODAY,
        amount=300_000,
        version=1,
    )
    assert (made.id, made.policy_id, made.medic_id) == ("claim", "policy", "medic")
    assert (made.person, made.scheme, made.casualty) == ("person", "medic-covid-19", "death")
    assert (made.amount, made.state, made.checkers) == (300_000, "filed", [])
    assert made.is_under_way
    assert not made.is_paid


@pytest.mark.parametrize("on", [TODAY, day(5), date(2021, 2, 9)])
def test_a_casualty_within_the_term_is_claimed_for(on):
    assert policy().claim(file_claim(on=on), date(2021, 2, 9), "person").amount == 300_000


@pytest.mark.parametrize(
    ("on", "today", "told"),
    [
        (day(-1), day(5), "lies outside 2020-02-10 to 2021-02-09"),
        (date(2021, 2, 10), date(2021, 2, 10), "lies outside 2020-02-10 to 2021-02-09"),
        (day(6), day(5), "lies after today, 2020-02-15"),
    ],
)
def test_a_casualty_outside_the_term_or_still_to_come_is_not_claimed_for(on, today, told):
    asked = file_claim(on=on)
    assert not_acceptable(policy().claim, asked, today, "person") == [("occurred_on", told)]


def test_after_the_cover_a_day_within_it_is_claimed_for_as_long_as_the_window_is_open():
    made = policy(report_days=400)
    assert made.claim(file_claim(), day(400), "person").amount == 300_000
    late = not_acceptable(policy(report_days=400).claim, file_claim(), day(401), "person")
    assert late == [("occurred_on", "lies more than 400 days back")]


def test_a_casualty_that_the_scheme_does_not_pay_for_is_told_with_all_else():
    made = with_benefits(500, death=5, infection=2)
    assert not_acceptable(made.claim, file_claim(casualty="cold", on=day(-1)), TODAY, "p") == [
        ("casualty", "is not what the scheme pays for: death, infection"),
        ("occurred_on", "lies outside 2020-02-10 to 2021-02-09"),
    ]


def test_a_scheme_without_a_sum_pays_nothing():
    made = policy(sum_insured=None, benefits={})
    assert not_acceptable(made.claim, file_claim(casualty="cold"), TODAY, "person") == [
        ("policy_id", "is of a scheme that states no sum")
    ]
    unstated = with_benefits(None, death=5)
    refuses(insurance.BenefitSpent, unstated.claim, file_claim(), TODAY, "person")


def test_what_was_paid_before_is_deducted():
    made = with_benefits(500_000, infection=200_000, death=500_000)
    first = paid(under=made, claim="first", casualty="infection")
    second = claim(made, [first], claim="second")
    assert (first.amount, second.amount) == (200_000, 300_000)


def test_no_more_than_the_sum_is_paid_in_all():
    made = with_benefits(500, infection=400, death=900, loss=100)
    assert claim(made).amount == 500
    first = paid(under=made, claim="first", casualty="infection")
    second = paid(under=made, before=[first], claim="second", casualty="death")
    assert second.amount == 100
    told, extra = refuses(
        insurance.BenefitSpent,
        made.claim,
        file_claim("third", casualty="loss"),
        TODAY,
        "person",
        [first, second],
    )
    assert (told, extra) == ("500 yuan were paid before.", {"paid": 500})


def test_a_yuan_that_is_left_is_paid():
    made = with_benefits(500, infection=499, death=500)
    first = paid(under=made, claim="first", casualty="infection")
    assert claim(made, [first], claim="second").amount == 1


@pytest.mark.parametrize("make", [claim, approved])
def test_a_person_has_one_claim_under_way(make):
    made = with_benefits(500, infection=200, death=500)
    first = make(under=made, claim="first", casualty="infection")
    told, extra = refuses(insurance.ClaimStands, claim, made, [first])
    assert (told, extra) == (f"Claim first is {first.state}.", {"claim_id": "first"})


def test_a_casualty_is_paid_for_once_and_a_rejected_claim_frees_it():
    made = with_benefits(500, infection=200, death=500)
    first = paid(under=made, claim="first", casualty="infection")
    _, extra = refuses(insurance.ClaimStands, claim, made, [first], casualty="infection")
    assert extra == {"claim_id": "first"}
    refused = claim(made)
    refused.check(check(), [])
    refused.decide(reject(), [POINT], four_eyes=True)
    assert not refused.is_under_way
    assert claim(made, [refused]).amount == 500


# the steps of a claim


def test_documents_are_found_complete_or_some_are_missing():
    made = claim()
    lacking = made.check(check(by="b", missing=["x"]), [POINT])
    about = {"claim_id": "claim", "medic_id": "medic", "policy_id": "policy"}
    assert lacking == ClaimChecked(**about, by="b", missing=[POINT], version=2)
    assert (made.state, made.checkers) == ("incomplete", ["b"])
    assert made.is_under_way
    assert made.check(check(by="a"), []) == ClaimChecked(**about, by="a", missing=[], version=3)
    assert (made.state, made.checkers) == ("checked", ["a", "b"])
    told, extra = refuses(insurance.AlreadyChecked, made.check, check(), [])
    assert (told, extra) == ("The claim is checked.", {"state": "checked"})


def test_a_claim_is_approved_by_another_and_paid_once():
    made = claim()
    made.check(check(), [])
    about = {"claim_id": "claim", "medic_id": "medic", "policy_id": "policy", "amount": 300_000}
    told, extra = refuses(insurance.NotApproved, made.pay, pay(), TODAY)
    assert (told, extra) == ("The claim is checked.", {"state": "checked"})
    fact = made.decide(approve(), [], four_eyes=True)
    assert fact == ClaimApproved(**about, by="head", version=3)
    assert made.is_under_way
    assert made.pay(pay(), day(2)) == ClaimPaid(**about, reference="P-1", paid_on=day(2), version=4)
    assert (made.state, made.reference, made.is_paid) == ("paid", "P-1", True)
    assert not made.is_under_way
    told, extra = refuses(insurance.AlreadyPaid, made.pay, pay(reference="P-2"), day(3))
    assert (told, extra) == ("The claim is paid.", {"state": "paid", "reference": "P-1"})


def test_nobody_decides_what_they_checked_unless_the_rules_waive_it():
    for decision, reasons in ((approve(by="b"), []), (reject(by="b"), [POINT])):
        made = claim()
        made.check(check(by="b", missing=["x"]), [POINT])
        made.check(check(by="a"), [])
        told, extra = refuses(insurance.SamePerson, made.decide, decision, reasons, four_eyes=True)
        assert (told, extra) == ("b has checked the claim.", {"state": "checked"})
        assert made.decide(decision, reasons, four_eyes=False).by == "b"


def test_a_claim_is_decided_when_it_was_checked():
    made = claim()
    for decision in (approve(), reject()):
        told, _ = refuses(insurance.NotChecked, made.decide, decision, [], four_eyes=True)
        assert told == "The claim is filed."
    made.check(check(missing=["x"]), [POINT])
    told, _ = refuses(insurance.NotChecked, made.decide, approve(), [], four_eyes=True)
    assert told == "The claim is incomplete."
    fact = made.decide(reject(remark="無"), [POINT], four_eyes=True)
    about = {"claim_id": "claim", "medic_id": "medic", "policy_id": "policy"}
    assert fact == ClaimRejected(**about, by="head", reasons=[POINT], remark="無", version=3)


@pytest.mark.parametrize("make", [approved, paid])
def test_a_claim_is_decided_once(make):
    made = make()
    for decision in (approve(by="x"), reject(by="x")):
        told, extra = refuses(
            insurance.AlreadyDecided, made.decide, decision, [POINT], four_eyes=True
        )
        assert (told, extra) == (f"The claim is {made.state}.", {"state": made.state})


def test_a_rejection_gives_reasons_and_an_approval_none():
    made = claim()
    made.check(check(), [])
    made.take_pending()
    assert not_acceptable(made.decide, reject(), [], four_eyes=True) == [
        ("reasons", "a rejection needs a reason")
    ]
    assert not_acceptable(made.decide, approve(), [POINT], four_eyes=True) == [
        ("reasons", "are for a rejection")
    ]
    assert (made.state, made.take_pending()) == ("checked", [])
    made.decide(reject(), [POINT], four_eyes=True)
    assert said(made) == ["claim-rejected"]
    refuses(insurance.AlreadyDecided, made.decide, approve(), [], four_eyes=True)
    refuses(insurance.NotApproved, made.pay, pay(), TODAY)
    refuses(insurance.AlreadyChecked, made.check, check(), [])


def test_a_reference_pays_one_claim():
    first, second = paid(claim="first"), approved(claim="second")
    with pytest.raises(insurance.ReferenceUsed) as raised:
        second.pay(pay(), TODAY, first)
    assert str(raised.value) == "Claim first was paid under P-1."
    assert raised.value.errors == [{"pointer": "#/reference", "detail": "was used before"}]
    assert (raised.value.extra["claim_id"], raised.value.extra["version"]) == ("first", 4)
    assert second.state == "approved"
    refuses(insurance.AlreadyPaid, first.pay, pay(), TODAY, first)


# one person under two references


def test_a_medic_becomes_the_person_with_another_reference_on_record_or_not():
    made = medic()
    assert made.is_on_record
    asked = ReidentifyMedic(medic_id="medic", holder_ref="other", by="operator")
    before = made.holder_ref
    fact = made.reidentify(asked)
    assert fact == MedicReidentified(
        medic_id="medic", holder_ref="other", earlier_ref=before, version=2
    )
    assert made.holder_ref == "other"
    made.withdraw(WithdrawMedic(medic_id="medic", reason="調離"), TODAY)
    assert not made.is_on_record
    assert made.reidentify(replace(asked, holder_ref="third")).earlier_ref == "other"


@pytest.mark.parametrize(
    ("state", "casualty", "scheme", "stands"),
    [
        ("filed", "infection", "medic-covid-19", False),
        ("paid", "infection", "medic-covid-19", True),
        ("paid", "death", "medic-covid-19", False),
        ("rejected", "death", "medic-covid-19", True),
        ("filed", "death", "another", True),
    ],
)
def test_of_two_claims_a_person_has_one_that_is_under_way_and_one_for_a_casualty(
    state, casualty, scheme, stands
):
    made, other = claim(), claim()
    other.state, other.casualty, other.scheme = state, casualty, scheme
    assert made.stands_beside(other) is stands
    assert other.stands_beside(made) is stands
    made.state = "rejected"
    assert made.stands_beside(other)
