/** Separates the foreground (ink) from the background; the same as `infer/digits/foreground.py`. */

const MIN_CONTRAST = 20; // of 255: below it lie paper grain and sensor noise
const EDGE = 0.25; // least ink of a pixel that the digit's box takes in
const MIN_DITHERED_SIDE = 56; // of a picture that may be dithered: in a smaller one a dot is a stroke
const MAX_SAMPLED = 40_000; // pixels, up to which all are asked for what is common to them
const DOTTED = 0.01; // of the pixels that differ from all four neighbours: scanned lines have none
const DEGREES = [[0, 0], [0, 1], [1, 0], [0, 2], [1, 1], [2, 0]]; // of y and of x
const GRID = 48; // samples of the paper on each axis
const FIT_ROUNDS = 6;
const BLOCKS = 160; // of the longer side, in which parts of the ink are told apart

/** Replaces each pixel of a dithered image by the mean of 3×3; leaves other images unchanged. */
function descreen(flat) {
  const { width, height, bands: [data, ...more] } = flat;
  if (Math.min(width, height) < MIN_DITHERED_SIDE || more.length || new Set(data).size !== 2) return flat;
  let dots = 0;
  for (let y = 1; y < height - 1; y += 1) {
    for (let x = 1, at = y * width + 1; x < width - 1; x += 1, at += 1) {
      if ([at - width, at + width, at - 1, at + 1].every((near) => data[near] !== data[at])) dots += 1;
    }
  }
  if (dots / ((width - 2) * (height - 2)) < DOTTED) return flat;
  const wide = padPlane(makePlane(width, height, data), 1);
  const mean = data.map((_, at) => {
    let sum = 4;
    const [x, y] = [at % width, Math.floor(at / width)];
    for (let row = y; row < y + 3; row += 1) {
      for (let column = x; column < x + 3; column += 1) sum += wide.data[row * wide.width + column];
    }
    return Math.floor(sum / 9);
  });
  return { width, height, bands: [mean] };
}

/**
 * The share of foreground of each pixel, 0 to 1; null if the image is blank.
 * @param {Flat} flat
 * @returns {Plane|null}
 */
function findForeground(flat) {
  const distance = backgroundDistance(flat);
  const few = subsample(distance);
  const threshold = Math.fround(otsu(few));
  const inked = few.filter((value) => value > threshold);
  const rest = few.filter((value) => value <= threshold);
  const full = inked.length ? quantile(inked, 0.75) : 0;
  const grain = rest.length ? median(rest) : 0;
  if (full < Math.max(MIN_CONTRAST, 4 * grain)) return null;
  const floor = Math.min(3 * grain, 0.5 * full);
  const [base, scale] = [Math.fround(floor), Math.fround(1 / (full - floor))];
  return mapPlane(distance, (value) => Math.max(0, Math.min(1, Math.fround(value - base) * scale)), Float32Array);
}

/** Every n-th pixel of both axes, which is enough for statistics over many pixels. */
function subsample({ width, height, data }) {
  const step = 1 + Math.floor(Math.sqrt(Math.floor((width * height) / MAX_SAMPLED)));
  return data.filter((_, at) => Math.floor(at / width) % step === 0 && (at % width) % step === 0);
}

/** `ink` cropped to the figure. */
const cropForeground = (ink) => cropPlane(ink, boxOf(ink, (value) => value > EDGE));

/** The cropped foreground without specks; null if it is not a single figure on a plain background. */
function cropSingleFigure(ink) {
  const step = Math.ceil(Math.max(ink.width, ink.height) / BLOCKS);
  const blocks = makePlane(Math.ceil(ink.width / step), Math.ceil(ink.height / step), new Int32Array(
    Math.ceil(ink.width / step) * Math.ceil(ink.height / step)));
  const blockOf = (at) => Math.floor(Math.floor(at / ink.width) / step) * blocks.width + Math.floor((at % ink.width) / step);
  ink.data.forEach((value, at) => { if (value > 0.5) blocks.data[blockOf(at)] += 1; });
  const { labels, parts } = connectedComponents(mapPlane(blocks, (count) => Number(count > 0)));
  const areas = new Float64Array(1 + largest(labels.data));
  labels.data.forEach((label, at) => { if (label) areas[label] += blocks.data[at]; });
  const kept = areas.map((area, label) => Number(label > 0 && area >= MIN_FOREGROUND * largest(areas)));
  const own = mapPlane(labels, (label) => kept[label]);
  if (!isSingleFigure(parts.filter((part) => [...part.labels].some((label) => kept[label])), labels, own)) return null;
  const near = grow(padPlane(own, 2, 0), 1);
  const nearOf = (at) => {
    const [y, x] = [Math.floor(Math.floor(at / ink.width) / step), Math.floor((at % ink.width) / step)];
    return near.data[(y + 1) * near.width + x + 1];
  };
  return cropForeground(makePlane(ink.width, ink.height, ink.data.map((value, at) => value * nearOf(at))));
}

/** The root mean square, over the channels, of each colour's distance from the background, 0 to 255. */
function backgroundDistance(flat) {
  const squares = new Float32Array(flat.width * flat.height);
  fitBackground(flat).forEach((coefficients, band) => {
    const pixels = flat.bands[band];
    const across = powers(flat.width);
    powers(flat.height).forEach((down, y) => {
      const along = [0, 1, 2].map((degree) => DEGREES.reduce((sum, [own, other], at) => (
        other === degree ? sum + coefficients[at] * down[own] : sum), 0));
      for (let x = 0, at = y * flat.width; x < flat.width; x += 1, at += 1) {
        const paper = Math.fround(along[0] + along[1] * across[x][1] + along[2] * across[x][2]);
        squares[at] += Math.fround(paper - pixels[at]) ** 2;
      }
    });
  });
  return makePlane(flat.width, flat.height, squares.map((sum) => Math.sqrt(sum / flat.bands.length)));
}

/** Fits the background colour of each channel: six coefficients of a quadratic surface. */
function fitBackground({ width, height, bands }) {
  const grid = bands.map((data) => resizePlane({ width, height, data }, Math.min(width, GRID), Math.min(height, GRID), BOX));
  const [{ width: columns, height: rows }] = grid;
  const colours = Array.from({ length: rows * columns }, (_, at) => grid.map(({ data }) => data[at]));
  const even = grid.map((plane) => [median(borderOf(plane)), 0, 0, 0, 0, 0]);
  const [down, across] = [powers(rows), powers(columns)];
  const terms = colours.map((_, at) => DEGREES.map(([y, x]) => down[Math.floor(at / columns)][y] * across[at % columns][x]));
  let [found, before] = [even, ""];
  for (let round = 0; round < FIT_ROUNDS; round += 1) {
    const errors = colours.map((colour, at) => Math.sqrt(colour.reduce((sum, value, band) => (
      sum + (value - terms[at].reduce((all, term, k) => all + term * found[band][k], 0)) ** 2), 0) / colour.length));
    const limit = Math.max(8, Math.min(40, 4 * quantile(errors, 0.2)));
    const kept = [...errors.keys()].filter((at) => errors[at] < limit);
    if (kept.length < 0.2 * errors.length) return even;
    if (kept.join() === before) break;
    before = kept.join();
    found = leastSquares(kept.map((at) => terms[at]), kept.map((at) => colours[at]), 1e-3);
  }
  return found;
}

/** 1, p and p² of the centres of `count` pixels on an axis from -1 to 1. */
function powers(count) {
  return Array.from({ length: count }, (_, at) => {
    const middle = ((at + 0.5) * 2) / count - 1;
    return [1, Math.fround(middle), Math.fround(middle * middle)];
  });
}

/** The threshold by Otsu: it separates the values into the two most distinct groups. */
function otsu(values) {
  const top = Math.max(largest(values), 1e-6);
  const counts = new Float64Array(256);
  const scale = Math.fround(256 / top);
  for (const value of values) counts[Math.min(Math.trunc(Math.fround(value * scale)), 255)] += 1;
  const middles = counts.map((_, at) => ((at + 0.5) * top) / 256);
  const whole = counts.reduce((sum, count, at) => sum + count * middles[at], 0);
  let [below, mass, best, place] = [0, 0, -1, 0];
  counts.forEach((count, at) => {
    below += count;
    mass += count * middles[at];
    const above = values.length - below;
    const between = below && above ? below * above * (mass / below - (whole - mass) / above) ** 2 : 0;
    if (between > best) [best, place] = [between, at];
  });
  return ((place + 1) * top) / 256;
}
