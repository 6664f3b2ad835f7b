"""The settings file in the terms of the gateway's parts, at a start. What a reload changes is in :mod:`orderd.live`."""

from orderd.config import Settings
from orderd.gateway import GatewaySettings
from orderd.intake.intake import IntakeLimits
from orderd.link.health import Transport
from orderd.link.terms import SenderSettings
from orderd.live import batching_settings, share_settings
from orderd.orders.desk import DeskLimits


def gateway_settings(settings: Settings) -> GatewaySettings:
    """The settings in the terms of the gateway's parts."""
    limits, udp = settings.limits, settings.udp
    return GatewaySettings(
        instruments=settings.instruments,
        desk=DeskLimits(
            limits.orders_unconfirmed_max,
            limits.orders_remembered_max,
            settings.executions.kept,
            settings.journal.segment_bytes // 4,
            shares=share_settings(settings),
            executions_in_memory=settings.executions.in_memory if settings.journal.backend == "file" else None,
        ),
        link=SenderSettings(
            datagram_bytes_max=udp.datagram_bytes_max,
            window_datagrams=udp.window_datagrams,
            timeout_initial=udp.timeout_initial_ms / 1000,
            timeout_minimum=udp.timeout_min_ms / 1000,
            retransmits_max=udp.retransmits_max,
            probe_interval=udp.probe_interval_ms / 1000,
            report_poll=udp.report_poll_ms / 1000,
            transport=Transport(settings.engine.transport),
        ),
        batching=batching_settings(settings),
        intake=IntakeLimits(settings.listen.clients_max, limits.query_bytes_max, limits.reply_bytes_max),
    )
