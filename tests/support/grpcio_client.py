"""Asks an engine over gRPC with grpcio, which is another implementation than the engine's; prints what it saw as JSON.

A process of its own: both implementations bring the messages of health and reflection, and one process can have them
from one only. ``python tests/support/grpcio_client.py HOST:PORT``
"""

import json
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from orderd.runtime.instruments import Instrument
from orderd.wire import frames
from orderd.wire.proto import engine_pb2
from tests.support.frame_client import FrameClient
from tests.support.matching import BUY, limit

SERVICE = "orderd.v1.Engine"


def main(address: str) -> dict[str, Any]:
    with grpc.insecure_channel(address) as channel:

        def ask(method: str, request: Any, reply: Any) -> Any:
            serialize = type(request).SerializeToString
            return channel.unary_unary(f"/{SERVICE}/{method}", serialize, reply.FromString)(request, timeout=20)

        def exchange(*sent: bytes) -> list[bytes]:
            return list(ask("Exchange", engine_pb2.ExchangeRequest(frames=sent), engine_pb2.ExchangeReply).frames)

        stub = health_pb2_grpc.HealthStub(channel)
        reflection = ProtoReflectionDescriptorDatabase(channel)
        described = reflection.FindFileContainingSymbol(SERVICE)
        client = FrameClient({1: Instrument("AAPL", 1, "0.01", "1").digest})
        (answer,) = exchange(client.hello())
        boot = client.welcome(answer).boot
        exchange(client.orders(limit(1, BUY, 5, 100)))
        book = ask("Book", engine_pb2.BookRequest(symbol="AAPL"), engine_pb2.BookReply)
        table = ask("Instruments", engine_pb2.InstrumentsRequest(), engine_pb2.InstrumentsReply)
        status = ask("Status", engine_pb2.StatusRequest(), engine_pb2.StatusReply)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
        watched = [_name(next(watch).status)]
        watch.cancel()
        return {
            "health": {service: _health(stub, service) for service in ("", SERVICE, "other")},
            "services": sorted(reflection.get_services()),
            "methods": sorted(method.name for service in described.service for method in service.method),
            "welcome": {"next_sequence": frames.parse(answer).first, "boot": boot},
            "book": {"tick": book.tick, "lot": book.lot, "bids": _levels(book.bids), "asks": _levels(book.asks)},
            "instruments": [[i.id, i.symbol, i.tick, i.lot] for i in table.instruments],
            "status": {"engine_id": status.engine_id, "orders_executed": status.orders_executed},
            "watched": watched,
        }


def _health(stub: Any, service: str) -> str:
    try:
        return _name(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status)
    except grpc.RpcError as error:
        return str(error.code().name)


def _name(status: int) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


def _levels(levels: Any) -> list[list[int]]:
    return [[level.price, level.quantity, level.orders] for level in levels]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
