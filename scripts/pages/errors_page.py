"""Write docs/reference/errors.md from the table of error codes: python scripts/pages/errors_page.py"""

from __future__ import annotations

from pathlib import Path

from ptx.infer.error_codes import ERROR_CODES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
HEAD = """# Errors

An error is one line on standard error: `ptx: error [CODE] message`. The message says what was found, what was expected
and what to do. The codes are stable. In Python every error is a `PtxError` with `code` and `exit_code`.

If standard output cannot be written, the error is `E-OUT` or `E-OUT-SPACE`; if its reader has closed the pipe, the exit
code is 141. If standard error cannot be written, messages are lost and the exit code is unchanged. Characters that a
stream cannot encode are written as JSON escapes, `\\u4e2d`.

| code | exit code | meaning | what to do |
|---|---|---|---|
"""


def page() -> str:
    return HEAD + "".join(
        f"| `{code}` | {', '.join(map(str, row.exit_codes))} | {row.meaning} | {row.remedy} |\n"
        for code, row in ERROR_CODES.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page())
