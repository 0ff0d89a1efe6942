"""The official Python client against a running server: every route, form and refusal.

    client_e2e.py --url http://127.0.0.1:6333
    client_e2e.py --binary target/release/cairn [--only query_by_vector]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from e2e import (
    collections, concurrent, field_indexes, lists, payloads, points, quantizations, reads, service,
    tenants, writes_refused,
)
from e2e.checks import Checks
from node import Node

MODULES = [
    service, collections, points, payloads, reads, lists, quantizations, writes_refused, concurrent,
    field_indexes, tenants,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--binary", help="the cairn binary to start")
    where.add_argument("--url", help="a running server")
    parser.add_argument("--data", help="where the server's data directory is made, and stays")
    parser.add_argument("--only", help="one case by name")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    with tempfile.TemporaryDirectory(prefix="cairn-e2e-") as directory:
        node = Node(options.binary, Path(options.data or directory) / "data") if options.binary else None
        try:
            if node is not None:
                node.start()
            checks = Checks(node.url if node else options.url, node)
            cases = [case for module in MODULES for case in module.CASES]
            cases = [case for case in cases if options.only in (None, case.__name__)]
            for case in cases:
                checks.run(case)
            if node is not None:
                node.stop()
        finally:
            if node is not None:
                node.close()
    for failure in checks.failures:
        print(f"FAILED {failure}")
    print(f"suite client: {len(cases)} cases, {checks.passed} checks passed, "
          f"{len(checks.failures)} cases failed")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    sys.exit(main())
