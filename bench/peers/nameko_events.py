"""Plain nameko: a handler, a session for each event, a commit for each event.

The queue is a quorum queue, which `@consume` supports and `@event_handler` does not.
"""

import os
import warnings

os.environ["PSYCOPG_WAIT_FUNC"] = "wait_selector"
warnings.simplefilter("ignore")

import eventlet

eventlet.monkey_patch()

from kombu import Queue
from nameko.extensions import DependencyProvider
from nameko.messaging import consume
from nameko.runners import ServiceRunner
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from bench.peers.tables import rows_of

WORKERS = 10  # nameko's default of max_workers
VISITS = Queue(
    os.environ["QUEUE"],
    durable=True,
    no_declare=True,
    queue_arguments={"x-queue-type": "quorum"},
)


class Database(DependencyProvider):
    """Provides each worker with its own session, and closes it."""

    def setup(self):
        """Create the engine."""
        self.engine = create_engine(os.environ["DATABASE_URL"], pool_size=WORKERS)
        self.sessions = sessionmaker(self.engine)
        self.open = {}

    def stop(self):
        """Close its connections."""
        self.engine.dispose()

    def get_dependency(self, worker_ctx):
        """Return a new session for a worker."""
        session = self.open[worker_ctx] = self.sessions()
        return session

    def worker_teardown(self, worker_ctx):
        """Close the session of a worker."""
        self.open.pop(worker_ctx).close()


class Headers(DependencyProvider):
    """Provides a worker with the headers of its message."""

    def get_dependency(self, worker_ctx):
        """Return the headers of a worker's message."""
        return worker_ctx.data


class Tally:
    """Counts visits."""

    name = "tally"
    db: Session = Database()
    headers = Headers()

    @consume(VISITS)
    def count(self, payload):
        """Write the three rows, and commit them; nameko acknowledges afterwards."""
        self.db.add_all(rows_of(self.headers, payload))
        try:
            self.db.commit()
        except IntegrityError:
            self.db.rollback()  # it was handled before


if __name__ == "__main__":
    runner = ServiceRunner({"AMQP_URI": os.environ["AMQP_URI"], "max_workers": WORKERS})
    runner.add_service(Tally)
    runner.start()
    print("ready", flush=True)
    runner.wait()
