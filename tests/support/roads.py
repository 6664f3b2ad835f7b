"""A site with a bad network on each road: what breaks, and what orderd says of it."""

import attrs

from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient
from tests.support.tcp_proxy import TcpProxy
from tests.support.udp_proxy import UdpProxy


@attrs.frozen
class Roads:
    """A site with a proxy on each road."""

    site: Site
    udp: UdpProxy
    grpc: TcpProxy
    client: RespClient

    def block_udp(self) -> None:
        """Nothing gets through, in either direction."""
        self.udp.set(black_hole=1)

    def wait_state(self, *states: str) -> None:
        """Until INFO tells one of them."""
        wait_until(lambda: self.info("transport_state") in states, f"the state is one of {states}")

    def info(self, key: str) -> str:
        """One value of INFO."""
        return str(self.client.info()[key])

    def confirmed_over_grpc(self) -> int:
        """How many orders."""
        return int(self.info("orders_confirmed_grpc_total"))
