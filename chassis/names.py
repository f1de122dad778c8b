"""The names of hosts, looked up by the system: a part of what makes a process cooperative.

Eventlet's own resolver would bring 8 MB of a DNS library into each process. The system's makes
whoever asks wait, so it is asked in a thread.
"""

from typing import Any

from eventlet import tpool
from eventlet.green import socket
from eventlet.semaphore import Semaphore

_AT_ONCE = Semaphore(8)
"""Leaves threads to others where names are slow to be found."""
_ask = socket.getaddrinfo


def addresses(host: Any, *more: Any, **named: Any) -> Any:
    """Look up the addresses of a host, as `socket.getaddrinfo` does, whose place it takes."""
    try:
        _ask(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:  # it is a name
        with _AT_ONCE:
            return tpool.execute(_ask, host, *more, **named)
    return _ask(host, *more, **named)


socket.getaddrinfo = addresses
