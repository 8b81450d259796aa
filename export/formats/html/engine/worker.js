/** The engine in a web worker, so that the page stays responsive: receives `{id, action, argument}`, sends `{id, value}`. */

const EXAMPLES = 6;
const EXAMPLE_SIZE = 2 ** 15; // characters
const PIXEL_TOLERANCE = 2; // of 255, for decoders and CPUs that round differently

/** @param {WorkerGlobalScope} scope */
function work(scope) {
  let model = null;
  const actions = {
    open: async ({ packed, wasm }) => {
      const bytes = await unpack(packed);
      model = wasm ? await openSession(bytes, await unpack(wasm)) : openModel(bytes);
      const found = { ...await replay(model), products: wasm ? 0 : countMultiplications(model) };
      await checkPictures(model.manifest);
      return { ...found, examples: examplesOf(model.manifest) };
    },
    predict: (value) => predict(model, value),
  };
  scope.onmessage = async ({ data: { id, action, argument } }) => {
    try {
      scope.postMessage({ id, value: await actions[action](argument) });
    } catch ({ message, word, values, input }) {
      scope.postMessage({ id, error: { message, word, values, input } });
    }
  };
}

/** The bytes of a block of the page. */
async function unpack(packed) {
  const stream = new Blob([fromBase85(packed)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * The pixels of an image, as the browser decodes it and turned by its EXIF orientation.
 * @param {Blob} blob
 * @returns {Promise<Raster>}
 */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" })
    .catch(() => { throw inputError("no-picture"); });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

/** Throws an Error if a golden image is decoded to other pixels here than at export. */
async function checkPictures(manifest) {
  for (const { values, read } of manifest.end_to_end) {
    for (const [index, { base64 }] of values.entries()) {
      if (base64 === undefined || !read.length) continue;
      const got = preprocess(manifest, await decode(new Blob([fromBase64(base64)])));
      const kept = fromManifest(read[index]);
      if (got.data.some((pixel, at) => Math.abs(pixel - kept.data[at]) > PIXEL_TOLERANCE)) {
        throw inputError("picture-other", index + 1);
      }
    }
  }
}

/** The number of multiplications for one sample. */
function countMultiplications(model) {
  const [sample] = model.manifest.golden;
  const before = counted.products;
  const inputs = mapEntries(sample.inputs, readInput);
  model.run(inputs);
  const [[name, [, axes]]] = Object.entries(model.manifest.signature.inputs);
  return (counted.products - before) / inputs[name].shape[axes.indexOf("batch")];
}

/** Example inputs: texts, numbers separated by commas, URLs of images. */
function examplesOf(manifest) {
  const values = manifest.end_to_end.flatMap((sample) => sample.values).filter(({ base64 = "" }) => base64.length <= EXAMPLE_SIZE);
  return values.slice(0, EXAMPLES).map(({ text, numbers, base64 }) => (
    text ?? (numbers ? numbers.map((number) => String(Number(number.toPrecision(4)))).join(",") : `data:image/png;base64,${base64}`)));
}

/** The prediction, what the model sees of the input, and the time. */
async function predict(model, value) {
  const started = performance.now();
  const { manifest } = model;
  const sample = preprocess(manifest, manifest.preprocessing.kind === "none" ? await Promise.all(value.map(readFile))
    : value instanceof Blob ? await decode(value) : value);
  const outputs = await model.run(collate(manifest, [sample]));
  const [name] = Object.keys(manifest.signature.outputs);
  if (!outputs[name].data.every(Number.isFinite)) throw inputError("not-finite");
  const [prediction] = hasDecoder(manifest) ? decodeOutputs(manifest, outputs) : [{ ranking: [], listing: listOutputs(outputs) }];
  return { ...prediction, modelInput: describeModelInput(manifest, sample), milliseconds: performance.now() - started };
}

/** The array of a `.npy` file, or a text. */
async function readFile(file) {
  if (typeof file === "string") return file;
  const bytes = new Uint8Array(await file.arrayBuffer());
  return bytes[0] === 0x93 ? readNpy(bytes) : fromUtf8(bytes);
}

const SHOWN = 100; // numbers of an output

/** The outputs of a task without a decoder, as text. */
function listOutputs(outputs) {
  return Object.entries(outputs).map(([name, { shape, data }]) => {
    const numbers = Array.from(data.subarray(0, SHOWN), (number) => String(Number(number.toPrecision(6))));
    return `${name} (${shape.join(", ")}): ${numbers.join(", ")}${data.length > SHOWN ? ", …" : ""}`;
  }).join("\n");
}

/** @returns {Object|string} pixels `{width, height, data, isBgr}`, or the text or numbers that the model receives */
function describeModelInput({ preprocessing: { kind, colours } }, sample) {
  if (kind === "none") return Object.entries(sample).map(([name, { dtype, shape }]) => `${name}: ${dtype} (${shape.join(", ")})`).join("\n");
  const { shape, data } = sample;
  if (kind === "rgb-image") return { width: shape[1], height: shape[0], data, isBgr: colours === "BGR" };
  if (kind === "gray-image") return { width: shape[1], height: shape[0], data };
  if (kind === "char-codes") return Array.from(data, (code) => (code >= 32 && code < 127 ? String.fromCharCode(code) : "□")).join("");
  return Array.from(data, (number) => String(Number(number.toPrecision(4)))).join(kind === "tabular" ? ", " : " ");
}
