"""What every test runs under."""

from hypothesis import HealthCheck, settings

from tests.support.scale import examples

# A slow machine is not a failure. Random on purpose: each run tries something new and prints how to do it again.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=False,
    print_blob=True,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")
