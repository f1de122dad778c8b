"""HTTP: routes, problems (RFC 9457), health, metrics, and one log line for each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import WebServer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule
from werkzeug.wrappers import Request, Response

from chassis import metrics
from chassis.connections import (
    IDLE_SECONDS,
    LONGEST_LINE,
    SEND_SECONDS,
    Bounds,
    Connections,
    Protocol,
    turn_away,
)
from chassis.errors import Rejected
from chassis.logs import log
from chassis.message import encode
from chassis.origins import Cors, Proxies, networks_of, origins_of
from chassis.rates import Quota, Rates
from chassis.settings import Misconfigured, Settings
from chassis.store import STORAGE_ERRORS

LARGEST_BODY = 16 * 1024 * 1024
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The content policy of what no browser should show as a page (CSP 3)."""
QUOTA = "bihuan.quota"
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)


@dataclass(frozen=True)
class Route:
    """One route: its method, its path in werkzeug's syntax, and the function that answers it.

    One that is `public` may be asked by anyone, and one that is `always` open answers also before
    the database of the service is there, and however often. `content_policy` is what a page may
    load, where the answer is one.
    """

    method: str
    path: str
    answer: Callable[..., Response]
    always: bool = False
    public: bool = False
    content_policy: str = NOTHING


def answer(data: Any, status: int = 200, **headers: str) -> Response:
    """Answer with JSON; `Content_Location="…"` becomes the header Content-Location."""
    made = Response(encode(data) + "\n", status, mimetype="application/json")
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    return made


def problem(status: int, title: str, detail: str = "", **more: Any) -> Response:
    """Answer with an RFC 9457 problem."""
    body = {"type": "about:blank", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return _problem_response(body | more)


def unavailable(detail: str) -> Response:
    """Answer that the request was not dealt with, and may be repeated soon."""
    made = problem(503, "Service Unavailable", detail)
    made.headers["Retry-After"] = "3"
    return made


def streamed(request: Request, parts: Iterable[str], kind: str) -> Response:
    """Answer with text that is sent part by part, each at once, until there are no more."""
    request.environ["eventlet.minimum_write_chunk_size"] = 1
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(parts, headers=headers, content_type=f"{kind}; charset=utf-8")


def in_pieces(pieces: Iterator[Any], kind: str) -> Response:
    """Answer with what is made piece by piece as it is sent, and so never held as a whole.

    The first piece is made here, so that what fails at once is a problem and no broken answer.
    """
    return Response(_watched(next(pieces), pieces), mimetype=kind)


def _watched(first: Any, pieces: Iterator[Any]) -> Iterator[Any]:
    """Note in the log what ends an answer too soon; the connection is cut, and the client knows."""
    try:
        yield first
        yield from pieces
    except Exception as error:
        log("web").error("answer broke off", error=str(error))
        raise


def _problem_response(body: dict[str, Any]) -> Response:
    return Response(encode(body) + "\n", body["status"], mimetype="application/problem+json")


def rejected(problem_of: dict[str, Any]) -> Response:
    """Answer with a problem that a service has stated."""
    return _problem_response(problem_of)


class _Identifier(BaseConverter):
    """What stands in a path for a thing: anything else names nothing, and is a 404."""

    regex = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"


class TooManyRequests(Rejected):
    """The client makes more requests than it may; Retry-After says when it may again."""

    status = 429


@dataclass(frozen=True)
class Entrance:
    """What stands between the clients and the routes: proxies, pages of other origins, rates."""

    proxies: Proxies = field(default_factory=Proxies)
    cors: Cors = field(default_factory=Cors)
    rates: Rates | None = None

    @classmethod
    def of(cls, settings: Settings) -> Entrance:
        """Make it as the settings say."""
        limited = settings.rate_limit > 0
        return cls(
            Proxies(networks_of(settings.trusted_proxies)),
            Cors(origins_of(settings.cors_origins)),
            Rates(settings.rate_limit, settings.rate_burst) if limited else None,
        )

    def bounds(self, settings: Settings) -> Bounds:
        """Give what a client may take; a trusted proxy speaks for many."""
        return Bounds(
            settings.headers_within,
            settings.body_within,
            settings.connections,
            settings.connections_each,
            self.proxies.trusts,
        )


class Application:
    """The WSGI application of one process.

    `authorize` allows a request or raises; `client_of` then says whose it is, if that is known.
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
        request.max_content_length = LARGEST_BODY + 1  # werkzeug cuts a longer body off in silence
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
            found: tuple[Route, Mapping[str, Any]] = paths.match()
        except HTTPException:
            self._count(request)
            raise
        return found

    def _answer(self, request: Request, route: Route, values: Mapping[str, Any]) -> Response:
        if not route.always:
            if not self.is_open():
                return unavailable("The service is starting.")
            try:
                if not route.public:
                    self.authorize(request, route)
            finally:
                self._count(request)  # also whom nobody knows: by the address then
        return route.answer(request, *values.values())

    def _count(self, request: Request) -> None:
        """Count a request against its client's rate; raises `TooManyRequests`."""
        if self.entrance.rates is None:
            return
        client = self.client_of(request) or self.entrance.proxies.client_of(request.environ)
        quota = self.entrance.rates.take(client)
        request.environ[QUOTA] = quota
        if not quota.taken:
            metrics.REFUSED.labels(429).inc()
            raise TooManyRequests

    def _dress(self, request: Request, route: Route | None, response: Response) -> None:
        """Add the headers that every answer has; what a route has said itself stays."""
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
            made = _problem_response(error.problem())
            if error.status == 401:
                made.headers["WWW-Authenticate"] = "Bearer"
            if error.status == 503:
                made.headers["Retry-After"] = "3"
            return made
        if isinstance(error, RequestEntityTooLarge):
            most = (request.max_content_length or 1) - 1
            return problem(413, "Content Too Large", f"At most {most} bytes.")
        if isinstance(error, HTTPException):
            made = problem(error.code or 500, error.name, error.description or "")
            if allowed := getattr(error, "valid_methods", None):
                made.headers["Allow"] = ", ".join(sorted(allowed))
            return made
        if isinstance(error, STORAGE_ERRORS):
            self.log.error("database unavailable", error=str(error))
            return unavailable("The database does not answer.")
        self.log.error("request failed", path=request.path, exc_info=error)
        return problem(500, "Internal Server Error", "The failure is in the log.")

    def _account(self, request: Request, route: Route | None, status: int, seconds: float) -> None:
        name = route.path if route else "-"
        method = request.method if request.method in METHODS else "-"
        metrics.REQUESTS.labels(method, name, status).observe(seconds)
        self.log.info(
            "request", method=method, route=name, status=status, ms=round(seconds * 1000, 1)
        )


class Web(WebServer):
    """The web server of a process: the service's own routes, health and metrics."""

    _sock: Any

    routes: Callable[[], Iterable[Route]]
    """What to serve; set by the carriage that this server belongs to."""
    authorize: Callable[[Request, Route], None]
    """Who may use them; likewise."""
    client_of: Callable[[Request], str | None]
    """Whose request it is, where that is known; likewise."""
    is_open = False
    """Whether more than the routes that are always open may be asked for."""

    @property
    def serves(self) -> bool:
        """Whether this service opens a port in this process."""
        return self.container.service_name in self.container.config.get("http", ())

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        port: int = self._sock.getsockname()[1]
        return port

    def start(self) -> None:
        """Open the port, if this service serves one; a port in use is a `Misconfigured`."""
        if not self.serves or self._sock is not None:
            return
        settings = self.container.config["settings"]
        address = settings.http_address, settings.http_port
        try:
            self._sock = eventlet.listen(address, backlog=512, reuse_port=False)
        except OSError as error:
            raise Misconfigured(f"Port {address[1]} cannot be opened: {error.strerror}.") from None
        self._sock.settimeout(None)
        self.entrance = Entrance.of(settings)
        self.connections = Connections(self.entrance.bounds(settings))
        self._serv = self.get_wsgi_server(self._sock, self.get_wsgi_app())
        self._gt = self.container.spawn_managed_thread(self.run)

    def run(self) -> None:
        """Accept connections; one that fails, and a want of file handles, ends nothing else."""
        while self._is_accepting:
            try:
                connection, address = self._sock.accept()
            except OSError as error:
                if not self._is_accepting:
                    return
                log(self.container.service_name).warning("not accepted", error=str(error))
                eventlet.sleep(0.1)
                continue
            if refused := self.connections.begin(address[0]):
                turn_away(connection, refused)
                continue
            connection.settimeout(SEND_SECONDS)
            serve = partial(self.process_request, connection, address)
            self.container.spawn_managed_thread(serve)

    def process_request(self, sock: Any, address: Any) -> None:
        """Serve one connection until it ends, however it ends."""
        try:
            super().process_request(sock, address)
        except OSError as error:
            log(self.container.service_name).info("connection lost", error=str(error))
            sock.close()
        finally:
            self.connections.end(address[0])

    def stop(self) -> None:
        """Close the port."""
        if self.serves and self._gt is not None:
            super().stop()

    def get_wsgi_app(self) -> Application:
        """Build the application from the service's routes."""
        return Application(
            self.container.service_name,
            self.routes(),
            lambda: self.is_open,
            self.authorize,
            self.client_of,
            self.entrance,
        )

    def get_wsgi_server(self, sock: Any, wsgi_app: Any, **_: Any) -> Any:
        """Build eventlet's server: it logs nothing by itself, since the application does."""
        return wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=type("Bounded", (Protocol,), {"bounds": self.connections.bounds}),
            debug=False,
            log_output=False,
            url_length_limit=LONGEST_LINE,
            keepalive=IDLE_SECONDS,
            socket_timeout=SEND_SECONDS,
        )


def health(ready: Callable[[], dict[str, bool]]) -> list[Route]:
    """Give the routes that every process has: alive, ready, metrics."""

    def readiness(_request: Request) -> Response:
        parts = ready()
        return answer(parts, 200 if all(parts.values()) else 503)

    return [
        Route("GET", "/livez", lambda _request: answer({"alive": True}), always=True),
        Route("GET", "/readyz", readiness, always=True),
        Route(
            "GET",
            "/metrics",
            lambda _request: Response(generate_latest(), content_type=CONTENT_TYPE_LATEST),
            always=True,
        ),
    ]
