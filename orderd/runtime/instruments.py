"""Instruments: what can be traded, and in which steps of price and quantity. Pure; used by both ends.

An instrument's symbol, id, tick and lot never change for a journal's life, since records hold only the id and whole
ticks and lots. Both ends compare digests of them before the first order travels.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

import attrs

from orderd.runtime.decimals import DecimalError, Scale, scale
from orderd.runtime.fields import FieldError

ID_MAX: Final = 2**32 - 1
INSTRUMENTS_MAX: Final = 5000
DIGEST_BYTES: Final = 8

_SYMBOL: Final = re.compile(r"[!-+\--~]{1,32}")


def _check_symbol(_: object, __: object, value: str) -> None:
    if not _SYMBOL.fullmatch(value):
        raise FieldError("symbol", value, "must be 1 to 32 printable ASCII characters without space and comma")


def _check_id(_: object, __: object, value: int) -> None:
    if not 1 <= value <= ID_MAX:
        raise FieldError("id", value, f"must be a whole number from 1 to {ID_MAX}")


def _make_scale(key: str, name: str, step: str) -> Scale:
    try:
        return scale(name, step)
    except DecimalError as error:
        raise FieldError(key, step, str(error)) from None


@attrs.frozen
class Instrument:
    """One ``[[instrument]]`` table. Raises :class:`FieldError` for values that cannot be."""

    symbol: str = attrs.field(validator=_check_symbol)
    id: int = attrs.field(validator=_check_id)
    tick: str
    """Smallest step of a price, as plain decimal text; prices are shown with as many decimals."""
    lot: str
    """Smallest step of a quantity, likewise."""
    _price: Scale = attrs.field(init=False, repr=False, eq=False)
    _quantity: Scale = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_price", _make_scale("tick", "price", self.tick))
        object.__setattr__(self, "_quantity", _make_scale("lot", "quantity", self.lot))

    def parse_price(self, text: bytes) -> int:
        """Ticks, 1 to 2**63 - 1. Raises :class:`orderd.runtime.decimals.DecimalError`, naming what is wrong."""
        return self._price.parse(text)

    def parse_quantity(self, text: bytes) -> int:
        """Lots, 1 to 2**63 - 1. Raises :class:`orderd.runtime.decimals.DecimalError`, naming what is wrong."""
        return self._quantity.parse(text)

    def format_price(self, ticks: int) -> bytes:
        """A price with as many decimals as the tick."""
        return self._price.format(ticks)

    def format_quantity(self, lots: int) -> bytes:
        """A quantity with as many decimals as the lot."""
        return self._quantity.format(lots)

    def format_average(self, notional: int, lots: int) -> bytes:
        """Average price of fills of ``lots`` in all, ``notional`` being the sum of ticks times lots; ``0`` for none."""
        return self._price.format_average(notional, lots)

    @property
    def digest(self) -> bytes:
        """Eight bytes that differ where symbol, id, tick or lot differ; for the wire and for journals."""
        # No part holds a space, so the joined text is as distinct as its parts.
        text = f"{self.id} {self.symbol} {self.tick} {self.lot}"
        return blake2b(text.encode("ascii"), digest_size=DIGEST_BYTES).digest()


class InstrumentTable:
    """The instruments of a daemon, by id and by symbol (case matters). Never changes once made.

    Raises :class:`FieldError` for a symbol or id that comes twice, and for more than :data:`INSTRUMENTS_MAX`.
    """

    __slots__ = ("_digests", "by_id", "by_symbol")

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        by_id: dict[int, Instrument] = {}
        by_symbol: dict[bytes, Instrument] = {}
        instruments = tuple(instruments)
        if len(instruments) > INSTRUMENTS_MAX:
            raise FieldError("instrument", len(instruments), f"too many tables, at most {INSTRUMENTS_MAX}")
        for index, instrument in enumerate(instruments):
            if instrument.id in by_id:
                raise FieldError(f"instrument[{index}].id", instrument.id, "is used twice; ids are unique")
            symbol = instrument.symbol.encode("ascii")
            if symbol in by_symbol:
                raise FieldError(f"instrument[{index}].symbol", instrument.symbol, "is used twice; symbols are unique")
            by_id[instrument.id] = by_symbol[symbol] = instrument
        self.by_id: Mapping[int, Instrument] = MappingProxyType(by_id)
        self.by_symbol: Mapping[bytes, Instrument] = MappingProxyType(by_symbol)
        self._digests = {number: instrument.digest for number, instrument in by_id.items()}

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self) -> Iterator[Instrument]:
        """In the order of the settings file."""
        return iter(self.by_id.values())

    def digest(self, instrument_id: int) -> bytes:
        """:attr:`Instrument.digest` by id. Raises KeyError for an id that the table lacks."""
        return self._digests[instrument_id]
