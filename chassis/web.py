"""HTTP: routes, problems (RFC 9457), health, metrics, and one log line for each request."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import HttpOnlyProtocol, WebServer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request, Response

from chassis import metrics
from chassis.errors import Rejected
from chassis.logs import log
from chassis.message import encode
from chassis.settings import Misconfigured
from chassis.store import STORAGE_ERRORS

LARGEST_BODY = 16 * 1024 * 1024
IDLE_SECONDS = 75.0
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)


@dataclass(frozen=True)
class Route:
    """One route: its method, its path in werkzeug's syntax, and the function that answers it."""

    method: str
    path: str
    answer: Callable[..., Response]


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


def _problem_response(body: dict[str, Any]) -> Response:
    return Response(encode(body) + "\n", body["status"], mimetype="application/problem+json")


def rejected(problem_of: dict[str, Any]) -> Response:
    """Answer with a problem that a service has stated."""
    return _problem_response(problem_of)


class _Identifier(BaseConverter):
    """What stands in a path for a thing: anything else names nothing, and is a 404."""

    regex = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"


class Application:
    """The WSGI application of one process."""

    def __init__(self, service: str, routes: Iterable[Route]) -> None:
        self.log = log(service)
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
            route, values = self.map.bind_to_environ(environ).match()
            response = route.answer(request, *values.values())
        except Exception as error:
            response = self._problem_of(error, request)
        self._account(request, route, response.status_code, time.perf_counter() - started)
        return response(environ, start_response)

    def _problem_of(self, error: Exception, request: Request) -> Response:
        if isinstance(error, Rejected):
            return _problem_response(error.problem())
        if isinstance(error, RequestEntityTooLarge):
            return problem(413, "Content Too Large", f"At most {LARGEST_BODY} bytes.")
        if isinstance(error, HTTPException):
            made = problem(error.code or 500, error.name, error.description or "")
            if allowed := getattr(error, "valid_methods", None):
                made.headers["Allow"] = ", ".join(sorted(allowed))
            return made
        if isinstance(error, STORAGE_ERRORS):
            self.log.error("database unavailable", error=str(error))
            made = problem(503, "Service Unavailable", "The database does not answer.")
            made.headers["Retry-After"] = "3"
            return made
        self.log.error("request failed", path=request.path, exc_info=error)
        return problem(500, "Internal Server Error", "The failure is in the log.")

    def _account(self, request: Request, route: Route | None, status: int, seconds: float) -> None:
        name = route.path if route else "-"
        method = request.method if request.method in METHODS else "-"
        metrics.REQUESTS.labels(method, name, status).observe(seconds)
        self.log.info(
            "request", method=method, route=name, status=status, ms=round(seconds * 1000, 1)
        )


class _Protocol(HttpOnlyProtocol):
    """HTTP/1.1 without Nagle's delay."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Web(WebServer):
    """The web server of a process: the service's own routes, health and metrics."""

    _sock: Any

    routes: Callable[[], Iterable[Route]]
    """What to serve; set by the carriage that this server belongs to."""

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
            connection.settimeout(IDLE_SECONDS)
            serve = partial(self.process_request, connection, address)
            self.container.spawn_managed_thread(serve)

    def process_request(self, sock: Any, address: Any) -> None:
        """Serve one connection until it ends, however it ends."""
        try:
            super().process_request(sock, address)
        except OSError as error:
            log(self.container.service_name).info("connection lost", error=str(error))
            sock.close()

    def stop(self) -> None:
        """Close the port."""
        if self.serves and self._gt is not None:
            super().stop()

    def get_wsgi_app(self) -> Application:
        """Build the application from the service's routes."""
        return Application(self.container.service_name, self.routes())

    def get_wsgi_server(self, sock: Any, wsgi_app: Any, **_: Any) -> Any:
        """Build eventlet's server: it logs nothing by itself, since the application does."""
        return wsgi.Server(
            sock,
            sock.getsockname(),
            wsgi_app,
            protocol=_Protocol,
            debug=False,
            log_output=False,
            socket_timeout=IDLE_SECONDS,
        )


def health(ready: Callable[[], dict[str, bool]]) -> list[Route]:
    """Give the routes that every process has: alive, ready, metrics."""

    def readiness(_request: Request) -> Response:
        parts = ready()
        return answer(parts, 200 if all(parts.values()) else 503)

    return [
        Route("GET", "/livez", lambda _request: answer({"alive": True})),
        Route("GET", "/readyz", readiness),
        Route(
            "GET",
            "/metrics",
            lambda _request: Response(generate_latest(), content_type=CONTENT_TYPE_LATEST),
        ),
    ]
