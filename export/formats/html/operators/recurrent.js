/** Recurrent layers: https://onnx.ai/onnx/operators; the state stays in float64 from step to step. */

const RECURRENT = {
  GRU: (inputs, attributes) => recur(inputs, attributes, { gates: 3, step: attributes.linear_before_reset ? stepGruLate : stepGru }),
  LSTM: (inputs, attributes) => recur(inputs, attributes, { gates: 4, step: stepLstm, cell: true }),
  RNN: (inputs, attributes) => recur(inputs, attributes, { gates: 1, step: attributes.activations?.includes("Relu") ? stepRelu : stepTanh }),
};
const ACTIVATIONS = { 1: [["Tanh"], ["Relu"]], 3: [["Sigmoid", "Tanh"]], 4: [["Sigmoid", "Tanh", "Tanh"]] };

/**
 * Y (time, directions, batch, hidden), the last states (directions, batch, hidden) and cells.
 * @param {Tensor[]} inputs X (time, batch, features), W, R, B, sequence_lens, initial_h, initial_c, P
 */
function recur([sequence, weights, recurrence, bias, lengths, hidden, cell, peepholes], attributes, kind) {
  checkLayer(attributes, kind.gates, peepholes);
  const [time, batch] = sequence.shape;
  const [directions, , width] = recurrence.shape;
  const out = makeTensor(sequence.dtype, [time, directions, batch, width]);
  const lasts = [hidden, cell].map(() => makeTensor(sequence.dtype, [directions, batch, width]));
  for (let direction = 0; direction < directions; direction += 1) {
    const part = (tensor) => tensor && partOf(tensor, direction, directions);
    const layer = {
      ...kind, width, batch, weights: part(weights), recurrence: part(recurrence), bias: part(bias),
    };
    const states = [hidden, cell].map((tensor) => Float64Array.from(part(tensor) ?? new Float64Array(batch * width)));
    const back = attributes.direction === "reverse" || direction === 1;
    runSteps(layer, sequence, states, { back, lengths: lengths?.data }, (values, step, row) => {
      out.data.set(values, ((step * directions + direction) * batch + row) * width);
    });
    states.forEach((state, index) => { lasts[index].data.set(state, direction * batch * width); });
  }
  return [out, ...lasts];
}

function checkLayer(attributes, gates, peepholes) {
  const count = attributes.direction === "bidirectional" ? 2 : 1;
  const known = ACTIVATIONS[gates].map((names) => Array(count).fill(names).flat().join());
  const odd = attributes.activations && !known.includes(attributes.activations.join());
  if (odd || attributes.clip || attributes.layout || attributes.input_forget || peepholes) {
    throw new Error("a page does not compute a recurrent layer with other activations, clip, layout or peepholes");
  }
}

function partOf({ data }, index, parts) {
  const size = data.length / parts;
  return data.subarray(index * size, (index + 1) * size);
}

/** All steps of one direction; `put(values, step, row)` receives each new state. */
function runSteps(layer, sequence, states, { back, lengths }, put) {
  const [time, batch, features] = sequence.shape;
  const { width, gates } = layer;
  const projected = new Float64Array(gates * width);
  const own = new Float64Array(gates * width);
  for (let row = 0; row < batch; row += 1) {
    const length = lengths ? lengths[row] : time;
    const [state, cell] = states.map((whole) => whole.subarray(row * width, (row + 1) * width));
    const before = new Float64Array(width);
    for (let count = 0; count < length; count += 1) {
      const step = back ? length - 1 - count : count;
      const from = (step * batch + row) * features;
      apply(layer.weights, sequence.data.subarray(from, from + features), layer.bias, 0, projected);
      before.set(state);
      apply(layer.recurrence, before, layer.bias, gates * width, own);
      layer.step({ projected, own, before, state, cell, layer });
      put(state, step, row);
    }
  }
}

/** out[i] = Σ matrix[i, k] · vector[k] + bias[from + i] */
function apply(matrix, vector, bias, from, out) {
  const inner = vector.length;
  counted.products += out.length * inner;
  for (let row = 0; row < out.length; row += 1) {
    let sum = bias ? bias[from + row] : 0;
    for (let k = 0, at = row * inner; k < inner; k += 1, at += 1) sum += matrix[at] * vector[k];
    out[row] = sum;
  }
}

function stepTanh({ projected, own, state }) {
  for (let at = 0; at < state.length; at += 1) state[at] = Math.tanh(projected[at] + own[at]);
}

function stepRelu({ projected, own, state }) {
  for (let at = 0; at < state.length; at += 1) state[at] = Math.max(0, projected[at] + own[at]);
}

/** Gates in the order input, output, forget, cell. */
function stepLstm({ projected, own, state, cell }) {
  const width = state.length;
  const gate = (at, place) => projected[at * width + place] + own[at * width + place];
  for (let at = 0; at < width; at += 1) {
    cell[at] = sigmoid(gate(2, at)) * cell[at] + sigmoid(gate(0, at)) * Math.tanh(gate(3, at));
    state[at] = sigmoid(gate(1, at)) * Math.tanh(cell[at]);
  }
}

/** Gates in the order update, reset, hidden; the reset comes behind the product, as in PyTorch. */
function stepGruLate({ projected, own, before, state }) {
  const width = state.length;
  for (let at = 0; at < width; at += 1) {
    const update = sigmoid(projected[at] + own[at]);
    const reset = sigmoid(projected[width + at] + own[width + at]);
    const fresh = Math.tanh(projected[2 * width + at] + reset * own[2 * width + at]);
    state[at] = (1 - update) * fresh + update * before[at];
  }
}

/** The reset comes before the product. */
function stepGru({ projected, own, before, state, layer }) {
  const width = state.length;
  const held = before.map((value, at) => value * sigmoid(projected[width + at] + own[width + at]));
  const fresh = new Float64Array(width);
  const bias = layer.bias?.subarray(5 * width);
  apply(layer.recurrence.subarray(2 * width * width), held, bias, 0, fresh);
  for (let at = 0; at < width; at += 1) {
    const update = sigmoid(projected[at] + own[at]);
    state[at] = (1 - update) * Math.tanh(projected[2 * width + at] + fresh[at]) + update * before[at];
  }
}
