"""Make the process cooperative: imported before anything else, by every entry point.

eventlet is in maintenance mode upstream and says so at import; docs/decisions/0003 says why it is
kept, and this is the one place where its notice is silenced.
"""

import os
import warnings

os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_selector")  # psycopg knows gevent's loop only
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

eventlet.monkey_patch()
