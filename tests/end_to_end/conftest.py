"""Sites for the tests: real processes, each test's own or shared by a file's tests that leave no trace."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import STEADY, Site, running_site
from tests.support.resp_client import RespClient
from tests.support.roads import Roads
from tests.support.tcp_proxy import TcpProxy
from tests.support.udp_proxy import UdpProxy

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes sites that are not started yet; they are closed at the end."""
    sites: list[Site] = []

    def make(**settings: Any) -> Site:
        sites.append(Site(tmp_path / str(len(sites)), **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """One with default settings, started."""
    return make_site().start()


@pytest.fixture
def make_roads(make_site: MakeSite) -> Iterator[Callable[..., Roads]]:
    """Starts a site between two proxies; it takes settings of orderd."""
    with ExitStack() as stack:

        def make(**settings: object) -> Roads:
            site = make_site(orderd={"reply_timeout_ms": 30_000})
            udp = stack.enter_context(UdpProxy(site.engine_port))
            grpc = stack.enter_context(TcpProxy(site.grpc_address.host, site.grpc_address.port))
            site.orderd_settings |= {"engine.udp": f"127.0.0.1:{udp.port}", "engine.grpc": grpc.address, **settings}
            site.start_engine(wait=False)
            site.start_orderd()
            site.engine.wait_for_log("ready")
            client = stack.enter_context(site.client())
            roads = Roads(site, udp, grpc, client)
            roads.wait_state("UDP_ENABLED", "GRPC_FALLBACK")
            return roads

        yield make


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests of a file: they use ids of their own and leave the book empty."""
    with running_site(tmp_path_factory.mktemp("shared"), orderd=STEADY) as site:
        yield site


@pytest.fixture
def client(shared: Site) -> Iterator[RespClient]:
    """A RESP3 connection to the shared site."""
    with shared.client() as client:
        yield client


_NUMBERS = itertools.count(1)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Ids that no other test uses."""
    return lambda: f"t{next(_NUMBERS)}"
