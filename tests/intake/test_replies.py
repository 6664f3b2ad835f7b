"""Reply encoders against hiredis as the client's parser."""

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.intake import replies


def parse(data: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(data)
    value: object = reader.gets()
    assert value is not False
    assert not reader.has_data()
    return value


values = st.recursive(
    st.one_of(st.binary(max_size=300), st.none(), st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.binary(max_size=8), inner, max_size=5),
    ),
    max_leaves=12,
)


def flat(value: object) -> object:
    """A nested value as RESP2 shows it."""
    if isinstance(value, dict):
        return [flat(item) for pair in value.items() for item in pair]
    if isinstance(value, list):
        return [flat(item) for item in value]
    return value


@given(values)
def test_resp3_gives_back_what_was_encoded(value: object) -> None:
    assert parse(replies.encode(value, 3)) == value  # type: ignore[arg-type]


@given(values)
def test_resp2_shows_pairs_as_flat_arrays(value: object) -> None:
    assert parse(replies.encode(value, 2)) == flat(value)  # type: ignore[arg-type]


@given(st.text(), st.text(max_size=2000))
def test_an_error_is_one_bounded_line_whatever_it_quotes(word: str, text: str) -> None:
    line = replies.error(word, text)
    assert line.startswith(b"-")
    assert line.endswith(b"\r\n")
    assert len(line) <= replies.ERROR_BYTES_MAX + 3
    body = line[1:-2]
    assert all(32 <= byte < 127 for byte in body)
    assert isinstance(parse(line), hiredis.ReplyError)


def test_an_error_keeps_its_words() -> None:
    assert replies.error("BADORDER", "price '1\r\n+OK' does not fit") == b"-BADORDER price '1  +OK' does not fit\r\n"


def test_a_simple_string_is_one_line() -> None:
    assert replies.simple("OK") == replies.OK
    assert replies.simple("a\r\nb") == b"+a  b\r\n"


@pytest.mark.parametrize("length", [0, 255, 256, 70_000])
def test_a_bulk_string_may_hold_anything(length: int) -> None:
    data = (b"\r\n$5\x00" * length)[:length]
    assert parse(replies.bulk(data)) == data


def test_null_integer_and_headers() -> None:
    assert (replies.null(2), replies.null(3)) == (b"$-1\r\n", b"_\r\n")
    assert replies.integer(-(2**63)) == b":-9223372036854775808\r\n"
    assert replies.array_header(0) == b"*0\r\n"
    assert (replies.pairs_header(2, 2), replies.pairs_header(2, 3)) == (b"*4\r\n", b"%2\r\n")


def test_text_is_sent_as_utf8_and_tuples_as_arrays() -> None:
    assert replies.encode({"preis": ("ü", 1)}, 3) == b"%1\r\n$5\r\npreis\r\n*2\r\n$2\r\n\xc3\xbc\r\n:1\r\n"


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        replies.encode([1.5], 2)  # type: ignore[list-item]
