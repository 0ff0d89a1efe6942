"""The machine and the process: what a record says of them, and what a measurement counts."""

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "faiss-cpu", "hnswlib", "numpy", "pyvsag", "qdrant-edge-py", "rabitqlib", "scalable-vs",
    "scann", "usearch", "zvec",
]  # fmt: skip


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def slug(text):
    """As a file may be called."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def load():
    return [round(value, 2) for value in os.getloadavg()]


def command(*words):
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def tree():
    head = command("git", "rev-parse", "--short", "HEAD")
    changed = command("git", "status", "--porcelain", "--", ":!benches/record", ":!README.md")
    return f"{head} {'with uncommitted changes' if changed else 'as committed'}"


def versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def facts():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions(),
    }


def cpu_seconds():
    """Of all threads of this process, those that have ended included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def status_bytes(name, process="self"):
    """A line of /proc/PID/status in bytes: VmRSS, RssAnon, RssFile."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def bytes_below(path):
    """What a file, or all files below a directory, take on the disk, holes left out."""
    path = Path(path)
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


def process_cpu(process):
    """Seconds of CPU of another process, to 10 ms (proc(5), fields 14 and 15)."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    fields = text.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
