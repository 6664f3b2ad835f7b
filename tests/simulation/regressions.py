"""Seeds that found something, and what it was. All of it is mended, and each is run again with the tests."""

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {
    2451: "a subscriber that had fallen behind what is kept was pushed the next executions without a word of a gap",
    3341: "an orderd that had lost its tail took orders for the lost ones that came in before it heard the engine",
    72: "an id that was forgotten named a request of another order, which the oracle took for a mistake",
}
