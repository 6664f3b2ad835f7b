"""What people look into a journal with, on damaged ones: an answer or one line and a code, never a traceback."""

from pathlib import Path
from typing import Final

from click.testing import CliRunner

from engine.cli import main as engine
from engine.restoring import APPLICATION as ENGINE
from orderd.ctl.cli import main as orderctl
from tests.damage import rules
from tests.damage.rules import Damage
from tests.damage.subjects import Subject

JOURNAL: Final = (["journal", "list"], ["journal", "verify"], ["journal", "verify", "--json"], ["journal", "dump"])
JOURNAL_JSON: Final = ["journal", "dump", "--json"]
OF_ENGINE: Final = (["hash"], ["book", "AAPL"], ["replay", "--trades"], ["dump", "--orders"])
EXIT_CODE: Final = {rules.REFUSED: 3, rules.NEWER: 2}


def judge(subject: Subject, damage: Damage, directory: Path) -> None:
    """Each command on the damaged journal, put into ``directory``. Raises AssertionError if one does not end well."""
    verdict = rules.judge(subject, damage)
    files = rules.files_after(subject, damage)
    for path, data in files.items():
        (directory / Path(path).name).write_bytes(data)
    for words in (*JOURNAL, JOURNAL_JSON):
        expected = 0 if words[1] == "list" and verdict == rules.REFUSED else EXIT_CODE.get(verdict, 0)
        _run(orderctl, words, directory, {expected})
    for words in OF_ENGINE:
        bad = subject.application != ENGINE or verdict in EXIT_CODE
        _run(engine, words, directory, {3} if bad else {0})
    assert {p.name: p.read_bytes() for p in directory.iterdir()} == {Path(p).name: d for p, d in files.items()}


def _run(main: object, words: list[str], directory: Path, expected: set[int]) -> None:
    result = CliRunner().invoke(main, [*words, "--directory", str(directory)])  # type: ignore[arg-type]
    said = f"{' '.join(words)}: {result.exit_code}, {result.exception!r}\n{result.output}"
    assert result.exception is None or isinstance(result.exception, SystemExit), said
    assert result.exit_code in expected, said
    assert "Traceback" not in result.output, said
    assert result.exit_code == 0 or result.stderr.strip(), "whatever is wrong is said"
