"""Roles, their scope levels, and the sets of roles that endpoints allow."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum


class ScopeLevel(StrEnum):
    """The scope of a role: the caller's own things, its grids, or the district."""

    OWN = "own"
    GRID = "grid"
    DISTRICT = "district"


class Role(StrEnum):
    """A role of a caller."""

    ENTERPRISE = "enterprise"
    GRID_OFFICER = "grid-officer"
    INSPECTOR = "inspector"
    AGENCY_HEAD = "agency-head"
    HOTLINE_DESK = "hotline-desk"
    INSURER = "insurer"
    DISTRICT_OFFICE = "district-office"
    DEPARTMENT = "department"
    OPERATOR = "operator"
    AUDITOR = "auditor"

    @property
    def level(self) -> ScopeLevel:
        """The scope level of the role."""
        if self is Role.ENTERPRISE:
            return ScopeLevel.OWN
        return ScopeLevel.GRID if self in OFFICERS else ScopeLevel.DISTRICT


Roles = AbstractSet[Role]

ENTERPRISE, GRID_OFFICER, INSPECTOR = Role.ENTERPRISE, Role.GRID_OFFICER, Role.INSPECTOR
AGENCY_HEAD, HOTLINE, INSURER = Role.AGENCY_HEAD, Role.HOTLINE_DESK, Role.INSURER
OFFICE, DEPARTMENT = Role.DISTRICT_OFFICE, Role.DEPARTMENT
OPERATOR, AUDITOR = Role.OPERATOR, Role.AUDITOR

ANY: Roles = frozenset(Role)
OFFICERS: Roles = {GRID_OFFICER, INSPECTOR, AGENCY_HEAD}
INSPECTORS: Roles = {INSPECTOR, AGENCY_HEAD, OFFICE}
ON_SITE: Roles = OFFICERS | {OFFICE}
HEADS: Roles = {AGENCY_HEAD, OFFICE}
DESK: Roles = {HOTLINE, OFFICE}
CASES: Roles = {AGENCY_HEAD, HOTLINE, OFFICE}
INSURERS: Roles = {INSURER, OFFICE}
APPLICANTS: Roles = {ENTERPRISE, GRID_OFFICER, OFFICE}
READERS: Roles = ANY - {DEPARTMENT, OPERATOR}
"""The roles that may read a list."""
SUBSCRIBERS: Roles = {DEPARTMENT, OFFICE}
