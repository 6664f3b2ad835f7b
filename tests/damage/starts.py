"""The real daemons on damaged journals: exit code 3 and a line that names file, place and reason, or a good start."""

from pathlib import Path

from engine.restoring import APPLICATION as ENGINE
from orderd.runtime.instruments import Instrument
from tests.damage import rules
from tests.damage.rules import Damage
from tests.damage.subjects import Subject
from tests.support.engine_inputs import INSTRUMENTS as ENGINE_INSTRUMENTS
from tests.support.processes import Process
from tests.support.site import INSTRUMENTS as ORDERD_INSTRUMENTS

READY = "ready"


class Start:
    """One daemon on one damaged journal, in ``directory``."""

    def __init__(self, subject: Subject, damage: Damage, directory: Path) -> None:
        self.damage = damage
        self.expected = rules.judge(subject, damage)
        self.files = {Path(path).name: data for path, data in rules.files_after(subject, damage).items()}
        self.journal = directory / "j"
        self.journal.mkdir(parents=True)
        for name, data in self.files.items():
            (self.journal / name).write_bytes(data)
        is_engine = subject.application == ENGINE
        self.process = Process("engine" if is_engine else "orderd", directory, [subject.application.decode(), "run"])
        settings = directory / "settings.toml"
        settings.write_text(_settings(directory, is_engine=is_engine, segment_bytes=subject.segment_bytes))
        self.process.launch("--config", str(settings))

    def judge(self) -> str:
        """Raises AssertionError if it did not end, or begin, as it should."""
        process = self.process
        try:
            if self.expected not in (rules.REFUSED, rules.NEWER):
                process.wait_for_log(READY)
                assert process.terminate() == 0, process.log
                assert "Traceback" not in process.log, process.log
                return "started"
            code = process.wait()
            lines = process.log.splitlines()
            assert code == 3, f"{self.damage}: {code}\n{process.log}"
            assert ".segment" in lines[-1], f"{self.damage}: {process.log}"
            assert ("damaged at offset" if self.expected == rules.REFUSED else "format version") in lines[-1], lines[-1]
            assert "Traceback" not in process.log, process.log
            left = {p.name: p.read_bytes() for p in self.journal.iterdir() if p.name in self.files}
            assert left == self.files, f"{self.damage}: what is refused is left as it is"
            return "refused with exit code 3"
        finally:
            process.clean_up()


def _settings(directory: Path, *, is_engine: bool, segment_bytes: int) -> str:
    if is_engine:
        head = '[listen]\nudp = "127.0.0.1:0"\ngrpc = "127.0.0.1:0"\n'
    else:
        # Port 9 of this host, where nobody answers: a start needs no engine.
        head = (
            f'shutdown_timeout_ms = 500\n[listen]\nsocket = "{directory}/s"\n'
            '[engine]\nudp = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\n'
        )
    head += f'[journal]\ndirectory = "{directory}/j"\n'
    return head + "".join(map(_table, ENGINE_INSTRUMENTS if is_engine else ORDERD_INSTRUMENTS))


def _table(instrument: Instrument) -> str:
    return (
        f'[[instrument]]\nsymbol = "{instrument.symbol}"\nid = {instrument.id}\n'
        f'tick = "{instrument.tick}"\nlot = "{instrument.lot}"\n'
    )
