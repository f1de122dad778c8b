"""What the stories say: messages with all that a story leaves out filled in."""

from datetime import date, datetime, timedelta

from chassis.storage.unit_of_work import SHANGHAI
from console.demo.synthetic import credit_code
from contracts.complaints.commands import FileComplaint
from contracts.complaints.events import ComplaintReceived
from contracts.complaints.types import Counting, Stage, Track, Unit
from contracts.filing.commands import RegisterEnterprise, SubmitFiling
from contracts.filing.events import EnterpriseRegistered, EnterpriseReopened
from contracts.filing.types import Kind, Size
from contracts.gateway import HourBegan
from contracts.inspection.commands import RecordVisit
from contracts.inspection.types import Finding
from contracts.insurance.commands import EnrolMedic
from contracts.shapes import Point, Sealed, Words
from contracts.shared import CommandSettled, HourSwept, Outcome, SweepHour

TODAY = date(2020, 2, 10)
GRID = "350503003"
MEASURES = ["masks", "disinfectant", "thermometer"]
DIRTY = Point(code="not_cleaned", words=Words(zh="未清潔", en="Not cleaned"))


def after(days):
    return TODAY + timedelta(days=days)


def register(shop="shop", number=1, **more):
    said = {
        "enterprise_id": shop,
        "credit_code": credit_code(number),
        "name": "泉秀一號店",
        "kind": Kind.SOLE_TRADER,
        "size": Size.MICRO,
        "industry": "F5211",
        "premises": "office",
        "grid": GRID,
    }
    return RegisterEnterprise(**said | more)


def registered(shop="shop", **more):
    return EnterpriseRegistered.echo(register(shop, **more), registered_on=TODAY)


def submit(filing="filing", shop="shop", **more):
    said = {
        "filing_id": filing,
        "enterprise_id": shop,
        "reopen_on": TODAY,
        "headcount": 5,
        "out_of_province": 1,
        "measures": MEASURES,
        "pledge": True,
    }
    return SubmitFiling(**said | more)


def reopened(shop="shop", premises="office", on=TODAY):
    return EnterpriseReopened(
        enterprise_id=shop,
        filing_id="filing",
        grid=GRID,
        premises=premises,
        kind=Kind.SOLE_TRADER,
        headcount=5,
        out_of_province=1,
        reopened_on=on,
    )


def visit(*findings, shop="shop", visit="visit", day=TODAY, **more):
    """Record a visit; a finding is a rule's code, or a Finding."""
    findings = [f if isinstance(f, Finding) else Finding(rule=f) for f in findings]
    return RecordVisit(visit_id=visit, enterprise_id=shop, day=day, findings=findings, **more)


def complain(complaint="complaint", **more):
    said = {
        "complaint_id": complaint,
        "track": Track.REPORT,
        "channel": "12315",
        "content": "店內有人堂食",
        "enterprise_id": "shop",
    }
    return FileComplaint(**said | more)


def complained(complaint="complaint", **more):
    counting = Counting(
        stage=Stage.ACCEPTANCE,
        counted_from=TODAY,
        unit=Unit.WORKING_DAYS,
        days=7,
        calendar="2020-1",
        rules="edition",
        due_on=after(9),
    )
    return ComplaintReceived.echo(complain(complaint, **more), received_on=TODAY, counting=counting)


def enrol(medic="medic", person="person", **more):
    said = {
        "medic_id": medic,
        "name": Sealed("k.n"),
        "identity": Sealed("k.i"),
        "holder_ref": person,
        "institution": "豐澤區醫院",
    }
    return EnrolMedic(**said | more)


def hour(day, of_day=0):
    return HourBegan(at=datetime(day.year, day.month, day.day, of_day, tzinfo=SHANGHAI))


def types(said):
    """Name what was said, without the outcomes of commands and the reports of hours."""
    return [
        fact.type for fact in said if not isinstance(fact, CommandSettled | HourSwept | SweepHour)
    ]


def refusal(said):
    """Return the problem with which the only command of a story was rejected, and nothing else."""
    (settled,) = said
    assert settled.outcome is Outcome.REJECTED
    return settled.problem


def refused(said):
    """Return the status and the name of that problem."""
    problem = refusal(said)
    return problem["status"], problem["type"].rpartition(":")[2]


def faults(said):
    """Return the fields that it names."""
    problem = refusal(said)
    assert problem["status"] == 422
    return [error["pointer"].removeprefix("#/") for error in problem["errors"]]


def only(kind, said):
    """Return the one fact of a kind among what was said."""
    (fact,) = (fact for fact in said if isinstance(fact, kind))
    return fact
