/** From what a person has in hand to the model's input arrays: the card's `preprocessing`. */

const LONGEST = 1000; // characters of a text
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const NPY_TYPES = {
  "<f4": "float32", "<f8": "float64", "<f2": "float16", "<i8": "int64", "<i4": "int32", "|i1": "int8", "|u1": "uint8", "|b1": "bool",
};
const SPACE = /^[^\S\ufeff]+|[^\S\ufeff]+$/g;
const HIGHEST = "\u0345"; // of all combining marks: any other one is moved before it

/** Kind → (value, setting) → a sample; pictures are decoded by the browser, and fitted by `fitPicture`. */
const READERS = {
  arrays: readArray, columns: readColumns, image: fitPicture, photo: fitPhoto, symbols: readSymbols, text: readText,
};

/**
 * One value as the card's preprocessing reads it; an Error that says why it cannot be.
 * @param {Object} card
 * @param {string|number[]|Raster} value
 * @returns {Tensor} uint8 pixels, codes, indices, or numbers
 */
function readSample(card, value) {
  const { kind, ...setting } = card.preprocessing;
  return READERS[kind](value, { ...setting, ...specOf(card) });
}

/** What the first input says: its type, the axes of a sample, and of a photograph its channels. */
function specOf({ signature, preprocessing: { kind, size } }) {
  const [[, [dtype, axes]]] = Object.entries(signature.inputs);
  const own = axes.filter((axis) => axis !== "batch");
  return kind === "photo" ? { dtype, own, channels: own[channelAxis(own, size)] } : { dtype, own };
}

/** Which axis of a sample holds the 1 or 3 channels of a photograph. */
function channelAxis(own, size) {
  return [0, 2].find((place) => [1, 3].includes(own[place]) && own.toSpliced(place, 1)
    .every((axis, at) => axis === size[at] || typeof axis === "string"));
}

/** Numbers as JSON, nested as the array is or in one row, or parted by commas and spaces; a tensor is one already. */
function readArray(value, { dtype, own }) {
  const given = typeof value === "string" ? parseNumbers(value) : Array.isArray(value) ? { shape: [value.length], data: value } : value;
  const count = given.data.length;
  const free = own.filter((axis) => typeof axis === "string").length;
  const known = sizeOf(own.filter(Number.isInteger));
  const flat = given.shape.length === 1 && own.length !== 1 && free <= 1 && (free ? count % known === 0 : count === known);
  const shape = flat ? own.map((axis) => (Number.isInteger(axis) ? axis : count / known)) : given.shape;
  const fits = shape.length === own.length && own.every((axis, at) => typeof axis === "string" || axis === shape[at]);
  if (!fits || !count) throw refusal("array-shape", `(${shape.join(", ")})`, `(${own.join(", ")})`);
  const bad = given.data.find((number) => !Number.isFinite(number) || (!FLOATS.has(dtype) && !Number.isInteger(number)));
  if (bad !== undefined) throw refusal("no-number", String(bad));
  return makeTensor(dtype, shape, ARRAYS[dtype].from(given.data));
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
    throw refusal("no-array");
  }
  for (let part = nested; Array.isArray(part); [part] = part) shape.push(part.length);
  const data = nested.flat(shape.length);
  if (data.length !== sizeOf(shape) || !data.every((number) => typeof number === "number")) throw refusal("no-array");
  return { shape, data };
}

/** The numbers of a `.npy` file: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function readNpy(bytes) {
  if (fromUtf8(bytes.subarray(1, 6)) !== "NUMPY") throw refusal("no-array");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const begun = bytes[6] > 1 ? 12 : 10;
  const end = begun + (bytes[6] > 1 ? view.getUint32(8, true) : view.getUint16(8, true));
  const head = fromUtf8(bytes.subarray(begun, end));
  const [, descr] = /'descr': *'([^']*)'/.exec(head) || [];
  const [, sizes] = /'shape': *\(([^)]*)\)/.exec(head) || [];
  const dtype = NPY_TYPES[descr];
  if (!dtype || sizes === undefined || /'fortran_order': *True/.test(head)) throw refusal("no-array");
  const shape = sizes.split(",").filter((size) => size.trim()).map(Number);
  if (bytes.length - end !== sizeOf(shape) * WIDTHS[dtype]) throw refusal("no-array");
  return fromBytes(dtype, shape, bytes.subarray(end));
}

function readColumns(value, { names, mean = [], std = [] }) {
  const items = typeof value === "string" ? value.split(",").map((item) => item.replace(SPACE, "")) : value;
  const numbers = items.map((item) => (typeof item === "number" || NUMBER.test(item) ? Number(item) : NaN));
  if (numbers.length !== names.length) throw refusal("row-length", numbers.length, names.length);
  const row = numbers.map((number, at) => (mean.length ? (number - mean[at]) / std[at] : number)).map(Math.fround);
  const bad = row.findIndex((number) => !Number.isFinite(number));
  if (bad >= 0) throw refusal("no-number", names[bad]);
  return makeTensor("float32", [row.length], Float32Array.from(row));
}

function readSymbols(value, { alphabet }) {
  const indices = [...value].map((char) => alphabet.indexOf(char));
  if (!indices.length || indices.includes(-1)) throw refusal("no-symbol", alphabet.join(", "));
  return makeList(indices);
}

function readText(value, { unknown }) {
  if ([...value].length > LONGEST) throw refusal("too-long", LONGEST);
  const codes = [...value.replace(SPACE, "").normalize("NFKD")]
    .filter((char) => !isCombining(char))
    .map((char) => (char >= " " && char <= "~" ? char.charCodeAt(0) : unknown));
  if (!codes.length) throw refusal("empty");
  return makeList(codes);
}

const isCombining = (char) => char === HIGHEST || !(HIGHEST + char).normalize("NFD").startsWith(HIGHEST);

/** An Error with a key of the page's words, and what stands in its gaps. */
function refusal(word, ...given) {
  return Object.assign(new Error(`${word}: ${given.join(", ")}`), { word, given });
}

/**
 * The input arrays of a batch of samples, by name.
 * @param {Object} card
 * @param {Tensor[]} samples
 * @returns {Object<string, Tensor>}
 */
function collate(card, samples) {
  const inputs = Object.entries(card.signature.inputs);
  const [[name, [dtype, axes]]] = inputs;
  const { kind, padding = 0, alphabet } = card.preprocessing;
  if (kind === "text") return collateTexts(inputs.map(([each]) => each), samples, padding);
  const made = samples.map((sample) => {
    if (sample.dtype === "uint8" && dtype !== "uint8" && kind === "photo") return normalizePhoto(sample, card);
    if (sample.dtype === "uint8" && dtype !== "uint8" && kind === "image") return normalize(sample, card.preprocessing, axes);
    return kind === "symbols" && dtype === "float32" ? oneHot(sample, alphabet.length, HOT, -1) : sample;
  });
  const stacked = concat(made.map((sample) => reshape(sample, [1, ...sample.shape])), 0);
  const others = [...stacked.shape.keys()].slice(1);
  return { [name]: transpose(stacked, others.toSpliced(axes.indexOf("batch"), 0, 0)) };
}

const HOT = makeTensor("float32", [2], Float32Array.of(0, 1));

function collateTexts([codes, lengths], samples, padding) {
  const counts = samples.map(({ data }) => data.length);
  const rows = makeTensor("int64", [samples.length, Math.max(...counts)]);
  rows.data.fill(padding);
  samples.forEach(({ data }, row) => rows.data.set(data, row * rows.shape[1]));
  return { [codes]: rows, [lengths]: makeList(counts) };
}

/** Pixels as numbers, `(pixel/255 − mean)/std`, each step in float32, in the axes of a sample. */
function normalize({ data }, { mean, std }, axes) {
  const table = pixelTable(mean, std);
  const own = axes.filter((axis) => axis !== "batch");
  const known = sizeOf(own.filter(Number.isInteger));
  const shape = own.map((axis) => (Number.isInteger(axis) ? axis : data.length / known));
  return makeTensor("float32", shape, Float32Array.from(data, (pixel) => table[pixel]));
}

/** The same channel by channel, which then stand where the network has them. */
function normalizePhoto({ shape: [height, width, channels], data }, { signature, preprocessing: { size, mean = [], std = [] } }) {
  const [[, [, axes]]] = Object.entries(signature.inputs);
  const place = channelAxis(axes.filter((axis) => axis !== "batch"), size);
  const tables = Array.from({ length: channels }, (_, channel) => pixelTable(mean[channel], std[channel]));
  const numbers = makeTensor("float32", [height, width, channels], Float32Array.from(data, (pixel, at) => tables[at % channels][pixel]));
  return place === 0 ? transpose(numbers, [2, 0, 1]) : numbers;
}

/** The number for each value of a pixel. */
function pixelTable(mean = 0, std = 1) {
  return Float32Array.from({ length: 256 }, (_, pixel) => (
    Math.fround(Math.fround(pixel / 255) - Math.fround(mean)) / Math.fround(std)));
}

/** The sha256 over names, types, shapes and contents of input arrays, as a card notes it. */
function inputDigest(inputs) {
  const parts = Object.keys(inputs).sort().flatMap((name) => {
    const { dtype, shape } = inputs[name];
    const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
    return [...Array.from(`${name}\0${dtype}\0${tuple}\0`, (char) => char.charCodeAt(0)), ...toBytes(inputs[name])];
  });
  return sha256(Uint8Array.from(parts));
}
