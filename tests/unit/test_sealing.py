"""Personal data: sealed, opened with the right key only, and never changed unnoticed."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chassis.sealing import CannotOpen, KeyFile, KeyMissing, PersonKey, Seal, key_of
from chassis.settings import Misconfigured
from contracts.shapes import Sealed

SEAL, OTHER, KEY = Seal(b"a" * 32), Seal(b"b" * 32), PersonKey()
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


def test_a_reference_is_so_long_that_no_two_people_have_the_same():
    """160 bits: of 32, a city of 200,000 would have some five pairs that are one person."""
    assert re.fullmatch(r"[0-9a-f]{40}", SEAL.reference("350503"))
    assert len({SEAL.reference(str(number)) for number in range(200_000)}) == 200_000


def test_an_embedded_district_makes_its_own_key_once_and_for_itself(tmp_path):
    file = tmp_path / "district" / "keys" / "seal.key"
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


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        f"{'a' * 64} {'b' * 64}",
        f"hash {'a' * 64}",
        f"{'a' * 64}\nhash abcd",
        f"{'a' * 64}\nsalt {'b' * 64}",
    ],
)
def test_a_file_that_is_no_key_file_is_one_sentence(tmp_path, content):
    file = tmp_path / "seal.key"
    file.write_text(content)
    with pytest.raises(Misconfigured, match=r"^The seal key .*\.$"):
        Seal.from_file(file, create=False)


# keys of people


@given(st.text())
def test_what_a_person_seals_the_same_key_opens_and_no_other(clear):
    key = PersonKey()
    assert key.open(key.seal(clear)) == clear
    assert key_of(key.seal(clear)) == key.id
    with pytest.raises(CannotOpen, match="is not here"):
        PersonKey().open(key.seal(clear))


def test_a_persons_key_is_wrapped_by_the_district_and_shown_by_nothing():
    key = PersonKey()
    wrapped = SEAL.wrap(key)
    assert key_of(wrapped) == SEAL.key_id
    assert SEAL.unwrap(key.id, wrapped) == key
    assert key.secret.hex() not in wrapped
    assert repr(key.secret) not in repr(key)


def test_a_wrapped_key_that_is_put_beside_another_person_does_not_open():
    with pytest.raises(CannotOpen, match="changed"):
        SEAL.unwrap(PersonKey().id, SEAL.wrap(PersonKey()))
    with pytest.raises(CannotOpen, match="is not here"):
        OTHER.unwrap("x", SEAL.wrap(PersonKey()))


def test_the_longest_name_fits_where_it_is_stored():
    assert len(PersonKey().seal("\N{CJK UNIFIED IDEOGRAPH-20000}" * 80)) <= 512


# several keys


def test_the_first_key_seals_and_all_open():
    both = Seal(b"b" * 32, b"a" * 32)
    assert key_of(both.seal("x")) == OTHER.key_id
    assert both.open(SEAL.seal("x")) == both.open(OTHER.seal("x")) == "x"


def test_a_new_key_goes_in_front_and_references_stay(tmp_path):
    file = tmp_path / "seal.key"
    before = Seal.from_file(file, create=True)
    old, sealed = before.key_id, before.seal("x")
    KeyFile.read(file).with_new().write(file)
    after = Seal.from_file(file, create=False)
    assert after.key_ids[1:] == [old]
    assert file.stat().st_mode & 0o777 == 0o600
    assert after.reference("350503") == before.reference("350503")
    KeyFile.read(file)._replace(keys=KeyFile.read(file).keys[:1]).write(file)
    alone = Seal.from_file(file, create=False)
    assert alone.reference("350503") == before.reference("350503")
    with pytest.raises(CannotOpen, match=f"the key {old} is not here"):
        alone.open(sealed)
    assert [path.name for path in tmp_path.iterdir()] == ["seal.key"]


def test_who_may_read_a_key_file_stays_as_it_was(tmp_path):
    file = tmp_path / "seal.key"
    KeyFile((b"a" * 32,), b"h" * 32).write(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o444)  # in a folder that keeps others out, as the containers have it
    KeyFile.read(file).with_new().write(file)
    assert file.stat().st_mode & 0o777 == 0o444


def test_without_a_line_of_its_own_references_follow_from_the_oldest_key(tmp_path):
    file = tmp_path / "seal.key"
    file.write_text(f"{(b'b' * 32).hex()}\n{(b'a' * 32).hex()}\n")
    assert Seal.from_file(file, create=False).reference("x") == SEAL.reference("x")


@pytest.mark.parametrize("act", [lambda seal: seal.seal("x"), lambda seal: seal.wrap(PersonKey())])
def test_whatever_is_written_after_a_rotation_is_under_the_new_key(tmp_path, act):
    """Also by a process that runs, and has read nothing that the new key has sealed."""
    file = tmp_path / "seal.key"
    running = Seal.from_file(file, create=True)
    assert key_of(act(running)) == running.key_id
    KeyFile.read(file).with_new().write(file)
    assert key_of(act(running)) == KeyFile.read(file).ids()[0]


def test_a_line_of_its_own_is_the_key_of_the_references(tmp_path):
    """Word for word as the containers' key files have it: what was stored is found by it."""
    file = tmp_path / "seal.key"
    file.write_text(f"{(b'b' * 32).hex()}\nhash {(b'h' * 32).hex()}\n")
    assert KeyFile.read(file) == ((b"b" * 32,), b"h" * 32)
    reference = Seal.from_file(file, create=False).reference("350503")
    assert reference == "598c16a5b45cb8af463be153b2009ce51c2e1e97"


def test_who_cannot_open_is_told_which_key_is_missing():
    for open_it in (lambda: OTHER.open(SEAL.seal("x")), lambda: OTHER.unwrap("x", SEAL.wrap(KEY))):
        with pytest.raises(KeyMissing) as missing:
            open_it()
        assert missing.value.key_id == SEAL.key_id
    with pytest.raises(KeyMissing) as missing:
        PersonKey().open(KEY.seal("x"))
    assert missing.value.key_id == KEY.id


def test_one_that_runs_takes_a_new_key_up(tmp_path):
    file = tmp_path / "seal.key"
    running = Seal.from_file(file, create=True)
    KeyFile.read(file).with_new().write(file)
    new = Seal.from_file(file, create=False)
    assert running.open(new.seal("x")) == "x"
    assert key_of(running.seal("x")) == new.key_id
    file.write_text("half of a ke")
    assert key_of(running.seal("x")) == new.key_id
    file.unlink()
    assert key_of(running.seal("x")) == new.key_id
