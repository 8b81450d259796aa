/** A figure among its surroundings; the same as `infer/digits/detection.py`. */

const SEARCH_SIDE = 400; // longest side in pixels that is searched in
const WINDOWS = [0.25, 0.1]; // of the shorter side, in turn: wider things are no strokes
const DARK = 32; // added to the paper's tone: noise of a dark table is no ink
const THRESHOLDS = [0.55, 0.4, 0.7, 0.25, 0.8]; // of the strongest ink, that a mask is cut at, in turn
const PENS = [1, 3, 5]; // strokes at least so wide in pixels
const MOST_OBJECTS = 12; // that are looked at closely
const FAINT = 12; // levels of 255 between a figure and the paper right around it
const OPEN = 0.12; // of the rim: where no edge is seen, the search has divided a thing
const SEAMLESS = 0.35; // of the rim, ink or not: the thing goes on there in the same tone
const PREVAILS = 0.3; // of the surroundings: a tone that they share is no ink
const USUAL = 0.35; // side of a figure, of the picture's: no merit in a larger one
const CLEAR = 0.55; // contrast of a good reading that makes further levels needless
const GOOD = 0.25; // score of a reading that makes the search for broader pens needless
const NEARLY = 2; // pixels by which one of two windows shows a figure larger than the other does
const LEAST_SCORE = 0.15; // of a reading; a gap between two strokes of something cut off has 0.1
const WIDE_STROKE = 0.6; // of the window: what has such strokes may be a part of what is wider
const SHADE = 0.7; // of a part's ink: where its rim is so dark, too, it has no edge and is a shade
const LEAST_INK = 0.12; // darkness of ink relative to its paper

/**
 * The best reading of a gray picture, its figures from left to right; null where nothing is a figure.
 * @param {Plane} gray
 * @returns {{ink: Plane, labels: Plane, figures: Part[], pen: number}|null}
 */
function search(gray) {
  const pixels = reducePlane(gray, Math.ceil(Math.max(gray.width, gray.height) / SEARCH_SIDE));
  let best = null;
  for (const window of WINDOWS) {
    best = searchWithin(pixels, window, best);
    if (isClear(best)) break;
  }
  return best && { ...best, figures: figuresOf(pixels, best) };
}

const isClear = (best) => best?.contrast > CLEAR && best.score > GOOD;

/** The best reading where what is wider than `window` is paper, if it is better than `best`. */
function searchWithin(pixels, window, best) {
  const inks = [pixels, mapPlane(pixels, (value) => 255 - value)].map((side) => darkness(side, window))
    .filter(({ data }) => largest(data) > Math.fround(LEAST_INK));
  const levels = inks.map(levelsOf);
  const [whole, widest] = [best, WIDE_STROKE * window * Math.min(pixels.width, pixels.height)];
  for (const pen of PENS) {
    const drawn = inks.map((ink) => opened(ink, pen));
    for (let turn = 0; turn < Math.max(0, ...levels.map(({ length }) => length)); turn += 1) {
      inks.forEach((ink, at) => {
        if (turn >= levels[at].length) return;
        const mask = mapPlane(drawn[at], (value) => Number(value > levels[at][turn]));
        const found = readMask(pixels, ink, mask, pen, best?.score ?? LEAST_SCORE);
        if (found && !isPiece(found.objects[0], whole, widest)) best = found;
      });
      if (isClear(best)) break;
    }
    if (best?.score > GOOD) break;
  }
  return best;
}

/** Whether a part may have lost what is wider still: its strokes are wide, and it lies within `whole`. */
function isPiece(part, whole, widest) {
  if (!whole || strokeOf(part) <= widest) return false;
  const [main] = whole.objects;
  return Math.min(part.top - main.top, part.left - main.left) >= -NEARLY
    && Math.min(main.bottom - part.bottom, main.right - part.right) >= -NEARLY;
}

/**
 * The darknesses that a mask is cut at, in turn; none where there is no ink. Where the strongest ink is
 * thin beside wide shadows, all of LEVELS lie among these: one more parts the two.
 */
function levelsOf(ink) {
  const few = thinned(ink);
  const least = Math.max(LEAST_INK, 4 * median(few));
  const inked = few.filter((value) => value > Math.fround(least));
  if (!inked.length) return [];
  const [full, between] = [quantile(inked, 0.9), otsu(inked)];
  const levels = THRESHOLDS.map((ties) => Math.max(least, ties * full));
  return [...new Set([...levels, ...(between > full ? [between] : [])].map(Math.fround))];
}

/** The ink of one figure, without the lines that run through it. */
function cutFigure({ ink, labels, pen }, part) {
  const margin = Math.floor(pen / 2) + 1;
  const window = windowAround(part, 2 * margin);
  const own = ownPixels(cropPlane(labels, window), part);
  const near = grow(padPlane(own, margin, 0), margin).data;
  const around = grow(padPlane(own, 1, 0), 1).data;
  const inside = cropPlane(ink, window);
  const full = quantile(inside.data.filter((_, at) => own.data[at]), 0.75);
  const rim = inside.data.filter((_, at) => near[at] && !around[at]);
  const floor = Math.min(rim.length ? median(rim) : 0, 0.5 * full);
  return cutOut(makePlane(inside.width, inside.height, inside.data.map((value, at) => (
    near[at] ? Math.max(0, Math.min(1, (value - floor) / (full - floor))) : 0))));
}

const windowAround = ({ top, left, bottom, right }, margin) => (
  { top: top - margin, left: left - margin, bottom: bottom + margin, right: right + margin });

/** How much darker than its paper each pixel is, 0 to 1: 1 is black on white. */
function darkness(pixels, window) {
  const reach = Math.max(1, roundHalfToEven((window * Math.min(pixels.width, pixels.height)) / 2));
  const wide = grow(padPlane(pixels, 2 * reach), reach);
  const paper = grow(mapPlane(wide, (value) => 255 - value), reach).data;
  return mapPlane(pixels, (value, at) => {
    const tone = Math.max(255 - paper[at], value);
    return (tone - value) / (tone + DARK);
  }, Float32Array);
}

/** Without what is narrower than `pen` pixels. */
function opened(ink, pen) {
  if (pen === 1) return ink;
  const reach = Math.floor(pen / 2);
  const pixels = mapPlane(ink, (value) => 255 - Math.trunc(Math.fround(value * 255)));
  const thin = mapPlane(grow(padPlane(pixels, reach), reach), (value) => 255 - value);
  return mapPlane(grow(padPlane(thin, reach), reach), (value) => value * Math.fround(1 / 255), Float32Array);
}

/** What a mask shows; null where nothing in it is a figure that scores higher than `beaten`. */
function readMask(gray, ink, mask, pen, beaten) {
  const { labels, parts } = findParts(mask);
  const whole = findObjects(parts, labels);
  const found = whole.filter((part) => isFigure(part, mask)).slice(0, MOST_OBJECTS);
  const seen = found.map((part) => [part, contrastOf(ink, labels, part)]).filter(([, high]) => high);
  const [objects, contrasts] = [seen.map(([part]) => part), seen.map(([, high]) => high)];
  const usual = USUAL * Math.max(mask.width, mask.height);
  const scores = objects.map((part, at) => contrasts[at] * Math.sqrt(Math.min(1, sideOf(part) / usual)));
  for (const [at, main] of objects.entries()) {
    if (Math.max(...scores.slice(at)) <= beaten) return null;
    if (!isPaper(gray, ink, labels, main)) {
      const beside = findBeside(parts, whole, main, mask);
      return { ink, labels, objects: objects.slice(at), beside, pen, contrast: contrasts[at], score: scores[at] };
    }
  }
  return null;
}

/** The figures of a reading, left to right: all but what the largest one dwarfs or outshines. */
function figuresOf(gray, { ink, labels, objects: [main, ...others], beside, contrast }) {
  const alike = [...others, ...beside].filter((part) => sideOf(part) >= ALIKE * sideOf(main)
    && contrastOf(ink, labels, part) >= ALIKE * contrast && !isPaper(gray, ink, labels, part));
  return [main, ...alike].sort((one, other) => one.left + one.right - other.left - other.right);
}

const shareOf = (values, holdsFor) => values.filter(holdsFor).length / values.length;

/** Whether a part is ground between things, or a blot. */
function isPaper(gray, ink, labels, part) {
  const window = windowAround(part, Math.floor(sideOf(part) / 2));
  const own = ownPixels(cropPlane(labels, window), part);
  if (isBlot(own, sideOf(part))) return true;
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
  return paper < FAINT || sumOf(alike.filter(inRing)) / ring.length > OPEN || beyond > PREVAILS;
}

/** How much darker a part is than what lies right around it; 0 where it has no edge. */
function contrastOf(ink, labels, part) {
  const window = windowAround(part, 4);
  const inside = ownPixels(cropPlane(labels, window), part);
  const [wide, narrow] = [3, 1].map((margin) => grow(padPlane(inside, margin, 0), margin).data);
  const near = cropPlane(ink, window).data;
  const meanOf = (values) => (values.length ? sumOf(values) / values.length : 0);
  const own = meanOf(near.filter((_, at) => inside.data[at]));
  const rim = meanOf(near.filter((_, at) => wide[at] && !narrow[at]));
  return rim < SHADE * own ? own - rim : 0;
}
