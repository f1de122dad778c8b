"""DNS lookups by the system resolver, in threads, as a cooperative process needs them.

Eventlet's own resolver would load a DNS library of 8 MB into each process. The system's blocks its
caller, so it runs in a thread.
"""

from typing import Any

from eventlet import spawn, tpool
from eventlet.green import socket
from eventlet.semaphore import Semaphore

_OURS, _STRANGERS = Semaphore(8), Semaphore(8)
"""Slow lookups must not use up all threads; and hosts named by users, which may be slow on purpose,
must leave some for our own servers."""
_ask = socket.getaddrinfo


def addresses(host: Any, *more: Any, **named: Any) -> Any:
    """Look up the addresses of a host; replaces `socket.getaddrinfo`."""
    return _look_up(_OURS, host, *more, **named)


def addresses_of_stranger(host: Any, *more: Any, **named: Any) -> Any:
    """Look up the addresses of a host named by a user."""
    return _look_up(_STRANGERS, host, *more, **named)


def _look_up(turns: Semaphore, host: Any, *more: Any, **named: Any) -> Any:
    try:
        _ask(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:  # not an address
        turns.acquire()
        results, error = spawn(_in_thread, turns, host, *more, **named).wait()
        if error is not None:
            raise error from None
        return results
    return _ask(host, *more, **named)


def _in_thread(turns: Semaphore, *arguments: Any, **named: Any) -> tuple[Any, Exception | None]:
    """Look up in a thread, which keeps its slot until it ends, even if the caller gives up
    sooner."""
    try:
        return tpool.execute(_ask, *arguments, **named), None
    except Exception as error:
        return None, error
    finally:
        turns.release()


socket.getaddrinfo = addresses
