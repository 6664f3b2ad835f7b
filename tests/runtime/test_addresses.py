"""Addresses are read as written, and loopback is only what surely is."""

import pytest

from orderd.runtime.addresses import Address, check_listen_address, check_peer_address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:9001", "127.0.0.1", 9001, True),
        ("127.8.8.8:1", "127.8.8.8", 1, True),
        ("[::1]:9001", "::1", 9001, True),
        ("localhost:65535", "localhost", 65535, True),
        ("0.0.0.0:9001", "0.0.0.0", 9001, False),
        ("[::]:9001", "::", 9001, False),
        ("10.0.0.7:9001", "10.0.0.7", 9001, False),
        ("[fe80::1%eth0]:9001", "fe80::1%eth0", 9001, False),
        ("engine.example:9001", "engine.example", 9001, False),
        ("engine.example.:9001", "engine.example.", 9001, False),
        (f"{'x' * 63}.a_1-b:9001", f"{'x' * 63}.a_1-b", 9001, False),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int, loopback: bool) -> None:
    assert parse_address(text) == Address(host, port)
    assert str(parse_address(text)) == text
    assert parse_address(text).is_loopback is loopback
    assert check_peer_address(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *["", ":", "host", "host:", ":9001", "host:x", "host:-1", "host:65536", "::1:9001", "[::1]", "[::1:9001"],
        *["a..b:1", ".:1", ".a:1", "a..:1", f"{'x' * 64}.example:1"],
        *["[::g]:1", "a b:1", "a:1 ", "a:1\n", "[host]:1", "http://a:1", "a:\u0661"],
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_address(text)
    assert check_listen_address(text) is not None
    assert check_peer_address(text) is not None


def test_port_0_is_for_listening_only() -> None:
    assert check_listen_address("127.0.0.1:0") is None
    assert check_peer_address("127.0.0.1:0") == "must have a port from 1 to 65535"
