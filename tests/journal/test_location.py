"""Where in the files the journal says that entries are: there they are, at the replay and after each commit."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.journal import open_journal
from orderd.journal.record import HEADER, HEADER_BYTES
from orderd.journal.segment import SEGMENT_HEADER_BYTES, segment_name
from tests.support.journals import DIRECTORY, JOURNAL_ID, reopen, small_settings
from tests.support.simulated_disk import SimulatedDisk

entries = st.tuples(st.integers(1, 9), st.binary(max_size=900))


@given(st.lists(st.lists(entries, min_size=1, max_size=5), max_size=12))
def test_what_is_at_a_location_is_the_entry(commits: list[list[tuple[int, bytes]]]) -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    assert journal.location is None
    first_of_commits: list[tuple[int, int]] = []
    for commit in commits:
        journal.commit(commit)
        assert journal.location is not None
        first_of_commits.append(journal.location)
    journal.close()
    files = disk.snapshot()

    def at(segment: int, offset: int) -> tuple[int, bytes] | None:
        data = files[f"{DIRECTORY}/{segment_name(segment)}"]
        if offset + HEADER_BYTES > len(data):
            return None
        _, length, commit, _, _, kind, _ = HEADER.unpack_from(data, offset)
        return (kind, data[offset + HEADER_BYTES :][:length]) if commit else None

    for commit, (segment, offset) in zip(commits, first_of_commits, strict=True):
        assert (at(segment, offset) or at(segment + 1, SEGMENT_HEADER_BYTES)) == commit[0]
    journal = open_journal(small_settings(), b"test", disk, entropy_u64=JOURNAL_ID)
    for entry in journal.replay():
        assert journal.location is not None
        assert at(*journal.location) == entry
    journal.close()
