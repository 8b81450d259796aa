/** Arrays that a manifest does not store whole: `seeded.py` and `sampled.py` of `ptx.infer.artifact` say what they are. */

/** @returns {number} uint32 */
function mix(word) {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Index → that word of a seed. */
function wordsOf(seed) {
  const start = mix(seed);
  return (index) => mix(start + Math.imul(index + 1, 0x9e3779b9));
}

/**
 * An input of a golden sample, stored or made from its seed; an Error where that gives another digest here.
 * @param {Object} stored
 * @returns {Tensor}
 */
function readInput(stored) {
  if (!("seed" in stored)) return fromManifest(stored);
  const { dtype, shape, seed, bounds, sha256: digest } = stored;
  const tensor = makeTensor(dtype, shape);
  const word = wordsOf(seed);
  for (let at = 0; at < tensor.data.length; at += 1) {
    tensor.data[at] = makeNumber(word(2 * at), word(2 * at + 1), bounds);
  }
  if (sha256(toBytes(tensor)) !== digest) throw inputError("sample-other", `seed ${seed}`);
  return tensor;
}

function makeNumber(first, second, bounds) {
  if (!bounds) return ((first >>> 16) + (first & 0xffff) + (second >>> 16) + (second & 0xffff) - 131070) / 37837;
  const [low, high] = bounds;
  return low + Math.floor(((first * 2 ** 21 + (second >>> 11)) / 2 ** 53) * (high - low + 1));
}

/** Whether all elements of an output have the checksums of an array of which some elements are stored. */
function hasChecksums({ data }, stored) {
  const [sums, slack] = [fromManifest(stored.checksums).data, fromManifest(stored.slack).data];
  const word = wordsOf(0);
  return sums.every((expected, block) => {
    const [start, end] = [block, block + 1].map((edge) => Math.floor((data.length * edge) / sums.length));
    let [sum, magnitude] = [0, 0];
    for (let at = start; at < end; at += 1) {
      sum += word(at) >>> 31 ? -data[at] : data[at];
      magnitude += Math.abs(data[at]);
    }
    return Number.isFinite(sum) && Math.abs(sum - expected) <= slack[block] + (end - start) * 2 ** -52 * magnitude;
  });
}
