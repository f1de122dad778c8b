"""The components of a gateway, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chassis.http.client import HttpClient
from chassis.sealing import Seal
from chassis.settings import Settings
from chassis.storage.store import Store
from rulebook import Rulebook
from services.gateway.access.tokens import Issuer, Verifier, issuer_of, verifier_of
from services.gateway.commands.clock import Clock
from services.gateway.commands.intake import CommandIntake
from services.gateway.commands.local import LocalCommands
from services.gateway.commands.parsing import CommandParser
from services.gateway.event_log.feed import Feed
from services.gateway.event_log.notifier import EventNotifier
from services.gateway.event_log.stream import Streams
from services.gateway.exports.jobs import Exporting
from services.gateway.person_keys import PersonKeys, key_file
from services.gateway.read_models.queries import Reads
from services.gateway.webhooks.dispatcher import Dispatcher
from services.gateway.webhooks.home import Home


@dataclass(frozen=True)
class Components:
    """The components of a gateway; each exists once and lives as long as the process."""

    settings: Settings
    store: Store
    rulebook: Rulebook
    clock: Clock
    seal: Seal
    person_keys: PersonKeys
    reads: Reads
    intake: CommandIntake
    local_commands: LocalCommands
    parser: CommandParser
    exporting: Exporting
    issuer: Issuer | None
    verifier: Verifier
    notifier: EventNotifier
    feed: Feed
    streams: Streams
    dispatcher: Dispatcher

    @property
    def loops(self) -> tuple[Callable[[], None], ...]:
        """The background loops, which run as long as the process."""
        return (
            self.intake.run,
            self.intake.look,
            self.clock.run,
            self.exporting.run,
            self.exporting.keep,
            self.notifier.look,
            self.dispatcher.run,
        )

    def stop(self) -> None:
        """Release every waiting request: commands and exports are durable, and a stream's client
        resumes in the feed."""
        self.intake.close()
        self.exporting.close()
        self.notifier.close()
        self.dispatcher.stop()


def build(
    store: Store,
    settings: Settings,
    rulebook: Rulebook,
    offered: Mapping[str, str | None],
    *,
    wake: Callable[[], None],
    is_leader: Callable[[], bool],
    quiet: Callable[[], bool] | None,
) -> Components:
    """Build the components of a gateway, bottom-up; raises `Misconfigured`."""
    clock = Clock(store, manual=settings.clock == "manual", wake=wake, quiet=quiet)
    seal = _seal(store, settings)
    person_keys, reads = PersonKeys(store, seal), Reads(store)
    issuer = issuer_of(settings)
    verifier = verifier_of(settings, issuer)
    verifier.now = store.now
    if issuer is not None:
        issuer.now = store.now
    notifier, feed = EventNotifier(store), Feed(store, rulebook, offered)
    http_client = HttpClient(private=settings.webhooks_to == "private")
    home = Home(store, settings.deployment)
    return Components(
        settings=settings,
        store=store,
        rulebook=rulebook,
        clock=clock,
        seal=seal,
        person_keys=person_keys,
        reads=reads,
        intake=CommandIntake(store, wake, clock.now, person_keys),
        local_commands=LocalCommands(store, seal, clock.now),
        parser=CommandParser(seal, reads.look, lambda: rulebook.on(clock.today())),
        exporting=Exporting(reads, rulebook),
        issuer=issuer,
        verifier=verifier,
        notifier=notifier,
        feed=feed,
        streams=Streams(feed, notifier, settings.streams),
        dispatcher=Dispatcher(store, feed, notifier, seal, http_client, is_leader, home),
    )


def _seal(store: Store, settings: Settings) -> Seal:
    """Read the sealing keys; raises `Misconfigured`."""
    is_new = store.last_seq_at_start == 0  # a lost key must not be replaced
    create = not settings.seal_key_file and is_new
    return Seal.from_file(key_file(settings), create=create)
