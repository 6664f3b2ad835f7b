"""The trades of a replay, read from the daemon's executions and told by the replay's own order numbers."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from orderd.ctl.connection import Connection
from orderd.ctl.errors import ReplyError
from orderd.ctl.output import info_values

PAGE: Final = 5000


@attrs.define
class Trade:
    """One trade. ``taker`` and ``maker`` are order ids of the replay, empty where the order was somebody else's."""

    price: str
    quantity: str
    taker: str = ""
    maker: str = ""


class TradeReader:
    """Follows the executions from the moment it is made, and keeps trades in which ``numbers`` took part."""

    def __init__(self, connection: Connection, numbers: Mapping[str, object]) -> None:
        self.complete = True
        """False once the daemon has dropped executions before they were read here."""
        self.trades: dict[str, Trade] = {}
        """By trade id, in the order in which they happened."""
        self.rejected = 0
        """Orders that the engine rejected."""
        self.changes_rejected = 0
        """Cancels and replaces that the engine rejected."""
        self._connection = connection
        self._numbers = numbers
        self._after = _last_id(connection)

    def read(self, *, block_ms: int = 0) -> int:
        """Reads what is there, waiting up to ``block_ms`` for more; returns how many executions came."""
        total = 0
        while found := self._read_page(block_ms):
            total += len(found)
            for _, pairs in found:
                if pairs["cl_ord_id"] in self._numbers:
                    self._take(pairs)
            self._after = str(found[-1][0])
        return total

    def _read_page(self, block_ms: int) -> list[tuple[str, dict[str, Any]]]:
        block = ("BLOCK", block_ms) if block_ms else ()
        try:
            found = self._connection.call("EXEC.READ", self._after, "COUNT", PAGE, *block, wait_s=block_ms / 1000)
        except ReplyError as error:
            if error.word != "TRIMMED":
                raise
            self.complete = False
            self._after = "0"
            return self._read_page(block_ms)
        return found or []

    def _take(self, pairs: Mapping[str, Any]) -> None:
        match pairs["exec_type"]:
            case "REJECTED":
                self.rejected += 1
            case "CANCEL_REJECTED" | "REPLACE_REJECTED":
                self.changes_rejected += 1
            case "TRADE":
                trade = self.trades.get(pairs["trade_id"])
                if trade is None:
                    trade = self.trades[pairs["trade_id"]] = Trade(pairs["last_px"], pairs["last_qty"])
                if pairs["liquidity"] == "TAKER":
                    trade.taker = pairs["cl_ord_id"]
                else:
                    trade.maker = pairs["cl_ord_id"]


def _last_id(connection: Connection) -> str:
    return info_values(connection.call("INFO")).get("executions_last_id", "0")
