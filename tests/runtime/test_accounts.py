"""Users and groups are found by name or taken by number, and a name that does not exist is named."""

import errno
import grp
import os
import pwd
from typing import NoReturn

import pytest

from orderd.runtime.accounts import NUMBER_MAX, NoSuchAccount, gid_of, groups_of, uid_of, user_name


def test_names_become_numbers_and_numbers_stay() -> None:
    assert (uid_of("root"), gid_of("root")) == (0, 0)
    assert (uid_of("0"), uid_of("123456789"), gid_of(str(NUMBER_MAX))) == (0, 123456789, NUMBER_MAX)
    assert user_name(0) == "root"
    assert user_name(NUMBER_MAX - 7) == str(NUMBER_MAX - 7)


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb"])
def test_a_name_that_is_no_text_is_shown_as_the_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = pwd.getpwuid(0)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd((name, *known[1:])))
    assert user_name(7) == "7"


@pytest.mark.parametrize("name", ["no-such-name", "ROOT ", "", "-1", "0x0", "½", "\u0661"])
def test_a_name_that_the_system_does_not_know_is_told(name: str) -> None:
    with pytest.raises(NoSuchAccount, match="^there is no user "):
        uid_of(name)
    with pytest.raises(NoSuchAccount, match="^there is no group "):
        gid_of(name)


@pytest.mark.parametrize("number", [str(NUMBER_MAX + 1), "9" * 5000])
def test_a_number_that_no_account_can_have_is_told(number: str) -> None:
    with pytest.raises(NoSuchAccount, match="is not a number of a user or group: they end at 4294967294"):
        uid_of(number)
    with pytest.raises(NoSuchAccount):
        gid_of(number)


def test_the_groups_of_a_user_are_those_of_the_system() -> None:
    me = pwd.getpwuid(os.geteuid())
    assert set(groups_of(me.pw_uid, me.pw_gid)) == set(os.getgrouplist(me.pw_name, me.pw_gid))
    assert groups_of(NUMBER_MAX - 7, 5) == [5]


def test_a_look_up_that_fails_is_told_apart_and_never_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(pwd, "getpwnam", fail)
    monkeypatch.setattr(pwd, "getpwuid", fail)
    monkeypatch.setattr(grp, "getgrnam", fail)
    with pytest.raises(NoSuchAccount, match="^user desk cannot be looked up: Too many open files$"):
        uid_of("desk")
    with pytest.raises(NoSuchAccount, match="^group desk cannot be looked up: Too many open files$"):
        gid_of("desk")
    assert (user_name(0), groups_of(0, 5)) == ("0", [5])
