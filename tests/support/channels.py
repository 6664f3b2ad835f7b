"""Channels over gRPC that are not there."""

from contextlib import AbstractAsyncContextManager

from orderd.dispatch.grpc_fallback import FrameExchange


def no_channel() -> AbstractAsyncContextManager[FrameExchange]:
    """For where UDP alone may be used: nobody asks for a channel."""
    raise AssertionError("gRPC was asked for")
