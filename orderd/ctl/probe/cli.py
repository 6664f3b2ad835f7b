"""The command ``orderctl probe``."""

import sys
from pathlib import Path
from typing import Any

import attrs
import click

from orderd.ctl import output
from orderd.ctl.errors import EXIT_REFUSED
from orderd.ctl.latency import shown_us
from orderd.ctl.options import Options, with_json
from orderd.ctl.probe import run as probe_run
from orderd.ctl.probe.diagnosis import Diagnosis, Fault, GrpcSight, diagnose
from orderd.ctl.probe.run import Outcome, Plan
from orderd.ctl.probe.series import Summary
from orderd.ctl.probe.target import Target, find_target
from orderd.wire.frames import DATAGRAM_BYTES_MAX
from orderd.wire.probes import PROBE_BYTES_MIN

SIZES = click.IntRange(PROBE_BYTES_MIN, DATAGRAM_BYTES_MAX)


@click.command()
@click.option("--udp", metavar="HOST:PORT", help="The engine. Default: where the running daemon finds it.")
@click.option("--grpc", metavar="HOST:PORT", help="Its gRPC address, to tell what UDP cannot. Default: likewise.")
@click.option("--key-file", metavar="FILE", help="The site's key; \"\" for none. Default: the daemon's.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Take all that from orderd's settings.")
@click.option("--count", type=click.IntRange(0, 1_000_000), default=200, show_default=True, help="Paced probes.")
@click.option("--rate", type=click.FloatRange(0.1, 100_000), default=500, show_default=True, help="Of them a second.")
@click.option("--burst", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Probes sent at once.")
@click.option(
    "--size", type=SIZES, metavar="BYTES", help="Of each datagram. Default: the site's udp.datagram_bytes_max."
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.01, 3600), default=1.0, show_default=True,
    help="Seconds that an answer may take.",
)  # fmt: skip
@with_json
@click.pass_obj
def probe(
    options: Options,
    /,
    udp: str | None,
    grpc: str | None,
    key_file: str | None,
    config: Path | None,
    count: int,
    rate: float,
    burst: int,
    size: int | None,
    timeout_s: float,
) -> None:
    """Try the UDP road to the engine by itself, and name what is wrong with it.

    The daemon's session is not touched. Ends with exit code 0 if the road is good, and 1 if a fault was found.
    """
    target = find_target(options, udp=udp, grpc=grpc, key_file=key_file, config=config)
    plan = Plan(size=size or target.size, count=count, rate=rate, burst=burst, timeout_s=timeout_s)
    outcome = probe_run.run(target, plan)
    diagnosis = diagnose(outcome.seen)
    if options.json:
        output.print_json(_as_json(target, outcome, diagnosis))
    else:
        output.console().print(output.pairs_table(_rows(target, outcome)))
        click.echo(f"{diagnosis.fault.value}: {diagnosis.line}")
    if diagnosis.fault is not Fault.GOOD:
        sys.exit(EXIT_REFUSED)


# --- for people -------------------------------------------------------------------------------------------------------


def _rows(target: Target, outcome: Outcome) -> dict[str, str]:
    seen = outcome.seen
    rows = {"udp": seen.udp, "grpc": _grpc_row(seen.grpc, seen.before), "key": target.key_file or "none"}
    if outcome.engine:
        offset = "" if outcome.clock_offset_us is None else f", its clock {outcome.clock_offset_us / 1000:+.1f} ms"
        rows["engine"] = f"{outcome.engine}, boot {outcome.boot}{offset}"
    contact = seen.contact
    rows["contact"] = f"{contact.answered} of {contact.sent} small probes answered"
    strange = {"refused": contact.refused, "sent back": contact.echoed, "with another tag": contact.damaged}
    strange["strange"] = contact.foreign
    rows["contact"] += "".join(f", {number} {name}" for name, number in strange.items() if number)
    if (sizes := seen.sizes) is not None:
        mtu = f", path MTU known here {sizes.path_mtu}" if sizes.path_mtu else ""
        rows["size"] = f"{sizes.to_engine} bytes to the engine, {sizes.to_orderd} back, {sizes.wanted} wanted{mtu}"
    for name, series in (("paced", seen.paced), ("burst", seen.burst)):
        if series is not None:
            rows |= _series_rows(name, series)
    return rows


def _grpc_row(address: str, sight: GrpcSight) -> str:
    key = {True: ", key fits", False: ", key does not fit", None: ""}[sight.key_fits]
    engine = f", engine {sight.engine}, boot {sight.boot}" if sight.engine else ""
    reason = f" ({sight.reason})" if sight.reason else ""
    return f"{address} {sight.state.value}{reason}{key}{engine}".strip()


def _series_rows(name: str, series: Summary) -> dict[str, str]:
    told = f"{series.answered} of {series.sent} probes of {series.size} bytes answered ({series.loss:.1%} lost)"
    odd = {"out of order": series.reordered, "twice": series.repeated, "damaged": series.damaged}
    told += "".join(f", {number} {what}" for what, number in odd.items() if number)
    times = ", ".join(f"{key} {shown_us(value)}" for key, value in series.round_trip_us.items())
    if name == "burst":
        told += f", {series.megabits_per_second:,.0f} Mbit/s and {series.datagrams_per_second:,.0f} a second each way"
    return {name: told, f"{name} round trip": times or "-"}


# --- for programs -----------------------------------------------------------------------------------------------------


def _as_json(target: Target, outcome: Outcome, diagnosis: Diagnosis) -> dict[str, Any]:
    seen = outcome.seen
    return {
        "fault": diagnosis.fault.value,
        "line": diagnosis.line,
        "udp": seen.udp,
        "grpc": seen.grpc,
        "key_file": target.key_file,
        "engine": outcome.engine,
        "boot": outcome.boot,
        "clock_offset_us": outcome.clock_offset_us,
        "contact": attrs.asdict(seen.contact),
        "grpc_before": _grpc_json(seen.before),
        "grpc_after": _grpc_json(seen.after),
        "sizes": None if seen.sizes is None else attrs.asdict(seen.sizes),
        "paced": None if seen.paced is None else _series_json(seen.paced),
        "burst": None if seen.burst is None else _series_json(seen.burst),
    }


def _grpc_json(sight: GrpcSight) -> dict[str, Any]:
    return {**attrs.asdict(sight), "state": sight.state.value}


def _series_json(series: Summary) -> dict[str, Any]:
    rates = ("lost", "loss", "datagrams_per_second", "megabits_per_second")
    return {**attrs.asdict(series), **{name: getattr(series, name) for name in rates}}
