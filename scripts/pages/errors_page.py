"""Write docs/reference/errors.md from the table of error codes: python scripts/pages/errors_page.py"""

from __future__ import annotations

from pathlib import Path

from ptx.infer.error_codes import ERROR_CODES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
HEAD = """# Errors

Each error is one line: `ptx: error [CODE] what was got, what was expected, what to do`. The code is
stable; in the library it is `error.code`, and the exit code `error.exit_code`, of a `PtxError`. Written by
`python scripts/pages/errors_page.py` from `infer/error_codes.py`.

Errors and remarks go to standard error. What cannot be written there, as it is closed or on a full disk, is lost
in silence, and the exit code is that of the work. What cannot be written to standard output is `E-OUT` or
`E-OUT-SPACE`; a reader that has gone is exit code 141. A character that the encoding of a stream lacks is written
as in JSON, `\\u4e2d`. A number out of its range, which `ptx VERB --help` shows, is `E-USAGE` before any work.

MODEL is a name of the catalog, a folder of the workspace that holds a checkpoint or an artifact under the names that
`ptx train` and `ptx export` give them, or a path.

| code | exit code | meaning | what to do |
|---|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(
        f"| `{code}` | {', '.join(map(str, row.exit_codes))} | {row.meaning} | {row.todo} |\n"
        for code, row in ERROR_CODES.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page())
