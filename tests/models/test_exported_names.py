"""What `ptx.models` names in `__all__` is public."""

from __future__ import annotations

import ptx.models


def test_public_names() -> None:
    assert ptx.models.__all__ == [
        "CATALOG",
        "ModelEntry",
        "broken_entries",
        "build",
        "known_models",
        "lookup",
    ]
    assert all(hasattr(ptx.models, name) for name in ptx.models.__all__)
