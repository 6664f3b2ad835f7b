"""The oracle of a simulated world: independent of the code under test, but for how journals spell what they hold."""

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.limits import Limits, SiteLimits
from tests.simulation.oracle.oracle import Oracle

__all__ = ["Contradiction", "Limits", "Oracle", "SiteLimits"]
