/**
 * Pixels, and what Pillow makes of them in its own integers.
 * @typedef {Object} Raster the browser's: data holds red, green, blue, alpha
 * @typedef {{width: number, height: number, data: Uint8Array|Float32Array|Int32Array}} Plane one channel
 * @typedef {{width: number, height: number, bands: Uint8Array[]}} Flat one or three channels
 */

const makePlane = (width, height, data = new Uint8Array(width * height)) => ({ width, height, data });
const mapPlane = ({ width, height, data }, change, Kind = Uint8Array) => makePlane(width, height, Kind.from(data, change));

/** A sum of two numbers times shares of 255, as Pillow divides it. */
const blend = (sum) => (((sum + 128) >> 8) + sum + 128) >> 8;

/** The channels of a picture: one where it holds no colour. */
function bandsOf({ width, height, data }) {
  const count = width * height;
  const bands = [0, 1, 2].map((band) => Uint8Array.from({ length: count }, (_, at) => data[4 * at + band]));
  const gray = bands[0].every((red, at) => red === bands[1][at] && red === bands[2][at]);
  return { width, height, bands: gray ? bands.slice(0, 1) : bands };
}

/** ITU-R 601-2 luma, as Pillow's `convert("L")`. */
function luma({ width, height, bands }) {
  if (bands.length === 1) return makePlane(width, height, bands[0]);
  const [red, green, blue] = bands;
  return makePlane(width, height, red.map((value, at) => (value * 19595 + green[at] * 38470 + blue[at] * 7471 + 0x8000) >> 16));
}

/** Each `factor` × `factor` pixels averaged, as Pillow's `reduce`; the last ones are fewer. */
function reducePlane({ width, height, data }, factor) {
  if (factor === 1) return makePlane(width, height, data);
  const small = makePlane(Math.ceil(width / factor), Math.ceil(height / factor));
  for (let y = 0; y < small.height; y += 1) {
    const [top, bottom] = [y * factor, Math.min((y + 1) * factor, height)];
    for (let x = 0; x < small.width; x += 1) {
      const [left, right] = [x * factor, Math.min((x + 1) * factor, width)];
      const count = (bottom - top) * (right - left);
      let sum = Math.floor(count / 2);
      for (let row = top; row < bottom; row += 1) {
        for (let column = left; column < right; column += 1) sum += data[row * width + column];
      }
      small.data[y * small.width + x] = Math.floor((sum * Math.floor(2 ** 24 / count)) / 2 ** 24);
    }
  }
  return small;
}

const reduceFlat = ({ width, height, bands }, factor) => {
  const planes = bands.map((data) => reducePlane({ width, height, data }, factor));
  return { width: planes[0].width, height: planes[0].height, bands: planes.map(({ data }) => data) };
};

const BOX = { support: 0.5, weigh: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
const BICUBIC = {
  support: 2,
  weigh: (given) => {
    const x = Math.abs(given);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};
const BILINEAR = { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) };
const BITS = 22; // of a weight behind the point, Pillow's PRECISION_BITS

/** Where each new pixel begins among the old ones, and its weights in whole numbers. */
function weights(before, after, { support, weigh }) {
  const scale = before / after;
  const spread = Math.max(scale, 1);
  const narrow = 1 / spread; // a product, as in Pillow: a quotient ends on another side of a box's edge
  return Array.from({ length: after }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * spread + 0.5));
    const last = Math.min(before, Math.trunc(centre + support * spread + 0.5));
    const found = Array.from({ length: last - first }, (__, place) => weigh((place + first - centre + 0.5) * narrow));
    const sum = found.reduce((one, other) => one + other, 0);
    const whole = found.map((weight) => {
      const share = (sum ? weight / sum : weight) * 2 ** BITS;
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { first, whole };
  });
}

/** One direction of a resize; `step` lies between two pixels of a line, `stride` between two lines. */
function resample(data, lines, { step, stride }, table, out, outStride, outStep) {
  for (let line = 0; line < lines; line += 1) {
    table.forEach(({ first, whole }, at) => {
      let sum = 2 ** (BITS - 1);
      for (let place = 0; place < whole.length; place += 1) sum += data[line * stride + (first + place) * step] * whole[place];
      out[line * outStride + at * outStep] = Math.max(0, Math.min(255, Math.floor(sum / 2 ** BITS)));
    });
  }
}

/** Pillow's `resize`: across, then down; the other way round where the height shrinks far more, which is faster. */
function resizePlane(plane, width, height, filter) {
  const less = plane.height - height;
  const passes = [resizeAcross(width, filter), resizeDown(height, filter)];
  if (less > 0 && less > 2 * (plane.width - width)) passes.reverse();
  return passes.reduce((found, pass) => pass(found), plane);
}

const resizeAcross = (width, filter) => (plane) => {
  if (width === plane.width) return plane;
  const out = new Uint8Array(width * plane.height);
  resample(plane.data, plane.height, { step: 1, stride: plane.width }, weights(plane.width, width, filter), out, width, 1);
  return makePlane(width, plane.height, out);
};

const resizeDown = (height, filter) => (plane) => {
  if (height === plane.height) return plane;
  const { width } = plane;
  const out = new Uint8Array(width * height);
  resample(plane.data, width, { step: width, stride: 1 }, weights(plane.height, height, filter), out, 1, width);
  return makePlane(width, height, out);
};

/** The rows and columns from the first to the last of what is not 0; null where all is. */
function boxOf({ width, height, data }, isInside = (value) => value !== 0) {
  const box = { top: height, left: width, bottom: 0, right: 0 };
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 1) {
      if (!isInside(data[at])) continue;
      box.top = Math.min(box.top, y);
      box.bottom = y + 1;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
    }
  }
  return box.bottom ? box : null;
}

/** A part of a plane; what lies outside of it is cut off. */
function cropPlane({ width, height, data }, { top, left, bottom, right }) {
  const [first, last] = [Math.max(0, left), Math.min(width, right)];
  const [from, to] = [Math.max(0, top), Math.min(height, bottom)];
  const part = makePlane(last - first, to - from, new data.constructor((last - first) * (to - from)));
  for (let y = from; y < to; y += 1) part.data.set(data.subarray(y * width + first, y * width + last), (y - from) * part.width);
  return part;
}

/** A plane with `margin` more pixels on each side: `value`, or its own outermost where none is given. */
function padPlane({ width, height, data }, margin, value) {
  const wide = makePlane(width + 2 * margin, height + 2 * margin, new data.constructor((width + 2 * margin) * (height + 2 * margin)));
  const within = (at, size) => Math.max(0, Math.min(size - 1, at - margin));
  for (let y = 0, to = 0; y < wide.height; y += 1) {
    for (let x = 0; x < wide.width; x += 1, to += 1) {
      const [row, column] = [within(y, height), within(x, width)];
      const inside = value === undefined || (row === y - margin && column === x - margin);
      wide.data[to] = inside ? data[row * width + column] : value;
    }
  }
  return wide;
}

/** The largest value within `reach` of each pixel; the outermost `reach` pixels are dropped. */
function grow(plane, reach) {
  let { width, height, data } = plane;
  const largest = (step, offset) => {
    const out = new data.constructor(width * height);
    const old = width + (offset === 1 ? step : 0);
    for (let y = 0, to = 0; y < height; y += 1) {
      for (let x = 0, at = y * old; x < width; x += 1, at += 1, to += 1) {
        const other = data[at + (offset === 1 ? step : step * old)];
        out[to] = data[at] > other ? data[at] : other;
      }
    }
    data = out;
  };
  for (const offset of [0, 1]) {
    for (let window = 1; window < 2 * reach + 1;) {
      const step = Math.min(window, 2 * reach + 1 - window);
      if (offset) width -= step;
      else height -= step;
      largest(step, offset);
      window += step;
    }
  }
  return makePlane(width, height, data);
}

/** The outermost pixels. */
function borderOf({ width, height, data }) {
  const border = [];
  for (let at = 0; at < data.length; at += 1) {
    const [x, y] = [at % width, Math.floor(at / width)];
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) border.push(data[at]);
  }
  return border;
}
