"""The problems of a data set, collected and told in one error."""

from __future__ import annotations

from collections import Counter

from ptx.infer.errors import InputError, quote

SHOWN = 5  # problems named in one message


def raise_problems(name: str, problems: list[str], expected: str) -> None:
    """One error for all problems, the first five named; nothing when there are none."""
    if problems:
        more = f", and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(
            f"{quote(name)} has {count}: {'; '.join(problems[:SHOWN])}{more}; "
            f"expected {expected}: correct the data",
            code="E-DATA",
        )


def class_problems(classes: list[str], labels: tuple[str, ...] | None) -> list[str]:
    """What is wrong with the classes of rows that are still to be split."""
    counts = Counter(classes)
    unknown = [] if labels is None else sorted(set(counts) - set(labels))
    problems = [f"the label {quote(label)} is unknown" for label in unknown]
    problems += [
        f"the class {quote(label)} has one row, too few for a training and a test part"
        for label, count in sorted(counts.items())
        if count == 1 and label not in unknown
    ]
    if len(counts) < 2:
        problems.append(f"there is {'one class' if counts else 'no class'}")
    return problems
