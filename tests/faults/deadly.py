"""A handler that ends its process for one enterprise."""

import os
import signal

from services.filing.service import Filings

DEADLY_NAME = "致命小店"


def arm():
    """Have filing's process killed whenever it registers the deadly enterprise."""
    original = Filings._faults

    def faults(self, asked):
        if asked.name == DEADLY_NAME:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, asked)

    Filings._faults = faults
