"""However a number or a phone is spelled, it is one; and what is none identifies nobody."""

import shutil
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.sealing import Seal
from console.demo.synthetic import identity_number
from rulebook import Rulebook, RulebookError
from services.gateway.identities import (
    name_of,
    number_of,
    phone_of,
    plain,
    resident_number,
    shorter,
    worker_of,
)
from services.gateway.person_keys import by_identity, by_phone, known_by_identity, once_by_phone
from tests.insured import FENGZE

BOOK = Rulebook.load()
SEAL = Seal(b"a" * 32)
NUMBER = "11010519491231002X"
"""The example of GB 11643 itself."""
NOTHINGS = ["", " ", "\u200b", "\u200d", "\ufeff", "\u2060", "\u3000", "\xa0", "\t", "-", "－", "‐",
            "—", "\u2212", "\ufe0f", "\u00ad"]  # fmt: skip
FULL = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@st.composite
def spelled(draw, text):
    """Spell a text as people, forms and spreadsheets do: in other widths, with nothings between."""
    made = [draw(st.sampled_from(NOTHINGS))]
    for each in text:
        forms = [each, each.lower(), each.translate(FULL), each.translate(ARABIC)]
        made += [draw(st.sampled_from(forms)), draw(st.sampled_from(NOTHINGS))]
    return "".join(made)


@given(st.text())
@example("A.´")  # an accent that the dot keeps apart
def test_the_normal_form_of_a_normal_form_is_itself(text):
    assert plain(plain(text)) == plain(text)
    assert plain(plain(text, dash="-"), dash="-") == plain(text, dash="-")
    assert name_of(name_of(text)) == name_of(text)


@given(spelled(NUMBER))
def test_every_spelling_of_an_identity_number_is_one(said):
    assert number_of(said, BOOK) == NUMBER


@given(spelled("13666660000"), st.sampled_from(["", "86", "0086", "+86", "＋86 ", "(+86)", "0"]))
def test_every_spelling_of_a_mobile_is_one(said, before):
    assert phone_of(before + said) == "13666660000"


@given(st.text())
def test_no_text_is_too_odd_to_be_judged(text):
    for number in (number_of(text, BOOK), phone_of(text), worker_of(text)):
        assert number is None or isinstance(number, str)
    if (phone := phone_of(text)) is not None:
        assert phone_of(phone) == phone
    if (number := number_of(text, BOOK)) is not None:
        assert number_of(number, BOOK) == number


@given(st.integers(0, 999_999))
def test_a_synthetic_number_is_that_of_gb_11643(number):
    made = identity_number(number)
    assert resident_number(made, checked=True) == number_of(made, BOOK) == made
    assert number_of(shorter(made), BOOK) == made


# papers


def test_the_older_number_of_15_digits_is_the_same_person():
    assert number_of("110105491231002", BOOK) == NUMBER
    assert shorter(NUMBER) == "110105491231002"
    assert shorter("110105200002290023") is None
    assert shorter("E12345678") is None


@pytest.mark.parametrize("cross", ["X", "x", "Ｘ", "ｘ", "Ⅹ", "ⅹ", "×", "Х", "х", "Χ"])
def test_the_last_character_may_be_any_cross(cross):
    assert number_of(NUMBER[:-1] + cross, BOOK) == NUMBER


@pytest.mark.parametrize(
    "said",
    ["11010519490231002X", "01010519491231002X", "11010517991231002X", "1101051949123100XX",
     "11010519491231002A", "11010519491231002", "11010519491231002X1", "110105491331002"],
)  # fmt: skip
def test_what_is_no_identity_number_is_none(said):
    assert number_of(said, BOOK) is None


def test_a_wrong_check_character_is_refused_where_the_rulebook_says_so(tmp_path):
    wrong = NUMBER[:-1] + "1"
    assert number_of(wrong, BOOK) == wrong, "cards with such numbers are in use"
    strict = _book(tmp_path, "checked = true")
    assert number_of(wrong, strict) is None
    assert number_of(NUMBER, strict) == NUMBER


def _book(folder, *more, pattern="[0-9]{8}"):
    """Return the rulebook of a district that has rules of its own about papers."""
    shutil.copytree(FENGZE, folder, dirs_exist_ok=True)
    entry = 'zh = "證"\nen = "card"\nsource = "article"\nfrom = 2020-02-10\n'
    text = f'[[identity_paper]]\ncode = "card"\n{entry}pattern = "{pattern}"\n'
    if more:
        text += f'[identity_number]\ncode = "identity_number"\n{entry}' + "\n".join(more)
    (folder / "identities.toml").write_text(text, "utf-8")
    return Rulebook.load(folder)


def test_a_pattern_that_is_none_is_told_of(tmp_path):
    with pytest.raises(
        RulebookError, match=r'identity_paper "card", field "pattern": is not a pat'
    ):
        _book(tmp_path, pattern="([0-9]")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("h1234 5678", "H12345678"),
        ("M12345678-02", "M12345678"),
        ("12345678", "12345678"),
        ("0123456701 (B)", "0123456701"),
        ("can110108167905", "CAN110108167905"),
        ("Ｅ１２３４５６７８", "E12345678"),
        ("EA 123 4567", "EA1234567"),
        ("C01XYCCG9", "C01XYCCG9"),
        ("x4rtbpfw4", "X4RTBPFW4"),
        ("軍字第2001988號", "軍字2001988"),
        ("軍字2001988号", "軍字2001988"),
    ],
)
def test_other_papers_are_known_by_the_rulebook(said, number):
    assert number_of(said, BOOK) == number


@pytest.mark.parametrize("said", ["", "不詳", "無", "123", "123456", "ABCDEFGH", "000000000",
                                  "13666660000", "\u200b", "3.50503E+17", "9" * 80])  # fmt: skip
def test_what_is_no_paper_of_any_kind_is_none(said):
    assert number_of(said, BOOK) is None


# phones


@pytest.mark.parametrize(
    ("said", "phone"),
    [
        ("0595-22345678", "059522345678"),
        ("(0595) 2234567", "05952234567"),
        ("+86 595 22345678", "059522345678"),
        ("8659522345678", "059522345678"),
        ("010 6234 5678", "01062345678"),
        ("0595-22345678-123", "059522345678x123"),
        ("0595 22345678 轉 123", "059522345678x123"),
        ("059522345678x123", "059522345678x123"),
        ("+852 9123 4567", "+85291234567"),
        ("00852 91234567", "+85291234567"),
        ("+1 (202) 555-0100", "+12025550100"),
    ],
)
def test_a_phone_is_as_it_is_dialled(said, phone):
    assert phone_of(said) == phone


@pytest.mark.parametrize(
    "said",
    ["", "不詳", "無", "1.39E+10", "00000000000", "123", "12315", "22345678", "+86 123",
     "12800000000", "13666660000 13777770000", "張三13666660000", "1366666000", "+", "0000 0000"],
)  # fmt: skip
def test_what_cannot_be_a_phone_is_none(said):
    assert phone_of(said) is None


# staff numbers and names


def test_a_staff_number_keeps_its_hyphens():
    assert worker_of(" ａ‐１\u200b") == worker_of("A-1") == "A-1"
    assert worker_of("1-11") != worker_of("11-1")
    assert worker_of("110105 19491231 002x") == NUMBER
    assert worker_of("\u200b ") == ""


def test_a_name_is_one_however_it_is_spelled():
    assert name_of("阿凡提·買買提") == name_of("阿凡提．買買提") == name_of(" 阿凡提 買買提\u200b")
    assert name_of("甲") != name_of("乙")


# references


def test_what_was_spelled_in_the_normal_form_keeps_its_reference():
    """Most of what is stored need not move."""
    assert by_identity(SEAL, NUMBER) == SEAL.reference(NUMBER)
    assert by_phone(SEAL, "13666660000") == once_by_phone(SEAL, "+86 136-6666-0000")
    assert by_phone(SEAL, "059522345678") == once_by_phone(SEAL, "0595-22345678")


def test_the_earlier_references_of_a_person_are_those_that_can_be_told():
    said = f" {NUMBER[:6]}-{NUMBER[6:].lower()}"
    known = known_by_identity(SEAL, said, NUMBER)
    once = {SEAL.reference(said.strip().upper()), SEAL.reference("110105491231002")}
    assert {*known.earlier} == once
    assert known.reference == SEAL.reference(NUMBER)
    assert known_by_identity(SEAL, "E12345678", "E12345678").earlier == []


def test_the_papers_are_national_and_named_in_an_error():
    assert BOOK.on(date(2020, 2, 10)).identity_papers.keys() >= {"passport", "taiwan_permit"}
    assert "GB 11643" in BOOK.accepted_papers
