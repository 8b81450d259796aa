"""The process in which one backend is measured: settings in, lines of JSON out."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict

from ptx.infer.errors import BackendError, PtxError
from ptx.report.speed.measurement import measure_process


def main() -> None:
    """A line as soon as there is an answer; then a Measurement, or what an error says of itself."""
    settings = json.loads(sys.argv[1])
    if settings["limit"]:
        signal.setitimer(signal.ITIMER_REAL, settings["limit"])
    try:
        found = measure_process(settings, lambda: print("{}", flush=True))
    except PtxError as error:
        print(
            json.dumps(
                {
                    "class": type(error).__name__,
                    "message": str(error),
                    "code": error.code,
                    "reason": error.reason if isinstance(error, BackendError) else "",
                }
            )
        )
    else:
        print(json.dumps({"measured": asdict(found)}))


if __name__ == "__main__":
    main()
