"""The event stream: the feed as server-sent events, resumable after a disconnect.

Events are read from the feed page by page, as fast as the client reads. A slow client holds only
its own page and delays no other.
"""

from __future__ import annotations

from collections.abc import Iterator

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from chassis import metrics
from chassis.http.responses import streamed, unavailable
from chassis.runtime.green import Semaphore
from chassis.storage.engine import STORAGE_ERRORS
from services.gateway.event_log.feed import TURNS, Feed, Scope, Wanted, cloud_event
from services.gateway.event_log.notifier import EventNotifier
from services.gateway.http.media_types import EVENT_STREAM

AT_ONCE = 100
"""Events of one page."""
KEEP_ALIVE = 15.0
"""Seconds of silence before a keep-alive is sent."""
RETRY = 1000
"""Milliseconds after which a client reconnects."""


class Streams:
    """The open streams of this process, limited in number."""

    def __init__(self, feed: Feed, notifier: EventNotifier, most: int) -> None:
        self.feed = feed
        self.notifier = notifier
        self.most = most
        self.keep_alive = KEEP_ALIVE
        self._turns = Semaphore(TURNS)
        self._open = 0

    def answer(self, request: Request, scope: Scope = ()) -> Response:
        """Open a stream after `Last-Event-ID` or `after`; raises `BadRequest`."""
        parameters = MultiDict(request.args)
        if reached := request.headers.get("Last-Event-ID", "").strip():
            parameters.setlist("after", [reached])
        wanted, _, after = self.feed.parse(parameters, ["after"])
        self.feed.page(
            wanted, after, 1, scope
        )  # an invalid position is rejected before the stream begins
        if self._open >= self.most or self.notifier.closed:
            return unavailable("The maximum number of streams is open.")
        return streamed(request, self._sent(wanted, after, scope), EVENT_STREAM)

    def _sent(self, wanted: Wanted, after: int, scope: Scope) -> Iterator[str]:
        self._open += 1
        metrics.STREAMS.inc()
        try:
            with self.notifier.watched():
                yield f"retry: {RETRY}\n\n"
                yield from self._pages(wanted, after, scope)
        except STORAGE_ERRORS:
            return  # the client reconnects, and resumes where it stopped
        finally:
            self._open -= 1
            metrics.STREAMS.dec()

    def _pages(self, wanted: Wanted, after: int, scope: Scope) -> Iterator[str]:
        while not self.notifier.closed:
            with self._turns:
                page = self.feed.page(wanted, after, AT_ONCE, scope)
            after = page.following
            if page.rows:
                yield "".join(
                    f"id: {row.position}\ndata: {cloud_event(row)}\n\n" for row in page.rows
                )
            if page.ends:
                known = page.as_of["position"]
                self.notifier.wait(known, self.keep_alive)
                if self.notifier.position <= known and not self.notifier.closed:
                    yield f": alive\nid: {after}\n\n"  # moves the position of a reconnect
