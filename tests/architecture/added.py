"""Run in a copy of the repository to which something was added: records what is seen of it there.

`python -m tests.architecture.added FOLDER` runs an embedded district in a folder, and writes its
findings to `seen.json` in it.
"""

import json
import sys
from pathlib import Path

import chassis.runtime.green  # noqa: F401  (before everything that listens)
import contracts
from chassis.messaging.memory_bus import EmbeddedBus
from contracts import asyncapi
from services.gateway.openapi import document
from tests.district import TestDistrict
from tools.documents import catalogue
from tools.roles import page


def story(district):
    """Have an answer praised; return what was answered, and the events that followed."""
    district.begin()
    complaint = district.complain(against="店")
    district.client.post(
        f"/v1/complaints/{complaint}/answer", {"answer": "已處理", "substantiated": True}
    )
    district.settle()
    made = district.client.post(f"/v1/complaints/{complaint}/praise", {"praise": "辦得好"})
    district.settle()
    feed = district.client.get("/v1/events?type=answer-praised,praise-passed-on")["items"]
    return {
        "complaint": complaint,
        "answer": made,
        "feed": [[each["source"], each["type"], each["data"]["praise"]] for each in feed],
    }


def main():
    folder = Path(sys.argv[1])
    district = TestDistrict(folder / "data", EmbeddedBus())
    try:
        routes = district.running.hosts["gateway"].web.get_wsgi_app().map.iter_rules()
        seen = {
            "from": contracts.__path__[0],
            "routes": sorted(f"{rule.endpoint.method} {rule.endpoint.path}" for rule in routes),
            "openapi": document()["paths"],
            "roles": page(),
            "catalogue": catalogue(),
            "asyncapi": asyncapi.document(),
            "story": story(district),
        }
    finally:
        district.stop()
    (folder / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
