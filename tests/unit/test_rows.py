"""Rows of a body that comes in pieces are those of the whole, wherever it is cut."""

import csv
import io
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from chassis.errors import Rejected
from chassis.sealing import Seal
from services.gateway.commands import rows
from services.gateway.commands.rows import NoRoom, rows_of
from services.gateway.http.bodies import Unreadable

SEAL = Seal(b"1" * 32)
SHAPES = {"a": {"type": "string"}, "b": {"type": "string"}}
CELLS = st.text(st.sampled_from('ab店😀,"\n\r '), max_size=8)


def asked(kind, pieces):
    """Make a request whose body arrives so."""
    left = [piece for piece in pieces if piece]
    stream = SimpleNamespace(read=lambda _size: left.pop(0) if left else b"")
    return SimpleNamespace(mimetype=kind, headers=Headers(), stream=stream, max_content_length=None)


def taken(kind, pieces):
    """Take the rows of a body in, and let go of it."""
    with rows_of(asked(kind, pieces), SHAPES, SEAL.referring) as found:
        return found


def cut(body, places):
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]


def read(found):
    return [row.detail if isinstance(row, Rejected) else row for row in found]


lines = st.lists(
    st.sampled_from(
        ['{"a":"店"}', '{"a":"\u2028"}', "", " ", "\u3000", "\r", "{", '{"b":"😀"} \r']
    ),
    max_size=8,
)
places = st.lists(st.integers(0, 200), max_size=5)


@given(lines, places)
def test_ndjson_is_cut_at_line_feeds_and_blank_lines_are_no_rows(some, where):
    body = "\n".join(some).encode()
    expected = [line for line in some if line.strip()]
    if not expected:
        with pytest.raises(Unreadable):
            taken("application/x-ndjson", cut(body, where))
        return
    found = taken("application/x-ndjson", cut(body, where))
    assert len(found) == len(expected)
    assert found.fingerprint == SEAL.reference(f"application/x-ndjson\n{body.decode()}")
    assert read(found) == read(taken("application/x-ndjson", [body]))


@settings(max_examples=300)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\n\n", "\r\n"]),
    places,
)
def test_csv_is_read_as_the_standard_library_reads_the_whole(some, end, blank, where):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end + blank.replace("\n", end[-1:]), quoting=1)
    writer.writerows([("a", "b"), *some])
    text = out.getvalue()
    whole = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
    found = taken("text/csv", cut(text.encode(), where))
    assert found.fingerprint == SEAL.reference(f"text/csv\n{text}")
    assert read(found) == [
        {name: cell.strip() for name, cell in zip("ab", row, strict=True) if cell.strip()}
        for row in whole
    ]


def test_a_mark_in_front_is_no_part_of_what_is_compared():
    plain = taken("application/x-ndjson", [b'{"a":"x"}'])
    marked = taken("application/x-ndjson", [b'\xef\xbb\xbf{"a":', b'"x"}'])
    assert plain.fingerprint == marked.fingerprint
    assert read(plain) == read(marked) == [{"a": "x"}]


def test_a_row_is_let_go_of_when_it_has_been_read():
    found = taken("application/x-ndjson", [b"{}\n" * 3])
    assert [len(found._left) for _ in found] == [2, 1, 0]
    assert len(found) == 3


def test_a_batch_that_is_too_large_is_not_read_to_its_end():
    count = []

    def pieces():
        while True:
            count.append(1)
            yield b"{}\n" * 1000

    more = pieces()
    stream = SimpleNamespace(read=lambda _size: next(more))
    request = SimpleNamespace(
        mimetype="application/x-ndjson", headers=Headers(), stream=stream, max_content_length=None
    )
    with (
        pytest.raises(Unreadable, match="1 to 5000 rows"),
        rows_of(request, SHAPES, SEAL.referring),
    ):
        pass
    assert len(count) == 6


def test_a_row_that_is_too_long_is_told_so_wherever_it_is_cut(monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_ROW", 12)
    body = b'{"a":"xx"}\n{"a":"' + b"x" * 100 + b'"}\n{"a":"yy"}\n' + b"z" * 13
    for size in (1, 5, 7, 200):
        found = taken("application/x-ndjson", cut(body, range(0, len(body), size)))
        long = "A row is limited to 256 KiB."
        assert read(found) == [{"a": "xx"}, long, {"a": "yy"}, long]
    for text in (b"a,b\n" + b"x" * 20, b'a,b\n"x\n\n\n\n\n\n\n\n\n\n\n"', b"a,b" + b"," * 20):
        for size in (1, 5, 200):
            with pytest.raises(Unreadable, match="more than 12 bytes"):
                taken("text/csv", cut(text, range(0, len(text), size)))


def test_an_error_in_csv_names_its_line_also_behind_empty_ones():
    with pytest.raises(Unreadable, match="line 6"):
        taken("text/csv", [b'a,b\n\n\nx,y\n\n"x"y,z\n'])


def test_one_body_is_always_held_and_more_only_where_there_is_room(monkeypatch):
    monkeypatch.setattr(rows, "MOST_HELD", 20)
    kind, body = "application/x-ndjson", [b"{}\n" * 5, b"{}\n" * 5]
    assert len(taken(kind, body)) == 10, "the only one may be larger"
    with rows_of(asked(kind, body), SHAPES, SEAL.referring):
        with pytest.raises(NoRoom):
            taken(kind, body)
        with pytest.raises(NoRoom):
            taken(kind, [b"{}"])
    assert len(taken(kind, body)) == 10
    assert rows._Room.held == 0


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
@pytest.mark.parametrize("where", [[], [1], [1, 2], [3]])
def test_a_mark_in_front_is_passed_over_wherever_it_is_cut_and_is_no_row(kind, where):
    mark, body = b"\xef\xbb\xbf", b"a\nx\n" if kind == "text/csv" else b'{"a": "x"}\n'
    assert read(taken(kind, cut(mark + body, where))) == [{"a": "x"}]
    with pytest.raises(Unreadable):
        taken(kind, cut(mark, where))
