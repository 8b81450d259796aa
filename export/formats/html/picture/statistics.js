/** What NumPy makes of many numbers. */

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

/** The number below which a share of the values lies, between two of them as they are apart. */
function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

const median = (values) => quantile(values, 0.5);
const largest = (values) => values.reduce((one, other) => (one > other ? one : other), -Infinity);

/**
 * Least squares: the coefficients that bring `terms` nearest to `values`, the shortest where several do.
 * @param {number[][]} terms rows of as many numbers as there are coefficients
 * @param {number[][]} values for each row as many numbers as there are answers
 * @param {number} share singular values below this share of the largest count as 0
 * @returns {number[][]} (answers, coefficients)
 */
function leastSquares(terms, values, share) {
  const count = terms[0].length;
  const matrix = Array.from({ length: count }, (_, i) => Array.from({ length: count }, (__, j) => (
    terms.reduce((sum, row) => sum + row[i] * row[j], 0))));
  const { squares, axes } = diagonalize(matrix);
  const least = share ** 2 * Math.max(...squares);
  return values[0].map((_, answer) => {
    const right = axes[0].map((__, i) => terms.reduce((sum, row, at) => sum + row[i] * values[at][answer], 0));
    const along = squares.map((square, k) => (
      square > least ? axes.reduce((sum, row, i) => sum + row[k] * right[i], 0) / square : 0));
    return axes.map((row) => row.reduce((sum, part, k) => sum + part * along[k], 0));
  });
}

/** The eigenvalues of a symmetric matrix and its eigenvectors as columns, by Jacobi's rotations. */
function diagonalize(matrix) {
  const size = matrix.length;
  const axes = matrix.map((_, i) => matrix.map((__, j) => Number(i === j)));
  const rotate = (rows, p, q, cosine, sine) => {
    for (const row of rows) [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
  };
  for (let round = 0; round < 30; round += 1) {
    for (let p = 0; p < size - 1; p += 1) {
      for (let q = p + 1; q < size; q += 1) {
        if (matrix[p][q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * matrix[p][q], matrix[q][q] - matrix[p][p]);
        const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
        rotate(matrix, p, q, cosine, sine);
        for (let k = 0; k < size; k += 1) {
          const [one, other] = [matrix[p][k], matrix[q][k]];
          matrix[p][k] = cosine * one - sine * other;
          matrix[q][k] = sine * one + cosine * other;
        }
        rotate(axes, p, q, cosine, sine);
      }
    }
  }
  return { squares: matrix.map((row, i) => row[i]), axes };
}
