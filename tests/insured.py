"""What the tests of insurance say: another district's scheme, and each step of a claim."""

import shutil
from datetime import date
from pathlib import Path

from contracts.filing.events import EnterpriseRegistered
from contracts.filing.types import Kind, Size
from contracts.insurance.commands import CheckClaim, DecideClaim, FileClaim, PayClaim
from contracts.insurance.events import MedicEnrolled
from contracts.insurance.types import ClaimDecision
from contracts.shapes import Sealed
from rulebook import Rulebook
from rulebook import book as books

TODAY = date(2020, 2, 10)
FENGZE = Path(books.__file__).parent / "fengze"
TWO_BENEFITS = """
[[scheme]]
code = "medic-accident"
zh = "醫護人員專屬保險"
en = "Cover for medics"
holder = "medic"
sum_insured = 500000
years = 1
report_days = 30
source = "article"
from = 2020-02-10

[[benefit]]
code = "on-infection"
zh = "確診"
en = "On confirmed infection"
scheme = "medic-accident"
casualty = "infection"
amount = 200000
source = "article"
from = 2020-02-10

[[benefit]]
code = "on-death"
zh = "身故"
en = "On death"
scheme = "medic-accident"
casualty = "death"
amount = 500000
source = "article"
from = 2020-02-10

[[casualty]]
code = "infection"
zh = "確診感染"
en = "Confirmed infection"
source = "article"
from = 2020-02-10

[[casualty]]
code = "death"
zh = "身故"
en = "Death"
source = "article"
from = 2020-02-10
"""
"""Yunnan, 26 January 2020: 200,000 on confirmed infection, and 300,000 more on death."""


def district(folder, **files):
    """Return a rulebook like Fengze's with other files: `schemes="…"` takes the place of one, and
    `deadlines=("old", "new")` changes one."""
    folder = Path(shutil.copytree(FENGZE, folder / "district"))
    for name, change in files.items():
        file = folder / f"{name}.toml"
        text = change if isinstance(change, str) else file.read_text().replace(*change)
        file.write_text(text)
    return Rulebook.load(folder)


def small(shop="shop", size=Size.MICRO):
    return EnterpriseRegistered(
        enterprise_id=shop,
        credit_code="91350503ARUJWX97A0",
        name="泉秀一號店",
        kind=Kind.SOLE_TRADER,
        size=size,
        industry="F5211",
        premises="office",
        grid="350503003",
        registered_on=TODAY,
    )


def enrolled(medic="medic", institution="豐澤區醫院"):
    return MedicEnrolled(
        medic_id=medic,
        name=Sealed("k.n"),
        holder_ref="person",
        institution=institution,
        enrolled_on=TODAY,
    )


def file_claim(claim="claim", medic="medic", policy="policy", casualty="death", on=TODAY):
    return FileClaim(
        claim_id=claim, medic_id=medic, policy_id=policy, casualty=casualty, occurred_on=on
    )


def check(claim="claim", by="clerk", missing=(), medic="medic", **more):
    return CheckClaim(claim_id=claim, medic_id=medic, by=by, missing=[*missing], **more)


def approve(claim="claim", by="head", medic="medic", **more):
    decision = ClaimDecision.APPROVE
    return DecideClaim(claim_id=claim, medic_id=medic, decision=decision, by=by, **more)


def reject(claim="claim", by="head", medic="medic", reasons=("not_covid_19",), **more):
    decision = ClaimDecision.REJECT
    return DecideClaim(
        claim_id=claim, medic_id=medic, decision=decision, by=by, reasons=[*reasons], **more
    )


def pay(claim="claim", reference="P-1", medic="medic", **more):
    return PayClaim(claim_id=claim, medic_id=medic, reference=reference, **more)
