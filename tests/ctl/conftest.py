"""A daemon with its engine, real processes, for all tests of orderctl; each test has ids or accounts of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.cli import main
from tests.support.processes import STEADY, Site, running_site

Orderctl = Callable[..., Result]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("orderctl"), orderd=STEADY) as running:
        yield running


@pytest.fixture
def live(site: Site, tmp_path: Path) -> Orderctl:
    """orderctl with the real daemon's socket, and a state directory of the test's own."""
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}

    def run(*words: object, stdin: str | bytes | None = None) -> Result:
        command = ["--socket", str(site.socket_path), *map(str, words)]
        return CliRunner().invoke(main, command, input=stdin, env=environ)

    return run
