"""Roles over a real socket, with real processes of other users."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.other_user import NOBODY, client_of, connected, open_directory
from tests.support.processes import Site, instruments_text
from tests.support.resp_client import RespClient, RespError

LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
DESK: Final = 54321
DEALERS: Final = 54000
HANDSHAKES: Final = (
    ("HELLO", 3),
    ("CLIENT", "SETINFO", "LIB-NAME", "redis-py"),
    ("CLIENT", "SETINFO", "LIB-VER", "8.1"),
    ("COMMAND", "DOCS"),
    ("COMMAND",),
    ("PING",),
)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Where every user can reach it."""
    with open_directory() as directory:
        yield directory / "s"


@pytest.fixture
def make_open_site(make_site: Callable[..., Site], socket_path: Path) -> Callable[..., Site]:
    """Makes sites whose socket everybody may open."""

    def make(access: str) -> Site:
        site: Site = make_site(orderd={"listen.socket": str(socket_path), "listen.socket_mode": "0666"})
        site.socket_path = socket_path
        site.start_engine()
        set_access(site, access)
        site.start_orderd()
        site.wait_connected()
        return site

    return make


def set_access(site: Site, access: str) -> None:
    site.instruments_path.write_text(f"[access]\n{access}\n{instruments_text()}")


def refusal(client: RespClient, *words: Any) -> str:
    reply = client.ask(*words)
    assert isinstance(reply, RespError), reply
    return reply.text


def test_users_and_groups_have_the_roles_of_the_settings(make_open_site: Callable[..., Site]) -> None:
    site = make_open_site(f'admin = []\ntrade = ["@{DEALERS}"]\nread = ["nobody"]')
    path = site.socket_path
    with (
        site.client() as root,
        client_of(path, DESK, DESK, [7, DEALERS]) as dealer,
        client_of(path, NOBODY) as reader,
        RespClient(path, protocol=0, connected=connected(path, DESK + 1, DESK + 1)) as stranger,
    ):
        assert dealer.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
        assert refusal(dealer, "MODE", "batch") == "NOPERM this connection may not MODE: it needs the role admin"
        assert refusal(dealer, "CLIENT", "KILL", "ID", 1).startswith("NOPERM")
        assert refusal(dealer, "CONFIG", "RELOAD").startswith("NOPERM")
        assert reader.call("ORDER.STATUS", "a")["status"] == "NEW"
        assert reader.call("CONFIG", "GET", "save") == {"save": ""}
        assert refusal(reader, "ORDER.CANCEL", "a") == (
            "NOPERM this connection may not ORDER.CANCEL: it needs the role trade"
        )
        for words in HANDSHAKES:
            assert not isinstance(reader.ask(*words), RespError), words
            assert not isinstance(stranger.ask(*words), RespError), words
        assert refusal(stranger, "INFO") == "NOPERM this connection may not INFO: it needs the role read"
        assert " user=nobody role=read " in reader.call("CLIENT", "INFO")
        lines = root.call("CLIENT", "LIST").splitlines()
        assert [line.split(" user=")[1].split(" name=")[0] for line in lines] == [
            "root role=admin", f"{DESK} role=trade", "nobody role=read", f"{DESK + 1} role=none",
        ]  # fmt: skip
        # A drop copy: all executions of all clients, and nothing can be placed.
        assert reader.call("EXEC.SUBSCRIBE", 0) == "OK"
        assert root.call("ORDER.CANCEL", "a")["status"] == "CANCELED"
        pushed = [reader.reply(), reader.reply()]
        assert [(exec_id, pairs["exec_type"]) for _, exec_id, pairs in pushed] == [("1", "NEW"), ("2", "CANCELED")]
        assert refusal(reader, "ORDER.NEW", "b", *LIMIT).startswith("NOPERM")
        assert refusal(stranger, "EXEC.SUBSCRIBE", 0).startswith("NOPERM")
        assert refusal(stranger, "EXEC.READ", 0).startswith("NOPERM")


def test_a_reload_changes_the_roles_of_those_who_are_connected(make_open_site: Callable[..., Site]) -> None:
    site = make_open_site('read = ["*"]')
    with site.client() as root, client_of(site.socket_path, DESK, DESK) as desk:
        assert desk.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
        set_access(site, 'trade = ["nobody"]')
        assert root.call("CONFIG", "RELOAD") == "OK"
        assert refusal(desk, "ORDER.NEW", "b", *LIMIT).startswith("NOPERM")
        assert desk.call("ORDER.STATUS", "a")["status"] == "NEW"
        set_access(site, f'admin = ["{DESK}"]\ntrade = []')
        assert root.call("CONFIG", "RELOAD") == "OK"
        assert desk.call("MODE", "batch") == "OK"
        set_access(site, 'admin = ["no-such-user"]')
        assert "there is no user no-such-user" in refusal(desk, "CONFIG", "RELOAD")
        assert desk.call("MODE") == "batch"
