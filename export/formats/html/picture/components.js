/**
 * The connected components of a mask; the same as `infer/digits/components.py`.
 * @typedef {Object} Component
 * @property {Set<number>} labels
 * @property {number} top
 * @property {number} left
 * @property {number} bottom exclusive, like `right`
 * @property {number} right
 * @property {number} area
 * @property {number} edge number of pixels with a neighbour outside the component
 */

const MIN_FOREGROUND = 0.05; // of the largest part's ink: less is dust
const MIN_AREA = 0.002; // of the largest part's area: less is not even looked at

const heightOf = (part) => part.bottom - part.top;
const widthOf = (part) => part.right - part.left;
const sideOf = (part) => Math.max(heightOf(part), widthOf(part));
const strokeOf = (part) => (2 * part.area) / Math.max(1, part.edge);

/**
 * Labels of the 8-connected components, 0 for background, and the components without tiny ones.
 * @param {Plane} mask of 0 and 1
 * @returns {{labels: Plane, parts: Component[]}}
 */
function connectedComponents(mask) {
  const { width, height, data } = mask;
  const labels = new Int32Array(data.length);
  const parents = [0];
  const rootOf = (label) => {
    let root = label;
    while (parents[root] !== root) root = parents[root];
    while (parents[label] !== root) [label, parents[label]] = [parents[label], root];
    return root;
  };
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 1) {
      if (!data[at]) continue;
      let own = 0;
      const join = (label) => {
        if (!label) return;
        const root = rootOf(label);
        if (own && root !== own) parents[Math.max(root, own)] = Math.min(root, own);
        own = own ? Math.min(root, own) : root;
      };
      if (x) join(labels[at - 1]);
      if (y) for (let near = Math.max(0, x - 1); near <= Math.min(width - 1, x + 1); near += 1) join(labels[at - width + near - x]);
      if (!own) own = parents.push(parents.length) - 1;
      labels[at] = own;
    }
  }
  return measure(mask, labels, rootOf);
}

function measure({ width, height, data }, labels, rootOf) {
  const numbers = new Map();
  const parts = [];
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 1) {
      if (!data[at]) continue;
      const root = rootOf(labels[at]);
      if (!numbers.has(root)) {
        numbers.set(root, numbers.size + 1);
        parts.push({ labels: new Set([numbers.size]), top: y, left: x, bottom: 0, right: 0, area: 0, edge: 0 });
      }
      labels[at] = numbers.get(root);
      const part = parts[labels[at] - 1];
      part.left = Math.min(part.left, x);
      part.right = Math.max(part.right, x + 1);
      part.bottom = y + 1;
      part.area += 1;
      const inner = (!y || data[at - width]) && (y === height - 1 || data[at + width])
        && (!x || data[at - 1]) && (x === width - 1 || data[at + 1]);
      if (!inner) part.edge += 1;
    }
  }
  const most = parts.reduce((area, part) => Math.max(area, part.area), 0);
  return { labels: makePlane(width, height, labels), parts: parts.filter((part) => part.area >= MIN_AREA * most) };
}

function mergeComponents(one, other) {
  return {
    labels: new Set([...one.labels, ...other.labels]),
    top: Math.min(one.top, other.top),
    left: Math.min(one.left, other.left),
    bottom: Math.max(one.bottom, other.bottom),
    right: Math.max(one.right, other.right),
    area: one.area + other.area,
    edge: one.edge + other.edge,
  };
}

const encloses = (outer, inner) => (
  outer.top < inner.top && outer.left < inner.left && outer.bottom > inner.bottom && outer.right > inner.right);

/** The mask of a component. */
const maskOf = (labels, part) => mapPlane(labels, (label) => Number(part.labels.has(label)));
