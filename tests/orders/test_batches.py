"""BatchLedger: found as long as one of its rows may be remembered, and each outcome counted for its own batch."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.batches import Batch, BatchLedger, digest_of


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=10),
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40),
    st.lists(st.integers(1, 60), max_size=3),
)
def test_outcomes_are_counted_for_the_batch_of_their_input(
    layout: list[tuple[int, int]], outcomes: list[tuple[int, bool]], bases: list[int]
) -> None:
    ledger, batches, at = BatchLedger(), [], 1
    for i, (gap, count) in enumerate(layout):
        at += gap
        batches.append(Batch(b"b%d" % i, digest_of(b"%d" % i), at, count))
        ledger.add(batches[-1])
        at += count
    expected = {batch.batch_id: [0, 0] for batch in batches}
    for input_, rejected in sorted(outcomes, key=lambda o: o[0]):
        ledger.count(input_, rejected=rejected)
        for batch in batches:
            if batch.first <= input_ < batch.end:
                expected[batch.batch_id][0 if rejected else 1] += 1
    assert {batch.batch_id: [batch.rejected, batch.trades] for batch in batches} == expected
    for base in sorted(bases):
        ledger.forget(base)
        for batch in batches:
            assert ledger.find(batch.batch_id) is (batch if batch.end > base else None)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=10),
    st.sets(st.integers(1, 60)),
    st.data(),
)
def test_a_batch_is_remembered_as_long_as_one_of_its_orders_is_and_no_longer(
    layout: list[tuple[int, int]], open_orders: set[int], data: st.DataObject
) -> None:
    ledger, batches, end = BatchLedger(), [], 1
    for i, (gap, count) in enumerate(layout):
        batches.append(Batch(b"b%d" % i, digest_of(b"%d" % i), end + gap, count))
        ledger.add(batches[-1])
        end += gap + count
    base, kept = 1, set[int]()
    while base < end or kept:
        if base < end and (not kept or data.draw(st.booleans())):
            passed = range(base, data.draw(st.integers(base + 1, end)))
            for order_id in passed:
                if order_id in open_orders:
                    ledger.keep(order_id)
                    kept.add(order_id)
                else:
                    ledger.forgotten(order_id)
            base = passed.stop
            ledger.forget(base)
        else:
            order_id = data.draw(st.sampled_from(sorted(kept)))
            kept.remove(order_id)
            ledger.forgotten(order_id)
        for batch in batches:
            is_there = batch.end > base or any(batch.first <= order_id < batch.end for order_id in kept)
            assert ledger.find(batch.batch_id) is (batch if is_there else None)
    assert not (ledger._by_id or ledger._kept or ledger._remembered or ledger._unconfirmed), "nothing stays for ever"


def test_what_is_kept_of_a_batch_does_not_forget_the_one_that_has_its_id_now() -> None:
    """Journals of older versions have such batches."""
    ledger = BatchLedger()
    ledger.add(Batch(b"b", digest_of(b"1"), 1, 2))
    ledger.keep(1)
    second = Batch(b"b", digest_of(b"2"), 3, 2)
    ledger.add(second)
    ledger.forget(3)
    ledger.forgotten(1)
    assert ledger.find(b"b") is second


def test_an_id_that_was_forgotten_may_be_used_again() -> None:
    ledger = BatchLedger()
    ledger.add(Batch(b"b", digest_of(b"1"), 1, 2))
    ledger.forget(3)
    second = Batch(b"b", digest_of(b"2"), 3, 2)
    ledger.add(second)
    ledger.forget(4)
    ledger.count(3, rejected=True)
    assert ledger.find(b"b") is second
    assert second.rejected == 1


def test_the_digest_tells_batches_apart() -> None:
    assert digest_of(b"a") == digest_of(b"a") != digest_of(b"b")
    assert len(digest_of(b"")) == 16
