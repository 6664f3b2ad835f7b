"""The archive's shell: questions are answered from real files, few at a time, and one that is bad harms no other."""

from pathlib import Path

import pytest
import trio

from orderd.archive import BUSY, READERS, Archive, read_block
from orderd.journal.disk import RealDisk
from orderd.journal.segment import segment_name
from orderd.orders.archive import ArchiveRead, ArchiveReader, Page
from orderd.orders.archive_cursor import ArchiveError, Block, Steps
from orderd.orders.journal_index import JournalIndex
from orderd.orders.table import OrderTable


class Reader(ArchiveReader):
    """Reads ``after`` bytes of segment 1; 13 is damage, and 0 a segment that is gone."""

    def __init__(self) -> None:
        super().__init__(1, JournalIndex(), OrderTable(1, lambda *_: None))
        self.under_way = self.most = 0

    def read(self, after: int, count: int, account: int | None, end: int) -> Steps[Page]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            yield None
            data = yield Block(1 if after else 2, 0, after)
            if after == 13:
                raise ArchiveError("damaged")
            return Page([], len(data), trimmed=False) if data is not None else Page([], 0, trimmed=True)
        finally:
            self.under_way -= 1


async def test_each_question_has_its_answer(tmp_path: Path) -> None:
    (tmp_path / segment_name(1)).write_bytes(bytes(100))
    reader = Reader()
    done: list[ArchiveRead] = []
    all_woken = trio.Event()
    expected = 13
    archive = Archive(
        str(tmp_path), reader, 20, lambda: all_woken.set() if len(done) == expected else None, disk=RealDisk()
    )
    questions = [ArchiveRead(after, 1, None, 10, done.append) for after in (5, 13, 0, 200, *range(20, 30))]
    questions[4].abandoned = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(archive.run)
        for question in questions:
            archive.ask(question)
        with trio.fail_after(10):
            await all_woken.wait()
        nursery.cancel_scope.cancel()
    assert questions[0].page == Page([], 5)
    assert (questions[1].page, questions[1].error) == (None, "damaged")
    assert questions[2].page == Page([], 0, trimmed=True)
    assert questions[3].page == Page([], 100)
    assert questions[4].page is None
    assert reader.most == READERS
    assert len(done) == expected == len(questions) - 1


async def test_too_many_questions_are_refused(tmp_path: Path) -> None:
    done: list[ArchiveRead] = []
    archive = Archive(str(tmp_path), Reader(), 2, lambda: None, disk=RealDisk())
    for _ in range(3):
        archive.ask(ArchiveRead(1, 1, None, 10, done.append))
    assert [question.error for question in done] == [BUSY]


def test_a_block_is_what_is_there(tmp_path: Path) -> None:
    (tmp_path / segment_name(3)).write_bytes(bytes(range(100)))
    assert read_block(RealDisk(), str(tmp_path), Block(3, 10, 5)) == bytes(range(10, 15))
    assert read_block(RealDisk(), str(tmp_path), Block(3, 90, 50)) == bytes(range(90, 100))
    assert read_block(RealDisk(), str(tmp_path), Block(3, 200, 50)) == b""
    assert read_block(RealDisk(), str(tmp_path), Block(4, 0, 50)) is None
    (tmp_path / segment_name(5)).mkdir()
    with pytest.raises(OSError, match="directory"):
        read_block(RealDisk(), str(tmp_path), Block(5, 0, 50))
