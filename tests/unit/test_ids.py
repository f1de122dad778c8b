"""Identities: in order of time, or following from what they are about."""

import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from chassis.ids import derived_id, new_id


def test_a_new_identity_is_a_uuid_of_version_7():
    made = uuid.UUID(new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@given(st.lists(st.integers(0, (1 << 48) - 1), unique=True, min_size=2))
def test_identities_sort_as_they_were_made_to_the_millisecond(moments):
    with_clock = {}
    real = time.time_ns
    try:
        for moment in moments:
            time.time_ns = lambda moment=moment: moment * 1_000_000
            with_clock[moment] = new_id()
    finally:
        time.time_ns = real
    assert [with_clock[m] for m in sorted(moments)] == sorted(with_clock.values())


def test_no_two_are_equal():
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_a_derived_identity_is_the_same_in_every_release():
    assert derived_id("review", "f-1") == "8b85c0cc-f34a-55f6-8113-d53edbe3e5dd"


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/")), min_size=1, max_size=3),
    st.data(),
)
def test_it_follows_from_its_parts_and_from_each_of_them(parts, data):
    assert derived_id(*parts) == derived_id(*parts)
    place = data.draw(st.integers(0, len(parts) - 1))
    other = [*parts]
    other[place] += "x"
    assert derived_id(*parts) != derived_id(*other)
