"""Tokens issued by the command line."""

from __future__ import annotations

from chassis.settings import Misconfigured, Settings
from services.gateway.access import tokens
from services.gateway.access.callers import Caller
from services.gateway.access.tokens import Issuer
from services.gateway.resources.roles import Role

A_DAY = 24.0
"""Default lifetime of a token, in hours."""


def issuer_of(settings: Settings) -> Issuer:
    """Return the district's own issuer; raises `Misconfigured` if there is none."""
    issuer = tokens.issuer_of(settings)
    if issuer is None:
        raise Misconfigured("ISSUER_KEY_FILE must name the key of the district's own issuer.")
    return issuer


def token_of_all(issuer: Issuer, subject: str = "demo") -> str:
    """Return a signed token with every role."""
    everybody = Caller(subject, frozenset(Role), speaks_for_others=True)
    return issuer.issue(everybody, A_DAY * 3600)
