"""One Cairn process: started, killed, stopped, started again on the same directory and port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """A server on a data directory. Its log is kept and shown when a check fails."""

    def __init__(self, binary: str, directory: Path) -> None:
        self.binary = binary
        self.directory = directory
        self.log_path = directory.parent / f"{directory.name}.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self, deadline_s: float = 60.0) -> None:
        """Starts the process and returns when it answers on /readyz."""
        environment = {key: value for key, value in os.environ.items() if "CAIRN__" not in key}
        environment |= {
            "CAIRN__SERVICE__HOST": "127.0.0.1",
            "CAIRN__SERVICE__HTTP_PORT": str(self.port),
            "CAIRN__STORAGE__STORAGE_PATH": str(self.directory),
            # Small, so that a short run seals, flushes and cuts them.
            "CAIRN__STORAGE__WAL__WAL_CAPACITY_MB": "1",
            "CAIRN__STORAGE__MEMTABLE_MB": "1",
            # Small collections have codes and graphs too.
            "CAIRN__STORAGE__CODES_KB_MIN": "0",
            "CAIRN__STORAGE__GRAPH_ROWS_MIN": "0",
        }
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve"], env=environment, stdout=log, stderr=log
            )
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"server ended with {self.process.returncode}:\n{self.log()}")
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"server not ready after {deadline_s} s:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL, as a crash of the process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        """SIGTERM, and the process must end by itself with success."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        if code != 0:
            raise RuntimeError(f"server ended with {code} on SIGTERM:\n{self.log()}")

    def log(self, lines: int = 40) -> str:
        """The last lines of what the server printed."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """Ends the process whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
