/** Brings an image of any size and colour to the model's input size; the same as `infer/digits/mnist.py` and `infer/images/resize.py`. */

const WORKING_SIDE = 640; // longest side in pixels that ink is looked for in
const MNIST_SIDE = 20; // of 28: the longer side of the ink
const STROKE_RANGE = [1.7, 4.2]; // least and largest stroke width in pixels of 28
const RESIZE_MODES = { mnist: toMnist, letterbox };

/**
 * @param {Raster} raster
 * @param {{size: number[], resize_mode: string}} setting of the manifest, size as [height, width]
 * @returns {Tensor} uint8 (height, width), light ink on 0
 */
function resizeGrayImage(raster, { size: [height, width], resize_mode: mode }) {
  if (!raster.width || !raster.height) throw inputError("no-picture");
  const { data } = RESIZE_MODES[mode](flatten(raster), width, height);
  return makeTensor("uint8", [height, width], data);
}

/** A drawn digit in MNIST's form. */
function toMnist(flat, width, height) {
  if (flat.width === 28 && flat.height === 28 && width === 28 && height === 28) {
    const unchanged = mnistForm(flat);
    if (unchanged) return unchanged;
  }
  const side = roundHalfToEven((Math.min(width, height) * MNIST_SIDE) / 28);
  return centre(scaleToMnist(cropOne(descreen(reduceFlat(flat, reducingFactor(flat)))), side), width, height);
}

/** The foreground of the one figure: alone on plain paper, or else detected in a cluttered image. */
function cropOne(flat) {
  const ink = findForeground(flat);
  const plain = ink && cropSingleFigure(ink);
  if (plain) return plain;
  const detection = detect(luma(flat));
  if (!detection) throw inputError(ink ? "no-digit" : "blank");
  if (detection.figures.length > 1) throw inputError("objects", detection.figures.length);
  return cropFigure(detection, detection.figures[0]);
}

/** An image of an object, light on dark as in Fashion-MNIST, with its aspect ratio kept. */
function letterbox(flat, width, height) {
  let gray = luma(flat);
  const edge = borderOf(gray);
  if (edge.filter((value) => value > 127).length > 0.5 * edge.length) gray = mapPlane(gray, (value) => 255 - value);
  if (gray.width === width && gray.height === height) return gray;
  gray = reducePlane(gray, reducingFactor(gray));
  const scale = Math.max(gray.width / width, gray.height / height);
  const [across, down] = [gray.width, gray.height].map((length) => Math.max(1, roundHalfToEven(length / scale)));
  const canvas = makePlane(width, height);
  canvas.data.fill(Math.trunc(median(borderOf(gray))));
  const small = resizePlane(gray, across, down, filterFor(scale));
  return paste(canvas, small, Math.floor((width - across) / 2), Math.floor((height - down) / 2));
}

const reducingFactor = ({ width, height }) => Math.ceil(Math.max(width, height) / WORKING_SIDE);
const filterFor = (scale) => (scale > 1 ? BOX : BICUBIC);

/** The pixels of a 28×28 picture in MNIST's layout, unchanged or inverted; null for other images. */
function mnistForm(flat) {
  if (flat.bands.length > 1) return null;
  const gray = luma(flat);
  return layOut(gray) || layOut(mapPlane(gray, (value) => 255 - value));
}

function layOut(gray) {
  const sideOfBox = (box) => Math.max(box.right - box.left, box.bottom - box.top);
  let plane = gray;
  let box = boxOf(gray);
  if (box && sideOfBox(box) > MNIST_SIDE + 2) {
    plane = mapPlane(gray, (value) => (value >= 64 ? value : 0));
    box = boxOf(plane);
  }
  if (!box || Math.abs(sideOfBox(box) - MNIST_SIDE) > 2 || largest(plane.data) < 192) return null;
  const mass = sumOf(plane.data);
  const rows = plane.data.reduce((sum, value, at) => sum + value * Math.floor(at / 28), 0);
  const columns = plane.data.reduce((sum, value, at) => sum + value * (at % 28), 0);
  return Math.abs(rows / mass - 14) > 1.5 || Math.abs(columns / mass - 14) > 1.5 ? null : gray;
}

/** Replaces transparency by a background that contrasts with the opaque part. */
function flatten(raster) {
  const flat = bandsOf(raster);
  const alpha = makePlane(raster.width, raster.height, Uint8Array.from({ length: raster.width * raster.height }, (_, at) => raster.data[4 * at + 3]));
  if (alpha.data.every((value) => value === 255)) return flat;
  const ground = fillColour(flat, alpha);
  return {
    ...flat,
    bands: flat.bands.map((data, band) => data.map((value, at) => (
      blend(ground[band] * (255 - alpha.data[at]) + value * alpha.data[at])))),
  };
}

/** Black under light ink, white under dark ink, and the paper's colour where paper is drawn. */
function fillColour(flat, alpha) {
  const factor = reducingFactor(flat);
  const solid = mapPlane(reducePlane(alpha, factor), (value) => Number(value > 127));
  const box = boxOf(solid);
  if (!box) return flat.bands.map(() => 255);
  const isSolid = (_, at) => solid.data[at];
  const luminance = reducePlane(luma(flat), factor).data.filter(isSolid);
  const middle = median(luminance);
  const area = (box.bottom - box.top) * (box.right - box.left);
  // Paper fills its box and carries a second tone; bare ink does neither.
  if (luminance.length > 0.75 * area && shareOf(luminance, (value) => Math.abs(value - middle) > 60) > 0.002) {
    return reduceFlat(flat, factor).bands.map((data) => Math.trunc(median(data.filter(isSolid))));
  }
  return flat.bands.map(() => (sumOf(luminance) / luminance.length > 127 ? 0 : 255));
}

/** The ink, 0 to 255, its longer side brought to `side`, stroke widths within STROKE_RANGE. */
function scaleToMnist(ink, side) {
  const pixels = mapPlane(ink, (value) => Math.trunc(Math.fround(value * 255)));
  const moved = moveEdges(pixels, edgeShift(ink, Math.max(ink.width, ink.height) / side));
  const picture = moved.data.some(Boolean) ? moved : pixels; // a blob of few pixels can vanish
  const whole = cropPlane(picture, boxOf(picture));
  const scale = Math.max(whole.width, whole.height) / side;
  const [width, height] = [whole.width, whole.height].map((length) => Math.max(1, roundHalfToEven(length / scale)));
  const small = resizePlane(whole, width, height, filterFor(scale));
  const most = largest(small.data);
  const core = quantile(small.data.filter((value) => value > most / 4), 0.9); // white in MNIST's strokes
  const factor = Math.fround(255 / core);
  return mapPlane(small, (value) => Math.min(Math.fround(value * factor), 255), Float32Array);
}

/** By how many pixels of `ink` each edge must move for the strokes to be as wide as MNIST's. */
function edgeShift({ width, height, data }, scale) {
  const isInk = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] > 0.5;
  let [inner, edge] = [0, 0];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (!isInk(x, y)) continue;
      inner += 1;
      if (!(isInk(x, y - 1) && isInk(x, y + 1) && isInk(x - 1, y) && isInk(x + 1, y))) edge += 1;
    }
  }
  const stroke = (2 * inner) / Math.max(1, edge) / scale;
  const target = Math.min(Math.max(stroke, STROKE_RANGE[0]), STROKE_RANGE[1]);
  return roundHalfToEven(((target - stroke) * scale) / 2);
}

/** Strokes grown by `reach` pixels on each side, or thinned if it is negative. */
function moveEdges(pixels, reach) {
  if (reach >= 0) return grow(padPlane(pixels, 2 * reach, 0), reach);
  const inverted = padPlane(mapPlane(pixels, (value) => 255 - value), -reach, 255);
  return mapPlane(grow(inverted, -reach), (value) => 255 - value);
}

/** `ink` on black with its centre of mass in the middle; pixels beyond the border are cut off. */
function centre(ink, width, height) {
  const mass = sumOf(ink.data);
  const rows = ink.data.reduce((sum, value, at) => sum + value * Math.floor(at / ink.width), 0);
  const columns = ink.data.reduce((sum, value, at) => sum + value * (at % ink.width), 0);
  const top = Math.floor(height / 2) - roundHalfToEven(rows / mass);
  const left = Math.floor(width / 2) - roundHalfToEven(columns / mass);
  return paste(makePlane(width, height), mapPlane(ink, roundHalfToEven), left, top);
}

function paste(canvas, { width, height, data }, left, top) {
  for (let y = Math.max(0, -top); y < Math.min(height, canvas.height - top); y += 1) {
    for (let x = Math.max(0, -left); x < Math.min(width, canvas.width - left); x += 1) {
      canvas.data[(y + top) * canvas.width + x + left] = data[y * width + x];
    }
  }
  return canvas;
}
