/** Windows that slide over pictures and sequences; a sequence is a picture of height 1. */

const CONVOLUTION = {
  AveragePool: ([tensor], attributes) => pool(tensor, attributes, averageOf(attributes.count_include_pad)),
  Conv: ([tensor, weights, bias], attributes) => convolve(tensor, weights, bias, attributes),
  GlobalAveragePool: ([tensor]) => poolAll(tensor, (sum, count) => sum / count, (sum, x) => sum + x, 0),
  GlobalMaxPool: ([tensor]) => poolAll(tensor, (most) => most, Math.max, -Infinity),
  MaxPool: ([tensor], attributes, outputs) => {
    if (outputs > 1) throw new Error("a page does not compute the indices of MaxPool");
    return pool(tensor, attributes, largestOf);
  },
};

/**
 * Where windows lie: sizes, steps and padding in (height, width).
 * @returns {Object} with `out`, the number of windows each way
 */
function windowsOf(spatial, kernel, attributes) {
  if (spatial.length > 2) throw new Error("a page computes windows over one or two axes");
  if (!["NOTSET", "VALID"].includes(attributes.auto_pad ?? "NOTSET")) throw new Error(`a page does not pad by ${attributes.auto_pad}`);
  const flat = spatial.length === 1;
  const both = (list, fill) => (flat ? [fill, ...list] : list);
  const ends = attributes.pads ?? Array(2 * spatial.length).fill(0);
  const found = {
    size: both(spatial, 1),
    kernel: both(kernel, 1),
    step: both(attributes.strides ?? spatial.map(() => 1), 1),
    spread: both(attributes.dilations ?? spatial.map(() => 1), 1),
    before: both(ends.slice(0, spatial.length), 0),
    after: both(ends.slice(spatial.length), 0),
  };
  found.out = found.size.map((size, axis) => countWindows(found, axis, attributes.ceil_mode));
  return found;
}

function countWindows({ size, kernel, step, spread, before, after }, axis, ceil) {
  const room = size[axis] + before[axis] + after[axis] - spread[axis] * (kernel[axis] - 1) - 1;
  const count = (ceil ? Math.ceil : Math.floor)(room / step[axis]) + 1;
  const beyond = ceil && (count - 1) * step[axis] >= size[axis] + before[axis];
  return Math.max(0, beyond ? count - 1 : count);
}

function convolve(tensor, weights, bias, attributes) {
  const [batch, channels, ...spatial] = tensor.shape;
  const [filters, depth, ...kernel] = weights.shape;
  const groups = attributes.group ?? 1;
  if (depth * groups !== channels) throw new Error(`a filter of ${depth} channels does not fit ${channels}`);
  const windows = windowsOf(spatial, kernel, attributes);
  const [places, inner, rows] = [sizeOf(windows.out), depth * sizeOf(kernel), filters / groups];
  const out = makeTensor(tensor.dtype, [batch, filters, ...(spatial.length === 1 ? windows.out.slice(1) : windows.out)]);
  const patches = new Float32Array(places * inner);
  const sums = new Float64Array(rows * places);
  const area = sizeOf(spatial);
  for (let part = 0; part < batch * groups; part += 1) {
    const group = part % groups;
    unfold(tensor.data.subarray(part * depth * area, (part + 1) * depth * area), depth, windows, patches);
    const own = weights.data.subarray(group * rows * inner, (group + 1) * rows * inner);
    multiply(own, patches, { rows, columns: places, inner }, sums);
    for (let row = 0; row < rows; row += 1) {
      const added = bias ? bias.data[group * rows + row] : 0;
      const to = (part * rows + row) * places;
      for (let place = 0; place < places; place += 1) out.data[to + place] = sums[row * places + place] + added;
    }
  }
  return out;
}

/** The numbers under each window, (windows, channels · kernel); beyond the edge 0. */
function unfold(data, channels, { size, kernel, step, spread, before, out }, patches) {
  const [[height, width], [tall, wide]] = [size, kernel];
  let to = 0;
  for (let down = 0; down < out[0]; down += 1) {
    for (let across = 0; across < out[1]; across += 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        for (let y = 0; y < tall; y += 1) {
          const row = down * step[0] - before[0] + y * spread[0];
          const from = (channel * height + row) * width;
          for (let x = 0; x < wide; x += 1, to += 1) {
            const column = across * step[1] - before[1] + x * spread[1];
            patches[to] = row >= 0 && row < height && column >= 0 && column < width ? data[from + column] : 0;
          }
        }
      }
    }
  }
}

/** Each window's numbers joined by `join(data, base, window)`. */
function pool(tensor, attributes, join) {
  const [batch, channels, ...spatial] = tensor.shape;
  const windows = windowsOf(spatial, attributes.kernel_shape, attributes);
  const out = makeTensor(tensor.dtype, [batch, channels, ...(spatial.length === 1 ? windows.out.slice(1) : windows.out)]);
  const area = sizeOf(spatial);
  let to = 0;
  for (let base = 0; base < tensor.data.length; base += area) {
    for (let down = 0; down < windows.out[0]; down += 1) {
      for (let across = 0; across < windows.out[1]; across += 1, to += 1) {
        const corner = [down * windows.step[0] - windows.before[0], across * windows.step[1] - windows.before[1]];
        out.data[to] = join(tensor.data, base, corner, windows);
      }
    }
  }
  return out;
}

function largestOf(data, base, [top, left], { size: [height, width], kernel, spread }) {
  let largest = -Infinity;
  for (let y = 0; y < kernel[0]; y += 1) {
    const row = top + y * spread[0];
    if (row < 0 || row >= height) continue;
    for (let x = 0; x < kernel[1]; x += 1) {
      const column = left + x * spread[1];
      const value = column >= 0 && column < width ? data[base + row * width + column] : -Infinity;
      if (value > largest || Number.isNaN(value)) largest = value;
    }
  }
  return largest;
}

/** The mean under a window; what padding adds counts where `all`, what a last window lacks never. */
const averageOf = (all) => (data, base, [top, left], { size: [height, width], kernel, spread, before, after }) => {
  let [sum, count] = [0, 0];
  for (let y = 0; y < kernel[0]; y += 1) {
    for (let x = 0; x < kernel[1]; x += 1) {
      const [row, column] = [top + y * spread[0], left + x * spread[1]];
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      if (inside) sum += data[base + row * width + column];
      if (inside || (all && row < height + after[0] && column < width + after[1] && row >= -before[0] && column >= -before[1])) {
        count += 1;
      }
    }
  }
  return sum / count;
};

function poolAll(tensor, finish, join, start) {
  const [batch, channels, ...spatial] = tensor.shape;
  const area = sizeOf(spatial);
  const out = makeTensor(tensor.dtype, [batch, channels, ...spatial.map(() => 1)]);
  for (let part = 0; part < out.data.length; part += 1) {
    let found = start;
    for (let at = 0; at < area; at += 1) found = join(found, tensor.data[part * area + at]);
    out.data[part] = finish(found, area);
  }
  return out;
}
