"""The process in which `ptx benchmark` measures one backend: settings in, lines of JSON out."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from ptx.infer.benchmarking import measure_process
from ptx.infer.errors import BackendError, PtxError


def main() -> None:
    """A line as soon as there is an answer; then a Measurement, or what an error says of itself."""
    try:
        found = measure_process(json.loads(sys.argv[1]), lambda: print("{}", flush=True))
    except PtxError as error:
        reason = error.reason if isinstance(error, BackendError) else ""
        print(json.dumps([type(error).__name__, str(error), error.code, reason]))
    else:
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
