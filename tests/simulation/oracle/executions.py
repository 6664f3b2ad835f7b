"""The stream of executions of one orderd: ids without a gap, each always the same, and each what the naive book tells.

Whoever reads it, whenever, by EXEC.READ, by pushes or as the auditor does: only what is in orderd's journal may show.
"""

from typing import Any

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.limits import UNBOUNDED
from tests.simulation.oracle.market import BY_ID
from tests.simulation.oracle.orders_told import Pairs, pairs_of
from tests.simulation.oracle.outcomes import NAMES, NEW, TRADE, VOIDED
from tests.simulation.oracle.records import TEXT_NUMBER
from tests.simulation.oracle.rows import EXPIRED, MAXAGE, NAMES_BY_REASON, STATUSES
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Command

AT_ONCE = 250
"""Executions of one reply, at most."""


class ExecutionsTold:
    """The rules, for one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._expected: dict[int, Pairs] = {}

    # --- one execution ------------------------------------------------------------------------------------------------

    def check(self, exec_id: int, pairs: Pairs, what: str) -> None:
        """It is shown like this."""
        site = self._site
        if not 0 < exec_id <= site.executions:
            if site.is_loose:
                return
            raise Contradiction("executions", f"{what}: {exec_id} {pairs}; {site.executions} are in the journal")
        expected = self._expected.get(exec_id)
        if expected is None:
            expected = self._expected[exec_id] = self._pairs_of(exec_id, pairs)
        if pairs != expected:
            raise Contradiction("executions", f"{what}: {exec_id} {pairs}; it must be {expected}")

    def account_of(self, exec_id: int) -> str:
        """Of which account it is."""
        report = self._site.reports[self._site.shown[exec_id - 1]]
        if report[0] == NEW:
            return str(self._site.rows[report[8] - 1].fields[4])
        return str(report[6])

    def _pairs_of(self, exec_id: int, found: Pairs) -> Pairs:
        site = self._site
        (
            exec_type, sell, taker, _, status, reason, account, instrument, order_id, _, number, last_qty, last_px, cum,
            leaves, trade_id, time_ns,
        ) = site.reports[site.shown[exec_id - 1]]  # fmt: skip
        if exec_type == NEW:
            number, _, leaves, instrument, account, _, flags = site.rows[order_id - 1].fields
            sell = flags & 1
        elif exec_type == VOIDED:
            status, reason = EXPIRED, MAXAGE
        if not order_id and number >= TEXT_NUMBER:
            order_id = number - TEXT_NUMBER
        market = BY_ID[instrument]
        pairs = {
            "exec_type": NAMES[exec_type],
            "cl_ord_id": self._name(number, found),
            "order_id": str(order_id),
            "symbol": market.symbol,
            "side": "SELL" if sell else "BUY",
            "account": str(account),
            "last_qty": market.quantity(last_qty),
            "last_px": market.price(last_px),
            "cum_qty": market.quantity(cum),
            "leaves_qty": market.quantity(leaves),
            "status": STATUSES[status],
        }
        if exec_type == TRADE:
            pairs |= {"liquidity": "TAKER" if taker else "MAKER", "trade_id": str(trade_id)}
        pairs["transact_time_ns"] = str(time_ns)
        if reason:
            pairs["reason"] = NAMES_BY_REASON[reason]
        return pairs

    def _name(self, number: int, found: Pairs) -> str:
        if number < TEXT_NUMBER:
            return str(number)
        row = self._site.rows[number - TEXT_NUMBER - 1]
        if found.get("cl_ord_id") == str(number) and self._site.limits.remembered_max < UNBOUNDED:
            # The order was forgotten before this came.
            return str(number)
        return row.name.decode("ascii")

    # --- replies ------------------------------------------------------------------------------------------------------

    def read(self, command: Command, reply: Any, tick: int, now: float) -> None:
        """The reply to EXEC.READ."""
        what = f"{self._site.name}: {command} was answered at {now:.6f}"
        options = command.said.options
        if reply is None:
            if b"BLOCK" not in options:
                raise Contradiction("executions", f"{what} with nothing, and did not ask to wait")
            return
        account = options[b"ACCOUNT"].decode() if b"ACCOUNT" in options else None
        after = None if command.said.target == b"$" else int(command.said.target)
        found = [(int(exec_id), pairs_of(pairs)) for exec_id, pairs in reply]
        if len(found) > min(AT_ONCE, int(options.get(b"COUNT", b"100"))):
            raise Contradiction("executions", f"{what} with {len(found)} executions")
        for exec_id, pairs in found:
            self.check(exec_id, pairs, what)
            if account is not None and pairs["account"] != account:
                raise Contradiction("executions", f"{what} with {exec_id} {pairs}")
        ids = [exec_id for exec_id, _ in found]
        if after is None:
            after = ids[0] - 1 if ids else None
            if after is not None and after < command.executions:
                raise Contradiction(
                    "executions", f"{what} with {ids}; {command.executions} were there before it was said"
                )
        elif not ids and after < command.executions:
            self._check_none(after, command.executions, account, what)
        if ids and after is not None:
            self._check_gapless(ids, after, account, what)

    def _check_none(self, after: int, end: int, account: str | None, what: str) -> None:
        first = max(after + 1, self._first_kept())
        missing = [i for i in range(first, end + 1) if account is None or self.account_of(i) == account]
        if missing:
            raise Contradiction("executions", f"{what} with nothing; {missing[:5]} were there before it was said")

    def _check_gapless(self, ids: list[int], after: int, account: str | None, what: str) -> None:
        """Nothing is left out from ``after`` on; what is no more kept may be missing in front."""
        begin = after + 1
        if after == 0 and ids[0] > 1:
            begin = self._first_kept()
            if account is None and ids[0] > begin:
                raise Contradiction("executions", f"{what} from {ids[0]} on; those from {begin} on are kept")
            # When it looked, more may have been kept than now.
            begin = min(begin, ids[0])
        wanted = range(begin, ids[-1] + 1)
        expected = [i for i in wanted if account is None or self.account_of(i) == account]
        if ids != expected:
            raise Contradiction("executions", f"{what} with {ids}, where {expected} are behind {after}")

    def _first_kept(self) -> int:
        """The first that must still be there."""
        return max(1, self._site.executions + 1 - self._site.limits.executions_kept)

    def trimmed(self, command: Command, text: str, what: str) -> None:
        """EXEC.READ or EXEC.SUBSCRIBE says that a position is gone."""
        first, site = int(text.split()[1]), self._site
        if first > self._first_kept():
            raise Contradiction("trimmed", f"{what}; {site.executions} are there, {site.limits.executions_kept} kept")
        if command.said.target.isdigit() and int(command.said.target) + 1 >= first:
            raise Contradiction("trimmed", f"{what}, and {first} is not behind what was asked for")

    # --- pushes -------------------------------------------------------------------------------------------------------

    def subscribed(self, command: Command, reply: Any, tick: int, now: float) -> None:
        """EXEC.SUBSCRIBE is answered: pushes are behind that position from now on."""
        connection, said = command.connection, command.said
        connection.subscribed = True
        # 0 is from the first that is kept, $ from some point on: the first push shows it.
        connection.stream = int(said.target) if said.target.isdigit() and said.target != b"0" else None
        connection.stream_from = command.executions if said.target == b"$" else 0
        account = said.options.get(b"ACCOUNT")
        connection.stream_account = account.decode() if account is not None else None

    def unsubscribed(self, command: Command, reply: Any, tick: int, now: float) -> None:
        """No push comes from now on."""
        command.connection.subscribed = False

    def pushed(self, connection: Any, message: Any, now: float) -> None:
        """A push came."""
        site = self._site
        what = f"{site.name}: connection {connection.number} was pushed something at {now:.6f}"
        if not connection.subscribed:
            raise Contradiction("pushes", f"{what}, and has no subscription: {message}")
        if message[0] != b"exec":
            connection.subscribed = False
            return
        exec_id, pairs = int(message[1]), pairs_of(message[2])
        self.check(exec_id, pairs, what)
        account, before = connection.stream_account, connection.stream
        if account is not None and pairs["account"] != account:
            raise Contradiction("pushes", f"{what} of another account than {account}: {exec_id} {pairs}")
        if before is None:
            if exec_id <= connection.stream_from:
                raise Contradiction("pushes", f"{what}: {exec_id}, and wanted those behind {connection.stream_from}")
            before = exec_id - 1
        missing = [i for i in range(before + 1, exec_id) if account is None or self.account_of(i) == account]
        if exec_id <= before or missing:
            raise Contradiction("pushes", f"{what}: {exec_id} behind {before}, without {missing[:5]}")
        connection.stream = exec_id
