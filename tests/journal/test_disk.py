"""The real disk, and the journal on it."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orderd.journal import JournalFailed, JournalFull, JournalLocked, RealDisk, open_journal
from orderd.journal.record import Entry
from tests.support.journals import SEGMENT_BYTES, reopen, small_settings


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal")


def python(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Another process, in which ``code`` finds its arguments in ``sys.argv``."""
    command = [sys.executable, "-c", f"import sys\n{code}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def read_line(process: "subprocess.Popen[bytes]", timeout_s: float = 30) -> bytes:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], timeout_s)[0], "the other process said nothing"
    return process.stdout.readline()


HOLD = """
import time
from orderd.journal import RealDisk
from tests.support.journals import reopen
journal, found = reopen(RealDisk(), directory=sys.argv[1])
print(len(found), flush=True)
sys.stdin.read()
time.sleep(60)
"""


def test_directories_and_files_are_for_their_owner_alone(directory: str) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    journal.prepare_spare()
    assert os.stat(directory).st_mode & 0o777 == 0o700
    assert os.stat(os.path.dirname(directory)).st_mode & 0o777 == 0o700
    names = os.listdir(directory)
    assert sorted(names) == ["000000000001.segment", "2.spare", "lock"]
    assert {os.stat(f"{directory}/{name}").st_mode & 0o777 for name in names} == {0o600}
    journal.close()


def test_segments_are_allocated_before_anything_is_written(directory: str) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    found = os.stat(f"{directory}/000000000001.segment")
    assert found.st_size == SEGMENT_BYTES
    assert found.st_blocks * 512 >= SEGMENT_BYTES
    journal.close()


def test_a_segment_is_begun_in_a_process_that_has_no_descriptor_left(directory: str) -> None:
    disk = RealDisk()
    journal, _ = reopen(disk, directory=directory)
    journal.prepare_spare()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        journal.commit([(1, b"." * (SEGMENT_BYTES // 2))])
        journal.commit([(2, b"." * (SEGMENT_BYTES // 2))])
        assert journal.segments == 2
        taken.append(os.open(os.devnull, os.O_RDONLY))  # That of the full segment.
        with pytest.raises(JournalFull, match="Too many open files"):
            journal.prepare_spare()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for handle in taken:
            os.close(handle)
    journal.prepare_spare()
    journal.close()
    assert len(reopen(RealDisk(), directory=directory)[1]) == 2


def test_what_was_committed_is_there_in_the_next_process(directory: str) -> None:
    expected: list[Entry] = []
    for run in range(3):
        journal, found = reopen(RealDisk(), directory=directory)
        assert found == expected
        for i in range(7):
            journal.commit([(run, bytes([i]) * 900), (i, b"")])
            expected += [(run, bytes([i]) * 900), (i, b"")]
        journal.close()


def test_a_second_opener_in_the_same_process_is_refused(directory: str) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    with pytest.raises(JournalLocked, match="another process"):
        reopen(RealDisk(), directory=directory)
    journal.close()
    reopen(RealDisk(), directory=directory)[0].close()


def test_another_process_keeps_the_lock_until_it_is_killed(directory: str) -> None:
    process = python(HOLD, directory)
    try:
        assert read_line(process) == b"0\n"
        with pytest.raises(JournalLocked):
            reopen(RealDisk(), directory=directory)
        process.kill()
        process.wait(30)
        reopen(RealDisk(), directory=directory)[0].close()
    finally:
        process.kill()
        process.communicate()


def test_an_opener_can_wait_for_the_lock(directory: str) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    settings = small_settings(directory=directory)
    started = time.monotonic()
    with pytest.raises(JournalLocked):
        open_journal(settings, b"test", RealDisk(), entropy_u64=1, lock_wait_s=0.05)
    assert time.monotonic() - started >= 0.05
    process = python(HOLD.replace("reopen(RealDisk()", "wait(RealDisk()").replace("journal, found", WAIT), directory)
    try:
        assert read_line(process) == b"waiting\n"
        journal.close()
        assert read_line(process) == b"0\n"
    finally:
        process.kill()
        process.communicate()


WAIT = """
from orderd.journal import open_journal
from tests.support.journals import small_settings
def wait(disk, directory):
    print("waiting", flush=True)
    journal = open_journal(small_settings(directory=directory), b"test", disk, entropy_u64=1, lock_wait_s=30)
    return journal, list(journal.replay())
journal, found"""

COMMIT_FOREVER = """
from orderd.journal import RealDisk
from tests.support.journals import reopen
journal, found = reopen(RealDisk(), directory=sys.argv[1])
number = len(found)
while True:
    journal.commit([(number % 256, b"%d" % number + b"." * (number * 37 % 900))])
    number += 1
    print(number, flush=True)
"""


def test_every_commit_that_returned_is_there_after_a_kill(directory: str) -> None:
    for wanted in (5, 40):
        process = python(COMMIT_FOREVER, directory)
        try:
            while int(returned := read_line(process)) < wanted:
                pass
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            rest, _ = process.communicate()
        promised = int((returned + rest).split(b"\n")[-2])
        journal, found = reopen(RealDisk(), directory=directory)
        assert promised <= len(found) <= promised + 1
        assert [payload.split(b".")[0] for _, payload in found] == [b"%d" % i for i in range(len(found))]
        journal.close()


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Puts a limit on the size of files, for this process, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_the_system_cuts_short_is_final_and_recovered(
    directory: str, file_size_limit: Callable[[int], None]
) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    journal.commit([(1, b"kept")])
    file_size_limit(700)
    with pytest.raises(JournalFailed, match="File too large"):
        journal.commit([(2, b"\xff" * 500)])
    file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    with pytest.raises(JournalFailed):
        journal.commit([(3, b"")])
    journal.close()
    journal, found = reopen(RealDisk(), directory=directory)
    assert found == [(1, b"kept")]
    copy = Path(directory, "000000000001.segment.torn-1").read_bytes()
    assert copy.endswith(b"\xff" * 100)
    assert len(copy) == 700
    journal.commit([(4, b"goes on")])
    journal.close()
    assert reopen(RealDisk(), directory=directory)[1] == [(1, b"kept"), (4, b"goes on")]


def test_a_segment_that_cannot_be_allocated_is_not_final(
    directory: str, file_size_limit: Callable[[int], None]
) -> None:
    journal, _ = reopen(RealDisk(), directory=directory)
    file_size_limit(SEGMENT_BYTES - 1)
    with pytest.raises(JournalFull):
        journal.prepare_spare()
    assert sorted(os.listdir(directory)) == ["000000000001.segment", "lock"]
    file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    journal.commit([(1, b"x" * 3000), (2, b"y" * 3000)])
    assert journal.segments == 2
    journal.close()


def test_a_directory_that_cannot_be_made_is_an_error_of_the_journal(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFailed, match="cannot be opened"):
        reopen(RealDisk(), directory=str(tmp_path / "file" / "journal"))
