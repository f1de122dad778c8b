"""A bare kombu consumer: acknowledges each message and does nothing else."""

import os
import time

from kombu import Connection, Consumer, Queue

MOST = int(os.environ["MESSAGES"])
queue = Queue(
    os.environ["QUEUE"],
    durable=True,
    no_declare=True,
    queue_arguments={"x-queue-type": "quorum"},
)
times = []


def count(_body, message):
    """Acknowledge a message, and record the time."""
    message.ack()
    times.append(time.monotonic())


if __name__ == "__main__":
    with Connection(os.environ["AMQP_URI"]) as connection:
        print("ready", flush=True)
        with Consumer(connection, queue, callbacks=[count], prefetch_count=500):
            while len(times) < MOST:
                connection.drain_events(timeout=30)
    print(f"per second {(MOST - 1) / (times[-1] - times[0])}", flush=True)
