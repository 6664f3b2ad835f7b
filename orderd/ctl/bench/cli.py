"""The command ``orderctl bench``."""

import os
import re
import sys
import time
from contextlib import ExitStack
from decimal import Decimal
from typing import Final

import click
import trio

from orderd.ctl import output
from orderd.ctl.bench.account import Account
from orderd.ctl.bench.client import Client, InfoWatch
from orderd.ctl.bench.closing import Closing, close
from orderd.ctl.bench.orders import LEVELS, BatchOrders, Mix, Source, TextOrders
from orderd.ctl.bench.run import Plan, Run
from orderd.ctl.bench.view import View, summary, summary_table
from orderd.ctl.connection import Connection
from orderd.ctl.errors import EXIT_REFUSED, CtlError, InputError
from orderd.ctl.options import Options, with_json

MODES: Final = click.Choice(["daemon", "sync", "batch", "fire-and-forget"])
NUMBERS_OF_A_CLIENT: Final = 1 << 28
DEFAULT_RATE: Final = 1000
RATE_MAX: Final = 10_000_000
_RATE: Final = re.compile(r"(?a:(\d+)(k?)(?:/s)?)")


def _rate(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Orders a second: 20000, 20000/s, 20k, 20k/s."""
    if value is None:
        return None
    match = _RATE.fullmatch(value)
    rate = int(match[1]) * (1000 if match[2] else 1) if match else 0
    if not 1 <= rate <= RATE_MAX:
        raise click.BadParameter(
            f"{value!r} is not a rate from 1/s to {RATE_MAX}/s, such as 20000/s or 20k", param=parameter
        )
    return rate


@click.command()
@click.option("--mode", type=MODES, default="daemon", show_default=True, help="Goes along with each order, if given.")
@click.option(
    "--rate", callback=_rate, metavar="N/s", help=f"Orders a second in all, open loop. Default: {DEFAULT_RATE}."
)
@click.option("--closed", is_flag=True, help="Closed loop instead: a client sends when it was answered.")
@click.option(
    "--pipeline", type=click.IntRange(1, 50_000), metavar="N", help="With --closed: commands unanswered at a time. [1]"
)
@click.option("--clients", type=click.IntRange(1, 500), default=1, show_default=True, help="Connections.")
@click.option(
    "--duration", "duration_s", type=click.FloatRange(0.1, 86_400), default=10.0, show_default=True, help="Seconds."
)
@click.option("--symbol", metavar="S", help="Default: the daemon's first instrument.")
@click.option(
    "--cancel-share",
    type=click.FloatRange(0, 0.5),
    default=0.5,
    show_default=True,
    help="Of all orders; the others stay in the book to the end.",
)
@click.option(
    "--batch", type=click.IntRange(1, 30_000), metavar="N", help="Send ORDER.BATCH with N records, not text orders."
)
@with_json
@click.pass_obj
def bench(
    options: Options,
    mode: str,
    rate: int | None,
    closed: bool,
    pipeline: int | None,
    clients: int,
    duration_s: float,
    symbol: str | None,
    cancel_share: float,
    batch: int | None,
) -> None:
    """Measure a running daemon: rates, latencies and paths, each second and in all.

    Orders buy at the lowest prices, are cancelled again, and all are cancelled at the end. With --rate an order's
    latency counts from the time it was due, so that nothing that falls behind is hidden. Ends with exit code 0 if every
    acknowledged order was confirmed.
    """
    if closed and rate is not None:
        raise click.UsageError("Give one of --rate and --closed.")
    if pipeline is not None and not closed:
        raise click.UsageError("--pipeline goes with --closed.")
    if not closed and rate is None:
        rate = DEFAULT_RATE
    run_id = f"bench-{os.urandom(4).hex()}"
    with ExitStack() as stack:
        control = stack.enter_context(options.connect())
        instrument = _instrument(control, symbol)
        plan = Plan(
            symbol=instrument["symbol"],
            mode="" if mode == "daemon" else mode,
            rate=rate,
            duration_s=duration_s,
            clients=clients,
            cancel_share=cancel_share,
            batch=batch,
            pipeline=pipeline or 1,
        )
        sources = _sources(control, plan, instrument, run_id)
        account = Account()
        senders = [
            Client(stack.enter_context(options.connect()), source, account, time.monotonic_ns) for source in sources
        ]
        console = output.console()
        with View(console, as_json=options.json) as view:
            watch = InfoWatch(stack.enter_context(options.connect()))
            run = Run(plan, senders, account, watch, view.second, options.timeout_s)
            trio.run(run.run)
        closing = _close(control, sources, run, options.timeout_s)
    values = summary(plan, run, account.total, closing, run_id)
    if options.json:
        output.print_json({"type": "summary", **values})
    else:
        console.print(summary_table(values))
        for note in values["notes"]:
            click.echo(note, err=True)
    if run.error is not None:
        sys.exit(run.error.exit_code)
    if not values["ok"]:
        sys.exit(EXIT_REFUSED)


def _close(control: Connection, sources: list[Source], run: Run, timeout_s: float) -> Closing:
    """Cancels what is left; an error of that is the run's, and so is Ctrl-C."""
    left = sum(len(source.mix.live) for source in sources)
    if run.abandoned:
        return Closing(left_open=left, last_error="interrupted")
    try:
        return close(
            control,
            sources,
            timeout_s,
            lambda count: click.echo(f"waiting up to {timeout_s:g} s for the outcome of {count:,} cancels", err=True),
        )
    except CtlError as error:
        run.error = run.error or error
        return Closing(left_open=left, last_error=str(error))
    except KeyboardInterrupt:
        run.interrupted = True
        return Closing(left_open=left, last_error="interrupted")


def _instrument(control: Connection, symbol: str | None) -> dict[str, str]:
    """The instrument to trade in. Raises :class:`InputError` if orders would not rest there."""
    instruments: list[dict[str, str]] = control.call("INSTRUMENTS")
    found = next((one for one in instruments if symbol in (None, one["symbol"])), None)
    if found is None:
        raise InputError(f"the daemon has no instrument {symbol!r}")
    asks = control.call("BOOK", found["symbol"], "DEPTH", 1)["asks"]
    highest = Decimal(found["tick"]) * LEVELS
    if asks and Decimal(asks[0][0]) <= highest:
        raise InputError(f"somebody sells {found['symbol']} at {asks[0][0]}: orders up to {highest} would trade")
    return found


def _sources(control: Connection, plan: Plan, instrument: dict[str, str], run_id: str) -> list[Source]:
    """What each client sends."""
    if plan.batch is not None:
        return [
            BatchOrders(
                f"{run_id}.{place}.",
                plan.batch,
                int(control.call("ORDER.RESERVE", NUMBERS_OF_A_CLIENT)),
                int(instrument["id"]),
                plan.mode,
                Mix(plan.cancel_share),
            )
            for place in range(plan.clients)
        ]
    prices = [f"{Decimal(instrument['tick']) * level:f}" for level in range(1, LEVELS + 1)]
    return [
        TextOrders(f"{run_id}.{place}.", plan.symbol, prices, instrument["lot"], plan.mode, Mix(plan.cancel_share))
        for place in range(plan.clients)
    ]
