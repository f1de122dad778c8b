"""A private Prometheus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.servers.packages import PATH, need
from tests.servers.programs import HOST, Program, Server, free_ports, site


class Prometheus(Server):
    """A Prometheus server."""

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{HOST}:{self.port}"

    def is_ready(self) -> bool:
        """Return whether it answers queries."""
        with suppress(URLError, OSError), urlopen(f"{self.url}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
        return False

    def query(self, expression: str) -> list[dict[str, object]]:
        """Return the series that an expression has now, each with `metric` and `value`."""
        asked = urlencode({"query": expression})
        with urlopen(f"{self.url}/api/v1/query?{asked}", timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])


def promtool() -> Path:
    """Find Prometheus' tool that checks its files."""
    return need(_find, "prometheus").with_name("promtool")


@contextmanager
def prometheus(folder: Path, config: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with a configuration file and yield its handle."""
    program = need(_find, "prometheus")
    with site(folder, "prometheus") as place, free_ports(1) as (port,):
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={place.home}",
            f"--web.listen-address={HOST}:{port}",
        ]
        with Program(place, command) as running:
            server = Prometheus(running, port)
            server.start()
            yield server


def _find() -> Path | None:
    """Find Prometheus, with its tool beside it."""
    found = shutil.which("prometheus", path=PATH)
    path = Path(found) if found else None
    return path if path and path.with_name("promtool").is_file() else None
