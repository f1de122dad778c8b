"""A handler that ends its process for one enterprise."""

import functools
import os
import signal

from services.filing.handlers import registry

DEADLY_NAME = "致命小店"


def arm():
    """Have filing's process killed whenever it registers the deadly enterprise."""
    original = registry.register

    @functools.wraps(original)
    def register(command, uow):
        if command.name == DEADLY_NAME:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(command, uow)

    registry.register = register
