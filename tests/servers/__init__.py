"""Private PostgreSQL, RabbitMQ, Prometheus and nginx servers for the tests, on ports of their own.

Each server runs from the installed programs, as our child, in a folder that is removed afterwards;
only its log stays behind. No server that runs already is needed, asked or touched. What is yielded
is a handle, by which a test can stop, kill, start and pause the server.
"""

from tests.servers.broker import Rabbit, await_cluster, rabbitmq, rabbitmq_cluster
from tests.servers.database import Postgres, postgres, postgres_restored
from tests.servers.front import Nginx, nginx
from tests.servers.monitor import Prometheus, prometheus, promtool
from tests.servers.node import node
from tests.servers.packages import Unavailable

__all__ = [
    "Nginx",
    "Postgres",
    "Prometheus",
    "Rabbit",
    "Unavailable",
    "await_cluster",
    "nginx",
    "node",
    "postgres",
    "postgres_restored",
    "prometheus",
    "promtool",
    "rabbitmq",
    "rabbitmq_cluster",
]
