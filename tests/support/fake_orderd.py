"""A fake daemon for tests of its clients: RESP over a Unix socket, an order table and a naive price-time book.

It behaves where clients look: statuses, executions, books, numbers, modes. Nothing is durable and nothing is quick.
Rules of its own make what a real daemon does rarely: an order of account 666 is REJECTED, of account 667 UNKNOWN.

``python -m tests.support.fake_orderd --config FILE`` serves at the socket that a settings file of orderd names, until
SIGTERM.
"""

import signal
import socket
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from orderd.intake import replies
from orderd.intake.resp import CommandReader
from orderd.wire.records import FLAG_SELL, RECORD, Kind

CLOSED = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")


class Refusal(Exception):
    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


@attrs.define(eq=False)
class Order:
    cl_ord_id: str
    order_id: int
    symbol: str
    side: str
    quantity: int
    price: int
    status: str = "NEW"
    cum: int = 0
    notional: int = 0
    reason: str = ""

    @property
    def leaves(self) -> int:
        return 0 if self.status in CLOSED else self.quantity - self.cum


@attrs.define
class FakeOrderd:
    """Use as a context manager: listens at ``path`` as long as it is open. Prices have two decimals."""

    path: Path
    mode: str = "sync"
    symbols: tuple[str, ...] = ("AAPL", "AMZN")
    orders: dict[str, Order] = attrs.Factory(dict)
    resting: list[Order] = attrs.Factory(list)
    executions: list[dict[str, str]] = attrs.Factory(list)
    commands: list[list[str]] = attrs.Factory(list)
    trades: int = 0
    next_number: int = 1
    lock: Any = attrs.Factory(threading.Lock)
    _listener: socket.socket = attrs.Factory(lambda: socket.socket(socket.AF_UNIX))
    _sockets: list[socket.socket] = attrs.Factory(list)
    _threads: list[threading.Thread] = attrs.Factory(list)

    def __enter__(self) -> "FakeOrderd":
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._sockets):
            connection.close() if connection.fileno() < 0 else connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for connection in self._sockets:
            connection.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        reader = CommandReader(query_bytes_max=1 << 20)
        while True:
            try:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                answers = [self._answer([word.decode("latin-1") for word in words]) for words in reader.feed(chunk)]
                connection.sendall(b"".join(answers))
            except OSError:
                return

    def _answer(self, words: list[str]) -> bytes:
        with self.lock:
            self.commands.append(words)
            name = words[0].upper().replace(".", "_").lower()
            handler = getattr(self, f"do_{name}", None)
            try:
                if handler is None:
                    raise Refusal("ERR", f"unknown command {words[0]}")
                value = handler(*words[1:])
                return value if isinstance(value, bytes) else replies.encode(value, 3)
            except Refusal as refusal:
                return replies.error(refusal.word, str(refusal))

    def do_hello(self, version: str = "3") -> Any:
        return {"server": "orderd", "proto": int(version)}

    def do_ping(self) -> Any:
        return b"+PONG\r\n"

    def do_echo(self, text: str) -> Any:
        return text

    def do_mode(self, mode: str = "") -> Any:
        self.mode = mode or self.mode
        return self.mode

    def do_instruments(self) -> Any:
        return [{"symbol": s, "id": str(i), "tick": "0.01", "lot": "1"} for i, s in enumerate(self.symbols, 1)]

    def do_info(self, section: str = "") -> Any:
        text = "# Transport\r\ntransport_state:UDP_ENABLED\r\n\r\n"
        text += f"# Orders\r\nmode:{self.mode}\r\norders_queued:0\r\norders_unconfirmed:0\r\n"
        return (
            text
            + f"orders_open:{len(self.resting)}\r\n\r\n# Executions\r\nexecutions_last_id:{len(self.executions)}\r\n"
        )

    def do_order_reserve(self, count: str) -> Any:
        first, self.next_number = self.next_number, self.next_number + int(count)
        return str(first)

    def do_exec_read(self, after: str, *options: str) -> Any:
        first = len(self.executions) if after == "$" else int(after)
        count = int(options[options.index("COUNT") + 1]) if "COUNT" in options else 100
        found = [[str(i + 1), self.executions[i]] for i in range(first, min(len(self.executions), first + count))]
        return found or (None if "BLOCK" in options else [])

    def do_book(self, symbol: str, _: str = "DEPTH", depth: str = "10") -> Any:
        if symbol not in self.symbols:
            raise Refusal("BADORDER", f"no instrument {symbol}")
        sides = {}
        for name, side, sign in (("bids", "BUY", -1), ("asks", "SELL", 1)):
            levels: dict[int, list[int]] = {}
            for order in self.resting:
                if order.symbol == symbol and order.side == side:
                    levels.setdefault(order.price, []).append(order.leaves)
            best = sorted(levels.items(), key=lambda level, sign=sign: sign * level[0])[: int(depth)]  # type: ignore[misc]
            sides[name] = [[self._price(price), str(sum(open_)), str(len(open_))] for price, open_ in best]
        return {"symbol": symbol, **sides}

    def do_order_new(self, cl_ord_id: str, symbol: str, side: str, quantity: str, kind: str, *options: str) -> Any:
        price = 0
        if kind == "LIMIT":
            price, options = self._ticks(options[0]), options[1:]
        more = {options[i]: options[i + 1] for i in range(len(options) - 1) if options[i].isalpha()}
        if symbol not in self.symbols:
            raise Refusal("BADORDER", f"no instrument {symbol}")
        if cl_ord_id in self.orders:
            raise Refusal("DUPLICATE", f"{cl_ord_id} is another order")
        order = Order(cl_ord_id, len(self.orders) + 1, symbol, side, int(quantity), price)
        self.orders[cl_ord_id] = order
        if more.get("ACCOUNT") == "667":
            order.status, order.reason = "UNKNOWN", "SENT"
        elif more.get("ACCOUNT") == "666":
            order.status, order.reason = "REJECTED", "BAD_RECORD"
            self._tell(order, "REJECTED")
        else:
            self._tell(order, "NEW")
            self._match(order, immediate=kind == "MARKET" or more.get("TIF") == "IOC")
        return self._reply(order, more.get("MODE", self.mode))

    def do_order_cancel(self, cl_ord_id: str, *options: str) -> Any:
        order = self._find(cl_ord_id)
        if order not in self.resting:
            return self._too_late(order, "CANCEL_REJECTED")
        self._close(order)
        return self._reply(order, options[options.index("MODE") + 1] if "MODE" in options else self.mode)

    def do_order_replace(self, cl_ord_id: str, quantity: str, price: str, *options: str) -> Any:
        order = self._find(cl_ord_id)
        if order not in self.resting:
            return self._too_late(order, "REPLACE_REJECTED")
        total = int(quantity) + (order.cum if "OPEN" in options else 0)
        if total <= order.cum:
            self._close(order)
            return {**self._reply(order, self.mode), "reason": "REPLACED_BELOW_FILLED"}
        keeps = self._ticks(price) == order.price and total <= order.quantity
        order.quantity, order.price = total, self._ticks(price)
        order.status = order.status if order.cum else "REPLACED"
        self._tell(order, "REPLACED")
        if not keeps:
            self.resting.remove(order)
            self._match(order, immediate=False)
        return self._reply(order, self.mode)

    def do_order_status(self, cl_ord_id: str) -> Any:
        return self._pairs(self._find(cl_ord_id))

    def do_order_wait(self, cl_ord_id: str, _: str) -> Any:
        return self._pairs(self._find(cl_ord_id))

    def do_order_batch(self, batch_id: str, records: str, *options: str) -> Any:
        first, accepted, rejected, trades = len(self.orders) + 1, 0, 0, self.trades
        data = records.encode("latin-1")
        for number, price, quantity, instrument, _, kind, flags in RECORD.iter_unpack(data):
            if kind == Kind.CANCEL:
                done = self.do_order_cancel(str(number)).get("reason") is None
            else:
                side = "SELL" if flags & FLAG_SELL else "BUY"
                self.do_order_new(
                    str(number), self.symbols[instrument - 1], side, str(quantity), "LIMIT", self._price(price)
                )
                done = True
            accepted, rejected = accepted + done, rejected + (not done)
        queued = (options[1] if options else self.mode) == "fire-and-forget"
        return {
            "batch_id": batch_id,
            "orders": str(accepted + rejected),
            "status": "QUEUED" if queued else "DONE",
            "accepted": str(accepted),
            "rejected": str(rejected),
            "trades": str(self.trades - trades),
            "first_order_id": str(first),
        }

    def _find(self, cl_ord_id: str) -> Order:
        if cl_ord_id not in self.orders:
            raise Refusal("NOTFOUND", f"no order {cl_ord_id}")
        return self.orders[cl_ord_id]

    def _too_late(self, order: Order, exec_type: str) -> dict[str, str]:
        self._tell(order, exec_type)
        return {**self._reply(order, self.mode), "reason": "TOO_LATE"}

    def _close(self, order: Order) -> None:
        self.resting.remove(order)
        order.status = "CANCELED"
        self._tell(order, "CANCELED")

    def _match(self, order: Order, *, immediate: bool) -> None:
        sign = 1 if order.side == "BUY" else -1
        while order.leaves:
            others = [other for other in self.resting if other.symbol == order.symbol and other.side != order.side]
            maker = min(others, key=lambda other: sign * other.price, default=None)
            if maker is None or (order.price and sign * maker.price > sign * order.price):
                break
            quantity = min(order.leaves, maker.leaves)
            self.trades += 1
            for one in (maker, order):
                one.cum += quantity
                one.notional += quantity * maker.price
                one.status = "FILLED" if one.cum == one.quantity else "PARTIALLY_FILLED"
                self._tell(one, "TRADE", quantity, maker.price, "MAKER" if one is maker else "TAKER")
            if not maker.leaves:
                self.resting.remove(maker)
        if order.leaves:
            if immediate:
                order.status, order.reason = "CANCELED", "IOC"
                self._tell(order, "CANCELED")
            else:
                self.resting.append(order)

    def _tell(self, order: Order, exec_type: str, quantity: int = 0, price: int = 0, liquidity: str = "") -> None:
        pairs = {
            "exec_type": exec_type,
            "cl_ord_id": order.cl_ord_id,
            "order_id": str(order.order_id),
            "symbol": order.symbol,
            "side": order.side,
            "last_qty": str(quantity),
            "last_px": self._price(price),
            "cum_qty": str(order.cum),
            "leaves_qty": str(order.leaves),
            "status": order.status,
        }
        if liquidity:
            pairs.update(liquidity=liquidity, trade_id=str(self.trades))
        self.executions.append(pairs)

    def _reply(self, order: Order, mode: str) -> dict[str, str]:
        pairs = self._pairs(order)
        return {**pairs, "status": "QUEUED", "path": "none"} if mode == "fire-and-forget" else pairs

    def _pairs(self, order: Order) -> dict[str, str]:
        average = f"{order.notional / order.cum / 100:.6f}" if order.cum else "0"
        pairs = {
            "cl_ord_id": order.cl_ord_id,
            "order_id": str(order.order_id),
            "symbol": order.symbol,
            "side": order.side,
            "status": order.status,
            "quantity": str(order.quantity),
            "cum_qty": str(order.cum),
            "leaves_qty": str(order.leaves),
            "avg_px": average,
            "path": "udp",
        }
        return {**pairs, "reason": order.reason} if order.reason else pairs

    @staticmethod
    def _price(ticks: int) -> str:
        return f"{ticks // 100}.{ticks % 100:02}"

    @staticmethod
    def _ticks(price: str) -> int:
        whole, _, fraction = price.partition(".")
        if not whole.isdigit() or len(fraction) > 2:
            raise Refusal("BADORDER", f"price {price} is not a multiple of 0.01")
        return int(whole + fraction.ljust(2, "0"))


def main(config: Path) -> None:
    settings = tomllib.loads(config.read_text())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    symbols = tuple(instrument["symbol"] for instrument in settings["instrument"])
    with FakeOrderd(Path(settings["listen"]["socket"]), symbols=symbols):
        ended.wait()


if __name__ == "__main__":
    main(Path(sys.argv[2]))
