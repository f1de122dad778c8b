"""The names of hosts, looked up by the system: a part of what makes a process cooperative.

Eventlet's own resolver would bring 8 MB of a DNS library into each process. The system's makes
whoever asks wait, so it is asked in a thread.
"""

from typing import Any

from eventlet import spawn, tpool
from eventlet.green import socket
from eventlet.semaphore import Semaphore

_OURS, _STRANGERS = Semaphore(8), Semaphore(8)
"""Leave threads to others where names are slow to be found; and names that others have given, which
may be slow on purpose, leave some to those of our own servers."""
_ask = socket.getaddrinfo


def addresses(host: Any, *more: Any, **named: Any) -> Any:
    """Look up the addresses of a host, as `socket.getaddrinfo` does, whose place it takes."""
    return _look_up(_OURS, host, *more, **named)


def addresses_of_stranger(host: Any, *more: Any, **named: Any) -> Any:
    """Look up the addresses of a host that somebody else has named."""
    return _look_up(_STRANGERS, host, *more, **named)


def _look_up(turns: Semaphore, host: Any, *more: Any, **named: Any) -> Any:
    try:
        _ask(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:  # it is a name
        turns.acquire()
        found, error = spawn(_in_thread, turns, host, *more, **named).wait()
        if error is not None:
            raise error from None
        return found
    return _ask(host, *more, **named)


def _in_thread(turns: Semaphore, *asked: Any, **named: Any) -> tuple[Any, Exception | None]:
    """Ask in a thread, whose turn ends when it does: whoever waits for it may give up sooner."""
    try:
        return tpool.execute(_ask, *asked, **named), None
    except Exception as error:
        return None, error
    finally:
        turns.release()


socket.getaddrinfo = addresses
