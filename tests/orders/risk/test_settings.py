"""[risk]: text to exact bounds, and one clear line for what cannot be."""

from fractions import Fraction
from pathlib import Path

import pytest

from orderd.config import Settings, load_settings
from orderd.orders.risk.limits import NO_BOUND, AccountLimits, Bounds
from orderd.runtime.instruments import Instrument
from orderd.runtime.settings import SettingsError, changed_keys, flatten, is_reloadable

GOOD = """
[risk]
order_quantity_max = "1000"
price_band = "2.5%"
orders_per_second = 10
position_max = "0"
[[risk.account]]
account = 7
order_quantity_max = ""
orders_burst = 3
[[risk.reference]]
symbol = "AAPL"
price = "187.25"
[[instrument]]
symbol = "AAPL"
id = 1
tick = "0.01"
lot = "1"
"""


def settings_of(text: str, path: Path, *overrides: str) -> Settings:
    file = path / "orderd.toml"
    file.write_text(text)
    return load_settings(file, overrides, {"HOME": "/home/a"})


def test_text_becomes_exact_bounds_and_an_account_has_the_rest_from_all(tmp_path: Path) -> None:
    limits = settings_of(GOOD, tmp_path).risk_limits
    rest = {"price_band": Fraction(1, 40), "orders_per_second": 10, "repeats_window_ms": 1000}
    assert limits.default == AccountLimits(order_quantity_max=Fraction(1000), orders_burst=10, **rest)  # type: ignore[arg-type]
    assert limits.of(7) == AccountLimits(orders_burst=3, **rest)  # type: ignore[arg-type]
    assert limits.of(8) is limits.default
    assert limits.references == {1: 18_725}


def test_without_any_limit_everything_is_off(tmp_path: Path) -> None:
    limits = settings_of(GOOD.partition("[risk]")[0] + GOOD[GOOD.index("[[instrument]]") :], tmp_path).risk_limits
    assert limits.is_off
    assert limits.of(7).is_off


def test_bounds_are_the_largest_whole_steps_within() -> None:
    limits = AccountLimits(Fraction("0.0105"), Fraction("100.01"), position_max=Fraction("0.0009"))
    bounds = Bounds(limits, Instrument("BTC", 2, "0.5", "0.001"))
    assert (bounds.quantity, bounds.notional, bounds.position) == (10, 200_020, 0)
    assert (bounds.orders, bounds.gross) == (NO_BOUND, NO_BOUND)


@pytest.mark.parametrize(
    ("override", "refusal"),
    [
        ('risk.price_band="5"', 'risk.price_band = "5": must be a percentage above 0 in quotes, such as "5%"'),
        ('risk.price_band="0%"', 'risk.price_band = "0%": must be a percentage above 0'),
        ('risk.position_max="1e3"', 'risk.position_max = "1e3": must be a plain decimal in quotes'),
        ('risk.position_max="-1"', 'risk.position_max = "-1": must be a plain decimal in quotes'),
        ("risk.position_max=5", "risk.position_max = 5: must be a plain decimal in quotes"),
        ("risk.orders_per_second=-1", "risk.orders_per_second = -1: must be a whole number from 0 to 10000000"),
        ("risk.account=[{account=7,price_band='x'}]", 'risk.account[0].price_band = "x": must be a percentage'),
        ("risk.account=[{price_band='5%'}]", "risk.account[0].account is missing"),
        ("risk.account=[{account=65536}]", "risk.account[0].account = 65536: must be a whole number from 0 to 65535"),
        ("risk.account=[{account=7},{account=7}]", "risk.account[1].account = 7: is there twice"),
        (
            "risk.reference=[{symbol='X',price='1'}]",
            'risk.reference[0].symbol = "X": is no symbol of an [[instrument]]',
        ),
        ("risk.reference=[{symbol='AAPL',price='1.001'}]", 'risk.reference[0].price = "1.001": price "1.001" is not'),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, override: str, refusal: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(GOOD, tmp_path, override)
    assert f": {refusal}" in str(caught.value)


def test_all_of_it_may_be_reloaded_and_is_shown_without_what_is_not_there(tmp_path: Path) -> None:
    old, new = settings_of(GOOD, tmp_path), settings_of(GOOD.replace("account = 7", "account = 8"), tmp_path)
    assert changed_keys(old, new) == ["risk.account"]
    assert is_reloadable(Settings, "risk.account")
    assert flatten(old)["risk.account"] == '[{account = 7, order_quantity_max = "", orders_burst = 3}]'
