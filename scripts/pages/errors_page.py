"""Write docs/errors.md from the table of error codes: python scripts/pages/errors_page.py"""

from __future__ import annotations

from pathlib import Path

from ptx.infer.error_codes import ERROR_CODES

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
HEAD = """# Errors

Each error is one line: `ptx: error [CODE] what was got, what was expected, what to do`. The code is
stable; in the library it is `error.code`, and the exit code `error.exit_code`, of a `PtxError`. Written by
`python scripts/pages/errors_page.py` from `infer/error_codes.py`.

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
