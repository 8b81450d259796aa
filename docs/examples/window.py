"""A window: draw a digit with the mouse and see the prediction.

python window.py convnet.onnx
"""

from __future__ import annotations

import sys
import tkinter

from PIL import Image, ImageDraw

from ptx.infer import InputError, Predictor, load

SIDE = 280  # pixels of the paper
PEN = 20  # pixels across

Point = tuple[int, int]


def draw_strokes(strokes: list[list[Point]]) -> Image.Image:
    """Black strokes on white paper, as the window shows them."""
    paper = Image.new("L", (SIDE, SIDE), 255)
    draw = ImageDraw.Draw(paper)
    for stroke in strokes:
        draw.line(stroke, fill=0, width=PEN, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            draw.ellipse((x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2), fill=0)
    return paper


def describe(predictor: Predictor, strokes: list[list[Point]]) -> str:
    """The text below the paper: the three best labels, or why there is none."""
    try:
        prediction = predictor.predict(draw_strokes(strokes), top=3)
    except InputError as error:
        return error.message
    return "   ".join(f"{label}: {100 * score:.0f} %" for label, score in prediction.top)


class Window:
    """The paper, the prediction below it, and a button to clear it."""

    def __init__(self, root: tkinter.Tk, predictor: Predictor) -> None:
        self.predictor = predictor
        self.strokes: list[list[Point]] = []
        self.text = tkinter.StringVar(root, "draw a digit")
        self.paper = tkinter.Canvas(root, width=SIDE, height=SIDE, background="white")
        self.paper.pack(padx=12, pady=12)
        tkinter.Label(root, textvariable=self.text, wraplength=SIDE).pack()
        tkinter.Button(root, text="Clear", command=self.clear).pack(pady=12)
        self.paper.bind("<Button-1>", self._begin)
        self.paper.bind("<B1-Motion>", self._draw)
        self.paper.bind("<ButtonRelease-1>", self._predict)

    def clear(self) -> None:
        self.strokes.clear()
        self.paper.delete("all")
        self.text.set("draw a digit")

    def _begin(self, event: tkinter.Event[tkinter.Canvas]) -> None:
        self.strokes.append([(event.x, event.y)])
        self._line((event.x, event.y), (event.x, event.y))

    def _draw(self, event: tkinter.Event[tkinter.Canvas]) -> None:
        self._line(self.strokes[-1][-1], (event.x, event.y))
        self.strokes[-1].append((event.x, event.y))

    def _line(self, start: Point, end: Point) -> None:
        self.paper.create_line(start, end, width=PEN, capstyle=tkinter.ROUND)

    def _predict(self, event: tkinter.Event[tkinter.Canvas]) -> None:
        # This takes a millisecond; a slower model belongs into a thread.
        self.text.set(describe(self.predictor, self.strokes))


def main() -> None:
    with load(sys.argv[1], backend="ort-cpu") as predictor:
        root = tkinter.Tk()
        root.title("ptx")
        Window(root, predictor)
        root.mainloop()


if __name__ == "__main__":
    main()
