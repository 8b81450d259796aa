/** Dots of black and white that stand for grays; the same as `infer/picture/dots.py`. */

const LEAST_SIDE = 56; // of a picture that may be dithered: in a smaller one a dot is a stroke
const DOTTED = 0.01; // of the pixels that differ from all four neighbours: scanned lines have none

/** A dithered picture with each pixel the mean of 3×3; another one as it is. */
function withoutDots(flat) {
  const { width, height, bands: [data, ...more] } = flat;
  if (Math.min(width, height) < LEAST_SIDE || more.length || new Set(data).size !== 2) return flat;
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
