"""Every list filters, sorts and pages by what its users look for, and says as of when it holds."""

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from services.gateway.resources import VIEWS
from tests.api.conftest import problem


@pytest.fixture(scope="module")
def shops(district):
    """Register six shops with names and addresses of their own; some reopen, on several days."""
    names = ["閉環小館", "Quanzhou Tea", "豐澤藥店", "小館閉環", "ＡＢＣ超市", "清源（豐澤）理髮店"]
    return [
        district.register(
            name=name, address=f"泉秀路 {number} 號", grid=f"35050300{number % 2 + 3}"
        )
        for number, name in enumerate(names, 1)
    ]


@pytest.fixture(scope="module")
def staffed(district, shops):
    """Open three shops with 3, 20 and 30 on duty: as text they would stand in another order."""
    opened = []
    for staff in (20, 30, 3):
        opened.append(district.register(name=f"員工{staff}人"))
        district.file(opened[-1], headcount=staff)
    return opened


@pytest.fixture(scope="module")
def notices(district, shops):
    """Find faults on several days: notices with several due days."""
    for shop in shops[:3]:
        district.visit(shop, ["dine_in", "gathering"])
        district.tomorrow()
    return district.client.everything("/v1/notices")


def ids(items):
    return [item["id"] for item in items]


def pages(district, path, limit=2):
    """Read page after page, as the Link header points."""
    path, found = f"{path}{'&' if '?' in path else '?'}limit={limit}", []
    while path:
        answer = district.client.request("GET", path)
        assert answer.status == 200, answer.data
        found += answer.json()["items"]
        link = answer.headers.get("Link")
        path = link and link.removeprefix("<").partition(">")[0]
    return found


# sorting


@pytest.mark.parametrize("name", VIEWS)
def test_every_list_can_be_sorted_and_paged_in_every_order(full, name):
    items = full.client.everything(f"/v1/{name}")
    assert len(items) > 2, "they fill more than a page"
    assert pages(full, f"/v1/{name}") == items
    for sort in VIEWS[name].sorts:
        has = [item for item in items if item.get(sort) is not None]
        lacks = [item for item in items if item.get(sort) is None]
        rising = sorted(has, key=lambda item: item[sort])
        assert has, f"something has a {sort}"
        assert ids(pages(full, f"/v1/{name}?sort={sort}")) == ids(rising + lacks)
        assert ids(pages(full, f"/v1/{name}?sort=-{sort}")) == ids(rising[::-1] + lacks[::-1])


def test_numbers_are_sorted_as_numbers_and_what_has_none_comes_last(district, staffed):
    found = district.client.everything("/v1/enterprises?sort=-on_duty")
    assert [item["on_duty"] for item in found][:3] == [30, 20, 3]
    found = district.client.everything("/v1/enterprises?on_duty=1..20&sort=on_duty")
    assert [item["on_duty"] for item in found] == [3, 20]


def test_what_is_due_first_comes_first_among_what_is_open(district, notices):
    still = [notice for notice in notices if notice["state"] == "open"]
    found = pages(district, "/v1/notices?state=open&sort=due_on", limit=1)
    assert ids(found) == ids(sorted(still, key=lambda notice: notice["due_on"]))
    assert len({notice["due_on"] for notice in found}) > 1


def test_what_does_not_change_is_not_skipped_though_other_things_move(district, staffed):
    path = "/v1/enterprises?sort=on_duty&limit=2"
    first = district.client.get(path)
    moved = staffed[2]
    day = district.today.isoformat()
    asked = {"day": day, "staff": 5000}
    district.client.post(f"/v1/enterprises/{moved}/roster", asked)
    district.settle()
    rest = district.client.everything(f"{path.partition('&')[0]}")
    following = district.client.get(f"{path}&after={quote(first['next'])}")["items"]
    later = [item for item in ids(rest) if item not in ids(first["items"])]
    assert ids(following) == later[:2]


def test_names_that_begin_alike_for_long_are_told_apart_and_sorted_by_how_they_begin(district, say):
    names = ["乙" * 300, "甲" * 300, "甲" * 299 + "乙"]
    for name in names:
        district.client.post("/v1/enterprises", say.enterprise(name=name))
    for name in names:
        assert len(district.client.get(f"/v1/enterprises?name={quote(name)}")["items"]) == 1
    found = district.client.everything("/v1/enterprises?sort=name")
    begins = [item["name"][:30] for item in found]
    assert begins == sorted(begins)


# filters and ranges


def test_several_values_and_a_range_may_be_asked_for(district, notices):
    everything = district.client.everything
    both = everything("/v1/notices?state=open,satisfied")
    assert both == notices
    days = sorted({notice["due_on"] for notice in notices})
    for first, last in ((days[0], days[0]), (days[0], days[1]), (days[1], days[-1])):
        between = [n for n in notices if first <= n["due_on"] <= last]
        assert everything(f"/v1/notices?due_on={first}..{last}") == between
    assert everything(f"/v1/notices?due_on={days[1]}..") == [
        n for n in notices if n["due_on"] >= days[1]
    ]
    assert everything(f"/v1/notices?due_on=..{days[0]}&level=0&state=open") == [
        n for n in notices if n["due_on"] == days[0]
    ]
    assert everything(f"/v1/notices?due_on={days[0]},{days[1]}") == [
        n for n in notices if n["due_on"] in days[:2]
    ]
    assert everything("/v1/notices?level=1..3") == []


def test_a_name_with_a_comma_is_one_name(district, say):
    district.client.post("/v1/enterprises", say.enterprise(name="甲,乙"))
    (found,) = district.client.everything(f"/v1/enterprises?name={quote('甲,乙')}")
    assert found["name"] == "甲,乙"


# what is refused


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sort=due", "Allowed: due_on, issued_on, level"),
        ("sort=-doc", "Unknown sort field doc"),
        ("sort=--due_on", "Unknown sort field"),
        ("sort=", "Unknown sort field (empty)"),
        ("sort=-", "Unknown sort field (empty)"),
        ("colour=red", "Allowed: state"),
        ("q=小館", "Unknown parameter q"),
        ("due_on=2020-02-30", "due_on must be a day"),
        ("due_on=tomorrow", "2020-02-10..2020-02-20"),
        ("due_on=", "due_on must be a day"),
        ("due_on=..", "due_on must be a day"),
        ("due_on=2020-02-10..x", "due_on must be a day"),
        ("level=many", "level must be a whole number"),
        ("level=9999999999999999999", "level must be a whole number"),
        ("after=garbage", "after must be a cursor"),
        ("after=é", "after must be a cursor"),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_what_can(district, query, said):
    name, _, value = query.partition("=")
    answer = district.client.request("GET", f"/v1/notices?{name}={quote(value)}")
    assert said in problem(answer, 400)["detail"]


def test_all_that_is_wrong_with_a_query_is_said_at_once(district):
    answer = district.client.request("GET", "/v1/notices?due_on=x&level=y&sort=z&limit=0")
    detail = problem(answer, 400)["detail"]
    for name in ("due_on", "level", "sort field z", "limit"):
        assert name in detail


@pytest.mark.parametrize("other", ["sort=-name", "", "sort=name&state=open", "sort=on_duty"])
def test_a_cursor_of_one_list_is_none_of_another(district, shops, other):
    cursor = district.client.get("/v1/enterprises?sort=name&limit=1")["next"]
    answer = district.client.request("GET", f"/v1/enterprises?{other}&after={cursor}")
    assert "the same list" in problem(answer, 400)["detail"]
    assert district.client.get(f"/v1/enterprises?sort=name&limit=9&after={cursor}")["items"]


def test_a_cursor_that_was_altered_is_refused(district, shops):
    cursor = district.client.get("/v1/enterprises?sort=name&limit=1")["next"]
    plain = base64.urlsafe_b64decode(cursor).decode()
    altered = [
        cursor[:-4],
        cursor[4:],
        base64.urlsafe_b64encode(f"{plain[:-2]}9]".encode()).decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"\xff" * 30).decode(),
    ]
    for wrong in altered:
        problem(district.client.request("GET", f"/v1/enterprises?sort=name&after={wrong}"), 400)


# words


def found_by(district, words, **more):
    query = "".join(f"&{name}={quote(value)}" for name, value in more.items())
    items = pages(district, f"/v1/enterprises?q={quote(words)}{query}", limit=1)
    return [item["name"] for item in items]


def test_an_enterprise_is_found_by_any_part_of_name_code_and_address(district, shops):
    assert found_by(district, "閉環小") == ["閉環小館"]
    assert found_by(district, "小館") == ["閉環小館", "小館閉環"]
    assert found_by(district, "小館 環小") == ["閉環小館"]
    assert found_by(district, "quanZHOU") == ["Quanzhou Tea"]
    assert found_by(district, "anz") == ["Quanzhou Tea"]
    assert found_by(district, "abc") == ["ＡＢＣ超市"]
    assert found_by(district, "源豐澤理") == ["清源（豐澤）理髮店"]
    assert found_by(district, "泉秀路3") == ["豐澤藥店"]
    assert found_by(district, "豐澤 泉秀路6") == ["清源（豐澤）理髮店"]
    code = district.client.get(f"/v1/enterprises/{shops[3]}")["credit_code"]
    for part in (code, code[9:], code[9:].lower()):
        assert found_by(district, part) == ["小館閉環"]


def test_words_that_stand_in_no_order_like_this_find_nothing(district, shops):
    assert found_by(district, "館閉小") == []
    assert found_by(district, "閉館") == []
    assert found_by(district, "小館 藥店") == []
    code = district.client.get(f"/v1/enterprises/{shops[0]}")["credit_code"]
    assert found_by(district, f"小館{code}") == [], "a word does not reach over two fields"


def test_words_go_with_filters_and_an_order(district, shops):
    assert found_by(district, "小館", grid="350503004") == ["閉環小館"]
    assert found_by(district, "小館", sort="name") == ["小館閉環", "閉環小館"]
    assert found_by(district, "小館", sort="-name") == ["閉環小館", "小館閉環"]
    assert found_by(district, "小館", state="suspended") == []


@pytest.mark.parametrize(
    "words",
    [
        "",
        " ",
        "館",
        "小館 x",
        "！？",
        '"',
        "長" * 201,
        "小館 " * 3 + "ab cd ef gh ij kl mn op qr st",
    ],
)
def test_words_too_short_or_too_many_are_refused(district, words):
    answer = district.client.request("GET", f"/v1/enterprises?q={quote(words)}")
    assert problem(answer, 400)["detail"].startswith("q ")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ('小館" OR "藥店', []),
        ("小館*", ["閉環小館", "小館閉環"]),
        ("%小館%", ["閉環小館", "小館閉環"]),
        ("小館 AND", []),
        ("'; DROP TABLE", []),
    ],
)
def test_words_are_only_words(district, shops, words, found):
    assert found_by(district, words) == found


def test_a_complaint_is_found_by_its_words_and_never_by_who_called(district):
    complaint = district.complain(
        None, content="收銀台顧客聚集", against="某某超市", caller="林小紅"
    )
    for words in ("顧客聚集", "某超市 收銀"):
        found = district.client.everything(f"/v1/complaints?q={quote(words)}")
        assert ids(found) == [complaint]
    for words in ("林小紅", "13800000000"):
        assert district.client.everything(f"/v1/complaints?q={quote(words)}") == []


# fault 13: exports that leave out today


def test_a_list_does_not_leave_out_today_and_says_as_of_when(district):
    before = district.client.get("/v1/enterprises?limit=1")["as_of"]
    shop = district.register(name="今日新店")
    for path in (
        "/v1/enterprises?sort=-registered_on&limit=1",
        f"/v1/enterprises?q={quote('今日新店')}",
    ):
        page = district.client.get(path)
        assert ids(page["items"]) == [shop]
        assert page["as_of"]["position"] > before["position"]
        assert page["as_of"] == district.statistics()["as_of"]
    timeline = district.client.get(f"/v1/enterprises/{shop}/timeline")
    assert timeline["as_of"]["position"] >= timeline["items"][-1]["position"]


# one document, and what happened to it


def test_a_document_that_has_not_changed_is_not_sent_again(district, shops):
    path = f"/v1/enterprises/{shops[4]}"
    etag = district.client.request("GET", path).headers["ETag"]
    answer = district.client.request("GET", path, headers={"If-None-Match": etag})
    assert (answer.status, answer.data, answer.headers["ETag"]) == (304, b"", etag)
    district.client.post(f"{path}/liaison", {"officer": "FZ-004-07"})
    district.settle()
    answer = district.client.request("GET", path, headers={"If-None-Match": etag})
    assert answer.status == 200
    assert answer.headers["ETag"] != etag


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_timeline_is_paged_without_gap_or_double(district, notices, shops, limit):
    path = f"/v1/enterprises/{shops[0]}/timeline"
    whole = district.timeline(shops[0])
    found = pages(district, path, limit)
    assert sorted(ids(found)) == sorted(ids(whole))
    assert len(found) > 5
    place = {entry["id"]: number for number, entry in enumerate(found)}
    for entry in found:
        assert place.get(entry["caused_by"]["id"], -1) < place[entry["id"]]


def test_the_page_on_reading_names_what_every_list_knows():
    page = (Path(__file__).parents[2] / "docs" / "reading.md").read_text(encoding="utf-8")
    for name, view in VIEWS.items():
        exactly = [column for column, kind in view.columns.items() if not kind.sorts]
        words = view.words.fields if view.words else ()
        cells = (", ".join(f"`{field}`" for field in some) for some in (exactly, view.sorts, words))
        assert f"| {name} | {' | '.join(cells)} |" in page
