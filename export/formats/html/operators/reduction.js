/** Operators that make one number of many, and those that scale by what they find. */

const total = (values, of = (x) => x) => values.reduce((sum, x) => sum + of(x), 0);

/** What becomes of the numbers of one group. */
const FOLDS = {
  ReduceL1: (values) => total(values, Math.abs),
  ReduceL2: (values) => Math.sqrt(total(values, (x) => x * x)),
  ReduceLogSum: (values) => Math.log(total(values)),
  ReduceLogSumExp: (values) => {
    const most = values.reduce((one, other) => Math.max(one, other), -Infinity);
    return most + Math.log(total(values, (x) => Math.exp(x - most)));
  },
  ReduceMax: (values) => values.reduce((one, other) => Math.max(one, other), -Infinity),
  ReduceMean: (values) => total(values) / values.length,
  ReduceMin: (values) => values.reduce((one, other) => Math.min(one, other), Infinity),
  ReduceProd: (values) => values.reduce((product, x) => product * x, 1),
  ReduceSum: (values) => total(values),
  ReduceSumSquare: (values) => total(values, (x) => x * x),
};

const REDUCTION = {
  ...mapEntries(FOLDS, (fold) => ([tensor, axes], attributes) => reduce(tensor, axes, attributes, fold)),
  BatchNormalization: ([tensor, scale, shift, mean, variance], { epsilon = 1e-5 }) => (
    mapChannels(tensor, (x, at) => (
      ((x - mean.data[at]) / Math.sqrt(variance.data[at] + epsilon)) * scale.data[at] + shift.data[at]))),
  DequantizeLinear: ([tensor, scale, zero], { axis = 1, block_size = 0 }) => {
    if (block_size) throw new Error("a page does not compute DequantizeLinear by blocks");
    return dequantize(tensor, scale, zero, axis);
  },
  GroupNormalization: ([tensor, scale, shift], { epsilon = 1e-5, num_groups }) => (
    normalizeGroups(tensor, scale, shift, epsilon, num_groups)),
  InstanceNormalization: ([tensor, scale, shift], { epsilon = 1e-5 }) => (
    normalizeGroups(tensor, scale, shift, epsilon, tensor.shape[1])),
  LayerNormalization: ([tensor, scale, shift], { axis = -1, epsilon = 1e-5 }) => (
    normalizeLayer(tensor, scale, shift, axis, epsilon)),
  LogSoftmax: ([tensor], { axis = -1 }) => softmaxAlong(tensor, axis, (x, most, sum) => x - most - Math.log(sum)),
  Softmax: ([tensor], { axis = -1 }) => softmaxAlong(tensor, axis, (x, most, sum) => Math.exp(x - most) / sum),
};

function reduce(tensor, axesTensor, { keepdims = 1, noop_with_empty_axes = 0 }, fold) {
  const { shape, data } = tensor;
  if (!axesTensor?.data.length && noop_with_empty_axes) return tensor;
  const axes = axesOf(axesTensor?.data.length ? axesTensor : null, shape.length);
  const strides = stridesOf(shape);
  const others = [...shape.keys()].filter((axis) => !axes.includes(axis));
  const within = placesOf(axes.map((axis) => shape[axis]), axes.map((axis) => strides[axis]));
  const starts = placesOf(others.map((axis) => shape[axis]), others.map((axis) => strides[axis]));
  const out = makeTensor(tensor.dtype, shape.map((size, axis) => (axes.includes(axis) ? 1 : size)));
  const values = new Float64Array(within.length);
  for (let row = 0; row < starts.length; row += 1) {
    for (let at = 0; at < within.length; at += 1) values[at] = data[starts[row] + within[at]];
    out.data[row] = fold(values);
  }
  return keepdims ? out : reshape(out, others.map((axis) => shape[axis]));
}

function softmaxAlong(tensor, signedAxis, share) {
  const axis = axisOf(signedAxis, tensor.shape.length);
  const { shape, data } = tensor;
  const out = makeTensor(tensor.dtype, shape);
  eachLine(shape, axis, (start, step) => {
    let [most, sum] = [-Infinity, 0];
    for (let at = 0; at < shape[axis]; at += 1) most = Math.max(most, data[start + at * step]);
    for (let at = 0; at < shape[axis]; at += 1) sum += Math.exp(data[start + at * step] - most);
    for (let at = 0; at < shape[axis]; at += 1) out.data[start + at * step] = share(data[start + at * step], most, sum);
  });
  return out;
}

/** Each number with the index of its channel, axis 1. */
function mapChannels(tensor, change) {
  const out = makeTensor(tensor.dtype, tensor.shape);
  const [channels, area] = [tensor.shape[1], sizeOf(tensor.shape.slice(2))];
  for (let at = 0; at < out.data.length; at += 1) out.data[at] = change(tensor.data[at], Math.floor(at / area) % channels);
  return out;
}

/** `data[from … from + size]` to mean 0 and variance 1, passed to `place(number, offset)`. */
function standardize(data, from, size, epsilon, place) {
  let [mean, variance] = [0, 0];
  for (let at = 0; at < size; at += 1) mean += data[from + at] / size;
  for (let at = 0; at < size; at += 1) variance += (data[from + at] - mean) ** 2 / size;
  const deviation = Math.sqrt(variance + epsilon);
  for (let at = 0; at < size; at += 1) place((data[from + at] - mean) / deviation, at);
}

function normalizeLayer(tensor, scale, shift, axis, epsilon) {
  const size = sizeOf(tensor.shape.slice(axisOf(axis, tensor.shape.length)));
  const out = makeTensor(tensor.dtype, tensor.shape);
  for (let from = 0; from < tensor.data.length; from += size) {
    standardize(tensor.data, from, size, epsilon, (x, at) => {
      out.data[from + at] = x * scale.data[at] + (shift ? shift.data[at] : 0);
    });
  }
  return out;
}

/** `scale` and `shift` are one number for each channel, or for each group as before opset 21. */
function normalizeGroups(tensor, scale, shift, epsilon, groups) {
  const [, channels] = tensor.shape;
  const area = sizeOf(tensor.shape.slice(2));
  const size = (channels / groups) * area;
  const out = makeTensor(tensor.dtype, tensor.shape);
  for (let from = 0; from < tensor.data.length; from += size) {
    standardize(tensor.data, from, size, epsilon, (x, at) => {
      const channel = Math.floor((from + at) / area) % channels;
      const own = scale.data.length === channels ? channel : Math.floor(channel / (channels / groups));
      out.data[from + at] = x * scale.data[own] + shift.data[own];
    });
  }
  return out;
}

function dequantize(tensor, scale, zero, axis) {
  const rows = scale.data.length === 1 ? Infinity : sizeOf(tensor.shape.slice(axisOf(axis, tensor.shape.length) + 1));
  const out = makeTensor("float32", tensor.shape);
  for (let at = 0; at < out.data.length; at += 1) {
    const own = Math.floor(at / rows) % scale.data.length;
    out.data[at] = (tensor.data[at] - (zero ? zero.data[own] : 0)) * scale.data[own];
  }
  return out;
}
