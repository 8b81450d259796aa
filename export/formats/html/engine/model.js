/** A sealed ONNX file of ptx: its card, and its graph ready to be run. */

/** The seal is the file's last field: an entry of the metadata of a fixed length. */
const SEAL_HEAD = Uint8Array.from([0x72, 76, 0x0a, 8, ..."ptx.seal"].concat([0x12, 64])
  .map((item) => (typeof item === "string" ? item.charCodeAt(0) : item)));

/**
 * @typedef {Object} Model
 * @property {Object} card
 * @property {function(Object<string, Tensor>): Object<string, Tensor>} run where ONNX Runtime runs it, a promise of them
 */

/**
 * @param {Uint8Array} bytes the whole file
 * @returns {Model}
 */
function openModel(bytes) {
  const { card, message } = readModel(bytes);
  const graph = openGraph(message);
  return { card, run: (inputs) => runGraph(graph, withinLimits(card, inputs)) };
}

/** The inputs; an Error where an axis has a size that the card's limits leave out: the graph is another model there. */
function withinLimits({ signature }, inputs) {
  const limits = new Map(Object.entries(signature.axes ?? {}));
  for (const [name, [, axes]] of Object.entries(signature.inputs)) {
    axes.forEach((axis, at) => {
      const [least, most = Infinity] = limits.get(axis) ?? [0];
      const size = inputs[name].shape[at];
      if (size < least || size > most) throw refusal("axis-limits", axis, size, least, most === Infinity ? "∞" : most);
    });
  }
  return inputs;
}

/** The card of a sealed file, and its message. */
function readModel(bytes) {
  if (!sealHolds(bytes)) throw refusal("seal");
  const message = readMessage("Model", bytes);
  const entry = message.metadata.find(({ key }) => key === "ptx.card");
  if (!entry) throw new Error("the model has no card");
  const card = JSON.parse(fromUtf8(entry.value));
  if (card.format !== 1) throw new Error(`the card's format is ${card.format}; this page reads 1`);
  return { card, message };
}

/** Whether the file is, byte for byte, what was sealed. */
function sealHolds(bytes) {
  const start = bytes.length - SEAL_HEAD.length - 64;
  if (start < 0 || SEAL_HEAD.some((byte, at) => bytes[start + at] !== byte)) return false;
  return sha256(bytes.subarray(0, start)) === fromUtf8(bytes.subarray(start + SEAL_HEAD.length));
}

/** Inputs and outputs as JSON, arrays as a card writes them: for a host that is no page. */
function answerText(model, text) {
  const inputs = mapEntries(JSON.parse(text), fromCard);
  return JSON.stringify(mapEntries(model.run(inputs), toCard));
}

/** The same of a model whose `run` gives a promise. */
async function answerLater(model, text) {
  const inputs = mapEntries(JSON.parse(text), fromCard);
  return JSON.stringify(mapEntries(await model.run(inputs), toCard));
}
