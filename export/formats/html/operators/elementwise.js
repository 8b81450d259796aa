/** Operators that make each number of the output of the numbers at its place. */

/** Attributes → the function of one number. */
const OF_ONE = {
  Abs: () => Math.abs,
  Acos: () => Math.acos,
  Asin: () => Math.asin,
  Atan: () => Math.atan,
  Ceil: () => Math.ceil,
  Celu: ({ alpha = 1 }) => (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha)),
  Cos: () => Math.cos,
  Cosh: () => Math.cosh,
  Elu: ({ alpha = 1 }) => (x) => (x < 0 ? alpha * Math.expm1(x) : x),
  Erf: () => errorFunction,
  Exp: () => Math.exp,
  Floor: () => Math.floor,
  Gelu: ({ approximate = "none" }) => (approximate === "tanh"
    ? (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
    : (x) => 0.5 * x * (1 + errorFunction(x * Math.SQRT1_2))),
  HardSigmoid: ({ alpha = 0.2, beta = 0.5 }) => (x) => Math.max(0, Math.min(1, alpha * x + beta)),
  HardSwish: () => (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)),
  Identity: () => (x) => x,
  LeakyRelu: ({ alpha = 0.01 }) => (x) => (x < 0 ? alpha * x : x),
  Log: () => Math.log,
  Mish: () => (x) => x * Math.tanh(softplus(x)),
  Neg: () => (x) => -x,
  Reciprocal: () => (x) => 1 / x,
  Relu: () => (x) => Math.max(x, 0),
  Round: () => roundHalfToEven,
  Selu: ({ alpha = 1.6732632423543772, gamma = 1.0507009873554805 }) => (
    (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x))),
  Sigmoid: () => sigmoid,
  Sign: () => Math.sign,
  Sin: () => Math.sin,
  Sinh: () => Math.sinh,
  Softplus: () => softplus,
  Softsign: () => (x) => x / (1 + Math.abs(x)),
  Sqrt: () => Math.sqrt,
  Tan: () => Math.tan,
  Tanh: () => Math.tanh,
  ThresholdedRelu: ({ alpha = 1 }) => (x) => (x > alpha ? x : 0),
};

/** The function of two numbers; `integers`: whether they are. */
const OF_TWO = {
  Add: () => (x, y) => x + y,
  Div: (_, integers) => (integers ? (x, y) => Math.trunc(x / y) : (x, y) => x / y),
  Mod: ({ fmod = 0 }) => (fmod ? (x, y) => x % y : remainder),
  Mul: () => (x, y) => x * y,
  PRelu: () => (x, slope) => (x < 0 ? slope * x : x),
  Pow: () => (x, y) => x ** y,
  Sub: () => (x, y) => x - y,
};

const COMPARED = {
  And: (x, y) => x && y,
  Equal: (x, y) => x === y,
  Greater: (x, y) => x > y,
  GreaterOrEqual: (x, y) => x >= y,
  Less: (x, y) => x < y,
  LessOrEqual: (x, y) => x <= y,
  Or: (x, y) => x || y,
  Xor: (x, y) => x !== y,
};

const ELEMENTWISE = {
  ...mapEntries(OF_ONE, (make) => ([tensor], attributes) => mapOne(tensor, make(attributes))),
  ...mapEntries(OF_TWO, (make) => ([one, other], attributes) => mapTwo(one, other, make(attributes, !FLOATS.has(one.dtype)))),
  ...mapEntries(COMPARED, (compare) => ([one, other]) => mapTwo(one, other, compare, "bool")),
  Cast: ([tensor], { to }) => cast(tensor, ONNX_TYPES[to]),
  CastLike: ([tensor, like]) => cast(tensor, like.dtype),
  Clip: ([tensor, least, most]) => {
    const [low, high] = [least?.data[0] ?? -Infinity, most?.data[0] ?? Infinity];
    return mapOne(tensor, (x) => Math.min(high, Math.max(low, x)));
  },
  Dropout: ([tensor]) => tensor,
  IsInf: ([tensor], { detect_negative = 1, detect_positive = 1 }) => (
    mapOne(tensor, (x) => (detect_positive && x === Infinity) || (detect_negative && x === -Infinity), "bool")),
  IsNaN: ([tensor]) => mapOne(tensor, Number.isNaN, "bool"),
  Max: (tensors) => tensors.reduce((one, other) => mapTwo(one, other, Math.max)),
  Mean: (tensors) => mapOne(tensors.reduce((one, other) => mapTwo(one, other, (x, y) => x + y)), (x) => x / tensors.length),
  Min: (tensors) => tensors.reduce((one, other) => mapTwo(one, other, Math.min)),
  Not: ([tensor]) => mapOne(tensor, (x) => !x),
  Sum: (tensors) => tensors.reduce((one, other) => mapTwo(one, other, (x, y) => x + y)),
  Where: ([condition, yes, no]) => {
    const shape = broadcastShapes(condition.shape, broadcastShapes(yes.shape, no.shape));
    const [choice, one, other] = [condition, yes, no].map((tensor) => expand(tensor, shape).data);
    const chosen = makeTensor(yes.dtype, shape);
    for (let at = 0; at < choice.length; at += 1) chosen.data[at] = choice[at] ? one[at] : other[at];
    return chosen;
  },
};

function mapEntries(table, change) {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));
}

function mapOne(tensor, change, dtype = tensor.dtype) {
  const changed = makeTensor(dtype, tensor.shape);
  const { data } = tensor;
  for (let at = 0; at < data.length; at += 1) changed.data[at] = change(data[at]);
  return changed;
}

function mapTwo(one, other, join, dtype = one.dtype) {
  const shape = broadcastShapes(one.shape, other.shape);
  const [first, second] = [expand(one, shape).data, expand(other, shape).data];
  const joined = makeTensor(dtype, shape);
  for (let at = 0; at < first.length; at += 1) joined.data[at] = join(first[at], second[at]);
  return joined;
}

/** Of floats to integers what stands before the point. */
function cast(tensor, dtype) {
  if (!dtype || dtype === "float16") throw new Error("a page does not cast to that type");
  if (dtype === "bool") return mapOne(tensor, (x) => x !== 0, dtype);
  const whole = FLOATS.has(tensor.dtype) && !FLOATS.has(dtype);
  return mapOne(tensor, whole ? Math.trunc : (x) => x, dtype);
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** The rest of a division, with the sign of `y`. */
function remainder(x, y) {
  const rest = x % y;
  return rest && rest < 0 !== y < 0 ? rest + y : rest;
}

function roundHalfToEven(x) {
  const below = Math.floor(x);
  const rest = x - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/**
 * erf: near zero by its series, further out by the continued fraction of erfc.
 * Source: Abramowitz and Stegun, 7.1.6 and 7.1.14; within 1e-15.
 */
function errorFunction(x) {
  const size = Math.abs(x);
  if (Number.isNaN(x) || size > 6) return Number.isNaN(x) ? x : Math.sign(x);
  if (size < 2.5) {
    let [term, sum] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n += 1) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x)) * sum;
  }
  let fraction = size;
  for (let n = 60; n > 0; n -= 1) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
}
