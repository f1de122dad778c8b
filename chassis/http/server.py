"""The web server of a process, which serves the routes of its services."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web.server import WebServer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.wrappers import Request, Response

from chassis.http.application import Application, Entrance
from chassis.http.connections import (
    IDLE_SECONDS,
    LONGEST_LINE,
    SEND_SECONDS,
    Connections,
    Protocol,
    turn_away,
)
from chassis.http.responses import Route, answer
from chassis.logs import log
from chassis.settings import Misconfigured


class Web(WebServer):
    """The web server of a process: the service's own routes, health and metrics."""

    _sock: Any

    is_open = False
    """Whether routes beside those that are always open are served."""

    def serve(self, service: Any, routes: Iterable[Route]) -> None:
        """Serve the routes of a service, and these; called before the port opens."""
        self._service, self._routes = service, [*routes]

    @property
    def serves(self) -> bool:
        """Whether this service opens a port in this process."""
        return self.container.service_name in self.container.config.get("http", ())

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
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
        """Accept connections; neither a failed connection nor a lack of file handles ends the
        loop."""
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
        """Serve one connection until it ends."""
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
        """Return the application with the service's routes."""
        return Application(
            self.container.service_name,
            [*self._routes, *self._service.routes()],
            lambda: self.is_open,
            self._service.authorize,
            self._service.client_of,
            self.entrance,
        )

    def get_wsgi_server(self, sock: Any, wsgi_app: Any, **_: Any) -> Any:
        """Return eventlet's server, without a log of its own, since the application logs."""
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
    """Return the routes of every process: liveness, readiness, metrics."""

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
