/** Groups connected components into written figures; the same as `infer/digits/grouping.py`. */

const MIN_SIDE = 0.04; // side of an object as a fraction of the image's longer side
const MAX_ASPECT = 1.7; // width of a figure divided by its height
const MAX_STROKE = 0.3; // stroke width divided by the longer side
const SAME_SIZE = 0.5; // of the largest figure's side: another figure of the same size
const FLANKED = 0.7; // fraction of the inner component's sides that a frame must flank
const GRID_STROKE = 0.02; // line width of a grid divided by its longer side
const MAX_LENGTH = 6; // total stroke length divided by the longer side; an 8 has 5
const CLOSE = 2; // maximum gap in pixels within a figure: one missing row of 28 is a gap of two
const DOT = 0.4; // maximum gap to a small component above or below, such as the dot of an i, as a fraction of the larger side
const BAR = 0.15; // the same for a wide component that is neither small nor a line
const SAME_STROKE = 2; // maximum ratio of the stroke widths of one pen
const MAX_COMPONENTS = 100;
const MAX_FOREGROUND = 0.5; // of the image: if more of it is foreground, that is the background
const CUT_SIDE = 0.8; // side of a tightly cropped figure as a fraction of the image side
const CUT_TIGHTLY = { edge: 0.3, runs: 8 }; // maximum fraction of the image edge that such a figure touches, and number of runs

const byLargest = (of) => (one, other) => of(other) - of(one);

/** The objects among the components, largest first. */
function groupComponents(all, labels) {
  const { width, height } = labels;
  const parts = [...all].sort(byLargest((part) => part.area)).slice(0, MAX_COMPONENTS);
  const within = parts.filter((part) => part.top > 0 && part.left > 0 && part.bottom < height && part.right < width);
  const free = within.filter((part) => !within.some((other) => frames(part, other, labels)));
  const least = MIN_FOREGROUND * free.reduce((area, part) => Math.max(area, part.area), 0);
  return withoutLines(mergeAll(free.filter((part) => part.area >= least))).sort(byLargest(sideOf));
}

/** Whether the components, whose pixels are `own`, are a single figure and nothing else. */
function isSingleFigure(parts, labels, own) {
  let objects = groupComponents(parts, labels);
  if (!objects.length && parts.length === 1 && sideOf(parts[0]) > CUT_SIDE * Math.max(own.width, own.height)) {
    objects = isCutTightly(own) ? [...parts] : [];
  }
  return objects.length === 1
    && objects[0].labels.size === parts.length
    && isFigure(objects[0], own)
    && sumOf(own.data) / own.data.length < MAX_FOREGROUND
    && !isFilled(own, sideOf(objects[0]));
}

/** Whether strokes touch the image edge in a few places, unlike a frame or a grid. */
function isCutTightly({ width, height, data }) {
  const row = (y) => Array.from(data.subarray(y * width, (y + 1) * width));
  const column = (x) => Array.from({ length: height }, (_, y) => data[y * width + x]);
  const edge = [...row(0), ...column(width - 1), ...row(height - 1).reverse(), ...column(0).reverse()];
  const runs = edge.filter((value, at) => at && value && !edge[at - 1]).length;
  return sumOf(edge) / edge.length < CUT_TIGHTLY.edge && runs <= CUT_TIGHTLY.runs;
}

/** Whether a component contains a square that is too large for a stroke. */
function isFilled(own, side) {
  const reach = Math.max(1, roundHalfToEven((MAX_STROKE * side) / 2));
  return grow(mapPlane(padPlane(own, reach, 0), (value) => 1 - value), reach).data.includes(0);
}

/**
 * Other writing with the stroke width of the figure `main` that is not a figure itself: components cut off
 * by the image edge, and objects that are too wide. A component that touches two opposite edges is a line,
 * a table or a frame.
 */
function findWritten(parts, objects, main, { width, height }) {
  const cut = parts.filter((part) => {
    const [top, left, bottom, right] = [part.top <= 0, part.left <= 0, part.bottom >= height, part.right >= width];
    return (top || left || bottom || right) && !(top && bottom) && !(left && right)
      && sideOf(part) >= SAME_SIZE * sideOf(main) && isFigure(part, { width, height });
  });
  const wide = objects.filter((part) => sideOf(part) >= sideOf(main) && isWide(part));
  const [thin, thick] = [strokeOf(main) / SAME_STROKE, strokeOf(main) * SAME_STROKE];
  return [...cut, ...wide].filter((part) => thin <= strokeOf(part) && strokeOf(part) <= thick);
}

const isWide = (part) => widthOf(part) > MAX_ASPECT * heightOf(part);

function isFigure(part, { width, height }) {
  return sideOf(part) >= Math.max(4, MIN_SIDE * Math.max(width, height))
    && !isWide(part)
    && strokeOf(part) <= Math.max(1.5, MAX_STROKE * sideOf(part))
    && !isGrid(part, { width, height });
}

/** Whether a component spans the image in lines much thinner than strokes, as squared paper does. */
const isGrid = (part, { width, height }) => (
  heightOf(part) > 0.7 * height && widthOf(part) > 0.7 * width && strokeOf(part) < GRID_STROKE * sideOf(part)
    && part.area > MAX_LENGTH * sideOf(part) * strokeOf(part));

/** Whether `outer` frames `inner`; a zero does not frame its dot. */
function frames(outer, inner, labels) {
  const [own, stroke] = [sideOf(outer), strokeOf(outer)];
  if (!encloses(outer, inner) || sideOf(inner) < 0.12 * own || stroke > 0.12 * own) return false;
  const wide = heightOf(outer) > 0.7 * labels.height && widthOf(outer) > 0.7 * labels.width;
  const framing = wide || sideOf(inner) > 0.3 * own || stroke < 0.05 * own;
  return framing && isFlanked(outer, inner, labels);
}

/** Whether `outer` flanks `inner` on all four sides, unlike one stroke of a letter its other stroke. */
function isFlanked(outer, inner, labels) {
  const [label] = outer.labels;
  const seenAlong = (from, to, first, last, place) => {
    let seen = 0;
    for (let line = from; line < to; line += 1) {
      let at = first;
      while (at < last && labels.data[place(line, at)] !== label) at += 1;
      if (at < last) seen += 1;
    }
    return seen / (to - from) > FLANKED;
  };
  const inRow = (y, x) => y * labels.width + x;
  const inColumn = (x, y) => y * labels.width + x;
  return seenAlong(inner.top, inner.bottom, outer.left, inner.left, inRow)
    && seenAlong(inner.top, inner.bottom, inner.right, outer.right, inRow)
    && seenAlong(inner.left, inner.right, outer.top, inner.top, inColumn)
    && seenAlong(inner.left, inner.right, inner.bottom, outer.bottom, inColumn);
}

/** Removes lines next to other objects: horizontal ones, and those much longer than the rest. */
function withoutLines(parts) {
  const others = parts.filter((part) => !isLine(part));
  const longest = others.reduce((side, part) => Math.max(side, sideOf(part)), 0);
  return parts.filter((part) => others.includes(part) || !others.length
    || (heightOf(part) > widthOf(part) && sideOf(part) < 1.6 * longest));
}

const isLine = (part) => Math.min(widthOf(part), heightOf(part)) < 0.15 * sideOf(part);

/** Merges components of the same figure until no two belong together. */
function mergeAll(parts) {
  const objects = [];
  for (let part of [...parts].sort(byLargest((one) => one.area))) {
    for (let near = objects.findIndex((one) => belongTogether(one, part)); near >= 0; near = objects.findIndex((one) => belongTogether(one, part))) {
      part = mergeComponents(objects.splice(near, 1)[0], part);
    }
    objects.push(part);
  }
  return objects;
}

/** Whether two components are one figure: nearly touching, or a small one close to a large one, or above or below it. */
function belongTogether(one, other) {
  const across = Math.max(one.left, other.left) - Math.min(one.right, other.right);
  const down = Math.max(one.top, other.top) - Math.min(one.bottom, other.bottom);
  const side = Math.max(sideOf(one), sideOf(other));
  const gap = Math.max(across, down);
  const small = Math.min(sideOf(one), sideOf(other)) < SAME_SIZE * side;
  if (across > 0 && down <= 0 && !small) return gap <= 0.02 * side; // written each other and equally tall
  if (small) return gap <= Math.max(CLOSE, (across <= 0 ? DOT : 0.2) * side);
  const bar = across <= 0 && isWide(one) !== isWide(other) && !isLine(one) && !isLine(other);
  return gap <= Math.max(CLOSE, (bar ? BAR : 0.08) * side);
}
