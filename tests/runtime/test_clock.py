"""The system's clock and randomness are what the seams promise."""

from orderd.runtime.clock import Clock, Entropy, SystemClock, SystemEntropy


async def test_the_system_clock_counts_up_and_tells_the_time() -> None:
    clock: Clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.time_ns() > 1_700_000_000 * 10**9


def test_system_entropy_uses_all_64_bits_and_no_more() -> None:
    entropy: Entropy = SystemEntropy()
    numbers = [entropy.u64() for _ in range(200)]
    assert all(0 <= number < 2**64 for number in numbers)
    assert len(set(numbers)) == 200
    assert max(numbers) >= 2**63, "the chance that none of 200 has the top bit is 2**-200"
