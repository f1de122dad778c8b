"""Examples of what is asked for, by path: tests execute each of them on 10 February 2020."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from services.gateway.resources import POSTS

_ENTERPRISE = "0170ad1c-9d40-7c3e-8f21-5b8e4d1a6c02"
_POLICY = "0170ad1c-9d3f-7a11-b0c4-2f6d9e8a7b01"
_COMPLAINT = "0170ad1c-9d3e-7d02-9a37-81c5e6b4f903"
_DAY = "2020-02-10"

BODIES: dict[str, dict[str, Any]] = {
    "/v1/enterprises": {
        "credit_code": "91350503ARUJWX97A0",
        "name": "閉環小館",
        "kind": "sole_trader",
        "size": "micro",
        "industry": "H6210",
        "premises": "restaurant",
        "grid": "350503003",
    },
    "/v1/enterprises/<id>/correction": {"reason": "登記有誤", "address": "東湖街1號"},
    "/v1/enterprises/<id>/roster": {"day": _DAY, "staff": 4, "out_of_province": 1, "unfit": 1},
    "/v1/enterprises/<id>/liaison": {"officer": "FZ-003-01", "reason": "輪換"},
    "/v1/filings": {
        "enterprise_id": _ENTERPRISE,
        "reopen_on": _DAY,
        "headcount": 5,
        "out_of_province": 1,
        "measures": ["masks", "disinfectant", "thermometer", "isolation_room"],
        "pledge": True,
    },
    "/v1/filings/<id>/decision": {"decision": "return", "reasons": ["材料不全"]},
    "/v1/filings/<id>/withdrawal": {"reason": "改期"},
    "/v1/patrols": {
        "agencies": ["police", "market-regulation"],
        "officers": ["P-1", "M-2"],
        "day": _DAY,
        "grid": "350503003",
    },
    "/v1/patrols/plans": {"grid": "350503003", "day": _DAY, "officers": ["P-1", "P-2"]},
    "/v1/visits": {
        "enterprise_id": _ENTERPRISE,
        "day": _DAY,
        "agencies": ["market-regulation"],
        "findings": [{"rule": "dine_in", "remark": "三桌客人"}],
    },
    "/v1/visits/plans": {"enterprise_id": _ENTERPRISE, "day": _DAY, "urgent": True},
    "/v1/visits/<id>/day": {"day": "2020-02-12", "reason": "下雨"},
    "/v1/visits/<id>/cancellation": {"reason": "下雨"},
    "/v1/visits/<id>/part": {"agency": "health", "answers": {"masks": "some_without"}},
    "/v1/visits/<id>/signature": {"agency": "health", "officer": "H-1"},
    "/v1/notices/<id>/reinspection": {"day": _DAY, "rectified": True},
    "/v1/notices/<id>/extension": {
        "due_on": "2020-03-01",
        "approver": "head-1",
        "reason": "消毒液缺貨",
    },
    "/v1/closures": {"enterprise_id": _ENTERPRISE, "reason": "擅自營業"},
    "/v1/closures/<id>/reinspection": {"day": _DAY, "remark": "已整改"},
    "/v1/closures/<id>/lifting": {"reason": "已整改", "approver": "head-1"},
    "/v1/slips/<id>/acknowledgement": {"by": "owner-1"},
    "/v1/complaints": {
        "track": "report",
        "channel": "12315",
        "content": "店內有人堂食",
        "against": "東湖街的一家小館",
        "caller": "王小明",
        "phone": "13800000000",
    },
    "/v1/complaints/<id>/acceptance": {"by": "desk-1"},
    "/v1/complaints/<id>/refusal": {"ground": "not_competent", "reason": "無管轄權"},
    "/v1/complaints/<id>/referral": {"agency": "health", "reason": "屬衛健部門職責"},
    "/v1/complaints/<id>/comments": {"comment": "仍在堂食"},
    "/v1/complaints/<id>/matching": {"enterprise_id": _ENTERPRISE},
    "/v1/complaints/<id>/unmatching": {"reason": "同名"},
    "/v1/complaints/<id>/link": {"main_id": _COMPLAINT},
    "/v1/complaints/<id>/unlinking": {"main_id": _COMPLAINT, "reason": "並非同一事項"},
    "/v1/complaints/<id>/pause": {"ground": "appraisal"},
    "/v1/complaints/<id>/resumption": {},
    "/v1/complaints/<id>/extension": {"approver": "head-1", "reason": "案情複雜"},
    "/v1/complaints/<id>/mediation": {"outcome": "agreed"},
    "/v1/complaints/<id>/case": {"file": False, "reason": "查無實據"},
    "/v1/complaints/<id>/conclusion": {"reason": "不予處罰"},
    "/v1/complaints/<id>/answer": {"answer": "已責令整改", "substantiated": True},
    "/v1/complaints/<id>/reopening": {"reason": "問題仍在"},
    "/v1/complaints/<id>/rating": {"satisfied": True},
    "/v1/medics": {
        "name": "林醫生",
        "identity": "350503198001019997",
        "institution": "豐澤區醫院",
    },
    "/v1/medics/<id>/correction": {"institution": "第一醫院"},
    "/v1/medics/<id>/withdrawal": {"reason": "非一線人員"},
    "/v1/claims": {"policy_id": _POLICY, "casualty": "death", "occurred_on": _DAY},
    "/v1/claims/<id>/check": {"by": "insurer-1", "missing": ["diagnosis"]},
    "/v1/claims/<id>/decision": {
        "by": "insurer-2",
        "decision": "reject",
        "reasons": ["documents_missing"],
    },
    "/v1/claims/<id>/payment": {"reference": "PICC-2020-9"},
}
"""The bodies; of the things that they name, the identities are made up."""

BY_COMMAND = {post.command.__name__: BODIES[post.path] for post in POSTS}

SHEET: list[dict[str, Any]] = [
    {"worker": "W-1", "name": "陳一", "home": "350503", "temperature": "36.5"},
    {"worker": "W-2", "name": "林二", "home": "420000", "temperature": "36.8"},
]
"""Rows of a roster."""


def as_ndjson(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows as one JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Write rows as CSV with a header; what is a list has no place in it."""
    flat = [{k: v for k, v in row.items() if not isinstance(v, list)} for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()
