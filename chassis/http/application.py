"""HTTP: routes, problems (RFC 9457), health, metrics, and one log line for each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule
from werkzeug.wrappers import Request, Response

from chassis import metrics
from chassis.addresses import networks_of, origins_of
from chassis.errors import Rejected
from chassis.http.connections import (
    Bounds,
)
from chassis.http.cors import Cors
from chassis.http.proxies import Proxies
from chassis.http.rate_limit import Quota, Rates
from chassis.http.responses import NOTHING, Route, problem, problem_response, unavailable
from chassis.logs import log
from chassis.settings import Settings
from chassis.storage.engine import STORAGE_ERRORS

LARGEST_BODY = 16 * 1024 * 1024
QUOTA = "bihuan.quota"
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)


class _Identifier(BaseConverter):
    """An id in a path; a path segment of another form is a 404."""

    regex = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"


class TooManyRequests(Rejected):
    """The client makes more requests than it may; Retry-After says when it may again."""

    status = 429


@dataclass(frozen=True)
class Entrance:
    """The checks between clients and routes: trusted proxies, CORS, rate limit."""

    proxies: Proxies = field(default_factory=Proxies)
    cors: Cors = field(default_factory=Cors)
    rates: Rates | None = None

    @classmethod
    def of(cls, settings: Settings) -> Entrance:
        """Create it from the settings."""
        limited = settings.rate_limit > 0
        return cls(
            Proxies(networks_of(settings.trusted_proxies)),
            Cors(origins_of(settings.cors_origins)),
            Rates(settings.rate_limit, settings.rate_burst) if limited else None,
        )

    def bounds(self, settings: Settings) -> Bounds:
        """Return the limits of a client; trusted proxies are exempt from those per address."""
        return Bounds(
            settings.headers_within,
            settings.body_within,
            settings.connections,
            settings.connections_each,
            self.proxies.trusts,
        )


class Application:
    """The WSGI application of one process.

    `authorize` allows a request or raises; `client_of` then returns its rate-limit key, or None.
    """

    def __init__(
        self,
        service: str,
        routes: Iterable[Route],
        is_open: Callable[[], bool] = lambda: True,
        authorize: Callable[[Request, Route], None] = lambda _request, _route: None,
        client_of: Callable[[Request], str | None] = lambda _request: None,
        entrance: Entrance | None = None,
    ) -> None:
        self.log = log(service)
        self.is_open = is_open
        self.authorize = authorize
        self.client_of = client_of
        self.entrance = entrance or Entrance()
        self.map = Map(
            [Rule(r.path, methods=[r.method], endpoint=r) for r in routes],
            strict_slashes=False,
            redirect_defaults=False,
            merge_slashes=False,
            converters={"default": _Identifier},
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        started = time.perf_counter()
        request = Request(environ)
        request.max_content_length = LARGEST_BODY + 1  # werkzeug silently truncates a longer body
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input_terminated"] = True  # eventlet ends a chunked body, or raises
        route: Route | None = None
        try:
            paths = self.map.bind_to_environ(environ)
            if self.entrance.cors.asks_first(request) and (methods := paths.allowed_methods()):
                self._count(request)
                response = self.entrance.cors.allowance(methods)
            else:
                route, values = self._match(request, paths)
                response = self._answer(request, route, values)
        except Exception as error:
            response = self._problem_of(error, request)
        self._dress(request, route, response)
        self._account(request, route, response.status_code, time.perf_counter() - started)
        return response(environ, start_response)

    def _match(self, request: Request, paths: MapAdapter) -> tuple[Route, Mapping[str, Any]]:
        try:
            match: tuple[Route, Mapping[str, Any]] = paths.match()
        except HTTPException:
            self._count(request)
            raise
        return match

    def _answer(self, request: Request, route: Route, values: Mapping[str, Any]) -> Response:
        if not route.always:
            if not self.is_open():
                return unavailable("The service is starting.")
            try:
                if not route.public:
                    self.authorize(request, route)
            finally:
                self._count(request)  # unauthenticated requests too, by IP address
        return route.answer(request, *values.values())

    def _count(self, request: Request) -> None:
        """Count a request against the rate limit of its client; raises `TooManyRequests`."""
        if self.entrance.rates is None:
            return
        client = self.client_of(request) or self.entrance.proxies.client_of(request.environ)
        quota = self.entrance.rates.take(client)
        request.environ[QUOTA] = quota
        if not quota.taken:
            metrics.REFUSED.labels(429).inc()
            raise TooManyRequests

    def _dress(self, request: Request, route: Route | None, response: Response) -> None:
        """Add the headers of every response; those that a route has set stay."""
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Content-Security-Policy"] = route.content_policy if route else NOTHING
        tagged = "ETag" in headers
        headers.setdefault("Cache-Control", "private, no-cache" if tagged else "no-store")
        if self.entrance.proxies.is_encrypted(request.environ):
            headers["Strict-Transport-Security"] = "max-age=31536000"
        quota: Quota | None = request.environ.get(QUOTA)
        if quota is not None:
            headers.update(quota.headers())
        self.entrance.cors.mark(request, response)

    def _problem_of(self, error: Exception, request: Request) -> Response:
        if isinstance(error, Rejected):
            response = problem_response(error.problem())
            if error.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            if error.status == 503:
                response.headers["Retry-After"] = "3"
            return response
        if isinstance(error, RequestEntityTooLarge):
            most = (request.max_content_length or 1) - 1
            return problem(413, "Content Too Large", f"At most {most} bytes.")
        if isinstance(error, HTTPException):
            response = problem(error.code or 500, error.name, error.description or "")
            if allowed := getattr(error, "valid_methods", None):
                response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        if isinstance(error, STORAGE_ERRORS):
            self.log.error("database unavailable", error=str(error))
            return unavailable("The database does not respond.")
        self.log.error("request failed", path=request.path, exc_info=error)
        return problem(500, "Internal Server Error", "The error is in the log.")

    def _account(self, request: Request, route: Route | None, status: int, seconds: float) -> None:
        name = route.path if route else "-"
        method = request.method if request.method in METHODS else "-"
        metrics.REQUESTS.labels(method, name, status).observe(seconds)
        self.log.info(
            "request", method=method, route=name, status=status, ms=round(seconds * 1000, 1)
        )
