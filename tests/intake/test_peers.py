"""Who connects is what the kernel says, whatever the client says."""

import os
import socket
from pathlib import Path

import pytest

from orderd.intake import peers
from orderd.intake.access import Peer
from orderd.intake.peers import peer_of
from tests.support.other_user import NOBODY, connected, open_directory


def accepted(path: Path) -> tuple[socket.socket, Path]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.fspath(path))
    path.chmod(0o666)
    listening.listen()
    return listening, path


def test_ones_own_process_is_told_with_all_its_groups(tmp_path: Path) -> None:
    listening, path = accepted(tmp_path / "s")
    with listening, socket.socket(socket.AF_UNIX) as mine:
        mine.connect(os.fspath(path))
        with listening.accept()[0] as theirs:
            gids = frozenset({os.getegid(), *os.getgroups()})
            assert peer_of(theirs) == Peer(os.getpid(), os.geteuid(), gids)


def test_a_process_of_another_user_is_told_with_the_groups_it_had() -> None:
    with open_directory() as directory:
        listening, path = accepted(directory / "s")
        with listening, connected(path, NOBODY, 7, [8, 9]), listening.accept()[0] as theirs:
            found = peer_of(theirs)
    assert (found.uid, found.gids) == (NOBODY, frozenset({7, 8, 9}))
    assert found.pid != os.getpid()


def test_more_groups_than_can_be_asked_for_are_looked_up_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def groups_of(uid: int, gid: int) -> list[int]:
        looked_up.append((uid, gid))
        return [gid, 77]

    monkeypatch.setattr(peers, "groups_of", groups_of)
    with open_directory() as directory:
        listening, path = accepted(directory / "s")
        many = range(1000, 1001 + peers.GROUPS_MAX)
        with listening:
            with connected(path, NOBODY, 7, many), listening.accept()[0] as theirs:
                assert peer_of(theirs).gids == {7, 77}
            with connected(path, NOBODY, 7, many[1:]), listening.accept()[0] as theirs:
                assert peer_of(theirs).gids == {7, *many[1:]}
    assert looked_up == [(NOBODY, 7)]
