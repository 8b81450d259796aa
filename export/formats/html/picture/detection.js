/** Detects written figures in a cluttered image; the same as `infer/digits/detection.py`. */

const SEARCH_SIDE = 400; // maximum longest side in pixels; larger images are reduced
const WINDOWS = [0.25, 0.1]; // of the shorter side, tried in turn; wider objects are not strokes
const DARK = 32; // added to the background: noise of a dark table is not foreground
const THRESHOLDS = [0.55, 0.4, 0.7, 0.25, 0.8]; // of the maximum foreground, tried in turn
const STROKE_WIDTHS = [1, 3, 5]; // minimum stroke widths in pixels, tried in turn
const MAX_OBJECTS = 12; // that are examined
const FAINT = 12; // of 255: minimum contrast of a figure to its surroundings
const MAX_OPEN = 0.12; // of the boundary without an edge; above it, the segmentation has split an object
const SEAMLESS = 0.35; // of the boundary where the object continues in the same tone
const PREVAILS = 0.3; // of the surroundings: a tone shared by more is background
const USUAL = 0.35; // side of a figure as a fraction of the image side; a larger one scores no higher
const CLEAR = 0.55; // contrast of a candidate after which no further threshold is tried
const GOOD = 0.25; // score of a candidate after which no wider stroke is tried
const NEARLY = 2; // pixels by which a figure may differ in size between two windows
const MIN_SCORE = 0.15; // of a candidate; a gap between two strokes of a cut-off object scores 0.1
const WIDE_STROKE = 0.6; // of the window: an object with wider strokes may be part of a wider one
const SHADE = 0.7; // of a component's foreground: with so dark a boundary it is a shadow
const MIN_DARKNESS = 0.12; // of foreground relative to its background

/**
 * The best candidate in a gray image, with its figures from left to right; null if there is no figure.
 * @param {Plane} gray
 * @returns {{ink: Plane, labels: Plane, figures: Component[], pen: number}|null}
 */
function detect(gray) {
  const pixels = reducePlane(gray, Math.ceil(Math.max(gray.width, gray.height) / SEARCH_SIDE));
  let best = null;
  for (const window of WINDOWS) {
    best = findCandidate(pixels, window, best);
    if (isClear(best)) break;
  }
  return best && { ...best, figures: selectFigures(pixels, best) };
}

const isClear = (best) => best?.contrast > CLEAR && best.score > GOOD;

/** The best candidate if objects wider than `window` are background; `best` unless it is better. */
function findCandidate(pixels, window, best) {
  const inks = [pixels, mapPlane(pixels, (value) => 255 - value)].map((side) => blackTophat(side, window))
    .filter(({ data }) => largest(data) > Math.fround(MIN_DARKNESS));
  const levels = inks.map(thresholdsOf);
  const [whole, widest] = [best, WIDE_STROKE * window * Math.min(pixels.width, pixels.height)];
  for (const pen of STROKE_WIDTHS) {
    const drawn = inks.map((ink) => opening(ink, pen));
    for (let turn = 0; turn < Math.max(0, ...levels.map(({ length }) => length)); turn += 1) {
      inks.forEach((ink, at) => {
        if (turn >= levels[at].length) return;
        const mask = mapPlane(drawn[at], (value) => Number(value > levels[at][turn]));
        const found = examineMask(pixels, ink, mask, pen, best?.score ?? MIN_SCORE);
        if (found && !isPartOfWider(found.objects[0], whole, widest)) best = found;
      });
      if (isClear(best)) break;
    }
    if (best?.score > GOOD) break;
  }
  return best;
}

/** Whether a component may be part of a wider object: its strokes are wide, and it lies within `whole`. */
function isPartOfWider(part, whole, widest) {
  if (!whole || strokeOf(part) <= widest) return false;
  const [main] = whole.objects;
  return Math.min(part.top - main.top, part.left - main.left) >= -NEARLY
    && Math.min(main.bottom - part.bottom, main.right - part.right) >= -NEARLY;
}

/**
 * The thresholds of darkness, in order; none without foreground. If thin strokes lie next to wide shadows,
 * all of THRESHOLDS fall within the shadows, so one more threshold separates the two.
 */
function thresholdsOf(ink) {
  const few = subsample(ink);
  const least = Math.max(MIN_DARKNESS, 4 * median(few));
  const inked = few.filter((value) => value > Math.fround(least));
  if (!inked.length) return [];
  const [full, between] = [quantile(inked, 0.9), otsu(inked)];
  const levels = THRESHOLDS.map((share) => Math.max(least, share * full));
  return [...new Set([...levels, ...(between > full ? [between] : [])].map(Math.fround))];
}

/** The foreground of one figure, without lines that cross it. */
function cropFigure({ ink, labels, pen }, part) {
  const margin = Math.floor(pen / 2) + 1;
  const window = windowAround(part, 2 * margin);
  const own = maskOf(cropPlane(labels, window), part);
  const near = grow(padPlane(own, margin, 0), margin).data;
  const around = grow(padPlane(own, 1, 0), 1).data;
  const inside = cropPlane(ink, window);
  const full = quantile(inside.data.filter((_, at) => own.data[at]), 0.75);
  const rim = inside.data.filter((_, at) => near[at] && !around[at]);
  const floor = Math.min(rim.length ? median(rim) : 0, 0.5 * full);
  return cropForeground(makePlane(inside.width, inside.height, inside.data.map((value, at) => (
    near[at] ? Math.max(0, Math.min(1, (value - floor) / (full - floor))) : 0))));
}

const windowAround = ({ top, left, bottom, right }, margin) => (
  { top: top - margin, left: left - margin, bottom: bottom + margin, right: right + margin });

/** Black top-hat: how much darker each pixel is than its background, 0 to 1 (black on white). */
function blackTophat(pixels, window) {
  const reach = Math.max(1, roundHalfToEven((window * Math.min(pixels.width, pixels.height)) / 2));
  const wide = grow(padPlane(pixels, 2 * reach), reach);
  const paper = grow(mapPlane(wide, (value) => 255 - value), reach).data;
  return mapPlane(pixels, (value, at) => {
    const tone = Math.max(255 - paper[at], value);
    return (tone - value) / (tone + DARK);
  }, Float32Array);
}

/** Morphological opening: removes objects narrower than `pen` pixels. */
function opening(ink, pen) {
  if (pen === 1) return ink;
  const reach = Math.floor(pen / 2);
  const pixels = mapPlane(ink, (value) => 255 - Math.trunc(Math.fround(value * 255)));
  const thin = mapPlane(grow(padPlane(pixels, reach), reach), (value) => 255 - value);
  return mapPlane(grow(padPlane(thin, reach), reach), (value) => value * Math.fround(1 / 255), Float32Array);
}

/** The candidate in a mask; null if no figure in it scores higher than `beaten`. */
function examineMask(gray, ink, mask, pen, beaten) {
  const { labels, parts } = connectedComponents(mask);
  const whole = groupComponents(parts, labels);
  const found = whole.filter((part) => isFigure(part, mask)).slice(0, MAX_OBJECTS);
  const seen = found.map((part) => [part, contrastOf(ink, labels, part)]).filter(([, high]) => high);
  const [objects, contrasts] = [seen.map(([part]) => part), seen.map(([, high]) => high)];
  const usual = USUAL * Math.max(mask.width, mask.height);
  const scores = objects.map((part, at) => contrasts[at] * Math.sqrt(Math.min(1, sideOf(part) / usual)));
  for (const [at, main] of objects.entries()) {
    if (Math.max(...scores.slice(at)) <= beaten) return null;
    if (!isBackground(gray, ink, labels, main)) {
      const written = findWritten(parts, whole, main, mask);
      return { ink, labels, objects: objects.slice(at), written, pen, contrast: contrasts[at], score: scores[at] };
    }
  }
  return null;
}

/** The figures of a candidate from left to right, without those that are much smaller or fainter than the largest. */
function selectFigures(gray, { ink, labels, objects: [main, ...others], written, contrast }) {
  const alike = [...others, ...written].filter((part) => sideOf(part) >= SAME_SIZE * sideOf(main)
    && contrastOf(ink, labels, part) >= SAME_SIZE * contrast && !isBackground(gray, ink, labels, part));
  return [main, ...alike].sort((one, other) => one.left + one.right - other.left - other.right);
}

const shareOf = (values, predicate) => values.filter(predicate).length / values.length;

/** Whether a component is background between objects, or a blot. */
function isBackground(gray, ink, labels, part) {
  const window = windowAround(part, Math.floor(sideOf(part) / 2));
  const own = maskOf(cropPlane(labels, window), part);
  if (isFilled(own, sideOf(part))) return true;
  const [tones, darks] = [cropPlane(gray, window).data, cropPlane(ink, window).data];
  const isOwn = (_, at) => own.data[at];
  const tone = median(tones.filter(isOwn));
  const [near, far] = [2, 4].map((margin) => grow(padPlane(own, margin, 0), margin).data);
  const inRing = (_, at) => far[at] && !near[at];
  const isOutside = (_, at) => !far[at];
  const away = Float64Array.from(tones, (value) => Math.abs(value - tone));
  const ring = away.filter(inRing);
  if (!ring.length) return false;
  const paper = quantile(ring, 0.75);
  if (shareOf(ring, (value) => value < 0.35 * paper) > SEAMLESS) return true;
  const faint = 0.3 * median(darks.filter(isOwn));
  const alike = away.map((value, at) => Number(darks[at] < faint && value < 0.35 * paper));
  const outside = alike.filter(isOutside);
  let beyond = outside.length ? sumOf(outside) / outside.length : 0;
  if (tone > median(tones.filter(inRing))) { // light: what else is as light is paper
    beyond = Math.max(beyond, shareOf(gray.data, (value, at) => Math.abs(value - tone) < 0.35 * paper && ink.data[at] < 0.05));
  }
  return paper < FAINT || sumOf(alike.filter(inRing)) / ring.length > MAX_OPEN || beyond > PREVAILS;
}

/** How much darker a component is than its boundary ring; 0 if it has no edge. */
function contrastOf(ink, labels, part) {
  const window = windowAround(part, 4);
  const inside = maskOf(cropPlane(labels, window), part);
  const [wide, narrow] = [3, 1].map((margin) => grow(padPlane(inside, margin, 0), margin).data);
  const near = cropPlane(ink, window).data;
  const meanOf = (values) => (values.length ? sumOf(values) / values.length : 0);
  const own = meanOf(near.filter((_, at) => inside.data[at]));
  const rim = meanOf(near.filter((_, at) => wide[at] && !narrow[at]));
  return rim < SHADE * own ? own - rim : 0;
}
