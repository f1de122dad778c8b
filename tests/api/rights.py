"""Who may do what, written by hand from what each is to the district: a witness beside the code.

Nothing here is taken from the gateway's own table, and docs/roles.md is generated from that one.
Whoever lets a role do more or less changes it here too, and says so.
"""

INITIALS = {
    "E": "enterprise",
    "G": "grid-officer",
    "I": "inspector",
    "H": "agency-head",
    "C": "hotline-desk",
    "U": "insurer",
    "O": "district-office",
    "D": "department",
    "P": "operator",
    "A": "auditor",
}
EVERYBODY = "".join(INITIALS)

LISTS = {
    # where everybody in the field works; an enterprise has its own
    "enterprises": "EGIHCUOA",
    "filings": "EGIHOA",
    "rosters": "EGIHOA",
    # what is to happen where is not told to those whom it happens to
    "patrols": "GIHOA",
    "plans": "GIHOA",
    "visits": "GIHCOA",
    "issues": "EGIHOA",
    "notices": "EGIHOA",
    "closures": "EGIHOA",
    "slips": "EGIHCOA",
    # who complains is protected from whom it is about, and from whom it is a neighbour of
    "complaints": "IHCOA",
    # covers: the insurer's, and the holder's
    "policies": "EUOA",
    "medics": "UOA",
    "uncovered": "UOA",
    "claims": "UOA",
}
"""Who may read a list, and what stands in it."""

READS = {
    "/v1/enterprises/<id>/timeline": "EGIHOA",
    "/v1/enterprises/<id>/rosters": "EGIHOA",
    "/v1/complaints/<id>/timeline": "IHCOA",
    "/v1/officers": "OA",
    "/v1/checklists": EVERYBODY,
    "/v1/statistics": EVERYBODY,
    "/v1/events": "EGIHCUODA",
    "/v1/events/stream": "EGIHCUODA",
    "/v1/webhooks": "OD",
    "/v1/webhooks/<id>": "OD",
    "/v1/webhooks/<id>/deliveries": "OD",
    "/v1/exports/<id>": "EGIHCUOA",
    "/v1/exports/<id>/file": "EGIHCUOA",
    "/v1/commands/<id>": EVERYBODY,
    "/v1/commands/<id>/rows": EVERYBODY,
}

ACTS = {
    # an enterprise is registered, files and reports by itself or through its grid officer
    "/v1/enterprises": "EGO",
    "/v1/enterprises/batch": "EGO",
    "/v1/enterprises/<id>/roster": "EGO",
    "/v1/enterprises/<id>/roster/lines": "EGO",
    "/v1/filings": "EGO",
    "/v1/filings/<id>/withdrawal": "EGO",
    # what is on record about it is put right by those who keep the record
    "/v1/enterprises/<id>/correction": "GO",
    # heads decide
    "/v1/enterprises/<id>/liaison": "HO",
    "/v1/filings/<id>/decision": "HO",
    "/v1/patrols/plans": "HO",
    "/v1/visits/<id>/cancellation": "HO",
    "/v1/notices/<id>/extension": "HO",
    "/v1/closures/<id>/lifting": "HO",
    # inspectors lead patrols and close; whoever is on the ground looks, records and signs
    "/v1/patrols": "IHO",
    "/v1/closures": "IHO",
    "/v1/visits": "GIHO",
    "/v1/visits/batch": "GIHO",
    "/v1/visits/plans": "GIHO",
    "/v1/visits/<id>/day": "GIHO",
    "/v1/visits/<id>/part": "GIHO",
    "/v1/visits/<id>/signature": "GIHO",
    "/v1/notices/<id>/reinspection": "GIHO",
    "/v1/closures/<id>/reinspection": "GIHO",
    # a slip is confirmed by whom it went to
    "/v1/slips/<id>/acknowledgement": "EO",
    # the desk takes calls in and sorts them
    "/v1/complaints": "CO",
    "/v1/complaints/batch": "CO",
    "/v1/complaints/<id>/acceptance": "CO",
    "/v1/complaints/<id>/refusal": "CO",
    "/v1/complaints/<id>/referral": "CO",
    "/v1/complaints/<id>/matching": "CO",
    "/v1/complaints/<id>/unmatching": "CO",
    "/v1/complaints/<id>/link": "CO",
    "/v1/complaints/<id>/unlinking": "CO",
    "/v1/complaints/<id>/reopening": "CO",
    "/v1/complaints/<id>/rating": "CO",
    # whose case it is mediates, answers and holds its clock; a head decides and extends
    "/v1/complaints/<id>/pause": "HCO",
    "/v1/complaints/<id>/resumption": "HCO",
    "/v1/complaints/<id>/mediation": "HCO",
    "/v1/complaints/<id>/answer": "HCO",
    "/v1/complaints/<id>/comments": "IHCO",
    "/v1/complaints/<id>/extension": "HO",
    "/v1/complaints/<id>/case": "HO",
    "/v1/complaints/<id>/conclusion": "HO",
    # the office may enrol and claim for a medic, but it is the insurer's money
    "/v1/medics": "UO",
    "/v1/medics/batch": "UO",
    "/v1/medics/<id>/correction": "UO",
    "/v1/medics/<id>/withdrawal": "UO",
    "/v1/claims": "UO",
    "/v1/claims/<id>/check": "U",
    "/v1/claims/<id>/decision": "U",
    "/v1/claims/<id>/payment": "U",
    # who a person is, only to those who deal with them
    "/v1/complaints/<id>/openings": "HC",
    "/v1/medics/<id>/openings": "U",
    "/v1/claims/<id>/openings": "U",
    "/v1/clock": "OP",
    "/v1/webhooks": "OD",
    "/v1/webhooks/<id>/secret": "OD",
    "/v1/webhooks/<id>/disabling": "OD",
    "/v1/webhooks/<id>/enabling": "OD",
    "/v1/webhooks/<id>/redelivery": "OD",
}

RIGHTS = (
    {("GET", f"/v1/{name}{rest}"): who for name, who in LISTS.items() for rest in ("", "/<id>")}
    | {("GET", path): who for path, who in READS.items()}
    | {("POST", path): who for path, who in ACTS.items()}
)


def may(role, method, path):
    """Return whether a role may use a route."""
    return role in {INITIALS[initial] for initial in RIGHTS[method, path]}
