"""HTTP: routes, problems (RFC 9457), health, metrics, and one log line for each request."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import HttpOnlyProtocol, WebServer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from chassis import metrics
from chassis.errors import Rejected
from chassis.logs import log
from chassis.message import encode
from chassis.settings import Misconfigured
from chassis.store import STORAGE_ERRORS

LARGEST_BODY = 16 * 1024 * 1024
IDLE_SECONDS = 75.0


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


class Unreadable(Rejected):
    """The body is not readable."""

    status = 400


def json_body(request: Request) -> dict[str, Any]:
    """Read a JSON object; raises `Unreadable`, or 415 where the type is another."""
    if request.mimetype != "application/json":
        raise UnsupportedType
    try:
        data = json.loads(request.get_data() or b"", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"The body is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise Unreadable("The body is not a JSON object.")
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


class UnsupportedType(Rejected):
    """The media type of the body is not one that this route reads."""

    status = 415


class Application:
    """The WSGI application of one process."""

    def __init__(self, service: str, routes: Iterable[Route]) -> None:
        self.log = log(service)
        self.map = Map(
            [Rule(r.path, methods=[r.method], endpoint=r) for r in routes],
            strict_slashes=False,
            redirect_defaults=False,
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        started = time.perf_counter()
        request = Request(environ)
        request.max_content_length = LARGEST_BODY
        adapter = self.map.bind_to_environ(environ)
        route: Route | None = None
        try:
            route, values = adapter.match()
            response = route.answer(request, **values)
        except Rejected as error:
            response = _problem_response(error.problem())
        except RequestEntityTooLarge:
            response = problem(413, "Content Too Large", f"At most {LARGEST_BODY} bytes.")
        except HTTPException as error:
            response = problem(error.code or 500, error.name, error.description or "")
            if allowed := getattr(error, "valid_methods", None):
                response.headers["Allow"] = ", ".join(sorted(allowed))
        except STORAGE_ERRORS as error:
            self.log.error("database unavailable", error=str(error))
            response = problem(503, "Service Unavailable", "The database does not answer.")
            response.headers["Retry-After"] = "3"
        except Exception:
            self.log.exception("request failed", path=request.path)
            response = problem(500, "Internal Server Error", "The failure is in the log.")
        self._account(request, route, response.status_code, time.perf_counter() - started)
        return response(environ, start_response)

    def _account(
        self, request: Request, route: Route | None, status: int, seconds: float
    ) -> None:
        name = route.path if route else "-"
        metrics.REQUESTS.labels(request.method, name, status).observe(seconds)
        self.log.info(
            "request",
            method=request.method,
            route=name,
            status=status,
            ms=round(seconds * 1000, 1),
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
