"""Requests in RESP (the Redis serialization protocol), read from a client that may be hostile. Pure.

A request is an array of bulk strings: ``*<words>\\r\\n`` and then ``$<bytes>\\r\\n<payload>\\r\\n`` for each word.
Payloads may hold any bytes, also ones that look like a header.

There are two ways through the data, which accept the same requests:

- the *exact* way walks headers and payloads one by one, may stop after any byte, and checks each length against the
  limits before it believes it. It is the one that carries a request over the end of a chunk.
- the *fast* way hands a piece of data that begins at a request's first byte to hiredis. hiredis has no limits of its
  own and understands more than requests (RESP3 aggregates, simple strings, nesting), so it gets only data in which no
  array of 100 or more elements and no byte that begins such a type can occur *anywhere*, payloads included: a header
  need not follow a line end, since hiredis skips the end of a payload without looking. What it returns counts only if
  it is flat lists of bytes. For such a result the sum of canonical lengths says exactly how many bytes it consumed,
  and the remainder goes the exact way. In any doubt the result is thrown away and the same data go the exact way.

Invariants: hiredis never carries anything from one chunk to the next, so dropping a reader never takes long; no more
than ``query_bytes_max`` and one chunk are buffered; the time taken is linear in the bytes fed, however they are cut;
how a stream is cut never changes the requests read or the fault found.

As in Redis, an array of no elements (or the null array) is passed over, and the two bytes that end a payload are not
looked at.
"""

import re
from itertools import chain
from typing import Final

import hiredis

_ARRAY: Final = ord("*")
_BULK: Final = ord("$")
_CRLF: Final = b"\r\n"
_HEADER_BYTES_MAX: Final = 32
"""Longest header line with its end; a real one has at most 13 bytes or so."""

_FAST_WORDS_MAX: Final = 99
_LONG_ARRAY: Final = re.compile(rb"\*[0-9]{3}")
_FOREIGN: Final = b"%~>|+="
"""First bytes of the types that allocate by a count, or that give bytes without being bulk strings."""

_BELOW_10: Final = bytes(range(10))
_BELOW_100: Final = bytes(range(100))


class CommandReader:
    """Cuts a client's byte stream into requests. One for each connection."""

    def __init__(self, *, query_bytes_max: int, words_max: int = 1024) -> None:
        self.error: str | None = None
        """Text for ``-ERR Protocol error: ...`` once the stream is broken; then nothing more is read."""
        self._query_bytes_max = query_bytes_max
        self._words_max = words_max
        self._fast = hiredis.Reader()
        self._buffer = bytearray()
        """What belongs to an item (header or payload) that is not complete."""
        self._needed = 0
        """Bytes that ``_buffer`` must reach before looking at it again makes sense."""
        self._words: list[bytes] = []
        """Words read of the request at hand."""
        self._missing = 0
        """Words still to come; 0 between requests."""
        self._length = -1
        """Length of the payload that comes next, -1 when a header comes next."""
        self._size = 0
        """Bytes that the request at hand has so far, the payload that comes next included."""

    @property
    def buffered(self) -> int:
        """Bytes held of the request that is not complete."""
        return sum(map(len, self._words)) + len(self._buffer)

    def feed(self, chunk: bytes) -> list[list[bytes]]:
        """The requests that ``chunk`` completes, in order. Never raises; see :attr:`error`."""
        requests: list[list[bytes]] = []
        if self._is_broken():
            return requests
        data = chunk
        if self._buffer:
            self._buffer += chunk
            if len(self._buffer) < self._needed:
                return requests
            data = bytes(self._buffer)
            self._buffer.clear()
        at = 0
        if self._missing:
            at = self._read_exactly(data, 0, requests, one=True)
        if at < len(data) and not self._missing and not self._is_broken():
            at += self._read_fast(data[at:] if at else data, requests)
            at = self._read_exactly(data, at, requests)
        if self._is_broken():
            self._forget()
        elif at < len(data):
            self._buffer += memoryview(data)[at:]
        return requests

    def _is_broken(self) -> bool:
        return self.error is not None

    def _forget(self) -> None:
        self._buffer.clear()
        self._words = []
        self._missing = self._size = 0

    def _read_fast(self, data: bytes, requests: list[list[bytes]]) -> int:
        """Bytes of ``data`` that were read by hiredis; 0 when it is not a case for it."""
        if len(data) > self._query_bytes_max or self._words_max < _FAST_WORDS_MAX or _LONG_ARRAY.search(data):
            return 0
        if len(data.translate(None, _FOREIGN)) != len(data):
            return 0
        reader = self._fast
        found: list[list[bytes]] = []
        consumed = 0
        try:
            reader.feed(data)
            found = list(iter(reader.gets, False))
            if set(map(type, found)) <= {list}:
                words = list(chain.from_iterable(found))
                payload = b"".join(words)  # raises unless each is bytes
                lengths = bytes(map(len, words))  # raises if one is longer than 255
                # A word has "$", a digit and two line ends around it; a request "*", a digit and a line end. And more
                # digits: one for each word of 10 bytes or more, another from 100 on, one for 10 words or more.
                consumed = len(payload) + 6 * len(words) + 4 * len(found)
                consumed += len(lengths.translate(None, _BELOW_10)) + len(lengths.translate(None, _BELOW_100))
                consumed += len(bytes(map(len, found)).translate(None, _BELOW_10))
        except Exception:  # noqa: BLE001
            # Not only ProtocolError: hiredis lets TypeError and others through.
            consumed = 0
        if consumed != len(data):
            self._fast = hiredis.Reader()
        if consumed:
            requests += found if all(found) else filter(None, found)
        return consumed

    def _read_exactly(self, data: bytes, at: int, requests: list[list[bytes]], *, one: bool = False) -> int:
        """Reads from ``at`` to the last complete item, or with ``one`` to the end of the request at hand.

        Returns the offset of what was not consumed and says in ``_needed`` how much of that must be there next time.
        """
        end = len(data)
        while at < end:
            length = self._length
            if length < 0:
                if data[at] != (_BULK if self._missing else _ARRAY):
                    self._refuse_type(data[at : at + 1])
                    return at
                stop = data.find(_CRLF, at, at + _HEADER_BYTES_MAX)
                if stop < 0:
                    self._needed = 0
                    if end - at >= _HEADER_BYTES_MAX:
                        self.error = "invalid bulk length" if self._missing else "invalid multibulk length"
                    return at
                length = self._read_header(data[at:stop])
                if self.error is not None:
                    return at
                at = stop + 2
                if length < 0:
                    continue
            stop = at + length
            if stop + 2 > end:
                self._length = length
                self._needed = length + 2
                return at
            self._words.append(data[at:stop])
            self._length = -1
            self._missing -= 1
            at = stop + 2
            if self._missing == 0:
                requests.append(self._words)
                self._words = []
                self._size = 0
                if one:
                    return at
        return at

    def _refuse_type(self, byte: bytes) -> None:
        if self._missing:
            got = byte.decode("ascii") if byte.isalnum() else repr(byte)[2:-1]
            self.error = f"expected '$', got '{got}'"
        else:
            self.error = "inline commands are not supported, send an array of bulk strings"

    def _read_header(self, line: bytes) -> int:
        """The length of the payload that a header line announces; -1 if it is an array's, or with :attr:`error` set."""
        digits = line[1:]
        value = int(digits) if digits.isdigit() and len(digits) <= 10 and (digits[0] != 48 or digits == b"0") else -1
        size = self._size + len(line) + 2
        if self._missing:
            size += value + 2
            if value < 0:
                self.error = "invalid bulk length"
            elif size > self._query_bytes_max:
                self.error = f"command too big: at most {self._query_bytes_max} bytes (query_bytes_max)"
            else:
                self._size = size
                return value
        elif value > self._words_max:
            self.error = f"too many words in one command: {value}, at most {self._words_max}"
        elif value < 0 and digits != b"-1":
            self.error = "invalid multibulk length"
        elif value > 0:
            self._missing = value
            self._size = size
        return -1
