"""A handler that ends its process for one enterprise."""

import functools
import os
import signal

from services.filing.service import Filings

DEADLY_NAME = "致命小店"


def arm():
    """Have filing's process killed whenever it registers the deadly enterprise."""
    original = Filings.register

    @functools.wraps(original)
    def register(self, asked, db):
        if asked.name == DEADLY_NAME:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, asked, db)

    Filings.register = register
