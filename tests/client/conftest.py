"""A daemon with its engine, real processes, for the tests of the client; each test has ids, accounts or symbols of its
own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orderd.client import Client
from tests.support.processes import STEADY, Site, running_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("client"), orderd=STEADY) as running:
        running.wait_connected()
        yield running


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    """To the shared site, which it leaves without open orders."""
    with Client(site.socket_path, retry_s=20) as client:
        yield client
        client.mass_cancel()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites that are not started yet; they are closed at the end."""
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        sites.append(Site(tmp_path / str(len(sites)), **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
