"""An embedded district and one on RabbitMQ and PostgreSQL, for what goes wrong in other systems."""

import pytest

from chassis.messaging.memory_bus import EmbeddedBus
from tests.broker.conftest import start_anew
from tests.district import DistributedDistrict, TestDistrict


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def district(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    if request.param == "embedded":
        running = TestDistrict(folder / "data", EmbeddedBus())
    else:
        where = [request.getfixturevalue(name) for name in ("postgres", "rabbitmq")]
        start_anew(*where)
        running = DistributedDistrict(folder / "data", *where)
    running.begin()
    yield running
    running.stop()
