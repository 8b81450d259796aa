/** Operators that take numbers by index. */

const INDEXING = {
  ArgMax: ([tensor], { axis = 0, keepdims = 1, select_last_index = 0 }) => (
    argBest(tensor, axis, keepdims, (x, best) => x > best || (select_last_index && x === best))),
  ArgMin: ([tensor], { axis = 0, keepdims = 1, select_last_index = 0 }) => (
    argBest(tensor, axis, keepdims, (x, best) => x < best || (select_last_index && x === best))),
  CumSum: ([tensor, axis], { exclusive = 0, reverse = 0 }) => (
    cumulate(tensor, axisOf(axis.data[0], tensor.shape.length), exclusive, reverse)),
  Gather: ([tensor, indices], { axis = 0 }) => gather(tensor, indices, axisOf(axis, tensor.shape.length)),
  GatherElements: ([tensor, indices], { axis = 0 }) => gatherElements(tensor, indices, axisOf(axis, tensor.shape.length)),
  GatherND: ([tensor, indices], { batch_dims = 0 }) => gatherTuples(tensor, indices, batch_dims),
  OneHot: ([indices, depth, values], { axis = -1 }) => oneHot(indices, depth.data[0], values, axis),
  TopK: ([tensor, count], { axis = -1, largest = 1 }) => topK(tensor, count.data[0], axisOf(axis, tensor.shape.length), largest),
  Trilu: ([tensor, shift], { upper = 1 }) => trilu(tensor, shift ? shift.data[0] : 0, upper),
};

/** An index counted from the front; an Error beyond the axis. */
function indexOf(index, size) {
  if (!(index >= -size && index < size)) throw new Error(`there is no index ${index} of ${size}`);
  return index < 0 ? index + size : index;
}

function gather(tensor, indices, axis) {
  const places = Array.from(indices.data, (index) => indexOf(index, tensor.shape[axis]));
  const taken = takeAlong(tensor, axis, places);
  return reshape(taken, [...tensor.shape.slice(0, axis), ...indices.shape, ...tensor.shape.slice(axis + 1)]);
}

function gatherElements(tensor, indices, axis) {
  const strides = stridesOf(tensor.shape);
  const places = placesOf(indices.shape, strides.with(axis, 0));
  for (let at = 0; at < places.length; at += 1) places[at] += indexOf(indices.data[at], tensor.shape[axis]) * strides[axis];
  return takePlaces(tensor, indices.shape, places);
}

function gatherTuples(tensor, indices, batch) {
  const length = indices.shape.at(-1);
  const strides = stridesOf(tensor.shape);
  const outer = indices.shape.slice(0, -1);
  const rest = tensor.shape.slice(batch + length);
  const size = sizeOf(rest);
  const perBatch = sizeOf(outer.slice(batch));
  const taken = makeTensor(tensor.dtype, [...outer, ...rest]);
  for (let row = 0; row < sizeOf(outer); row += 1) {
    let from = batch ? Math.floor(row / perBatch) * strides[batch - 1] : 0;
    for (let at = 0; at < length; at += 1) {
      from += indexOf(indices.data[row * length + at], tensor.shape[batch + at]) * strides[batch + at];
    }
    taken.data.set(tensor.data.subarray(from, from + size), row * size);
  }
  return taken;
}

/** Calls `visit(start, step, row)` for each line of a tensor along an axis. */
function eachLine(shape, axis, visit) {
  const step = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  for (let row = 0; row < outer; row += 1) {
    for (let inner = 0; inner < step; inner += 1) visit(row * shape[axis] * step + inner, step, row * step + inner);
  }
}

function argBest(tensor, signedAxis, keep, better) {
  const axis = axisOf(signedAxis, tensor.shape.length);
  const { data, shape } = tensor;
  const found = makeTensor("int64", keep ? shape.with(axis, 1) : shape.toSpliced(axis, 1));
  eachLine(shape, axis, (start, step, row) => {
    let best = 0;
    for (let at = 1; at < shape[axis]; at += 1) if (better(data[start + at * step], data[start + best * step])) best = at;
    found.data[row] = best;
  });
  return found;
}

function cumulate({ dtype, shape, data }, axis, exclusive, reverse) {
  const sums = makeTensor(dtype, shape);
  const size = shape[axis];
  eachLine(shape, axis, (start, step) => {
    for (let at = 0, sum = 0; at < size; at += 1) {
      const place = start + (reverse ? size - 1 - at : at) * step;
      sums.data[place] = exclusive ? sum : sum + data[place];
      sum += data[place];
    }
  });
  return sums;
}

function oneHot(indices, depth, { dtype, data: [off, on] }, signedAxis) {
  const axis = axisOf(signedAxis, indices.shape.length + 1);
  const hot = makeTensor(dtype, indices.shape.toSpliced(axis, 0, depth));
  hot.data.fill(off);
  eachLine(hot.shape, axis, (start, step, row) => {
    const index = indices.data[row];
    if (index >= -depth && index < depth) hot.data[start + (index < 0 ? index + depth : index) * step] = on;
  });
  return hot;
}

/** The largest or smallest numbers of each line, sorted; of equal ones the first leads. */
function topK({ dtype, shape, data }, count, axis, largest) {
  const values = makeTensor(dtype, shape.with(axis, count));
  const indices = makeTensor("int64", values.shape);
  const places = [];
  eachLine(values.shape, axis, (start) => { places.push(start); });
  eachLine(shape, axis, (start, step, row) => {
    const value = (at) => data[start + at * step];
    const order = [...Array(shape[axis]).keys()].sort((a, b) => (largest ? value(b) - value(a) : value(a) - value(b)) || a - b);
    order.slice(0, count).forEach((at, rank) => {
      values.data[places[row] + rank * step] = value(at);
      indices.data[places[row] + rank * step] = at;
    });
  });
  return [values, indices];
}

function trilu({ dtype, shape, data }, shift, upper) {
  const [height, width] = shape.slice(-2);
  const kept = makeTensor(dtype, shape);
  for (let at = 0; at < data.length; at += 1) {
    const away = (at % width) - (Math.floor(at / width) % height);
    if (upper ? away >= shift : away <= shift) kept.data[at] = data[at];
  }
  return kept;
}
