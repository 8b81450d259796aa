/** Arrays as a person gives them: a text or a `.npy` file for each input of a model without a preprocessing. */

const NPY_TYPES = {
  "<f4": "float32", "<f8": "float64", "<f2": "float16", "<i8": "int64", "<i4": "int32", "|i1": "int8", "|u1": "uint8", "|b1": "bool",
};

/**
 * What was entered for each input, in their order.
 * @param {Object} manifest
 * @param {(string|Tensor)[]} values
 * @returns {Object<string, Tensor>} by name, without the batch axis; an Error names the `input` that cannot be
 */
function readArrays({ signature: { inputs } }, values) {
  const sizes = new Map(); // of the free axes
  const entries = Object.entries(inputs);
  const made = entries.map(([name, [dtype, axes]], index) => naming(name, () => {
    const own = axes.filter((axis) => axis !== "batch");
    const tensor = readArray(values[index], dtype, own);
    own.forEach((axis, at) => {
      if (typeof axis === "string" && tensor.shape[at] !== (sizes.get(axis) ?? tensor.shape[at])) {
        throw inputError("axis-size", axis, tensor.shape[at], sizes.get(axis));
      }
      sizes.set(axis, tensor.shape[at]);
    });
    return [name, tensor];
  }));
  entries.forEach(([name, [, , range]], index) => naming(name, () => { if (range) checkRange(made[index][1], range, sizes); }));
  return Object.fromEntries(made);
}

/** Runs it; its Error names the input. */
function naming(input, run) {
  try {
    return run();
  } catch (error) {
    throw Object.assign(error, { input });
  }
}

/** Integers have a range, whose ends may be the sizes of axes. */
function checkRange({ data }, range, sizes) {
  const [low, high] = range.map((end) => (typeof end === "string" ? sizes.get(end) ?? 1 : end));
  const bad = data.find((number) => number < low || number > high);
  if (bad !== undefined) throw inputError("no-range", bad, low, high);
}

/** Whether the type has this number, or one beside it. */
function fitsType(dtype, number) {
  const [kept] = ARRAYS[dtype].of(number);
  return FLOATS.has(dtype) ? Number.isFinite(kept) : Number.isSafeInteger(number) && kept === number && (dtype !== "bool" || number < 2);
}

/** Numbers as JSON, nested as the array is or in one row, or parted by commas and spaces; a tensor is one already. */
function readArray(value, dtype, own) {
  const parsed = typeof value === "string" ? parseNumbers(value) : value;
  const count = parsed.data.length;
  const free = own.filter((axis) => typeof axis === "string").length;
  const known = sizeOf(own.filter(Number.isInteger));
  const flat = parsed.shape.length === 1 && own.length !== 1 && free <= 1 && (free ? count % known === 0 : count === known);
  const shape = flat ? own.map((axis) => (Number.isInteger(axis) ? axis : count / known)) : parsed.shape;
  const fits = shape.length === own.length && own.every((axis, at) => typeof axis === "string" || axis === shape[at]);
  if (!fits || !count) throw inputError("array-shape", `(${shape.join(", ")})`, `(${own.join(", ")})`);
  const bad = parsed.data.find((number) => !Number.isFinite(number) || !fitsType(dtype, number));
  if (bad !== undefined) throw Number.isFinite(bad) ? inputError("no-type", String(bad), dtype) : inputError("no-number", String(bad));
  return makeTensor(dtype, shape, ARRAYS[dtype].from(parsed.data));
}

function parseNumbers(text) {
  if (!/^\s*\[/.test(text)) {
    const items = text.split(/[\s,;]+/).filter(Boolean);
    return { shape: [items.length], data: items.map((item) => (NUMBER.test(item) ? Number(item) : NaN)) };
  }
  const shape = [];
  let nested;
  try {
    nested = JSON.parse(text);
  } catch {
    throw inputError("no-array");
  }
  for (let part = nested; Array.isArray(part); [part] = part) shape.push(part.length);
  const data = nested.flat(shape.length);
  if (data.length !== sizeOf(shape) || !data.every((number) => typeof number === "number")) throw inputError("no-array");
  return { shape, data };
}

/** The numbers of a `.npy` file: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function readNpy(bytes) {
  if (fromUtf8(bytes.subarray(1, 6)) !== "NUMPY") throw inputError("no-array");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const begun = bytes[6] > 1 ? 12 : 10;
  const end = begun + (bytes[6] > 1 ? view.getUint32(8, true) : view.getUint16(8, true));
  const head = fromUtf8(bytes.subarray(begun, end));
  const [, descr] = /'descr': *'([^']*)'/.exec(head) || [];
  const [, sizes] = /'shape': *\(([^)]*)\)/.exec(head) || [];
  const dtype = NPY_TYPES[descr];
  if (!dtype || sizes === undefined || /'fortran_order': *True/.test(head)) throw inputError("no-array");
  const shape = sizes.split(",").filter((size) => size.trim()).map(Number);
  if (bytes.length - end !== sizeOf(shape) * WIDTHS[dtype]) throw inputError("no-array");
  return fromBytes(dtype, shape, bytes.subarray(end));
}
