"""The commands ``orderctl journal ...``: what is in a journal's directory, offline or while its daemon runs.

Nothing is locked or changed. Exit codes: 0 good; 2 there is no journal there, or it cannot be read; 3 damage.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import click

from orderd.config import load_settings
from orderd.ctl import output
from orderd.ctl.errors import EXIT_UNREACHABLE, InputError
from orderd.ctl.journal_view import APPLICATION, Continuity, Decoder, kind_name, text
from orderd.ctl.options import Options, with_json
from orderd.journal.errors import JournalDamaged, JournalVersionError
from orderd.journal.reading import Record, Segment, Tail, read_segments
from orderd.orders.entries import EntryError
from orderd.runtime.journal_settings import JournalSettings
from orderd.runtime.settings import SettingsError, read_toml

EXIT_DAMAGED: Final = EXIT_UNREACHABLE
LIST_COLUMNS: Final = (
    ("segment", "left"),
    ("records", "right"),
    ("commits", "left"),
    ("orders", "left"),
    ("bytes", "right"),
    ("of", "right"),
    ("durability", "left"),
    ("state", "left"),
)


@attrs.define
class Account:
    """What was found in one segment."""

    segment: str
    application: str = ""
    records: int = 0
    first_commit: int | None = None
    last_commit: int | None = None
    first_order: int | None = None
    last_order: int | None = None
    bytes: int = 0
    of_bytes: int = 0
    durability: str = ""
    state: str = "good"
    """``good``, ``torn``, ``being written`` or ``damaged``."""
    note: str = ""
    """What there is to say of the end of a segment that is not good and not damaged."""
    problems: list[JournalDamaged] = attrs.Factory(list)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        found = attrs.asdict(self, filter=lambda field, _: field.name != "problems")
        found["problems"] = [{"offset": problem.offset, "what": problem.why} for problem in self.problems]
        return found


@click.group()
def journal() -> None:
    """Look into a journal's directory, offline or while the daemon runs. Nothing is locked or changed."""


def _where(command: Any) -> Any:
    """The options that name the journal."""
    command = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A settings file, of orderd or of the engine, whose journal.directory is meant.",
    )(command)
    return click.option(
        "--directory",
        type=click.Path(path_type=Path, file_okay=False),
        help="The journal's directory. Default: where orderd keeps it without options.",
    )(command)


def _directory(directory: Path | None, config: Path | None) -> str:
    """Raises :class:`InputError`."""
    if directory is not None and config is not None:
        raise click.UsageError("Give one of --directory and --config.")
    if directory is not None:
        return str(directory)
    try:
        if config is None:
            return load_settings().journal.directory
        section = read_toml(config).get("journal", {})
    except SettingsError as error:
        raise InputError(str(error)) from None
    named = section.get("directory", JournalSettings().directory) if isinstance(section, dict) else None
    if not isinstance(named, str):
        raise InputError(f"{config}: journal.directory is not the path of a directory")
    return named


def _segments(directory: str) -> Iterator[Segment]:
    """Raises :class:`InputError` for what is no journal or cannot be read."""
    found = False
    try:
        for segment in read_segments(directory):
            found = True
            yield segment
    except OSError as error:
        raise InputError(f"{error.filename or directory}: {error.strerror or error}") from None
    except JournalVersionError as error:
        raise InputError(str(error)) from None
    if not found:
        raise InputError(f"{directory}: no journal is there")


def _take_in(segment: Segment, continuity: Continuity) -> Account:
    """Counts a segment's records, and looks at what they say if they are orderd's."""
    account = Account(Path(segment.path).name)
    if segment.header is not None:
        account.application = segment.header.application.decode("ascii", "backslashreplace")
        account.durability = segment.header.durability.name.lower()
        account.bytes, account.of_bytes = segment.end, segment.header.segment_bytes
    own = account.application.encode() == APPLICATION
    for record in segment.records():
        account.records += 1
        account.last_commit = record.commit
        if account.first_commit is None:
            account.first_commit = record.commit
        if own:
            try:
                orders = continuity.take(record.kind, record.payload)
            except EntryError as error:
                account.problems.append(JournalDamaged(segment.path, record.offset, str(error)))
                continue
            if orders:
                account.first_order = account.first_order or orders[0]
                account.last_order = orders[-1]
    if segment.problem is not None:
        account.problems.append(segment.problem)
        continuity.skip()
    if account.problems:
        account.state = "damaged"
    elif segment.tail is not None:
        account.state = "being written" if segment.tail.being_written else "torn"
        account.note = _about(segment.tail)
    return account


def _about(tail: Tail) -> str:
    what = "being written" if tail.being_written else "a torn tail, which the next start cuts off"
    return f"{tail.length} bytes at the end are {what}"


def _row(account: Account) -> dict[str, object]:
    """For people."""
    spans = {
        "commits": (account.first_commit, account.last_commit),
        "orders": (account.first_order, account.last_order),
    }
    return {
        "segment": account.segment, "records": account.records, "bytes": account.bytes, "of": account.of_bytes,
        "durability": account.durability, "state": account.state,
        **{name: "" if first is None else f"{first}-{last}" for name, (first, last) in spans.items()},
    }  # fmt: skip


@journal.command(name="list")
@_where
@with_json
@click.pass_obj
def list_segments(options: Options, directory: Path | None, config: Path | None) -> None:
    """The segments: records, commits, orders, bytes. With --json one object a line."""
    where = _directory(directory, config)
    continuity = Continuity()
    accounts = []
    for segment in _segments(where):
        account = _take_in(segment, continuity)
        del segment  # It may have gigabytes.
        accounts.append(account)
        if options.json:
            output.print_json(account.as_json())
    if not options.json:
        click.echo(f"{where}: {' '.join(dict.fromkeys(a.application for a in accounts if a.application)) or 'unknown'}")
        output.console().print(output.rows_table(LIST_COLUMNS, map(_row, accounts)))
        for account in accounts:
            if account.note:
                click.echo(f"{account.segment}: {account.note}")
            for problem in account.problems:
                click.echo(f"orderctl: {problem}", err=True)


@journal.command()
@_where
@with_json
@click.pass_obj
def verify(options: Options, directory: Path | None, config: Path | None) -> None:
    """Check every CRC, and that segments, commits and, in orderd's, orders, reports and epochs are without a gap.

    A torn tail, which a crash leaves and the next start cuts off, is told and is no damage. Exit code 3 for damage.
    """
    where = _directory(directory, config)
    continuity = Continuity()
    records = problems = segments = 0
    notes = []
    application = ""
    for segment in _segments(where):
        account = _take_in(segment, continuity)
        del segment
        segments, records = segments + 1, records + account.records
        application = application or account.application
        if account.problems:
            problems += len(account.problems)
            for problem in account.problems:
                click.echo(f"orderctl: {problem}", err=True)
        elif account.note:
            notes.append(f"{account.segment}: {account.note}")
    summary = {
        "directory": where, "application": application, "segments": segments, "records": records,
        "orders": continuity.orders_end - 1, "reports": continuity.reports_end - 1, "problems": problems,
        "notes": notes, "ok": not problems,
    }  # fmt: skip
    if options.json:
        output.print_json(summary)
    else:
        for note in notes:
            click.echo(note)
        about = f", {summary['orders']} orders, {summary['reports']} reports" if application == "orderd" else ""
        verdict = f"{problems} damaged places" if problems else "good"
        click.echo(f"{where}: {application or 'unknown'}: {segments} segments, {records} records{about}: {verdict}")
    if problems:
        sys.exit(EXIT_DAMAGED)


@journal.command()
@_where
@click.option("--from", "from_", metavar="COMMIT", type=click.IntRange(min=1), default=1, help="Begin with it.")
@click.option("--kind", metavar="K", help="Only records of this kind: a name of orderd's, such as ORDERS, or a number.")
@with_json
@click.pass_obj
def dump(options: Options, directory: Path | None, config: Path | None, from_: int, kind: str | None) -> None:
    """One line for each record: where it is, its commit, its kind, what it says. With --json all that it says.

    Records of an engine's journal are shown as bytes. Ends with exit code 3 at the first damage.
    """
    decoder: Decoder | None = None
    for segment in _segments(_directory(directory, config)):
        if segment.header is not None:
            decoder = decoder or Decoder(segment.header.application)
            for record in segment.records():
                name = kind_name(decoder.application, record.kind)
                try:
                    if record.commit < from_ or (kind is not None and kind.upper() not in (name, str(record.kind))):
                        decoder.learn(record.kind, record.payload)
                    else:
                        _print_record(options, segment, record, name, decoder)
                except EntryError as error:
                    _end_damaged(JournalDamaged(segment.path, record.offset, str(error)))
        if segment.problem is not None:
            _end_damaged(segment.problem)
        if segment.tail is not None:
            click.echo(f"orderctl: {segment.path}: {_about(segment.tail)}", err=True)


def _print_record(options: Options, segment: Segment, record: Record, name: str, decoder: Decoder) -> None:
    found = decoder.fields(record.kind, record.payload)
    if options.json:
        where = {"segment": segment.index, "offset": record.offset, "commit": record.commit, "kind": name}
        output.print_json(where | found)
    else:
        click.echo(f"{segment.index}:{record.offset}  commit {record.commit}  {name}  {text(found)}")


def _end_damaged(problem: JournalDamaged) -> None:
    click.echo(f"orderctl: {problem}", err=True)
    sys.exit(EXIT_DAMAGED)
