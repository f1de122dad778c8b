"""Personal data: sealed, opened with the right key only, and never changed unnoticed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chassis.sealing import CannotOpen, Seal
from chassis.settings import Misconfigured
from contracts.shapes import Sealed

SEAL, OTHER = Seal(b"a" * 32), Seal(b"b" * 32)
PHONE = Sealed("dd7654f0.AennUvqM1YSB316xeVgk0VGMzWfgyhu3vgZIkrJ4vX9I6zsUlr_S")
"""13800000000, as the first release sealed it."""


@given(st.text())
def test_what_is_sealed_can_be_opened(clear):
    assert SEAL.open(SEAL.seal(clear)) == clear


def test_the_same_text_looks_different_each_time_and_hides_it():
    sealed = {SEAL.seal("王小明") for _ in range(50)}
    assert len(sealed) == 50
    assert not any("王小明" in one for one in sealed)


def test_the_key_stands_in_front():
    assert SEAL.seal("x").startswith(f"{SEAL.key_id}.")


def test_what_was_sealed_long_ago_can_still_be_opened():
    assert SEAL.open(PHONE) == "13800000000"


@given(st.integers(0, len(PHONE) - 1), st.sampled_from("ABCabc019_-"))
def test_what_was_changed_cannot_be_opened(place, other):
    assume(other != PHONE[place])
    with pytest.raises(CannotOpen):
        SEAL.open(Sealed(PHONE[:place] + other + PHONE[place + 1 :]))


@pytest.mark.parametrize(
    "broken", ["", ".", "x", f"{SEAL.key_id}.", f"{SEAL.key_id}.AAAA", "鑰.匙"]
)
def test_what_was_never_sealed_cannot_be_opened(broken):
    with pytest.raises(CannotOpen):
        SEAL.open(Sealed(broken))


def test_another_key_does_not_open_it():
    with pytest.raises(CannotOpen, match=f"the key {SEAL.key_id} is not here"):
        OTHER.open(SEAL.seal("x"))


def test_a_key_id_put_in_front_by_another_hand_does_not_help():
    forged = Sealed(OTHER.key_id + SEAL.seal("x").removeprefix(SEAL.key_id))
    with pytest.raises(CannotOpen):
        OTHER.open(forged)


def test_a_reference_is_the_same_each_time_and_another_with_another_key():
    assert SEAL.reference("350503") == Seal(b"a" * 32).reference("350503")
    assert SEAL.reference("350503") != SEAL.reference("350504")
    assert SEAL.reference("350503") != OTHER.reference("350503")
    assert "350503" not in SEAL.reference("350503")


def test_an_embedded_district_makes_its_own_key_once_and_for_itself(tmp_path):
    file = tmp_path / "keys" / "seal.key"
    sealed = Seal.from_file(file, create=True).seal("x")
    assert Seal.from_file(file, create=True).open(sealed) == "x"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, "not hexadecimal", "abcd"])
def test_a_key_that_is_not_there_or_not_a_key_is_one_sentence(tmp_path, content):
    file = tmp_path / "seal.key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Misconfigured, match=r"^The seal key .*\.$"):
        Seal.from_file(file, create=False)
