"""A private RabbitMQ node, and a cluster of them."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers.debian import rabbitmq4_root
from tests.servers.packages import PATH, need
from tests.servers.programs import (
    HOST,
    START_SECONDS,
    Program,
    Server,
    Site,
    accepts,
    free_ports,
    site,
    wait_until,
)

# Of the machine's memory: none, so that whatever the node uses is too much, and what is usual.
NO_MEMORY, MEMORY = "0", "0.4"


@dataclass(frozen=True)
class Programs:
    """The programs of one version of RabbitMQ, as they are seen in its root folder."""

    server: Path
    ctl: Path
    epmd: Path
    root: Path | None = None


class Rabbit(Server):
    """A RabbitMQ node; its user is `guest`."""

    def __init__(
        self,
        program: Program,
        port: int,
        node: str,
        ctl: list[str],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(program, port)
        self.node = node
        self._ctl = ctl
        self._environment = environment

    @property
    def uri(self) -> str:
        """The AMQP URI."""
        return self.at(self.port)

    def at(self, port: int) -> str:
        """Return the AMQP URI by way of another port (a proxy's)."""
        return f"amqp://guest:guest@{HOST}:{port}//"

    def is_ready(self) -> bool:
        """Return whether this very node answers an AMQP protocol header with connection.start."""
        wanted = self.node.partition("@")[0].encode()
        answer = b""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as stream:
            stream.sendall(b"AMQP\x00\x00\x09\x01")
            while wanted not in answer and (piece := stream.recv(4096)):
                answer += piece
        return wanted in answer

    def ctl(self, *arguments: str) -> str:
        """Say something to this node by rabbitmqctl and give the answer; raises RuntimeError."""
        done = subprocess.run(
            [*self._ctl, "--quiet", "--node", self.node, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {said}")
        return done.stdout

    def alarm(self, *, on: bool) -> None:
        """Raise the memory alarm, which blocks every publisher, or clear it; returns when it is so.

        A restart clears it as well.
        """
        self.ctl("set_vm_memory_high_watermark", NO_MEMORY if on else MEMORY)
        wait_until(lambda: self._is_alarmed() is on, f"{self.node} has set its alarm to {on}")

    def sync(self) -> None:
        """Have the node write what it buffers of its tables, among them the quorum queues' names.

        A quorum queue that was declared less than a second before a kill may come back empty and
        without a leader, whatever was confirmed (seen with 3.10.8).
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def _is_alarmed(self) -> bool:
        return "memory" in self.ctl("eval", "rabbit_alarm:get_local_alarms().")


@contextmanager
def rabbitmq(
    folder: Path, version: int | None = None, *, conf: str = "", plugins: Sequence[str] = ()
) -> Iterator[Rabbit]:
    """Run a RabbitMQ node with a port mapper (epmd) of its own and yield its handle.

    The version is the installed one, or 4. `conf` is added to what its rabbitmq.conf holds.
    """
    with rabbitmq_cluster(folder, 1, version, conf=conf, plugins=plugins) as (node,):
        yield node


@contextmanager
def rabbitmq_cluster(
    folder: Path,
    nodes: int = 3,
    version: int | None = None,
    *,
    conf: str = "",
    plugins: Sequence[str] = (),
) -> Iterator[list[Rabbit]]:
    """Run a cluster of nodes, with a port mapper of their own, and yield their handles."""
    programs = _find_4() if version == 4 else need(_find, "rabbitmq-server")
    with ExitStack() as stack:
        mapper, *ports = stack.enter_context(free_ports(1 + 2 * nodes))
        places = [
            stack.enter_context(site(folder, "rabbitmq", root=programs.root)) for _ in range(nodes)
        ]
        stack.enter_context(_epmd(places[0], programs, mapper))
        family, cookie = secrets.token_hex(6), secrets.token_hex(16)
        names = [f"bihuan-{family}-{number}@localhost" for number in range(1, nodes + 1)]
        cluster = []
        for place, name, number in zip(places, names, range(nodes), strict=True):
            # The first one begins, and does not look for the others, which join it.
            peers = names if number else []
            port, distribution = ports[2 * number : 2 * number + 2]
            _configure(place, cookie, peers, conf, plugins)
            environment = _environment(place, name, port, distribution, mapper)
            program = stack.enter_context(Program(place, [programs.server], environment))
            ctl = place.command([programs.ctl])
            cluster.append(Rabbit(program, port, name, ctl, environment))
        cluster[0].start()
        for node in cluster[1:]:
            node.spawn()
        for node in cluster[1:]:
            node.start()
        if nodes > 1:
            await_cluster(cluster)
        yield cluster


def await_cluster(nodes: Sequence[Rabbit]) -> None:
    """Wait until the first of these nodes sees all of them, and no other, running."""
    names = {node.node for node in nodes}

    def is_whole() -> bool:
        status = json.loads(nodes[0].ctl("cluster_status", "--formatter", "json"))
        return set(status["running_nodes"]) == names

    wait_until(is_whole, f"{len(names)} nodes are a cluster")


@contextmanager
def _epmd(place: Site, programs: Programs, port: int) -> Iterator[None]:
    """Run a port mapper, by which nodes find each other."""
    environment = {**place.environment(), "ERL_EPMD_ADDRESS": HOST}
    with Program(place, [programs.epmd, "-port", port], environment) as daemon:
        daemon.spawn()
        daemon.await_ready(lambda: accepts(port))
        yield


def _configure(
    place: Site, cookie: str, peers: Sequence[str], conf: str, plugins: Sequence[str]
) -> None:
    """Write a node's configuration, the secret that its cluster shares, and whom it joins."""
    lines = ["cluster_formation.peer_discovery_backend = classic_config"] if peers else []
    for number, peer in enumerate(peers, start=1):
        lines.append(f"cluster_formation.classic_config.nodes.{number} = {peer}")
    (place.home / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in [*lines, conf]))
    (place.home / "rabbitmq-env.conf").touch()
    (place.home / "advanced.config").write_text("[].\n")
    (place.home / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    (place.home / ".erlang.cookie").write_text(cookie)
    (place.home / ".erlang.cookie").chmod(0o400)


def _environment(
    place: Site, node: str, port: int, distribution: int, mapper: int
) -> dict[str, str]:
    """Keep a node, its cookie, files and ports apart from any other and from /etc/rabbitmq."""
    home = place.inside(place.home)
    return {
        **place.environment(),
        "ERL_CRASH_DUMP_SECONDS": "0",
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(mapper),
        "ERL_FLAGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(home / "conf.d"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
    }


def _find() -> Programs | None:
    """Find RabbitMQ's programs, past Debian's wrappers that change the user, and epmd."""
    plain = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    server = str(plain) if plain.is_file() else shutil.which("rabbitmq-server", path=PATH)
    erlang = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    epmd = shutil.which("epmd", path=PATH) or next((str(path) for path in erlang), None)
    if not server or not epmd:
        return None
    return Programs(Path(server), Path(server).with_name("rabbitmqctl"), Path(epmd))


def _find_4() -> Programs:
    """Find the programs of RabbitMQ 4; raises `Unavailable`."""
    root = rabbitmq4_root()
    (epmd,) = root.glob("usr/lib/erlang/erts-*/bin/epmd")
    folder = Path("/usr/lib/rabbitmq/bin")
    seen = Path("/") / epmd.relative_to(root)
    return Programs(folder / "rabbitmq-server", folder / "rabbitmqctl", seen, root)
