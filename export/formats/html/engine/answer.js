/** From a model's first output to what a person is told. */

/**
 * @typedef {Object} Decision
 * @property {{label: string, score: number}[]} ranking the best label first; empty of a regression
 * @property {number} [value] of a regression
 */

/** How each task reads the numbers of one row. */
const TASKS = {
  binary: ({ data: [probability] }, labels) => ranked([1 - probability, probability].map(share), labels),
  classification: ({ data }, labels) => ranked(shares(data), labels),
  probabilities: ({ data }, labels) => ranked(Array.from(data, share), labels),
  regression: ({ data: [value] }) => ({ ranking: [], value }),
  "sequence-labelling": (row, labels) => tagged(row, labels),
};

/** A probability that rounding has put beside [0, 1]. */
const share = (value) => Math.min(1, Math.max(0, value));

/**
 * One decision for each row of the batch.
 * @param {Object} manifest
 * @param {Object<string, Tensor>} outputs by name
 * @returns {Decision[]}
 */
function decide(manifest, outputs) {
  const [[name, [, axes]]] = Object.entries(manifest.signature.outputs);
  const read = TASKS[manifest.task];
  if (!read) throw new Error(`nothing reads the outputs of the task ${manifest.task}`);
  const batch = axes.indexOf("batch");
  const output = outputs[name];
  return Array.from({ length: output.shape[batch] }, (_, row) => {
    const one = takeAlong(output, batch, [row]);
    return read(reshape(one, one.shape.toSpliced(batch, 1)), manifest.labels);
  });
}

const canDecide = ({ task }) => Object.hasOwn(TASKS, task);

/** The softmax of one row. */
function shares(logits) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((one, other) => one + other, 0);
  return powers.map((power) => power / sum);
}

function ranked(scores, labels) {
  const order = scores.map((score, index) => ({ label: labels[index], score }));
  return { ranking: order.sort((one, other) => other.score - one.score) };
}

/** The best symbol of each step, (time, labels), as one word; its score is their product. */
function tagged({ shape: [time, count], data }, labels) {
  const best = Array.from({ length: time }, (_, step) => ranked(shares(data.subarray(step * count, (step + 1) * count)), labels));
  const word = { label: "", score: 1 };
  for (const { ranking: [first] } of best) {
    word.label += first.label;
    word.score *= first.score;
  }
  return { ranking: [word] };
}
