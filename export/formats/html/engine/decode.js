/** Decodes the first output of a model; the same as `infer/tasks.py`. */

/**
 * @typedef {Object} Prediction
 * @property {{label: string, score: number}[]} ranking the best label first; empty for a regression
 * @property {number} [value] of a regression
 */

/** Decoder of one row for each task. */
const TASKS = {
  binary: ({ data: [probability] }, labels) => rankLabels([1 - probability, probability].map(clamp), labels),
  classification: ({ data }, labels) => rankLabels(softmaxOf(data), labels),
  probabilities: ({ data }, labels) => rankLabels(Array.from(data, clamp), labels),
  regression: ({ data: [value] }) => ({ ranking: [], value }),
  "sequence-labeling": (row, labels) => decodeSequence(row, labels),
};

/** A probability that rounding has moved out of [0, 1]. */
const clamp = (value) => Math.min(1, Math.max(0, value));

/**
 * One prediction for each row of the batch.
 * @param {Object} manifest
 * @param {Object<string, Tensor>} outputs by name
 * @returns {Prediction[]}
 */
function decodeOutputs(manifest, outputs) {
  const [[name, [, axes]]] = Object.entries(manifest.signature.outputs);
  const decode = TASKS[manifest.task];
  if (!decode) throw new Error(`no decoder for the outputs of the task ${manifest.task}`);
  const batch = axes.indexOf("batch");
  const output = outputs[name];
  return Array.from({ length: output.shape[batch] }, (_, row) => {
    const one = takeAlong(output, batch, [row]);
    return decode(reshape(one, one.shape.toSpliced(batch, 1)), manifest.labels);
  });
}

const hasDecoder = ({ task }) => Object.hasOwn(TASKS, task);

/** The softmax of one row. */
function softmaxOf(logits) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((power) => power / sum);
}

function rankLabels(scores, labels) {
  const order = scores.map((score, index) => ({ label: labels[index], score }));
  return { ranking: order.sort((one, other) => other.score - one.score) };
}

/** The best label of each step, (time, labels), joined to one word; its score is the product. */
function decodeSequence({ shape: [time, count], data }, labels) {
  const best = Array.from({ length: time }, (_, step) => rankLabels(softmaxOf(data.subarray(step * count, (step + 1) * count)), labels));
  const word = { label: "", score: 1 };
  for (const { ranking: [first] } of best) {
    word.label += first.label;
    word.score *= first.score;
  }
  return { ranking: [word] };
}
