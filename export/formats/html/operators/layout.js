/** Operators that say how the same numbers are arranged. */

const reshape = (tensor, shape) => makeTensor(tensor.dtype, shape, tensor.data);
const numbersOf = (tensor) => Array.from(tensor.data);
/** The axes that an optional input names, counted from the front; all where it is left out. */
const axesOf = (tensor, rank) => (tensor ? numbersOf(tensor).map((axis) => axisOf(axis, rank)) : [...Array(rank).keys()]);

const LAYOUT = {
  Concat: (tensors, { axis }) => concat(tensors, axisOf(axis, tensors[0].shape.length)),
  Constant: (_, attributes) => constant(attributes),
  ConstantOfShape: ([shape], { value = makeTensor("float32", [1]) }) => (
    mapOne(makeTensor(value.dtype, numbersOf(shape)), () => value.data[0])),
  DepthToSpace: ([tensor], { blocksize, mode = "DCR" }) => depthToSpace(tensor, blocksize, mode),
  Expand: ([tensor, shape]) => expand(tensor, broadcastShapes(tensor.shape, numbersOf(shape))),
  Flatten: ([tensor], { axis = 1 }) => {
    const rows = sizeOf(tensor.shape.slice(0, axis < 0 ? axis + tensor.shape.length : axis));
    return reshape(tensor, [rows, rows ? tensor.data.length / rows : 0]);
  },
  Pad: ([tensor, pads, value, axes], { mode = "constant" }) => pad(tensor, numbersOf(pads), axes, value?.data[0] ?? 0, mode),
  Range: ([start, limit, delta]) => {
    const count = Math.max(0, Math.ceil((limit.data[0] - start.data[0]) / delta.data[0]));
    return mapOne(makeTensor(start.dtype, [count], Float64Array.from(Array(count).keys())),
      (index) => start.data[0] + index * delta.data[0]);
  },
  Reshape: ([tensor, shape], { allowzero = 0 }) => {
    const sizes = numbersOf(shape).map((size, axis) => (size === 0 && !allowzero ? tensor.shape[axis] : size));
    const known = sizeOf(sizes.filter((size) => size !== -1));
    return checkSize(reshape(tensor, sizes.map((size) => (size === -1 ? tensor.data.length / known : size))));
  },
  Shape: ([{ shape }], { start = 0, end = shape.length }) => makeList(shape.slice(start, end)),
  Size: ([tensor]) => makeTensor("int64", [], Float64Array.of(tensor.data.length)),
  Slice: ([tensor, starts, ends, axes, steps]) => slice(tensor, starts, ends, axes, steps),
  Split: ([tensor, sizes], { axis = 0, num_outputs }, count) => split(tensor, axisOf(axis, tensor.shape.length),
    sizes ? numbersOf(sizes) : null, num_outputs || count),
  Squeeze: ([tensor, axes]) => {
    const dropped = axes ? axesOf(axes, tensor.shape.length) : null;
    return reshape(tensor, tensor.shape.filter((size, axis) => (dropped ? !dropped.includes(axis) : size !== 1)));
  },
  Tile: ([tensor, repeats]) => numbersOf(repeats).reduce(
    (tiled, count, axis) => (count === 1 ? tiled : concat(Array(count).fill(tiled), axis)), tensor),
  Transpose: ([tensor], { perm = [...tensor.shape.keys()].reverse() }) => transpose(tensor, perm),
  Unsqueeze: ([tensor, axes]) => {
    const added = axesOf(axes, tensor.shape.length + axes.data.length);
    const sizes = [...tensor.shape];
    for (const axis of added.sort((one, other) => one - other)) sizes.splice(axis, 0, 1);
    return reshape(tensor, sizes);
  },
};

function transpose(tensor, order) {
  const strides = stridesOf(tensor.shape);
  return takeView(tensor, order.map((axis) => tensor.shape[axis]), order.map((axis) => strides[axis]));
}

function constant(attributes) {
  if (attributes.value) return attributes.value;
  if (attributes.value_ints) return makeList(attributes.value_ints);
  if (attributes.value_floats) return makeTensor("float32", [attributes.value_floats.length], Float32Array.from(attributes.value_floats));
  if ("value_int" in attributes) return makeTensor("int64", [], Float64Array.of(attributes.value_int));
  if ("value_float" in attributes) return makeTensor("float32", [], Float32Array.of(attributes.value_float));
  throw new Error("a page does not read such a constant");
}

function concat(tensors, axis) {
  const shape = [...tensors[0].shape];
  shape[axis] = tensors.reduce((sum, tensor) => sum + tensor.shape[axis], 0);
  const joined = makeTensor(tensors[0].dtype, shape);
  const outer = sizeOf(shape.slice(0, axis));
  let at = 0;
  for (let row = 0; row < outer; row += 1) {
    for (const { data } of tensors) {
      const part = data.length / outer;
      joined.data.set(data.subarray(row * part, (row + 1) * part), at);
      at += part;
    }
  }
  return joined;
}

function slice(tensor, starts, ends, axes, steps) {
  const rank = tensor.shape.length;
  const strides = stridesOf(tensor.shape);
  const shape = [...tensor.shape];
  let begin = 0;
  (axes ? axesOf(axes, rank) : [...starts.data.keys()]).forEach((axis, index) => {
    const [size, step] = [tensor.shape[axis], steps ? steps.data[index] : 1];
    const bound = (place, least, most) => Math.max(least, Math.min(most, place < 0 ? place + size : place));
    const [from, to] = step > 0
      ? [bound(starts.data[index], 0, size), bound(ends.data[index], 0, size)]
      : [bound(starts.data[index], 0, size - 1), bound(ends.data[index], -1, size - 1)];
    shape[axis] = Math.max(0, Math.ceil((to - from) / step));
    begin += from * strides[axis];
    strides[axis] *= step;
  });
  return takeView(tensor, shape, strides, begin);
}

function split(tensor, axis, sizes, count) {
  const whole = Math.ceil(tensor.shape[axis] / count);
  const parts = sizes || Array.from({ length: count }, (_, index) => Math.min(whole, tensor.shape[axis] - index * whole));
  let from = 0;
  return parts.map((size) => {
    const [start, end] = [makeList([from]), makeList([from + size])];
    from += size;
    return slice(tensor, start, end, makeList([axis]));
  });
}

/** Numbers around the tensor: a constant, or its own, repeated or mirrored; negative pads cut off. */
function pad(tensor, pads, axes, value, mode) {
  const rank = tensor.shape.length;
  const [before, after] = [Array(rank).fill(0), Array(rank).fill(0)];
  axesOf(axes, rank).forEach((axis, index) => {
    before[axis] = pads[index];
    after[axis] = pads[index + pads.length / 2];
  });
  return tensor.shape.reduce((padded, size, axis) => {
    const count = before[axis] + size + after[axis];
    return takeAlong(padded, axis, Array.from({ length: count }, (_, at) => sourceOf(at - before[axis], size, mode)), value);
  }, tensor);
}

/** Where a padded place takes its number from; -1: from nowhere. */
function sourceOf(place, size, mode) {
  if (place >= 0 && place < size) return place;
  if (mode === "edge") return place < 0 ? 0 : size - 1;
  if (mode === "reflect") return place < 0 ? -place : 2 * (size - 1) - place;
  if (mode === "wrap") return ((place % size) + size) % size;
  return -1;
}

/** The slices of a tensor at these indices of an axis; -1 gives `value`. */
function takeAlong(tensor, axis, indices, value = 0) {
  const shape = tensor.shape.with(axis, indices.length);
  const taken = makeTensor(tensor.dtype, shape);
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  for (let row = 0, to = 0; row < outer; row += 1) {
    for (const index of indices) {
      const from = (row * tensor.shape[axis] + index) * inner;
      if (index < 0) taken.data.fill(value, to, to + inner);
      else taken.data.set(tensor.data.subarray(from, from + inner), to);
      to += inner;
    }
  }
  return taken;
}

function depthToSpace(tensor, block, mode) {
  const [batch, channels, height, width] = tensor.shape;
  const depth = channels / block ** 2;
  const [shape, order] = mode === "DCR"
    ? [[batch, block, block, depth, height, width], [0, 3, 4, 1, 5, 2]]
    : [[batch, depth, block, block, height, width], [0, 1, 4, 2, 5, 3]];
  return reshape(transpose(reshape(tensor, shape), order), [batch, depth, height * block, width * block]);
}
