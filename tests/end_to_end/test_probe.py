"""Each fault of the UDP road is planted for real, and `orderctl probe` names it."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from orderd.ctl.cli import main
from orderd.ctl.probe.diagnosis import Fault
from orderd.wire import frames, tags
from orderd.wire.bodies import Refusal, Refuse
from orderd.wire.frames import Frame, FrameType
from orderd.wire.probes import Probe
from orderd.wire.tags import Direction
from tests.support.needs import missing
from tests.support.processes import Site, orderctl
from tests.support.udp_proxy import UdpProxy

KEY = bytes(range(32))
SHORT = ("--timeout", "0.3")
"""For silence, which is waited out; what answers has longer, as the machine may be busy."""
Answer = Callable[[bytes], bytes]


@attrs.frozen
class Found:
    """What the command ended with; ``values`` is its JSON object."""

    fault: str
    line: str
    exit_code: int
    values: dict[str, Any]


def probe(*words: str, port: int, key_file: str = "") -> Found:
    arguments = ["--socket", "/nowhere", "probe", "--json", "--udp", f"127.0.0.1:{port}", "--key-file", key_file]
    arguments += ["--count", "40", "--burst", "40", "--timeout", "3", *words]
    result = CliRunner().invoke(main, arguments)
    assert result.stdout, result.output
    values = json.loads(result.stdout)
    assert (result.exit_code == 0) == (values["fault"] == Fault.GOOD.value)
    return Found(values["fault"], values["line"], result.exit_code, values)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An engine with a key, and no orderd."""
    directory = tmp_path_factory.mktemp("keyed")
    key_file = directory / "key"
    key_file.write_text(KEY.hex())
    key_file.chmod(0o600)
    site = Site(directory, engine={"key_file": str(key_file), "journal.segment_bytes": 262_144})
    try:
        site.start_engine()
        yield site
    finally:
        site.close()


@pytest.fixture
def key_file(keyed: Site) -> str:
    return str(keyed.directory / "key")


@pytest.fixture
def grpc(keyed: Site) -> tuple[str, str]:
    return ("--grpc", str(keyed.grpc_address))


@contextmanager
def answering(answer: Answer, host: str = "127.0.0.1") -> Iterator[int]:
    """A thread that answers each datagram; its port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]

        def serve() -> None:
            while True:
                datagram, sender = sock.recvfrom(65_535)
                if sender[1] == port:
                    return
                sock.sendto(answer(datagram), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            sock.sendto(b"", (host, port))
            thread.join()


def reply_to_probe(datagram: bytes) -> bytes:
    """As an engine without a key does."""
    frame = frames.parse(datagram)
    body = Probe.parse(frame.body).reply(engine=7, boot=1, time_ns=1, probes=1).encode()
    reply = Frame(FrameType.PROBE_REPLY, frame.session, ack=frame.counter, body=body)
    return tags.handshake_sealer(b"", frame.session, Direction.TO_ORDERD).seal(reply.encode())


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# --- good -------------------------------------------------------------------------------------------------------------


def test_a_healthy_engine_with_a_key_is_good_and_measured(keyed: Site, key_file: str, grpc: tuple[str, str]) -> None:
    found = probe(*grpc, port=keyed.engine_port, key_file=key_file)
    assert (found.fault, found.exit_code) == ("good", 0)
    for series in (found.values["paced"], found.values["burst"]):
        assert (series["sent"], series["answered"], series["lost"], series["size"]) == (40, 40, 0, 1472)
        times = series["round_trip_us"]
        assert 0 < times["min"] <= times["p50"] <= times["p99"] <= times["max"]
        assert series["megabits_per_second"] > 0
    sizes = found.values["sizes"]
    assert min(sizes["to_engine"], sizes["to_orderd"]) > 1472, "loopback takes more"
    assert sizes["path_mtu"] > 1500
    assert found.values["engine"] == found.values["grpc_before"]["engine"]
    assert abs(found.values["clock_offset_us"]) < 1e6


def test_probes_leave_nothing_at_the_engine(keyed: Site, key_file: str) -> None:
    def journal() -> list[bytes]:
        return [path.read_bytes() for path in sorted((keyed.directory / "ej").iterdir())]

    before = journal()
    assert probe(port=keyed.engine_port, key_file=key_file).fault == "good"
    assert journal() == before


def test_sizes_counts_and_rates_are_those_asked_for(keyed: Site, key_file: str) -> None:
    words = ("--size", "9000", "--count", "7", "--rate", "1000", "--burst", "0")
    found = probe(*words, port=keyed.engine_port, key_file=key_file)
    assert (found.values["paced"]["sent"], found.values["paced"]["size"], found.values["burst"]) == (7, 9000, None)
    assert found.values["paced"]["seconds"] >= 0.006


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_closed_port_is_named(keyed: Site, grpc: tuple[str, str]) -> None:
    port = free_port()
    found = probe(port=port)
    assert (found.fault, found.exit_code) == ("closed", 1)
    assert f"nothing listens on UDP at 127.0.0.1:{port}" in found.line
    assert "up over gRPC" in probe(*grpc, port=port).line


def test_silence_alone_may_be_three_things(keyed: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        found = probe(*SHORT, port=hole.getsockname()[1])
        assert found.fault == "no-answer"
        assert "blocked, engine down, or another key" in found.line
        found = probe(*SHORT, "--grpc", f"127.0.0.1:{free_port()}", port=hole.getsockname()[1])
        assert found.fault == "no-answer"
        assert "none over gRPC either" in found.line
        assert "refused" in found.line


@pytest.mark.parametrize(
    ("direction", "fault", "words"),
    [
        ("to_engine", "blocked-to-engine", "no UDP from here reaches it"),
        ("to_orderd", "blocked-to-orderd", "it received and answered 10 of 10 probes"),
    ],
)
def test_a_black_hole_is_named_with_its_direction(
    keyed: Site, key_file: str, grpc: tuple[str, str], direction: str, fault: str, words: str
) -> None:
    with UdpProxy(keyed.engine_port) as proxy:
        proxy.set_one(direction, black_hole=1.0)
        found = probe(*SHORT, *grpc, port=proxy.port, key_file=key_file)
        assert (found.fault, found.exit_code) == (fault, 1)
        assert words in found.line
        proxy.heal()
        assert probe(*grpc, port=proxy.port, key_file=key_file).fault == "good"


def test_another_key_is_named_where_grpc_tells(keyed: Site, tmp_path: Path, grpc: tuple[str, str]) -> None:
    other = tmp_path / "other"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    found = probe(*SHORT, *grpc, port=keyed.engine_port, key_file=str(other))
    assert (found.fault, found.exit_code) == ("wrong-key", 1)
    assert "the key given here is not the engine's" in found.line
    assert "none is given here" in probe(*SHORT, *grpc, port=keyed.engine_port).line
    assert probe(*SHORT, port=keyed.engine_port, key_file=str(other)).fault == "no-answer"


def test_another_version_is_named_with_both_numbers() -> None:
    def refuse(datagram: bytes) -> bytes:
        frame = frames.parse(datagram)
        body = Refuse(Probe.parse(frame.body).nonce, Refusal.VERSION, 99).encode()
        refusal = Frame(FrameType.REFUSE, frame.session, ack=frame.counter, body=body, version=99)
        return tags.handshake_sealer(b"", frame.session, Direction.TO_ORDERD).seal(refusal.encode())

    with answering(refuse) as port:
        found = probe(port=port)
    assert found.fault == "wrong-version"
    assert "the engine speaks version 99 of the protocol, this is version 2" in found.line


@pytest.mark.parametrize(
    ("directions", "way"),
    [(("to_engine", "to_orderd"), "to the engine"), (("to_orderd",), "from the engine to here")],
)
def test_a_path_that_drops_large_datagrams_is_measured_to_the_byte(
    keyed: Site, key_file: str, directions: tuple[str, ...], way: str
) -> None:
    with UdpProxy(keyed.engine_port) as proxy:
        for direction in directions:
            proxy.set_one(direction, size_max=1000)
        found = probe("--timeout", "0.6", port=proxy.port, key_file=key_file)
    assert found.fault == "mtu"
    assert f"datagrams of 1472 bytes do not get through {way}" in found.line
    assert "set udp.datagram_bytes_max = 1000" in found.line
    assert found.values["paced"]["answered"] == 40, "what fits is measured all the same"


def test_a_size_that_this_machine_refuses_is_named_with_the_path_mtu() -> None:
    # IPv6's headers do not leave room for the largest datagram, even on loopback.
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        missing("no IPv6 here")
    with answering(reply_to_probe, "::1") as port:
        found = probe("--size", "65507", "--burst", "0", "--udp", f"[::1]:{port}", port=port)
    sizes = found.values["sizes"]
    assert (found.fault, sizes["refused_here"]) == ("mtu", True)
    usable = sizes["path_mtu"] - 48
    assert sizes["to_engine"] == sizes["to_orderd"] == found.values["paced"]["size"] == usable
    assert f"(this machine knows a path MTU of {sizes['path_mtu']})" in found.line
    assert f"set udp.datagram_bytes_max = {usable}" in found.line


def test_an_address_without_a_way_there_is_named() -> None:
    found = probe("--udp", "255.255.255.255:9", port=9)
    assert (found.fault, found.values["contact"]["sent"]) == ("unreachable", 0)
    assert "no way to 255.255.255.255:9: Permission denied" in found.line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers with something else"),
        (lambda _: os.urandom(200), "answers with something else"),
        (lambda datagram: datagram, "sends back what it is sent"),
    ],
)
def test_another_service_is_named(answer: Answer, words: str) -> None:
    with answering(answer) as port:
        found = probe(port=port)
    assert (found.fault, found.exit_code) == ("foreign", 1)
    assert words in found.line


def test_answers_whose_tags_do_not_fit_are_named(keyed: Site, key_file: str) -> None:
    with UdpProxy(keyed.engine_port) as proxy:
        proxy.set_one("to_orderd", corrupt=1.0)
        found = probe(port=proxy.port, key_file=key_file)
    # A bit that is flipped in magic, length or type makes it no frame at all.
    assert found.fault in ("damaged", "foreign")


def test_loss_is_a_fault_and_disorder_is_told(keyed: Site, key_file: str) -> None:
    with UdpProxy(keyed.engine_port, drop=0.1, swap=0.3, duplicate=0.3) as proxy:
        found = probe(
            "--count", "200", "--rate", "5000", "--burst", "0", "--timeout", "1", port=proxy.port, key_file=key_file
        )
    assert found.fault == "loss"
    assert "probes were lost" in found.line
    assert found.values["paced"]["lost"] > 10
    assert found.values["paced"]["reordered"] > 0
    assert found.values["paced"]["repeated"] > 0


# --- where it takes things from ---------------------------------------------------------------------------------------


def test_the_command_as_a_person_has_it(keyed: Site, key_file: str) -> None:
    udp = f"127.0.0.1:{keyed.engine_port}"
    result = orderctl("probe", "--udp", udp, "--key-file", key_file, "--count", "20", directory=keyed.directory)
    assert (result.returncode, result.stderr) == (0, "")
    assert "20 of 20 probes of 1472 bytes answered" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("good: UDP to the engine works: 20 of 20 answered, round trip p50")
