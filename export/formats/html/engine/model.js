/** An ONNX file with a content digest of ptx: its manifest, and its graph ready to be run. */

/** The content digest is the file's last field: an entry of the metadata of a fixed length. */
const DIGEST_HEAD = Uint8Array.from([0x72, 78, 0x0a, 10, ..."ptx.digest"].concat([0x12, 64])
  .map((item) => (typeof item === "string" ? item.charCodeAt(0) : item)));

/**
 * @typedef {Object} Model
 * @property {Object} manifest
 * @property {function(Object<string, Tensor>): Object<string, Tensor>} run where ONNX Runtime runs it, a promise of them
 */

/**
 * @param {Uint8Array} bytes the whole file
 * @returns {Model}
 */
function openModel(bytes) {
  const { manifest, message } = readModel(bytes);
  const graph = openGraph(message);
  return { manifest, run: (inputs) => runGraph(graph, withinLimits(manifest, inputs)) };
}

/** The inputs; an Error if an axis has a size outside the manifest's limits, where the graph was not verified. */
function withinLimits({ signature }, inputs) {
  const limits = new Map(Object.entries(signature.axes ?? {}));
  for (const [name, [, axes]] of Object.entries(signature.inputs)) {
    axes.forEach((axis, at) => {
      const [least, most = Infinity] = limits.get(axis) ?? [0];
      const size = inputs[name].shape[at];
      if (size < least || size > most) throw inputError("axis-limits", axis, size, least, most === Infinity ? "∞" : most);
    });
  }
  return inputs;
}

/** The manifest of a file with a content digest, and its protobuf message. */
function readModel(bytes) {
  if (!checkDigest(bytes)) throw inputError("content_digest");
  const message = readMessage("Model", bytes);
  const entry = message.metadata.find(({ key }) => key === "ptx.manifest");
  if (!entry) throw new Error("the model has no manifest");
  const manifest = JSON.parse(fromUtf8(entry.value));
  if (manifest.format !== 1) throw new Error(`the manifest's format is ${manifest.format}; this page reads 1`);
  return { manifest, message };
}

/** Whether the file is, byte for byte, what was written. */
function checkDigest(bytes) {
  const start = bytes.length - DIGEST_HEAD.length - 64;
  if (start < 0 || DIGEST_HEAD.some((byte, at) => bytes[start + at] !== byte)) return false;
  return sha256(bytes.subarray(0, start)) === fromUtf8(bytes.subarray(start + DIGEST_HEAD.length));
}

/** Inputs and outputs as JSON, arrays as a manifest writes them, for hosts other than a page. */
function runModel(model, text) {
  const inputs = mapEntries(JSON.parse(text), fromManifest);
  return JSON.stringify(mapEntries(model.run(inputs), toManifest));
}

/** The same of a model whose `run` gives a promise. */
async function runModelAsync(model, text) {
  const inputs = mapEntries(JSON.parse(text), fromManifest);
  return JSON.stringify(mapEntries(await model.run(inputs), toManifest));
}
