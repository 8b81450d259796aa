"""The process in which one backend is measured: settings in, lines of JSON out."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from typing import Any

from ptx.infer.errors import BackendError, PtxError
from ptx.infer.readers import end_with_parent
from ptx.report.speed.measurement import measure_process


def main() -> None:
    """A line as soon as there is an answer; then a Measurement, or what an error says of itself."""
    settings = json.loads(sys.argv[1])
    end_with_parent(settings["parent"])
    if settings["limit"]:
        signal.setitimer(signal.ITIMER_REAL, settings["limit"])
    try:
        found = measure_process(settings, lambda: _answer({}))
    except PtxError as error:
        reason = error.reason if isinstance(error, BackendError) else ""
        _answer(_tell(type(error).__name__, str(error), error.code, reason))
    except MemoryError:
        _answer(_tell("LimitError", f"{settings['backend']}: out of memory", "E-MEMORY"))
    except Exception as error:
        what = f"{settings['backend']}: {type(error).__name__}: {error}"
        _answer(_tell("PtxError", what, "E-BUG"))
    else:
        _answer({"measured": asdict(found)})


def _tell(name: str, message: str, code: str, reason: str = "") -> dict[str, Any]:
    return {"class": name, "message": message, "code": code, "reason": reason}


def _answer(found: dict[str, Any]) -> None:
    """As bytes: the encoding of standard output is for what people read."""
    sys.stdout.buffer.write(f"{json.dumps(found)}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
