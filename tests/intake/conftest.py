"""A site in memory and a client of it, for the tests of commands."""

import pytest

from tests.support.site import Client, Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def client(site: Site) -> Client:
    return site.connect()
