"""Who may do what: a connection's role, from the user and the groups that the kernel tells of its process. Pure.

Roles nest: who may administer may trade, and who may trade may read. A connection that is in none of them may only say
who it is and ask what commands there are. Here are numbers alone; the settings' names are looked up where they are
loaded (:mod:`orderd.runtime.accounts`).
"""

from enum import IntEnum
from typing import Final

import attrs

ROOT: Final = 0


class Role(IntEnum):
    """What a command needs, and the most that a connection may do."""

    ANY = 0
    READ = 1
    TRADE = 2
    ADMIN = 3


ROLE_NAMES: Final = {Role.ANY: "none", Role.READ: "read", Role.TRADE: "trade", Role.ADMIN: "admin"}


@attrs.frozen
class Peer:
    """The process at the other end, as the kernel knew it when it connected (unix(7)); ``gids`` are all its groups."""

    pid: int
    uid: int
    gids: frozenset[int] = frozenset()


@attrs.frozen
class Members:
    """Users and groups by number, or everybody."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    everybody: bool = False

    def include(self, peer: Peer) -> bool:
        """Whether ``peer`` is one of them."""
        return self.everybody or peer.uid in self.uids or not self.gids.isdisjoint(peer.gids)


EVERYBODY: Final = Members(everybody=True)


@attrs.frozen
class AccessRules:
    """Who has which role. Whoever makes them puts root and the daemon's own user among ``admin``."""

    admin: Members = Members(frozenset({ROOT}))
    trade: Members = EVERYBODY
    read: Members = EVERYBODY

    def role_of(self, peer: Peer) -> Role:
        """The highest role of ``peer``; :attr:`Role.ANY` if it has none."""
        for role, members in ((Role.ADMIN, self.admin), (Role.TRADE, self.trade), (Role.READ, self.read)):
            if members.include(peer):
                return role
        return Role.ANY
