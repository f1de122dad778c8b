"""Tokens that the command line issues for itself."""

from __future__ import annotations

from chassis.settings import Misconfigured, Settings
from services.gateway.access import tokens
from services.gateway.access.callers import Caller
from services.gateway.access.tokens import Issuer
from services.gateway.resources.roles import Role

A_DAY = 24.0
"""Hours for which a token is good unless told otherwise."""


def issuer_of(settings: Settings) -> Issuer:
    """Give the district's own issuer; raises `Misconfigured` where there is none."""
    found = tokens.issuer_of(settings)
    if found is None:
        raise Misconfigured("ISSUER_KEY_FILE must name the key of the district's own issuer.")
    return found


def token_of_all(issuer: Issuer, subject: str = "demo") -> str:
    """Sign a token with every role, for one who plays everybody."""
    everybody = Caller(subject, frozenset(Role), speaks_for_others=True)
    return issuer.issue(everybody, A_DAY * 3600)
