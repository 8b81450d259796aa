/** The engine in a worker of a page, so that the page stays alive: `{id, act, given}` comes, `{id, value}` goes. */

const EXAMPLES = 6;
const EXAMPLE_SIZE = 2 ** 15; // characters
const OFF = 2; // levels of 255 that a pixel may be off where another decoder or processor rounds otherwise

/** @param {WorkerGlobalScope} scope */
function work(scope) {
  let model = null;
  const acts = {
    open: async ({ packed, wasm }) => {
      const bytes = await unpack(packed);
      model = wasm ? await openSession(bytes, await unpack(wasm)) : openModel(bytes);
      const found = { ...await replay(model), products: wasm ? 0 : countProducts(model) };
      await checkPictures(model.manifest);
      return { ...found, examples: examplesOf(model.manifest) };
    },
    ask: (value) => answer(model, value),
  };
  scope.onmessage = async ({ data: { id, act, given } }) => {
    try {
      scope.postMessage({ id, value: await acts[act](given) });
    } catch ({ message, word, given: gaps, input }) {
      scope.postMessage({ id, error: { message, word, gaps, input } });
    }
  };
}

/** The bytes of a block of the page. */
async function unpack(packed) {
  const stream = new Blob([fromBase85(packed)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * The browser's pixels of a picture, turned as its EXIF data say.
 * @param {Blob} blob
 * @returns {Promise<Raster>}
 */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" })
    .catch(() => { throw refusal("no-picture"); });
  const { width, height } = bitmap;
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: pen.getImageData(0, 0, width, height).data };
}

/** An Error where a golden picture becomes other pixels here than at the proof. */
async function checkPictures(manifest) {
  for (const { values, read } of manifest.end_to_end) {
    for (const [index, { base64 }] of values.entries()) {
      if (base64 === undefined || !read.length) continue;
      const got = readSample(manifest, await decode(new Blob([fromBase64(base64)])));
      const kept = fromManifest(read[index]);
      if (got.data.some((pixel, at) => Math.abs(pixel - kept.data[at]) > OFF)) {
        throw refusal("picture-other", index + 1);
      }
    }
  }
}

/** The multiplications that one sample takes. */
function countProducts(model) {
  const [sample] = model.manifest.golden;
  const before = counted.products;
  const inputs = mapEntries(sample.inputs, readInput);
  model.run(inputs);
  const [[name, [, axes]]] = Object.entries(model.manifest.signature.inputs);
  return (counted.products - before) / inputs[name].shape[axes.indexOf("batch")];
}

/** Values that a person may try: texts, numbers with commas, addresses of pictures. */
function examplesOf(manifest) {
  const values = manifest.end_to_end.flatMap((sample) => sample.values).filter(({ base64 = "" }) => base64.length <= EXAMPLE_SIZE);
  return values.slice(0, EXAMPLES).map(({ text, numbers, base64 }) => (
    text ?? (numbers ? numbers.map((number) => String(Number(number.toPrecision(4)))).join(",") : `data:image/png;base64,${base64}`)));
}

/** What a person is told: the decision, what the model saw, and how long it took. */
async function answer(model, value) {
  const begun = performance.now();
  const { manifest } = model;
  const sample = readSample(manifest, manifest.preprocessing.kind === "none" ? await Promise.all(value.map(readFile))
    : value instanceof Blob ? await decode(value) : value);
  const outputs = await model.run(collate(manifest, [sample]));
  const [name] = Object.keys(manifest.signature.outputs);
  if (!outputs[name].data.every(Number.isFinite)) throw refusal("not-finite");
  const [decision] = canDecide(manifest) ? decide(manifest, outputs) : [{ ranking: [], told: listOutputs(outputs) }];
  return { ...decision, seen: seenBy(manifest, sample), milliseconds: performance.now() - begun };
}

/** The array of a `.npy` file, or what is a text already. */
async function readFile(given) {
  if (typeof given === "string") return given;
  const bytes = new Uint8Array(await given.arrayBuffer());
  return bytes[0] === 0x93 ? readNpy(bytes) : fromUtf8(bytes);
}

const SHOWN = 100; // numbers of an output

/** The outputs of a task that nothing is read from. */
function listOutputs(outputs) {
  return Object.entries(outputs).map(([name, { shape, data }]) => {
    const numbers = Array.from(data.subarray(0, SHOWN), (number) => String(Number(number.toPrecision(6))));
    return `${name} (${shape.join(", ")}): ${numbers.join(", ")}${data.length > SHOWN ? ", …" : ""}`;
  }).join("\n");
}

/** @returns {Object|string} pixels `{width, height, data, turned}`, or what is left of a text or of numbers */
function seenBy({ preprocessing: { kind, colours } }, sample) {
  if (kind === "none") return Object.entries(sample).map(([name, { dtype, shape }]) => `${name}: ${dtype} (${shape.join(", ")})`).join("\n");
  const { shape, data } = sample;
  if (kind === "rgb-image") return { width: shape[1], height: shape[0], data, turned: colours === "BGR" };
  if (kind === "gray-image") return { width: shape[1], height: shape[0], data };
  if (kind === "char-codes") return Array.from(data, (code) => (code >= 32 && code < 127 ? String.fromCharCode(code) : "□")).join("");
  return Array.from(data, (number) => String(Number(number.toPrecision(4)))).join(kind === "tabular" ? ", " : " ");
}
