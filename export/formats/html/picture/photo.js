/** A photograph in colour for its network; the same as `infer/preprocessing/rgb_image.py`. */

const MAX_PIXELS = 4e7;
const INTERPOLATIONS = { bilinear: BILINEAR, bicubic: BICUBIC };

/**
 * @param {Raster} raster
 * @param {Object} setting of the manifest: resize, size as [height, width], interpolation, colours, channels
 * @returns {Tensor} uint8 (height, width, channels)
 */
function resizePhoto(raster, { size: [height, width], resize, interpolation = "bilinear", colours = "RGB", channels }) {
  if (!raster.width || !raster.height) throw inputError("no-picture");
  const flat = onWhite(raster);
  const planes = channels === 1 ? [luma(flat)] : flat.bands.map((data) => makePlane(flat.width, flat.height, data));
  const [across, down] = resizedLengths(raster, resize);
  const [left, top] = [roundHalfToEven((across - width) / 2), roundHalfToEven((down - height) / 2)];
  const box = { top, left, bottom: top + height, right: left + width };
  const cut = planes.map((plane) => cropPlane(resizePlane(plane, across, down, INTERPOLATIONS[interpolation]), box).data);
  if (colours === "BGR") cut.reverse();
  const pixels = new Uint8Array(width * height * cut.length);
  cut.forEach((data, channel) => data.forEach((pixel, at) => { pixels[at * cut.length + channel] = pixel; }));
  return makeTensor("uint8", [height, width, cut.length], pixels);
}

/** Width and height after resizing, rounded as torchvision does. */
function resizedLengths({ width, height }, resize) {
  if (Array.isArray(resize)) return [resize[1], resize[0]];
  const length = Math.trunc((resize * Math.max(width, height)) / Math.min(width, height));
  if (length * resize > MAX_PIXELS) throw inputError("too-narrow");
  return width <= height ? [resize, length] : [length, resize];
}

/** Three channels; what is transparent shows white, as on a page. */
function onWhite({ width, height, data }) {
  const bands = [0, 1, 2].map((band) => Uint8Array.from({ length: width * height }, (_, at) => (
    data[4 * at + 3] === 255 ? data[4 * at + band] : blend(255 * (255 - data[4 * at + 3]) + data[4 * at + band] * data[4 * at + 3]))));
  return { width, height, bands };
}
