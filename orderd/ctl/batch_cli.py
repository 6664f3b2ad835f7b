"""The command ``orderctl batch``: a file of orders, sent as batches of records."""

import os
import sys
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs
import click

from orderd.ctl import batch_numbers, output
from orderd.ctl.batch_file import FORMATS, SUFFIXES, Parsed, parse
from orderd.ctl.connection import Connection
from orderd.ctl.errors import EXIT_REFUSED, CtlError, InputError, ReplyError
from orderd.ctl.options import Options, with_json
from orderd.ctl.orders_cli import MODES
from orderd.runtime.instruments import Instrument
from orderd.runtime.places import state_directory
from orderd.wire.records import RECORD_BYTES

BATCH_RECORDS: Final = 8192
"""In one ORDER.BATCH; fewer if the daemon takes no such long command."""
COMMAND_BYTES: Final = 256
"""More than what an ORDER.BATCH has beside its records."""
FILE_BYTES_MAX: Final = 2**30
ID_CHARACTERS_MAX: Final = 48


@attrs.define
class Totals:
    """What became of the batches that were sent."""

    file: str
    id: str
    batches: int = 0
    sent: int = 0
    orders: int = 0
    status: str = "DONE"
    reason: str | None = None
    """Of the first that is UNKNOWN."""
    accepted: int = 0
    rejected: int = 0
    trades: int = 0
    first_order_id: str | None = None
    first_number: int | None = None
    error: CtlError | None = None
    """What ended it early."""

    def add(self, reply: dict[str, str]) -> None:
        """Takes in an ORDER.BATCH's pairs."""
        self.sent += 1
        self.orders += int(reply["orders"])
        self.accepted += int(reply["accepted"])
        self.rejected += int(reply["rejected"])
        self.trades += int(reply["trades"])
        self.first_order_id = self.first_order_id or reply["first_order_id"]
        if reply["status"] != "DONE" and self.status != "UNKNOWN":
            self.status, self.reason = reply["status"], reply.get("reason")

    @property
    def ok(self) -> bool:
        """Whether all was taken, and nothing is rejected or unknown."""
        return self.error is None and not self.rejected and self.status != "UNKNOWN"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "format_", type=click.Choice(FORMATS), help='Default: by the name; of "-": csv.')
@click.option("--id", "batch_id", metavar="ID", help="Batches are named ID-1, ID-2, ... Default: a digest of the file.")
@click.option("--mode", type=MODES, help="How to wait. Default: the daemon's mode.")
@with_json
@click.pass_obj
def batch(options: Options, file: Path, format_: str | None, batch_id: str | None, mode: str | None) -> None:
    """Place the orders, cancels and replaces of FILE ("-": stdin), in batches of records.

    CSV with the columns kind, number, symbol, side, type, quantity, price, tif, account, post_only, stp, gtd, stop,
    display, min_qty; the same as JSON, one object a line; or raw records. If a line does not fit nothing is sent. The
    same file sent again is not placed again.
    """
    data = _read(file)
    name = "stdin" if str(file) == "-" else str(file)
    format_ = format_ or ("csv" if str(file) == "-" else SUFFIXES.get(file.suffix.lower()))
    if format_ is None:
        raise click.UsageError(f"The name of {name} does not tell its format. Give --format.")
    if batch_id is not None and not (0 < len(batch_id) <= ID_CHARACTERS_MAX and _is_visible(batch_id)):
        raise click.UsageError(f"--id takes 1 to {ID_CHARACTERS_MAX} printable ASCII characters without space.")
    batch_id = batch_id or blake2b(data, digest_size=12).hexdigest()
    with options.connect() as connection:
        found = connection.call("INSTRUMENTS")
        instruments = {i["symbol"]: Instrument(i["symbol"], int(i["id"]), i["tick"], i["lot"]) for i in found}
        parsed = parse(name, data, format_, instruments)
        totals = Totals(name, batch_id)
        records = parsed.records
        if parsed.unnumbered:
            totals.first_number = _numbers(connection, parsed, data, batch_id)
            records = parsed.numbered(totals.first_number)
        parsed.check(records, instruments)
        _send(connection, parsed, records, totals, mode)
    _show(options, totals, parsed)


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None
    if len(data) > FILE_BYTES_MAX:
        raise InputError(f"{file}: is longer than {FILE_BYTES_MAX} bytes; split it")
    return data


def _is_visible(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _numbers(connection: Connection, parsed: Parsed, data: bytes, batch_id: str) -> int:
    """The first number for the orders that have none: the one of the run before, if there was one."""
    session = output.info_values(connection.call("INFO")).get("journal_session", "")
    key = batch_numbers.key_of(session.encode(), batch_id.encode(), data)
    directory = state_directory(os.environ, "orderctl") / "batches"
    count = len(parsed.unnumbered)
    return batch_numbers.first_number(directory, key, lambda: int(connection.call("ORDER.RESERVE", count)))


def _send(connection: Connection, parsed: Parsed, records: bytes, totals: Totals, mode: str | None) -> None:
    """One batch after the other: what is behind one that was not taken must not overtake it."""
    longest = int(connection.call("CONFIG", "GET", "limits.query_bytes_max")["limits.query_bytes_max"])
    size = max(1, min(BATCH_RECORDS, (longest - COMMAND_BYTES) // RECORD_BYTES))
    extra = ["MODE", mode] if mode else []
    cuts = parsed.cuts(size)
    totals.batches = len(cuts) - 1
    for place, (start, end) in enumerate(pairwise(cuts), 1):
        part = records[start * RECORD_BYTES : end * RECORD_BYTES]
        try:
            totals.add(connection.call("ORDER.BATCH", f"{totals.id}-{place}", part, *extra))
        except CtlError as error:
            text = parsed.explain(str(error), start) if isinstance(error, ReplyError) else str(error)
            # The same class, which tells the exit code.
            totals.error = type(error)(text)
            if not totals.sent:
                raise totals.error from None
            return


def _show(options: Options, totals: Totals, parsed: Parsed) -> None:
    rest = parsed.orders - totals.orders
    error = None if totals.error is None else str(totals.error)
    shown: dict[str, Any] = {**attrs.asdict(totals), "error": error, "not_sent": rest}
    if options.json:
        output.print_json({**shown, "ok": totals.ok})
    else:
        shown["batches"] = f"{totals.sent} of {totals.batches}" if rest else totals.batches
        left_out = ("error", "sent", "not_sent")
        rows = {key: value for key, value in shown.items() if value is not None and key not in left_out}
        output.console().print(output.pairs_table(rows))
    if totals.error is not None:
        click.echo(f"orderctl: {totals.error}", err=True)
        what = f"the last {rest} of {parsed.orders} were not sent, or it is not known"
        click.echo(f"orderctl: {what}; the same command again goes on there", err=True)
    if not totals.ok:
        sys.exit(EXIT_REFUSED if totals.error is None else totals.error.exit_code)
