"""Draw docs/images/architecture.svg, the folders and their imports: python scripts/pages/house_map.py"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
# Where each folder stands: (column, floor); the floors are drawn from the ground up.
PLACES = {
    "infer": (2, 0),
    "models": (4, 0),
    "serve": (0, 1),
    "trainers": (2, 1),
    "export": (4, 1),
    "scale": (6, 1),
    "report": (3, 2),
    "cli": (2, 3),
}
SAYS = {
    "infer": "a file becomes predictions",
    "models": "the networks, their catalog",
    "trainers": "data, recipes, the loop",
    "export": "a proved file",
    "report": "pages, tables, figures",
    "scale": "many machines",
    "serve": "HTTP, gRPC, Triton",
    "cli": "the command line",
}
LOOK = 'role="img" font-family="system-ui, sans-serif" text-anchor="middle"'
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
)
WIDTH, HEIGHT, STEP_X, STEP_Y = 190, 52, 140, 104


def arrows() -> list[tuple[str, str]]:
    """(folder, folder that it imports), where the source of the first names the second."""
    found = set()
    for folder in PLACES:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                found |= {(folder, name) for name in _find_imported(node) if name != folder}
    return sorted(found)


def _find_imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom) and node.module == "ptx":
        return {alias.name for alias in node.names}
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return {name.split(".")[1] for name in names if name.startswith("ptx.")}


def picture() -> str:
    last, top = (max(place[axis] for place in PLACES.values()) for axis in (0, 1))
    width, height = last * STEP_X + WIDTH + 40, top * STEP_Y + HEIGHT + 40
    corners = {
        name: (20 + column * STEP_X, 20 + (top - floor) * STEP_Y)
        for name, (column, floor) in PLACES.items()
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {LOOK}>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        TIP,
    ]
    parts += [_arrow(corners[above], corners[below]) for above, below in arrows()]
    for name, (x, y) in corners.items():
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef4f9"'
            f' stroke="#00508a"/><text x="{x + WIDTH / 2:g}" y="{y + 22}" font-weight="600">{name}/'
            f'</text><text x="{x + WIDTH / 2:g}" y="{y + 40}" font-size="12">{SAYS[name]}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the lower edge of one box to the upper of another; on one floor from side to side."""
    (x1, y1), (x2, y2) = start, end
    places: tuple[float, float, float, float]
    if y1 == y2:
        from_x, to_x = (x1 + WIDTH, x2) if x1 < x2 else (x1, x2 + WIDTH)
        places = (from_x, y1 + HEIGHT / 2, to_x, y2 + HEIGHT / 2)
    else:
        aside = (x2 > x1) - (x2 < x1)
        places = (x1 + WIDTH / 2 + 40 * aside, y1 + HEIGHT, x2 + WIDTH / 2 - 20 * aside, y2)
    a, b, c, d = (f"{place:g}" for place in places)
    return f'<path d="M{a} {b}L{c} {d}" stroke="#555" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    PICTURE.write_text(picture())
