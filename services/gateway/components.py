"""What the parts of a gateway are, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chassis.http.client import Outbound
from chassis.sealing import Seal
from chassis.settings import Settings
from chassis.storage.store import Store
from rulebook import Rulebook
from services.gateway.access.tokens import Issuer, Verifier, issuer_of, verifier_of
from services.gateway.commands.clock import Clock
from services.gateway.commands.intake import Door
from services.gateway.commands.local import Acts
from services.gateway.commands.parsing import Edge
from services.gateway.event_log.feed import Feed
from services.gateway.event_log.notifier import News
from services.gateway.event_log.stream import Streams
from services.gateway.exports.jobs import Exporting
from services.gateway.person_keys import People, key_file
from services.gateway.read_models.queries import Reads
from services.gateway.webhooks.home import Home
from services.gateway.webhooks.sender import Sender


@dataclass(frozen=True)
class Components:
    """The parts of one gateway; each is made once and lives as long as the process."""

    settings: Settings
    store: Store
    rulebook: Rulebook
    clock: Clock
    seal: Seal
    people: People
    reads: Reads
    door: Door
    acts: Acts
    edge: Edge
    exporting: Exporting
    issuer: Issuer | None
    verifier: Verifier
    news: News
    feed: Feed
    streams: Streams
    sender: Sender

    @property
    def loops(self) -> tuple[Callable[[], None], ...]:
        """What runs as long as the process."""
        return (
            self.door.run,
            self.door.look,
            self.clock.run,
            self.exporting.run,
            self.exporting.keep,
            self.news.look,
            self.sender.run,
        )

    def stop(self) -> None:
        """Release everyone who waits: their commands and exports are durable, and a stream says
        where to go on in the feed."""
        self.door.close()
        self.exporting.close()
        self.news.close()
        self.sender.stop()


def build(
    store: Store,
    settings: Settings,
    rulebook: Rulebook,
    offered: Mapping[str, str | None],
    *,
    wake: Callable[[], None],
    leads: Callable[[], bool],
    quiet: Callable[[], bool] | None,
) -> Components:
    """Make the parts of a gateway, from the bottom to the top; raises `Misconfigured`."""
    clock = Clock(store, manual=settings.clock == "manual", wake=wake, quiet=quiet)
    seal = _seal(store, settings)
    people, reads = People(store, seal), Reads(store)
    issuer = issuer_of(settings)
    verifier = verifier_of(settings, issuer)
    verifier.now = store.now
    if issuer is not None:
        issuer.now = store.now
    news, feed = News(store), Feed(store, rulebook, offered)
    outbound = Outbound(private=settings.webhooks_to == "private")
    home = Home(store, settings.deployment)
    return Components(
        settings=settings,
        store=store,
        rulebook=rulebook,
        clock=clock,
        seal=seal,
        people=people,
        reads=reads,
        door=Door(store, wake, clock.now, people),
        acts=Acts(store, seal, clock.now),
        edge=Edge(seal, reads.look, lambda: rulebook.on(clock.today())),
        exporting=Exporting(reads, rulebook),
        issuer=issuer,
        verifier=verifier,
        news=news,
        feed=feed,
        streams=Streams(feed, news, settings.streams),
        sender=Sender(store, feed, news, seal, outbound, leads, home),
    )


def _seal(store: Store, settings: Settings) -> Seal:
    """Read the key of sealed data; raises `Misconfigured`."""
    is_new = store.last_seq_at_start == 0  # a key that is lost is not replaced
    create = not settings.seal_key_file and is_new
    return Seal.from_file(key_file(settings), create=create)
