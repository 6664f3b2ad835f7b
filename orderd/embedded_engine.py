"""The embedded engine: a child process with private ports and a key of its own, started again whenever it ends.

The sockets that the child serves are bound here, once, and inherited: their ports stay the same however often the child
is started. The child's standard input is a pipe that nobody writes to; it ends when this process does, by whatever
means, and then the child stops.
"""

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import attrs
import trio

from orderd.config import Settings
from orderd.runtime.addresses import Address
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.fields import shown
from orderd.runtime.keys import read_key
from orderd.runtime.log import get_logger
from orderd.runtime.stream_sockets import address_of, bound_stream

RESTART_PAUSE_MIN_S: Final = 0.1
RESTART_PAUSE_MAX_S: Final = 5.0
HOPELESS_EXIT_CODES: Final = (2, 3)
ENGINE_SEGMENT_BYTES_MIN: Final = 262_144
"""The engine takes no less."""
LOOPBACK: Final = Address("127.0.0.1", 0)

log = get_logger("embedded")


class EmbeddedEngineFailed(Exception):
    """The child says that a start would fail again."""


@attrs.frozen
class EmbeddedEngine:
    """What the child needs, prepared in ``directory``."""

    directory: Path
    udp: UdpSocket
    grpc: socket.socket
    secret: bytes

    @property
    def udp_address(self) -> Address:
        """Where the child takes datagrams."""
        return self.udp.address

    @property
    def grpc_address(self) -> Address:
        """Where the child takes calls."""
        return address_of(self.grpc)

    @classmethod
    def prepare(cls, settings: Settings) -> "EmbeddedEngine":
        """Raises OSError, :class:`~orderd.runtime.keys.KeyFileError`."""
        directory = Path(settings.journal.directory).parent / "engine"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file = directory / "key"
        if not key_file.exists():
            _write_private(key_file, secrets.token_hex(32) + "\n")
        _write_private(directory / "engine.toml", _settings_text(settings, directory))
        secret = read_key(key_file)
        udp = UdpSocket.bound(LOOPBACK)
        try:
            return cls(directory, udp, bound_stream(LOOPBACK), secret)
        except OSError:
            udp.close()
            raise

    def close(self) -> None:
        """Give both ports up."""
        self.udp.close()
        self.grpc.close()

    async def run(self) -> None:
        """Keep the child running until cancelled; then it is stopped. Raises :class:`EmbeddedEngineFailed`."""
        pause = RESTART_PAUSE_MIN_S
        while True:
            started_at = trio.current_time()
            code = await self._run_once()
            if code in HOPELESS_EXIT_CODES:
                raise EmbeddedEngineFailed(f"the embedded engine ended with exit code {code}; its own line says why")
            if trio.current_time() - started_at > RESTART_PAUSE_MAX_S:
                pause = RESTART_PAUSE_MIN_S
            log.warning("engine ended, starting it again", code=code, pause_s=pause)
            await trio.sleep(pause)
            pause = min(pause * 2, RESTART_PAUSE_MAX_S)

    async def _run_once(self) -> int:
        fds = (self.udp.fileno(), self.grpc.fileno())
        command = [
            sys.executable, "-P", "-m", "engine", "run", "--embedded", "--config", str(self.directory / "engine.toml"),
            "--udp-fd", str(fds[0]), "--grpc-fd", str(fds[1]),
        ]  # fmt: skip
        # A session of its own: a Ctrl-C at the terminal is for orderd, which stops the child when it is drained.
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, pass_fds=fds, start_new_session=True)
        log.info("engine started", pid=process.pid, udp=str(self.udp_address), grpc=str(self.grpc_address))
        try:
            return await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await _stop(process)


async def _stop(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()
    for end in (process.terminate, process.kill):
        with trio.move_on_after(RESTART_PAUSE_MAX_S):
            await process.wait()
        if process.returncode is not None:
            return
        end()
    await process.wait()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)


def _settings_text(settings: Settings, directory: Path) -> str:
    journal = settings.journal
    lines = [
        f"key_file = {shown(str(directory / 'key'))}",
        f"shutdown_timeout_ms = {settings.shutdown_timeout_ms}",
        "[journal]",
        f"backend = {shown(journal.backend)}",
        f"directory = {shown(str(directory / 'journal'))}",
        f"durability = {shown(journal.durability)}",
        f"interval_ms = {journal.interval_ms}",
        f"segment_bytes = {max(journal.segment_bytes, ENGINE_SEGMENT_BYTES_MIN)}",
        "[log]",
        f"format = {shown(settings.log.format)}",
        f"level = {shown(settings.log.level)}",
    ]
    for instrument in settings.instruments:
        lines += [
            "[[instrument]]",
            f"symbol = {shown(instrument.symbol)}",
            f"id = {instrument.id}",
            f"tick = {shown(instrument.tick)}",
            f"lot = {shown(instrument.lot)}",
        ]
    return "\n".join(lines) + "\n"
