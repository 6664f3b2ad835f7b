"""A daemon that is forked is a process as one that is started by its command line."""

import os
import signal
from pathlib import Path

from tests.support.processes import Process, Site, wait_until
from tests.support.warm_start import Forked


def test_it_has_its_own_command_line_directory_files_and_parent(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.start_engine()
        engine = site.engine.popen
        assert isinstance(engine, Forked)
        proc = Path(f"/proc/{engine.pid}")
        assert (proc / "cwd").readlink() == tmp_path
        assert (proc / "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())
        files = {int(entry.name): str(entry.readlink()) for entry in (proc / "fd").iterdir() if entry.exists()}
        assert files[0] == "/dev/null" and files[1] == files[2] == str(site.engine.log_path)
        sockets = {f"socket:[{os.fstat(sock.fileno()).st_ino}]" for sock in (site.udp, site.grpc)}
        assert sockets <= set(files.values())
        engine.send_signal(signal.SIGSTOP)
        wait_until(lambda: os.waitid(os.P_PID, engine.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT), "it is stopped")
        assert site.engine.running
        site.engine.kill()
        assert engine.returncode == -signal.SIGKILL and not proc.exists()
    finally:
        site.close()


def test_its_exit_code_and_last_words_are_those_of_the_program(tmp_path: Path) -> None:
    for words, code in ((["--help"], 0), (["run", "--set", "mode=later"], 2)):
        process = Process("orderd", tmp_path, ["orderd", *words])
        process.launch()
        assert process.wait() == code
        assert ("Usage: python -m orderd " if code == 0 else "orderd: --set: mode = ") in process.log, process.log


def test_with_an_environment_of_its_own_it_is_started_the_long_way(tmp_path: Path) -> None:
    process = Process("orderd", tmp_path, ["orderd", "check"], {"ORDERD_CONFIG": str(tmp_path / "nowhere.toml")})
    process.launch()
    assert not isinstance(process.popen, Forked)
    assert process.wait() == 2 and "nowhere.toml" in process.log
