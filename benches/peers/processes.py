"""Engines as processes that answer one setting a line: the peers' workers, and Cairn's `search`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Cairn in process: name, arguments of `search`, what a reader is told.
CAIRN = {
    "cairn": ([], "Cairn, as it comes"),
    "cairn-coded": (["--coded"], "Cairn, graph with codes in its nodes"),
    "cairn-graph": (["--graph"], "Cairn, graph without codes"),
}
CAIRN_SWEEP = {
    # Below 1: the recall that is asked for.
    "cairn": ["default", "0.9", "0.95", "0.98", "0.999"],
    "cairn-coded": ["64", "96", "128", "192", "256", "272", "288", "304", "320", "384", "512", "768", "1024", "default"],
    "cairn-graph": ["64", "96", "128", "192", "256", "384", "512", "768", "1024"],
}


class Failed(Exception):
    """An engine that could not be installed, built or asked, with its last words."""


class Engine:
    """A process that has built its index; `built` is what that took."""

    def __init__(self, command, settings=None):
        self.words = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            list(map(str, command)),
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            text=True,
        )
        try:
            self.built = self.read()
        except BaseException:
            # Whatever ends the wait must not leave it building.
            self.process.kill()
            self.close()
            raise
        self.sweep = settings or self.built.pop("settings")

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.words.seek(0)
            said = [text.strip() for text in self.words if text.strip()] or ["nothing"]
            raise Failed(f"ended with {code}: {said[-1][:300]}")
        return json.loads(line)

    def measure(self, setting):
        self.process.stdin.write((setting if isinstance(setting, str) else json.dumps(setting)))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.words.close()


def peer(name, data, threads, at):
    command = [sys.executable, "worker.py", "--engine", name, "--data", data.directory]
    return Engine(command + ["--threads", threads, "--at", at])


def cairn(name, data, binaries, at, clients=1):
    command = [binaries / "search", "--data", data.directory, "--at", at, "--json"]
    command += ["--ef", "-", "--clients", clients]
    return Engine(command + CAIRN[name][0], CAIRN_SWEEP[name])
