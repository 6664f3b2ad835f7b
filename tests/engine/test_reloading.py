"""A reload puts the rules of markets in force in one round, which is on disk first, or leaves all as it was."""

import attrs
import pytest
import structlog
import trio
import trio.testing

from engine.config import EngineSettings, LimitSettings, Market
from engine.core import EngineCore
from engine.markets import OPEN_MARKET, MarketRules
from engine.reloading import Reloader
from orderd.journal.errors import JournalFailed
from orderd.runtime.settings import SettingsError
from tests.support.grpc_engine import TABLE, GrpcEngine

HALTED = (Market("AAPL", halted=True), Market("MSFT", price_high="2"))


@attrs.define
class Given:
    """What the file says now."""

    settings: EngineSettings
    error: str | None = None
    place: str = "a file"

    def load(self) -> EngineSettings:
        if self.error is not None:
            raise SettingsError(self.error)
        return self.settings


def settings_with(*markets: Market, limits: LimitSettings | None = None) -> EngineSettings:
    return EngineSettings(instrument=tuple(TABLE), market=markets, limits=limits or LimitSettings())


def reloader_of(engine: GrpcEngine) -> tuple[Reloader, Given]:
    source = Given(settings_with())
    return Reloader(source.settings, source, engine.core, engine.rounds), source


def rules(core: EngineCore) -> list[MarketRules]:
    return [core.matcher.book(instrument.id).rules for instrument in TABLE]


async def test_rules_are_in_force_once_their_input_is_on_disk() -> None:
    engine = GrpcEngine()
    reloader, source = reloader_of(engine)
    source.settings = settings_with(*HALTED)
    engine.hold_commits()
    before = engine.journal.entries
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reloader.reload)
            await engine.committing.wait()
            assert lines == [], "nothing is said before it is so"
            engine.may_commit.set()
        assert [line["event"] for line in lines] == ["settings changed"]
        assert engine.journal.entries == before + 2
        assert rules(engine.core) == [MarketRules(True), MarketRules(high=200)]
        await reloader.reload()
        assert lines[-1]["event"] == "settings are as before"
        assert engine.journal.entries == before + 2
        source.settings = settings_with()
        await reloader.reload()
    assert rules(engine.core) == [OPEN_MARKET, OPEN_MARKET]


async def test_what_cannot_be_is_one_line_and_changes_nothing() -> None:
    engine = GrpcEngine()
    reloader, source = reloader_of(engine)
    with structlog.testing.capture_logs() as lines:
        source.settings = settings_with(*HALTED, limits=LimitSettings(sessions_max=3, reports_max=9))
        await reloader.reload()
        source.error = "a file:3: is not so"
        await reloader.reload()
    assert [line["reason"] for line in lines] == [
        (
            "limits.sessions_max is 64 and cannot become 3, limits.reports_max is 4000000 and cannot become 9 "
            "without a restart"
        ),
        "a file:3: is not so",
    ]
    assert engine.core.wake_at_ns() is None
    assert rules(engine.core) == [OPEN_MARKET, OPEN_MARKET]


async def test_a_failed_commit_of_a_reload_is_the_end() -> None:
    engine = GrpcEngine()
    reloader, source = reloader_of(engine)
    source.settings = settings_with(*HALTED)
    engine.journal.fails = True
    with pytest.raises(JournalFailed):
        await reloader.reload()
