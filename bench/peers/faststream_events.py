"""FastStream and async SQLAlchemy: a session and a commit for each event, several at once.

The channel's prefetch determines how many are handled at once.
"""

import asyncio
import os

from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.peers.tables import rows_of

AT_ONCE = 20
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=AT_ONCE)
sessions = async_sessionmaker(engine, expire_on_commit=False)
broker = RabbitBroker(
    os.environ["AMQP_URI"], default_channel=Channel(prefetch_count=AT_ONCE), logger=None
)
app = FastStream(broker, logger=None)
visits = RabbitQueue(os.environ["QUEUE"], durable=True, queue_type=QueueType.QUORUM)


@broker.subscriber(visits)
async def count(payload: dict, message: RabbitMessage) -> None:
    """Write the three rows, and commit them; FastStream acknowledges afterwards."""
    async with sessions() as session:
        session.add_all(rows_of(message.headers, payload))
        try:
            await session.commit()
        except IntegrityError:
            await session.rollback()  # it was handled before


@app.after_startup
async def tell() -> None:
    """Print that it has started."""
    print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(app.run())
