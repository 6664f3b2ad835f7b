"""What the settings of a world bound, as far as the oracle looks at it."""

from typing import Any

import attrs

UNBOUNDED = 1 << 60
SLACK_S = 0.0005
"""Times are compared with that much room."""


@attrs.frozen
class SiteLimits:
    """Of one orderd."""

    remembered_max: int = UNBOUNDED
    executions_kept: int = UNBOUNDED
    unconfirmed_max: int = 0
    """Records that may be unconfirmed, those for cancels included; 0 for no bound."""
    reply_timeout_s: float = 5.0
    close_s: float = 1.5
    """An end within it has cut off no client's replies."""
    is_silent_mode: bool = False
    """Whether the mode is fire-and-forget."""

    @classmethod
    def of(cls, settings: Any) -> "SiteLimits":
        """Of :class:`orderd.config.Settings`."""
        limits = settings.limits
        most = limits.orders_unconfirmed_max
        # A sixteenth more, at least 64, is for cancels, and as much for those who hold little.
        spare = max(64, most // 16)
        return cls(
            remembered_max=limits.orders_remembered_max,
            executions_kept=settings.executions.kept,
            unconfirmed_max=most + 2 * spare,
            reply_timeout_s=settings.reply_timeout_ms / 1000,
            close_s=settings.shutdown_timeout_ms / 1000 * 0.15 - SLACK_S,
            is_silent_mode=settings.mode == "fire-and-forget",
        )


@attrs.frozen
class Limits:
    """Of all."""

    sites: dict[str, SiteLimits] = attrs.field(factory=dict)
    reports_max: int = UNBOUNDED
    """Of each session at the engine."""

    def of(self, site: str) -> SiteLimits:
        """Of one orderd; the defaults where nothing is said."""
        return self.sites.get(site) or SiteLimits()

    @classmethod
    def of_settings(cls, gateways: dict[str, Any], engine: Any) -> "Limits":
        """Of the settings of all daemons."""
        sites = {name: SiteLimits.of(settings) for name, settings in gateways.items()}
        return cls(sites, engine.limits.reports_max)
