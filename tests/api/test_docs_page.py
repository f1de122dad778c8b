"""The page of the API in a real browser: it shows every operation, and asks nobody outside."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from services.gateway.openapi import document
from services.gateway.pages import KINDS
from services.gateway.resources.gateway import PAGE_POLICY
from tests.servers.packages import PATH, Unavailable, need

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30_000
"""Milliseconds of the page's own time, which pass as fast as its work is done."""


@pytest.fixture(scope="module")
def browser():
    def find():
        return next(filter(None, (shutil.which(name, path=PATH) for name in BROWSERS)), None)

    try:
        return need(find, "chromium")
    except Unavailable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


class Elements(HTMLParser):
    """Collects what a page's elements point to, by the name of the attribute."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.inline = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, name, value) for name, value in attributes if value]
        self.inline += tag == "script" and "src" not in dict(attributes)


def shown(browser, folder, address):
    """Give the page as it is when its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet = [
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    done = subprocess.run(
        [
            browser,
            *options,
            *quiet,
            f"--user-data-dir={folder}",
            f"--virtual-time-budget={PATIENCE}",
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_the_page_shows_every_operation_and_points_nowhere_outside(district, browser, tmp_path):
    dom = shown(browser, tmp_path, f"{district.client.base}/docs")
    operations = [of for item in document()["paths"].values() for of in item.values()]
    ids = [f"operations-{of['tags'][0]}-{of['operationId']}" for of in operations]
    page = Elements(dom)
    elements = {value for _, name, value in page.found if name == "id"}
    assert set(ids) <= elements
    loaded = [value for _, name, value in page.found if name in ("src", "href", "action")]
    assert loaded
    assert [address for address in loaded if re.match(r"[a-z]+://|//", address)] == []
    assert page.inline == 0


def test_an_operation_opens_with_its_parameters_and_its_example(district, browser, tmp_path):
    dom = shown(browser, tmp_path, f"{district.client.base}/docs#/enterprises/registerEnterprise")
    for what in ("Idempotency-Key", "閉環小館", "application/problem+json", "x-roles"):
        assert what in dom


def test_every_file_of_the_page_is_served_under_the_policy(district):
    for path in ("/docs", *(f"/docs/{name}" for name in KINDS)):
        answer = district.client.request("GET", path, headers={"Authorization": ""})
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
        kept = {"If-None-Match": answer.headers["ETag"]}
        assert district.client.request("GET", path, headers=kept).status == 304
    assert district.client.request("GET", "/docs/none.js").status == 404
    assert district.client.request("GET", "/docs/__init__.py").status == 404
