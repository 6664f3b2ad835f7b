"""What INFO shows."""

from itertools import islice
from typing import TYPE_CHECKING, Final

from orderd import __version__
from orderd.intake.context import Info
from orderd.intake.server_commands import MODE_OF
from orderd.orders.trading import Trading
from orderd.wire.paths import Path

if TYPE_CHECKING:
    from orderd.daemon import Daemon


ACCOUNTS_SHOWN: Final = 32


def daemon_info(daemon: "Daemon") -> Info:
    """Values by section and name. Totals count from the start of the process."""
    gateway, writer = daemon.gateway, daemon.writer
    desk, link = gateway.desk, gateway.link
    confirmed = desk.outcomes.counters.confirmed
    return {
        "Server": {
            "orderd_version": __version__,
            "process_id": daemon.host.process_id,
            "uptime_in_seconds": int(daemon.clock.monotonic() - daemon.started_at),
            "mode": MODE_OF[gateway.live.mode].decode(),
            "trading": desk.trading.state.name,
            "trading_accounts": _accounts(desk.trading),
            "socket": daemon.settings.listen.socket,
        },
        "Clients": {
            "clients": len(gateway.intake),
            "connections_total": gateway.intake.connections_total,
            "commands_total": gateway.intake.commands_total,
            "throttled_total": desk.shares.throttled,
            "guards": len(desk.guards),
            "guards_withdrawn_total": desk.withdrawals.withdrawn,
            "guards_cancels_total": desk.withdrawals.cancelled,
            "guards_withdrawing": "no" if desk.withdrawals.is_idle else "yes",
        },
        "Transport": _transport(daemon),
        "Orders": {
            "orders_received_total": desk.entry.received,
            "orders_queued": desk.committed_end - link.next_sequence,
            "orders_unconfirmed": max(0, link.next_sequence - desk.outcomes.confirmed_end),
            "orders_open": desk.table.open,
            "orders_remembered": desk.table.done,
            "orders_confirmed_udp_total": confirmed[Path.UDP],
            "orders_confirmed_grpc_total": confirmed[Path.GRPC],
            "orders_rejected_total": desk.outcomes.counters.rejected,
            "orders_last_id": desk.table.end - 1,
        },
        "Risk": {
            "risk_limits": "off" if desk.risk.is_off else "on",
            "risk_refused_total": desk.risk.refused,
            "positions": len(desk.positions.by_key),
        },
        "Journal": {
            "journal_commits_total": writer.commits,
            "journal_commits_inline_total": writer.commits_inline,
            "journal_bytes_total": writer.bytes,
            "journal_segments": writer.segments,
            "journal_room_bytes": writer.room,
            "journal_session": f"{writer.journal_id:016x}",
            "journal_epoch": desk.epoch,
        },
        "Executions": {
            "executions_first_id": desk.executions.first,
            "executions_last_id": desk.executions.last,
            "executions_in_memory": desk.executions.next - desk.executions.first_in_memory,
            "executions_read_from_journal_total": daemon.archive.executions_read,
            "exec_subscribers": len(gateway.subscriptions),
        },
    }


def _accounts(trading: Trading) -> str:
    """Accounts with a state of their own, the first of them."""
    shown = [f"{number}={state.name}" for number, state in islice(sorted(trading.accounts.items()), ACCOUNTS_SHOWN)]
    return ",".join([*shown, "..."] if len(trading.accounts) > ACCOUNTS_SHOWN else shown)


def _transport(daemon: "Daemon") -> dict[str, object]:
    dispatcher, link = daemon.dispatcher, daemon.gateway.link
    udp, round_trip = dispatcher.udp.counters, link.udp.round_trip
    return {
        "transport": daemon.settings.engine.transport,
        "transport_state": link.health.state.value,
        "transport_reason": link.health.reason,
        "transport_changes_total": link.health.changes,
        "engine": f"{link.engine:016x}",
        "engine_boot": link.boot,
        "engine_udp": dispatcher.roads.udp,
        "engine_grpc": dispatcher.roads.grpc,
        "udp_batches_sent_total": link.counters.orders_frames,
        "udp_retransmits_total": link.counters.retransmits,
        "udp_exhausted_total": link.counters.exhausted,
        "udp_polls_total": link.counters.polls,
        "udp_probes_sent_total": link.counters.probes,
        "udp_probes_answered_total": link.counters.probes_answered,
        "udp_datagrams_sent_total": udp.sent,
        "udp_datagrams_received_total": udp.received,
        "udp_datagrams_rejected_total": udp.rejected,
        "udp_in_flight": link.in_flight,
        "udp_round_trip_us": int(round_trip.smoothed * 1e6),
        "udp_timeout_us": int(round_trip.timeout * 1e6),
        "grpc_batches_sent_total": link.counters.grpc_frames,
        "grpc_calls_total": link.grpc.calls,
        "grpc_calls_failed_total": link.grpc.failures,
        "grpc_round_trip_us": int(link.grpc.round_trip.smoothed * 1e6),
    }
