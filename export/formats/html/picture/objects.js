/** Which parts of a picture are things that somebody wrote; the same as `infer/digits/grouping.py`. */

const LEAST = 0.04; // side of an object, of the picture's longer side
const WIDEST = 1.7; // width of a figure by its height
const BLOB = 0.3; // width of the strokes by the longer side
const ALIKE = 0.5; // of the largest one's side: one more figure
const SEEN = 0.7; // of a thing's length and width: beside so much of it a frame goes
const NET = 0.02; // width of the lines of a net by its longer side
const MOST_LENGTH = 6; // length of all strokes by the longer side; an eight has 5
const CLOSE = 2; // pixels between parts of one figure: of 28 rows one that is missing is a gap of two
const DOT = 0.4; // of the larger part's side, between it and a small one above or below, as that of an i
const BAR = 0.15; // the same, of a wide one that is neither small nor a line
const SAME_PEN = 2; // times as wide as another's strokes, or as narrow: of the same pen
const MOST_PARTS = 100;
const MOST_INK = 0.5; // of a picture: where more of it is ink, that is the paper
const CUT_SIDE = 0.8; // side of a figure, of the picture's, that was cut out tightly
const TIGHT = { edge: 0.3, runs: 8 }; // of the picture's edge that is met by such a figure

const byLargest = (of) => (one, other) => of(other) - of(one);

/** The objects among the parts, the largest first. */
function findObjects(all, labels) {
  const { width, height } = labels;
  const parts = [...all].sort(byLargest((part) => part.area)).slice(0, MOST_PARTS);
  const within = parts.filter((part) => part.top > 0 && part.left > 0 && part.bottom < height && part.right < width);
  const free = within.filter((part) => !within.some((other) => frames(part, other, labels)));
  const least = SPECK * free.reduce((area, part) => Math.max(area, part.area), 0);
  return withoutLines(joinAll(free.filter((part) => part.area >= least))).sort(byLargest(sideOf));
}

/** Whether the parts, whose pixels are `own`, are one figure on paper and nothing else. */
function isAlone(parts, labels, own) {
  let objects = findObjects(parts, labels);
  if (!objects.length && parts.length === 1 && sideOf(parts[0]) > CUT_SIDE * Math.max(own.width, own.height)) {
    objects = isTight(own) ? [...parts] : [];
  }
  return objects.length === 1
    && objects[0].labels.size === parts.length
    && isFigure(objects[0], own)
    && sumOf(own.data) / own.data.length < MOST_INK
    && !isBlot(own, sideOf(objects[0]));
}

/** Whether the picture's edge is met by strokes: here and there, and not by a frame or by squares. */
function isTight({ width, height, data }) {
  const row = (y) => Array.from(data.subarray(y * width, (y + 1) * width));
  const column = (x) => Array.from({ length: height }, (_, y) => data[y * width + x]);
  const edge = [...row(0), ...column(width - 1), ...row(height - 1).reverse(), ...column(0).reverse()];
  const runs = edge.filter((value, at) => at && value && !edge[at - 1]).length;
  return sumOf(edge) / edge.length < TIGHT.edge && runs <= TIGHT.runs;
}

/** Whether a part holds a square that no stroke holds. */
function isBlot(own, side) {
  const reach = Math.max(1, roundHalfToEven((BLOB * side) / 2));
  return grow(mapPlane(padPlane(own, reach, 0), (value) => 1 - value), reach).data.includes(0);
}

/**
 * What else somebody wrote with the pen of the figure `main`, as it seems, though it is no figure: parts
 * that the picture's edge cuts off, and objects too wide for one. What meets two edges that face each
 * other is a line, a table or a frame.
 */
function findBeside(parts, objects, main, { width, height }) {
  const cut = parts.filter((part) => {
    const [top, left, bottom, right] = [part.top <= 0, part.left <= 0, part.bottom >= height, part.right >= width];
    return (top || left || bottom || right) && !(top && bottom) && !(left && right)
      && sideOf(part) >= ALIKE * sideOf(main) && isFigure(part, { width, height });
  });
  const wide = objects.filter((part) => sideOf(part) >= sideOf(main) && isWide(part));
  const [thin, thick] = [strokeOf(main) / SAME_PEN, strokeOf(main) * SAME_PEN];
  return [...cut, ...wide].filter((part) => thin <= strokeOf(part) && strokeOf(part) <= thick);
}

const isWide = (part) => widthOf(part) > WIDEST * heightOf(part);

function isFigure(part, { width, height }) {
  return sideOf(part) >= Math.max(4, LEAST * Math.max(width, height))
    && !isWide(part)
    && strokeOf(part) <= Math.max(1.5, BLOB * sideOf(part))
    && !isNet(part, { width, height });
}

/** Whether a part spans the picture in lines far thinner than strokes, as squares do that end in it. */
const isNet = (part, { width, height }) => (
  heightOf(part) > 0.7 * height && widthOf(part) > 0.7 * width && strokeOf(part) < NET * sideOf(part)
    && part.area > MOST_LENGTH * sideOf(part) * strokeOf(part));

/** Whether `outer` goes round `inner` as a frame does, and not as a zero round its dot. */
function frames(outer, inner, labels) {
  const [own, stroke] = [sideOf(outer), strokeOf(outer)];
  if (!holds(outer, inner) || sideOf(inner) < 0.12 * own || stroke > 0.12 * own) return false;
  const wide = heightOf(outer) > 0.7 * labels.height && widthOf(outer) > 0.7 * labels.width;
  const framing = wide || sideOf(inner) > 0.3 * own || stroke < 0.05 * own;
  return framing && goesRound(outer, inner, labels);
}

/** Whether `outer` is seen from `inner` on all four sides, unlike a letter from its other stroke. */
function goesRound(outer, inner, labels) {
  const [label] = outer.labels;
  const seenAlong = (from, to, first, last, place) => {
    let seen = 0;
    for (let line = from; line < to; line += 1) {
      let at = first;
      while (at < last && labels.data[place(line, at)] !== label) at += 1;
      if (at < last) seen += 1;
    }
    return seen / (to - from) > SEEN;
  };
  const inRow = (y, x) => y * labels.width + x;
  const inColumn = (x, y) => y * labels.width + x;
  return seenAlong(inner.top, inner.bottom, outer.left, inner.left, inRow)
    && seenAlong(inner.top, inner.bottom, inner.right, outer.right, inRow)
    && seenAlong(inner.left, inner.right, outer.top, inner.top, inColumn)
    && seenAlong(inner.left, inner.right, inner.bottom, outer.bottom, inColumn);
}

/** Not the lines beside something else: lying ones, and those far longer than the rest. */
function withoutLines(parts) {
  const others = parts.filter((part) => !isLine(part));
  const longest = others.reduce((side, part) => Math.max(side, sideOf(part)), 0);
  return parts.filter((part) => others.includes(part) || !others.length
    || (heightOf(part) > widthOf(part) && sideOf(part) < 1.6 * longest));
}

const isLine = (part) => Math.min(widthOf(part), heightOf(part)) < 0.15 * sideOf(part);

/** Parts of one figure taken together, again and again until nothing more belongs together. */
function joinAll(parts) {
  const objects = [];
  for (let part of [...parts].sort(byLargest((one) => one.area))) {
    for (let near = objects.findIndex((one) => belong(one, part)); near >= 0; near = objects.findIndex((one) => belong(one, part))) {
      part = joinParts(objects.splice(near, 1)[0], part);
    }
    objects.push(part);
  }
  return objects;
}

/** Whether two parts are one figure: nearly touching, or a small one close to a large one, or above or below it. */
function belong(one, other) {
  const across = Math.max(one.left, other.left) - Math.min(one.right, other.right);
  const down = Math.max(one.top, other.top) - Math.min(one.bottom, other.bottom);
  const side = Math.max(sideOf(one), sideOf(other));
  const gap = Math.max(across, down);
  const small = Math.min(sideOf(one), sideOf(other)) < ALIKE * side;
  if (across > 0 && down <= 0 && !small) return gap <= 0.02 * side; // beside each other and equally tall
  if (small) return gap <= Math.max(CLOSE, (across <= 0 ? DOT : 0.2) * side);
  const bar = across <= 0 && isWide(one) !== isWide(other) && !isLine(one) && !isLine(other);
  return gap <= Math.max(CLOSE, (bar ? BAR : 0.08) * side);
}
