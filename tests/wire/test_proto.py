"""What is generated from the gRPC service is what ``make proto`` makes of it today."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.processes import ROOT

PROTO = Path("orderd/wire/proto/engine.proto")
GENERATED = ("engine_pb2.py", "engine_pb2.pyi", "engine_grpc.py")


def test_generated_files_are_those_of_the_proto_file(tmp_path: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpclib_python", "mypy")]
    plugins = [f"--plugin={scripts / name}" for name in ("protoc-gen-grpclib_python", "protoc-gen-mypy")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *plugins, str(PROTO)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    for name in GENERATED:
        path = PROTO.parent / name
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), f"{path}: run `make proto`"
