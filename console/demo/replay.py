"""Replays the Fengze month through the HTTP API, as its clients would have used it.

Every write has an idempotency key derived from the plan, so an interrupted replay can be run again
on the same data without duplicates.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any, TypeVar
from zlib import crc32

from chassis.ids import derived_id
from chassis.runtime.green import Pool, pause
from console.client import Client, Refused, Unanswered
from console.demo.plan import AGENCIES, DAYS, GRIDS, MEASURES, Enterprise, Finding, MonthPlan
from console.demo.synthetic import identity_number

BATCH = 1000
Item = TypeVar("Item")
Found = TypeVar("Found")
Progress = Callable[[str, int], None]


def _silent(_what: str, _done: int) -> None:
    """Show no progress."""


class Replay:
    """Replays a month to a district on a manual clock."""

    def __init__(
        self, month: MonthPlan, client: Client, *, at_once: int = 128, progress: Progress = _silent
    ) -> None:
        self.month = month
        self.client = client
        self.progress = progress
        self._pool = Pool(at_once)
        self._ids: dict[int, str] = {}
        self._patrols: list[str] = []

    def total(self) -> int:
        """Return the number of steps of the replay, for a progress bar."""
        month = self.month
        visits = month.figures["inspection.visits"]
        filings = sum(e.files_on is not None for e in month.enterprises)
        return len(month.enterprises) + month.medics + filings + visits + len(DAYS)

    def run(self) -> None:
        """Replay the whole month."""
        self._clock(DAYS[0], 0)
        self._register()
        self._enrol_medics()
        for day in DAYS:
            self._play(day)

    # -- the first day

    def _register(self) -> None:
        for start in range(0, len(self.month.enterprises), BATCH):
            part = self.month.enterprises[start : start + BATCH]
            rows = [enterprise.registration() for enterprise in part]
            ids = self._batch("/v1/enterprises", rows, f"register-{start}")
            for enterprise, location in zip(part, ids, strict=True):
                self._ids[enterprise.number] = location.rpartition("/")[2]
            self.progress("register", len(part))

    def _enrol_medics(self) -> None:
        people = range(1, self.month.medics + 1)
        for start in range(0, len(people), BATCH):
            rows = [
                {
                    "name": f"醫護{number:04d}",
                    "identity": identity_number(number),
                    "institution": f"豐澤區第{number % 12 + 1}醫療隊",
                }
                for number in people[start : start + BATCH]
            ]
            self._batch("/v1/medics", rows, f"medics-{start}")
            self.progress("enrol", len(rows))

    def _batch(self, path: str, rows: list[dict[str, Any]], key: str) -> list[str]:
        data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
        answer = self.client.post(
            f"{path}/batch", data, self._key(key), kind="application/x-ndjson"
        )
        items = answer.get("items")
        if items is None:  # it took longer than the request's wait
            command = answer["id"]
            items = list(self.client.everything(f"/v1/commands/{command}/rows"))
        refused = [item for item in items if item["state"] != "done"]
        if refused:
            raise Refused(refused[0]["status"], refused[0]["problem"])
        return [item["location"] for item in items]

    # -- a day

    def _play(self, day: date) -> None:
        self._clock(day, 8)
        filing = self.month.filing_on(day)
        self._each(filing, self._file)
        self._each([e for e in filing if e.key_project], self._approve)
        self._dispatch(day)
        self._review(day, [e for e in filing if e.five_small])
        self._complain(day)
        self._each([f for f in self.month.findings if f.day == day], self._find)
        self._patrol(day)
        self._look_again(day)
        self._each([e for e, when in self.month.closed_by_order if when == day], self._close)
        self._clock(day, 18)
        self._report_rosters(day)
        self.progress("day", 1)

    def _file(self, enterprise: Enterprise) -> None:
        foreign, heads = enterprise.out_of_province, enterprise.headcount
        if enterprise.by_roster:  # the filing states fewer; the roster corrects it
            foreign, heads = 0, 1
        self._post(
            "/v1/filings",
            f"file-{enterprise.number}",
            enterprise_id=self._ids[enterprise.number],
            reopen_on=enterprise.reopens_on,
            headcount=heads,
            out_of_province=foreign,
            measures=list(MEASURES),
            pledge=True,
        )
        self.progress("file", 1)

    def _approve(self, enterprise: Enterprise) -> None:
        """Approve a filing that needs a reviewer: that of a key project."""
        shop = self._ids[enterprise.number]
        filing = self._until(lambda: self._first("/v1/filings", enterprise_id=shop))
        path = f"/v1/filings/{filing['id']}"
        self._until(lambda: self.client.get(path)["state"] != "submitted")
        key = f"approve-{enterprise.number}"
        self._post(f"{path}/decision", key, decision="approve", by="reviewer-1")

    def _dispatch(self, day: date) -> None:
        self._patrols = []
        for number, team in enumerate(self.month.patrols.get(day, [])):
            answer = self._post(
                "/v1/patrols",
                f"patrol-{day}-{number}",
                day=day,
                agencies=list(AGENCIES[:team]),
                officers=[f"FZ-{number:03d}-{member}" for member in range(1, team + 1)],
                grid=GRIDS[number % len(GRIDS)],
            )
            self._patrols.append(answer["patrol_id"])

    def _review(self, day: date, filing: list[Enterprise]) -> None:
        waited_for = {self._ids[enterprise.number] for enterprise in filing}
        self._each(self._planned("review", "enterprise_id", waited_for), self._visit_planned(day))

    def _complain(self, day: date) -> None:
        today = [(n, c) for n, c in enumerate(self.month.complaints) if c.day == day]
        filed: dict[str, Finding | None] = {}
        for number, complaint in today:
            answer = self._post(
                "/v1/complaints",
                f"complaint-{number}",
                track="report",
                channel="12315",
                content="反映該店未落實防控規定",
                enterprise_id=self._ids[complaint.enterprise.number],
                caller=f"來電人{number}",
                phone=f"138{number:08d}",
            )
            filed[answer["complaint_id"]] = complaint.finding
            self._post(
                f"/v1/complaints/{answer['complaint_id']}/acceptance",
                f"accept-{number}",
                by="desk-1",
            )
        visits = self._planned("complaint", "complaint_id", set(filed))
        self._each(visits, self._visit_planned(day, lambda visit: filed[visit["complaint_id"]]))

    def _find(self, finding: Finding) -> None:
        self._visit(
            finding.day, f"find-{self.month.findings.index(finding)}", finding.enterprise, finding
        )

    def _patrol(self, day: date) -> None:
        open_now = self.month.open_on(day)
        count = self.month.routine.get(day, 0)
        places = [open_now[(n * 13 + day.day) % len(open_now)] for n in range(count)]
        self._each(
            list(enumerate(places)),
            lambda item: self._visit(day, f"routine-{day}-{item[0]}", item[1]),
        )

    def _look_again(self, day: date) -> None:
        after = {"rectified": 2, "late": 5, "lifted": 1}
        due = [
            finding
            for finding in self.month.findings
            if finding.ends in after and finding.day + timedelta(days=after[finding.ends]) == day
        ]
        self._each(due, lambda finding: self._reinspect(finding, day))

    def _reinspect(self, finding: Finding, day: date) -> None:
        shop = self._ids[finding.enterprise.number]
        number = self.month.findings.index(finding)
        visit = derived_id("found", self.month.scale, number)  # for the key only
        if finding.ends == "lifted":
            closure = self._until(lambda: self._first("/v1/closures", enterprise_id=shop))
            path = f"/v1/closures/{closure['id']}"
            self._post(f"{path}/reinspection", f"again-{visit}", day=day)
            self._post(f"{path}/lifting", f"lift-{visit}", reason="已補辦手續並整改")
            self.progress("visit", 1)
            return
        issue = self._until(lambda: self._issue_of(shop, finding))
        notice = self._until(lambda: self._first("/v1/notices", issue_id=issue))
        self._post(
            f"/v1/notices/{notice['id']}/reinspection",
            f"again-{visit}",
            day=day,
            rectified=True,
        )
        self.progress("visit", 1)

    def _first(self, path: str, **filters: str) -> dict[str, Any] | None:
        return next(self.client.everything(path, **filters), None)

    def _issue_of(self, shop: str, finding: Finding) -> str | None:
        issues = self.client.everything("/v1/issues", enterprise_id=shop)
        found = (
            str(issue["id"])
            for issue in issues
            if not issue["rectified_on_the_spot"]
            and issue["point"]["code"] == finding.rule
            and issue["found_on"] == finding.day.isoformat()
        )
        return next(found, None)

    def _close(self, enterprise: Enterprise) -> None:
        self._post(
            "/v1/closures",
            f"close-{enterprise.number}",
            enterprise_id=self._ids[enterprise.number],
            reason="違反防控相關規定",
        )

    def _report_rosters(self, day: date) -> None:
        """Report the staff of newly opened enterprises whose filing stated fewer."""
        just_open = [
            e
            for e in self.month.enterprises
            if e.by_roster and e.reopens_on == day and e.headcount > 1
        ]
        self._each(just_open, lambda e: self._report_roster(e, day))

    def _report_roster(self, enterprise: Enterprise, day: date) -> None:
        unfit = enterprise.number % 3
        path = f"/v1/enterprises/{self._ids[enterprise.number]}"
        self._until(lambda: self.client.get(path)["state"] == "open")
        self._post(
            f"{path}/roster",
            f"roster-{enterprise.number}",
            day=day,
            staff=enterprise.headcount + unfit,
            out_of_province=enterprise.out_of_province,
            unfit=unfit,
        )

    # -- visits

    def _visit(
        self, day: date, key: str, enterprise: Enterprise, finding: Finding | None = None
    ) -> None:
        self._post(
            "/v1/visits",
            key,
            enterprise_id=self._ids[enterprise.number],
            **self._found(day, key, finding),
        )
        self.progress("visit", 1)

    def _visit_planned(
        self,
        day: date,
        found: Callable[[dict[str, Any]], Finding | None] = lambda _visit: None,
    ) -> Callable[[dict[str, Any]], None]:
        def visit(planned: dict[str, Any]) -> None:
            key = f"visit-{planned['id']}"
            self._post(
                "/v1/visits", key, visit_id=planned["id"], **self._found(day, key, found(planned))
            )
            self.progress("visit", 1)

        return visit

    def _found(self, day: date, key: str, finding: Finding | None) -> dict[str, Any]:
        teams = self._patrols
        patrol = teams[crc32(key.encode()) % len(teams)] if teams else None
        findings = [
            {
                "rule": finding.rule,
                "rectified_on_the_spot": finding.on_the_spot,
                "on_record": finding.on_record,
            }
        ] if finding else []  # fmt: skip
        return {
            "day": day,
            "agencies": list(AGENCIES[:2]),
            "patrol_id": patrol,
            "findings": findings,
        }

    def _planned(self, purpose: str, field: str, waited_for: set[str]) -> list[dict[str, Any]]:
        """Wait until a visit is planned for each of these, and return the visits."""
        visits: dict[str, dict[str, Any]] = {}

        def all_planned() -> bool:
            for visit in self.client.everything("/v1/visits", purpose=purpose):
                if visit[field] in waited_for:
                    visits[visit[field]] = visit
            return waited_for == visits.keys()

        if waited_for:
            self._until(all_planned)
        return [visits[thing] for thing in sorted(visits)]

    # -- requests

    def _until(self, look: Callable[[], Found | None]) -> Found:
        """Poll until there is a result: the effects of a response may be in progress."""
        until, wait = time.monotonic() + self.client.patience, 0.02
        while not (result := look()):
            if time.monotonic() > until:
                raise Unanswered("The expected effects of the requests have not appeared.")
            pause(wait)
            wait = min(wait * 1.5, 0.5)
        return result

    def _clock(self, day: date, hour: int) -> None:
        at = f"{day.isoformat()}T{hour:02d}:00:00+08:00"
        try:
            self._post("/v1/clock", f"clock-{at}", at=at)
        except Refused as error:
            if error.status != 409:  # in a repeat the clock is further ahead
                raise

    def _post(self, path: str, key: str, **body: Any) -> dict[str, Any]:
        arguments = {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in body.items()
        }
        return self.client.post(path, arguments, self._key(key))

    def _key(self, key: str) -> str:
        return f"fengze-{self.month.scale:g}-{key}"

    def _each(self, items: Iterable[Item], do: Callable[[Item], None]) -> None:
        """Call a function for each item, many at once; raises the first error."""
        for _ in self._pool.imap(do, items):
            pass
