/** Preprocessing: raw inputs become input arrays, as the manifest's `preprocessing` says. */

const LONGEST = 1000; // characters of a text
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const SPACE = /^[^\S\ufeff]+|[^\S\ufeff]+$/g;
const HIGHEST = "\u0345"; // of all combining marks: any other one is moved before it

/** Kind → (value, setting) → a sample; images are decoded by the browser. */
const TRANSFORMS = {
  tabular: readColumns, "gray-image": resizeGrayImage, "rgb-image": resizePhoto, "char-indices": readSymbols, "char-codes": readText,
};

/**
 * Preprocesses one value; throws an Error if it cannot be used.
 * @param {Object} manifest
 * @param {string|number[]|Raster|Array} value
 * @returns {Tensor|Object<string, Tensor>} uint8 pixels, codes, indices, or numbers; of a model that takes arrays, all by name
 */
function preprocess(manifest, value) {
  const { kind, ...setting } = manifest.preprocessing;
  if (kind === "none") return readArrays(manifest, value);
  return TRANSFORMS[kind](value, { ...setting, ...inputSpec(manifest) });
}

/** What the first input says: its type, the axes of a sample, and of a photograph its channels. */
function inputSpec({ signature, preprocessing: { kind, size } }) {
  const [[, [dtype, axes]]] = Object.entries(signature.inputs);
  const own = axes.filter((axis) => axis !== "batch");
  return kind === "rgb-image" ? { dtype, own, channels: own[channelAxis(own, size)] } : { dtype, own };
}

/** Which axis of a sample holds the 1 or 3 channels of a photograph. */
function channelAxis(own, size) {
  return [0, 2].find((place) => [1, 3].includes(own[place]) && own.toSpliced(place, 1)
    .every((axis, at) => axis === size[at] || typeof axis === "string"));
}

function readColumns(value, { names, mean = [], std = [] }) {
  const items = typeof value === "string" ? value.split(",").map((item) => item.replace(SPACE, "")) : value;
  const numbers = items.map((item) => (typeof item === "number" || NUMBER.test(item) ? Number(item) : NaN));
  if (numbers.length !== names.length) throw inputError("row-length", numbers.length, names.length);
  const row = numbers.map((number, at) => (mean.length ? (number - mean[at]) / std[at] : number)).map(Math.fround);
  const bad = row.findIndex((number) => !Number.isFinite(number));
  if (bad >= 0) throw inputError("no-number", names[bad]);
  return makeTensor("float32", [row.length], Float32Array.from(row));
}

function readSymbols(value, { alphabet }) {
  const indices = [...value].map((char) => alphabet.indexOf(char));
  if (!indices.length || indices.includes(-1)) throw inputError("no-symbol", alphabet.join(", "));
  return makeList(indices);
}

function readText(value, { unknown }) {
  if ([...value].length > LONGEST) throw inputError("too-long", LONGEST);
  const codes = [...value.replace(SPACE, "").normalize("NFKD")]
    .filter((char) => !isCombining(char))
    .map((char) => (char >= " " && char <= "~" ? char.charCodeAt(0) : unknown));
  if (!codes.length) throw inputError("empty");
  return makeList(codes);
}

const isCombining = (char) => char === HIGHEST || !(HIGHEST + char).normalize("NFD").startsWith(HIGHEST);

/** An Error with a key of words.json, and the arguments of that message. */
function inputError(word, ...values) {
  return Object.assign(new Error(`${word}: ${values.join(", ")}`), { word, values });
}

/**
 * The input arrays of a batch of samples, by name.
 * @param {Object} manifest
 * @param {Tensor[]} samples
 * @returns {Object<string, Tensor>}
 */
function collate(manifest, samples) {
  const inputs = Object.entries(manifest.signature.inputs);
  const [[name, [dtype, axes]]] = inputs;
  const { kind, padding = 0, alphabet } = manifest.preprocessing;
  if (kind === "none") return Object.fromEntries(inputs.map(([each, [, own]]) => [each, stack(samples.map((sample) => sample[each]), own)]));
  if (kind === "char-codes") return collateTexts(inputs.map(([each]) => each), samples, padding);
  const made = samples.map((sample) => {
    if (sample.dtype === "uint8" && dtype !== "uint8" && kind === "rgb-image") return normalizePhoto(sample, manifest);
    if (sample.dtype === "uint8" && dtype !== "uint8" && kind === "gray-image") return normalize(sample, manifest.preprocessing, axes);
    return kind === "char-indices" && dtype === "float32" ? oneHot(sample, alphabet.length, HOT, -1) : sample;
  });
  return { [name]: stack(made, axes) };
}

/** Samples as one array whose batch axis stands where `axes` has it. */
function stack(samples, axes) {
  const stacked = concat(samples.map((sample) => reshape(sample, [1, ...sample.shape])), 0);
  const others = [...stacked.shape.keys()].slice(1);
  return transpose(stacked, others.toSpliced(axes.indexOf("batch"), 0, 0));
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

/** The sha256 over names, types, shapes and contents of input arrays, as a manifest notes it. */
function inputDigest(inputs) {
  const parts = Object.keys(inputs).sort().flatMap((name) => {
    const { dtype, shape } = inputs[name];
    const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
    return [...Array.from(`${name}\0${dtype}\0${tuple}\0`, (char) => char.charCodeAt(0)), ...toBytes(inputs[name])];
  });
  return sha256(Uint8Array.from(parts));
}
