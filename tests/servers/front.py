"""A private nginx, with the configuration of the deployment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.packages import PATH, need
from tests.servers.programs import Program, Server, accepts, free_ports, site


class Nginx(Server):
    """An nginx that listens on one port."""

    def is_ready(self) -> bool:
        """Return whether it takes connections."""
        return accepts(self.port)


@contextmanager
def nginx(folder: Path, text: str, replaced: Mapping[str, str], port: str) -> Iterator[Nginx]:
    """Run an nginx by the text of a configuration, in which words are replaced: `port` by one that
    is free, and /tmp by a folder of its own."""
    program = need(_find, "nginx")
    with site(folder, "nginx") as place, free_ports(1) as (free,):
        text = text.replace("/tmp/", f"{place.home}/")
        for old, new in {**replaced, f"listen {port} ": f"listen 127.0.0.1:{free} "}.items():
            if old not in text:
                raise ValueError(f"the configuration does not say {old}")
            text = text.replace(old, new)
        config = place.home / "nginx.conf"
        config.write_text(text)
        options = [program, "-p", place.home, "-e", "stderr", "-c", config]
        checked = subprocess.run([*options, "-t"], capture_output=True, text=True, check=False)
        if checked.returncode or "[warn]" in checked.stderr:
            raise ValueError(checked.stderr)
        # as in its container, one user runs all of it
        as_we_are = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        with Program(place, [*options, "-g", as_we_are]) as running:
            server = Nginx(running, free)
            server.start()
            yield server


def _find() -> Path | None:
    found = shutil.which("nginx", path=PATH)
    return Path(found) if found else None
