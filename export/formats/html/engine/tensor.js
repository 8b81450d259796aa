/**
 * @typedef {Object} Tensor
 * @property {string} dtype a key of ARRAYS
 * @property {number[]} shape
 * @property {Float32Array|Float64Array|Int32Array|Int8Array|Uint8Array} data in C order
 */

/** What holds the numbers: of int64 doubles, exact up to 2^53; of float16 singles. */
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Float32Array, int64: Float64Array, int32: Int32Array,
  int8: Int8Array, uint8: Uint8Array, bool: Uint8Array,
};
/** ONNX's TensorProto.DataType. */
const ONNX_TYPES = {
  1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
};
const WIDTHS = { float32: 4, float64: 8, float16: 2, int64: 8, int32: 4, int8: 1, uint8: 1, bool: 1 };
const FLOATS = new Set(["float32", "float64", "float16"]);

const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** @returns {Tensor} of zeros where no data is given */
function makeTensor(dtype, shape, data = new ARRAYS[dtype](sizeOf(shape))) {
  return { dtype, shape, data };
}

/** @returns {Tensor} int64, one axis */
const makeList = (numbers) => makeTensor("int64", [numbers.length], Float64Array.from(numbers));

/** The elements that lie between two neighbours along each axis. */
function stridesOf(shape) {
  const strides = new Array(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; axis -= 1) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/**
 * Where each element of a view lies in its source: start + the sum of index · stride.
 * @param {number[]} shape of the view
 * @param {number[]} strides of the view in the source: 0 repeats, a negative one goes back
 * @returns {Int32Array}
 */
function placesOf(shape, strides, start = 0) {
  let places = Int32Array.of(start);
  for (let axis = 0; axis < shape.length; axis += 1) {
    const wider = new Int32Array(places.length * shape[axis]);
    for (let at = 0, to = 0; at < places.length; at += 1) {
      for (let index = 0; index < shape[axis]; index += 1, to += 1) wider[to] = places[at] + index * strides[axis];
    }
    places = wider;
  }
  return places;
}

/** The elements of `tensor` at these places, in a new shape. */
function takePlaces(tensor, shape, places) {
  const taken = makeTensor(tensor.dtype, shape);
  for (let at = 0; at < places.length; at += 1) taken.data[at] = tensor.data[places[at]];
  return taken;
}

/** A view of a tensor, copied. */
const takeView = (tensor, shape, strides, start = 0) => takePlaces(tensor, shape, placesOf(shape, strides, start));

/** An axis counted from the front. */
function axisOf(axis, rank) {
  if (!(axis >= -rank && axis < rank)) throw new Error(`there is no axis ${axis} of ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

/** The shape in which two shapes meet; an Error where they do not. */
function broadcastShapes(one, other) {
  const rank = Math.max(one.length, other.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [first, second] = [one[axis - rank + one.length] ?? 1, other[axis - rank + other.length] ?? 1];
    if (first !== second && first !== 1 && second !== 1) throw new Error(`the shapes ${one} and ${other} do not meet`);
    return first === 1 ? second : first;
  });
}

/** The strides that repeat a tensor of `shape` over `wide`. */
function repeatingStrides(shape, wide) {
  const strides = stridesOf(shape);
  return wide.map((_, axis) => {
    const own = axis - wide.length + shape.length;
    return own < 0 || shape[own] === 1 ? 0 : strides[own];
  });
}

/** @returns {Tensor} `tensor` repeated over a wider shape */
function expand(tensor, wide) {
  const same = tensor.shape.length === wide.length && tensor.shape.every((size, axis) => size === wide[axis]);
  return same ? tensor : takeView(tensor, wide, repeatingStrides(tensor.shape, wide));
}

/** A tensor of the file, `message` a TensorProto. */
function readTensor(message) {
  const dtype = ONNX_TYPES[message.type];
  if (!dtype) throw new Error(`the tensor ${message.name} has the type ${message.type}, which this page does not compute`);
  if (message.location) throw new Error(`the tensor ${message.name} lies outside of the file`);
  if (message.raw_data) return fromBytes(dtype, message.dims, message.raw_data);
  const numbers = [message.float_data, message.int32_data, message.int64_data, message.double_data]
    .find((list) => list.length) || [];
  const halves = dtype === "float16" && Uint16Array.from(numbers);
  return halves
    ? fromBytes(dtype, message.dims, new Uint8Array(halves.buffer))
    : checkSize(makeTensor(dtype, message.dims, ARRAYS[dtype].from(numbers)));
}

function checkSize(tensor) {
  if (tensor.data.length === sizeOf(tensor.shape)) return tensor;
  throw new Error(`a tensor of the shape ${tensor.shape} has ${tensor.data.length} numbers`);
}

/** A tensor of little-endian numbers. */
function fromBytes(dtype, shape, bytes) {
  if (!(dtype in ARRAYS) || bytes.length !== sizeOf(shape) * WIDTHS[dtype]) {
    throw new Error(`a tensor of ${dtype} and the shape ${shape} has ${bytes.length} bytes`);
  }
  const own = bytes.slice().buffer; // which begins where every type may begin
  if (dtype === "int64") return makeTensor(dtype, shape, Float64Array.from(new BigInt64Array(own), Number));
  if (dtype === "float16") return makeTensor(dtype, shape, Float32Array.from(new Uint16Array(own), fromHalf));
  return makeTensor(dtype, shape, new ARRAYS[dtype](own));
}

/** The bytes of a tensor, little-endian. */
function toBytes({ dtype, data }) {
  const array = dtype === "int64" ? BigInt64Array.from(data, BigInt) : data;
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The number that 16 bits of IEEE 754 mean. */
function fromHalf(bits) {
  const [sign, exponent, rest] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + rest) : 2 ** -24 * rest);
}

/** An array as a manifest writes it: `{dtype, shape, base64}`. */
const fromManifest = ({ dtype, shape, base64 }) => fromBytes(dtype, shape, fromBase64(base64));
const toManifest = (tensor) => ({ dtype: tensor.dtype, shape: tensor.shape, base64: toBase64(toBytes(tensor)) });
