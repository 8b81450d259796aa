/** Products of matrices: each sum in float64, rounded once. */

const MATRIX = {
  Gemm: ([left, right, bias], attributes) => gemm(left, right, bias, attributes),
  MatMul: ([left, right]) => matMul(left, right),
};

/** The multiplications done so far: they say how long an answer takes. */
const counted = { products: 0 };

/**
 * out[m, n] = Σ left[m, k] · right[n, k]: both lie along k. Four sums go side by side.
 * @param {Float32Array} left (rows, inner)
 * @param {Float32Array} right (columns, inner)
 * @param {Float64Array} out (rows, columns)
 */
function multiply(left, right, { rows, columns, inner }, out) {
  counted.products += rows * columns * inner;
  const whole = columns - (columns % 4);
  for (let row = 0; row < rows; row += 1) {
    const from = row * inner;
    for (let column = 0; column < whole; column += 4) {
      const first = column * inner;
      const second = first + inner;
      const third = second + inner;
      const fourth = third + inner;
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let k = 0; k < inner; k += 1) {
        const x = left[from + k];
        a += x * right[first + k];
        b += x * right[second + k];
        c += x * right[third + k];
        d += x * right[fourth + k];
      }
      const to = row * columns + column;
      out[to] = a;
      out[to + 1] = b;
      out[to + 2] = c;
      out[to + 3] = d;
    }
    for (let column = whole; column < columns; column += 1) {
      let sum = 0;
      for (let k = 0; k < inner; k += 1) sum += left[from + k] * right[column * inner + k];
      out[row * columns + column] = sum;
    }
  }
}

function gemm(left, right, bias, { alpha = 1, beta = 1, transA = 0, transB = 0 }) {
  const rows = transA ? transpose(left, [1, 0]) : left;
  const columns = transB ? right : transposed(right);
  const [height, inner] = rows.shape;
  const [width] = columns.shape;
  if (columns.shape[1] !== inner) throw new Error(`the matrices ${left.shape} and ${right.shape} do not meet`);
  const sums = new Float64Array(height * width);
  multiply(rows.data, columns.data, { rows: height, columns: width, inner }, sums);
  const added = bias && expand(bias, [height, width]).data;
  const product = makeTensor(left.dtype, [height, width]);
  for (let at = 0; at < sums.length; at += 1) product.data[at] = alpha * sums[at] + (added ? beta * added[at] : 0);
  return product;
}

const turned = new WeakMap();

/** A matrix with its axes exchanged; of weights it is made once. */
function transposed(matrix) {
  if (!turned.has(matrix)) turned.set(matrix, transpose(matrix, [1, 0]));
  return turned.get(matrix);
}

/** Matrices in the last two axes; the others are repeated as they meet. */
function matMul(left, right) {
  const one = left.shape.length === 1 ? reshape(left, [1, ...left.shape]) : left;
  const other = right.shape.length === 1 ? reshape(right, [...right.shape, 1]) : right;
  const [[height, inner], [rows, width]] = [one.shape.slice(-2), other.shape.slice(-2)];
  if (rows !== inner) throw new Error(`the matrices ${left.shape} and ${right.shape} do not meet`);
  const outer = broadcastShapes(one.shape.slice(0, -2), other.shape.slice(0, -2));
  const columns = other.shape.length === 2 ? transposed(other) : swapLast(other);
  const from = [one, columns].map(({ shape }) => placesOf(outer, repeatingStrides(shape.slice(0, -2), outer)));
  const product = makeTensor(one.dtype, [...outer, height, width]);
  const sums = new Float64Array(height * width);
  for (let at = 0; at < from[0].length; at += 1) {
    const [first, second] = [from[0][at] * height * inner, from[1][at] * inner * width];
    multiply(
      one.data.subarray(first, first + height * inner), columns.data.subarray(second, second + inner * width),
      { rows: height, columns: width, inner }, sums,
    );
    product.data.set(sums, at * sums.length);
  }
  return reshape(product, [...outer, ...(left.shape.length === 1 ? [] : [height]), ...(right.shape.length === 1 ? [] : [width])]);
}

const swapLast = (tensor) => {
  const axes = [...tensor.shape.keys()];
  return transpose(tensor, [...axes.slice(0, -2), axes.at(-1), axes.at(-2)]);
};
