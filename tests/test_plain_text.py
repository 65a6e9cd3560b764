import csv
import io
import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossearch.cli.output import Listing, print_fields
from lossearch.errors import UserError
from lossearch.plain_text import csv_cell, is_name, shortened, unseen_in, visible
from lossearch.reading import finite, number_in, parse_json, parse_toml, whole_in


@given(st.text())
def test_what_is_visible_steers_no_terminal_and_can_be_written(text: str) -> None:
    shown = visible(text)
    assert unseen_in(shown) is None
    assert "\r" not in shown.replace("\r\n", "")
    shown.encode()
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["plain", "äöü", "日本語", "two\nlines", "a\tb", "🙂", "∑ x²"])
def test_ordinary_text_stays(text: str) -> None:
    assert unseen_in(text) is None
    assert visible(text) == text


@given(st.text(min_size=1, max_size=3000), st.integers(20, 900))
def test_a_shortened_text_keeps_beginning_and_end(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) <= max(limit, 0)
    assert shortened(short, limit) == short
    assert short[:10] == text[:10]
    assert short[-4:] == text[-4:]


def test_a_message_is_short_and_printable() -> None:
    error = UserError("a\x1b[31m", "9" * 100_000, "\ud800")
    assert len(str(error)) < 1000
    str(error).encode()
    assert "\x1b" not in str(error)
    assert str(type(error)(error.required, error.found, error.hint)) == str(error)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-mean(x)", "@SUM(A1)", "\tx"])
def test_a_spreadsheet_computes_nothing(text: str) -> None:
    assert csv_cell(text) == f"'{text}"
    written = Listing("rows", ("formula", "metric"), [{"formula": text, "metric": -0.5}]).to_csv()
    ((formula, metric),) = list(csv.reader(io.StringIO(written)))[1:]
    assert formula.startswith("'")
    assert metric == "-0.5"


def test_a_listing_in_json_steers_no_terminal() -> None:
    text = Listing("rows", ("path",), [{"path": "a\x9b\udc80\u202eé"}]).to_json()
    assert unseen_in(text) is None
    assert json.loads(text) == [{"path": "a\x9b\udc80\u202eé"}]
    assert "é" in Listing("rows", ("path",), [{"path": "é"}]).to_json()


def test_fields_are_printed_without_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("reason", "red \x1b[31m and\nnew line")])
    assert capsys.readouterr().out == "reason:        red \\x1b[31m and\nnew line\n"


@pytest.mark.parametrize(("text", "name"), [("a", True), ("γ", True), ("\ufb01", False), ("a b", False), ("", False)])
def test_names(text: str, name: bool) -> None:
    assert is_name(text) is name


@given(st.one_of(st.integers(), st.floats(), st.just(10**400), st.just(-(10**400))))
def test_numbers_are_finite_floats_or_none(value: float) -> None:
    found = finite(value)
    assert found is None or found == float(value)
    assert (found is None) == (value != value or abs(value) > sys.float_info.max)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_as_text(value: float) -> None:
    assert number_in(repr(value)) == value


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_whole_numbers_survive_as_text(value: int) -> None:
    assert whole_in(str(value)) == value


@pytest.mark.parametrize(
    "text", ["", "x", "1_000", "0x1", "٣", "nan", "inf", "1e999", "9" * 5000, "1" + "0" * 400, "--1"]
)
def test_texts_that_are_no_number(text: str) -> None:
    assert number_in(text) is None
    assert whole_in(text) is None


@pytest.mark.parametrize("text", ["²", str(2**63), "1.0", "1e3"])
def test_texts_that_are_no_whole_number(text: str) -> None:
    assert whole_in(text) is None


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "1" + "0" * 400, str(2**63), "1e999", "NaN", "-Infinity", '"\\u0000"', '{"a": "\\ud800"}',
     '{"\\u001b": 1}', '{"a": 1, "a": 2}', "[" * 100_000, "[" * 100 + "]" * 100, "", '"\x00"', '"\u202e"'],
)  # fmt: skip
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_json(text, "a document", "correct it")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["a = " + "9" * 5000, "a = 1" + "0" * 400, "a = " + "[" * 3000, "a" + ".a" * 3000 + " = 1", 'a = "\\u0000"',
     'a = "\\u001B[31m"', "a = 0000-00-00", "a = 99:99:99", "a = 1\na = 2"],
)  # fmt: skip
def test_toml_that_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_toml(text, "a document", "correct it")
    assert len(str(caught.value)) < 400


def test_measured_values_may_be_infinite_where_that_is_asked_for() -> None:
    assert parse_json("[Infinity, -Infinity]", "", "", infinite=True) == [math.inf, -math.inf]
    assert math.isnan(parse_json("NaN", "", "", infinite=True))
    with pytest.raises(UserError):
        parse_json("1e999", "", "", infinite=True)


def test_json_and_toml_are_read() -> None:
    assert parse_json('{"a": [1, -2.5, "é\\n"], "b": null}', "", "") == {"a": [1, -2.5, "é\n"], "b": None}
    assert parse_toml("a = [1, -2.5]\n[b]\nc = 'é'", "", "") == {"a": [1, -2.5], "b": {"c": "é"}}
