/** A graph of ONNX, ready to be run. */

/** Operators by name; each takes (inputs, attributes) and gives a tensor, or a list of them. */
const OPERATORS = { ...ELEMENTWISE, ...LAYOUT, ...INDEXING, ...MATRIX, ...CONVOLUTION, ...REDUCTION, ...RECURRENT };
/** What may be done with float16: this page computes in float32 and float64. */
const OF_HALVES = new Set(["Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze"]);
const LEAST_OPSET = 18; // before it, axes were attributes

/**
 * @typedef {Object} Graph
 * @property {Object[]} nodes in the order in which they are run
 * @property {Map<string, Tensor>} constants
 * @property {string[]} outputs
 */

/**
 * The graph of a file; what depends on no input is computed here, once.
 * @param {Object} model a Model as readMessage gives it
 * @returns {Graph}
 */
function openGraph(model) {
  if (model.functions.length || model.graph.sparse.length) throw new Error("the file has functions or sparse weights");
  const opset = model.opsets.find(({ domain }) => !domain);
  if (!opset || opset.version < LEAST_OPSET) throw new Error(`the file's opset is before ${LEAST_OPSET}`);
  const constants = new Map([["", null]]);
  for (const message of model.graph.initializers) constants.set(message.name, readTensor(message));
  const nodes = model.graph.nodes.map((node) => ({ ...node, attributes: readAttributes(node) }));
  checkOperators(nodes);
  const graph = { nodes: [], constants, outputs: model.graph.outputs.map(({ name }) => name) };
  for (const node of nodes) {
    if (node.inputs.every((name) => constants.has(name))) runNode(node, constants);
    else graph.nodes.push(node);
  }
  return graph;
}

function checkOperators(nodes) {
  const missing = nodes
    .filter(({ domain, operator }) => (domain && domain !== "ai.onnx") || !Object.hasOwn(OPERATORS, operator))
    .map(({ domain, operator }) => (domain ? `${domain}:` : "") + operator);
  if (!missing.length) return;
  const named = [...new Set(missing)].join(", ");
  throw new Error(`a page does not compute the operator ${named} in plain JavaScript: --runtime ort does`);
}

/** The attributes by name: numbers, texts, tensors, and lists of numbers. */
function readAttributes(node) {
  return Object.fromEntries(node.attributes.map((attribute) => {
    const [, field] = { 1: [0, "f"], 2: [0, "i"], 3: [0, "s"], 4: [0, "t"], 6: [0, "floats"], 7: [0, "ints"], 8: [0, "strings"] }[
      attribute.type] || [];
    if (!field) throw new Error(`${node.operator} has an attribute ${attribute.name}, which a page does not read`);
    const value = attribute[field] ?? (field === "s" ? "" : 0);
    return [attribute.name, field === "t" ? readTensor(value) : value];
  }));
}

function runNode(node, values) {
  const inputs = node.inputs.map((name) => values.get(name));
  if (inputs.some((tensor) => tensor?.dtype === "float16") && !OF_HALVES.has(node.operator)) {
    throw new Error(`a page does not compute ${node.operator} in float16`);
  }
  const found = OPERATORS[node.operator](inputs, node.attributes, node.outputs.length);
  const outputs = Array.isArray(found) ? found : [found];
  node.outputs.forEach((name, index) => { if (name) values.set(name, outputs[index]); });
}

/**
 * @param {Graph} graph
 * @param {Object<string, Tensor>} inputs by name
 * @returns {Object<string, Tensor>} the graph's outputs by name
 */
function runGraph(graph, inputs) {
  const values = new Map([...graph.constants, ...Object.entries(inputs)]);
  for (const node of graph.nodes) runNode(node, values);
  return Object.fromEntries(graph.outputs.map((name) => [name, values.get(name)]));
}
