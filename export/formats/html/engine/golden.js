/** The golden samples of a manifest: inputs with what PyTorch answers to them in float64. */

/**
 * Runs them all; an Error at the first that does not come out.
 * @param {Model} model
 * @returns {Promise<{samples: number, error: number, allowed: number}>} the error nearest to what is allowed
 */
async function replay(model) {
  const { golden, end_to_end, signature } = model.manifest;
  const nearest = { samples: 0, error: 0, allowed: 0 };
  const arrays = golden.map((sample) => [mapEntries(sample.inputs, readInput), sample]);
  for (const [inputs, sample] of [...arrays, ...endToEndInputs(model.manifest, end_to_end)]) {
    const outputs = await model.run(inputs);
    for (const name of Object.keys(signature.outputs)) checkOutput(name, outputs[name], sample, nearest);
    checkAnswers(model.manifest, outputs, sample);
    nearest.samples += 1;
  }
  if (!nearest.samples) throw refusal("sample-other", 0);
  return nearest;
}

/** [inputs, sample] of end-to-end samples: texts and numbers are read here, of pictures their pixels are kept. */
function endToEndInputs(manifest, samples) {
  return samples.flatMap((sample) => {
    const values = sample.values.map(({ text, numbers }) => text ?? numbers);
    const pictures = values.includes(undefined);
    if (pictures && !sample.read.length) return [];
    const read = pictures ? sample.read.map(fromManifest) : values.map((value) => readSample(manifest, value));
    const inputs = collate(manifest, read);
    if (inputDigest(inputs) !== sample.sha256) throw refusal("sample-other", Object.keys(inputs));
    return [[inputs, sample]];
  });
}

function checkOutput(name, got, sample, nearest) {
  const stored = sample.outputs[name];
  const sampled = "indices" in stored;
  const expected = fromManifest(sampled ? stored.values : stored);
  if (got.dtype !== (FLOATS.has(got.dtype) ? got.dtype : expected.dtype) || String(got.shape) !== String(stored.shape)) {
    throw refusal("sample-other", `${name} (${got.shape}), (${stored.shape})`);
  }
  const elements = sampled ? takePlaces(got, expected.shape, fromManifest(stored.indices).data) : got;
  if (FLOATS.has(got.dtype)) checkFloats(name, elements, expected, sample, nearest);
  else checkIntegers(name, elements, expected, sample.ties?.[name]);
  if (sampled && !hasChecksums(got, stored)) throw refusal("sample-other", name);
}

function checkFloats(name, got, expected, sample, nearest) {
  const columns = sample.columns?.[name];
  const allowed = columns
    ? expand(fromManifest(columns), got.shape).data
    : new Float64Array(got.data.length).fill(sample.tolerance[name]);
  for (let at = 0; at < allowed.length; at += 1) {
    const error = Math.abs(got.data[at] - expected.data[at]);
    if (!(error <= allowed[at])) {
      throw refusal("sample-off", name, error.toExponential(1), allowed[at].toExponential(1));
    }
    if (error * nearest.allowed > nearest.error * allowed[at] || !nearest.allowed) {
      Object.assign(nearest, { error, allowed: allowed[at] });
    }
  }
}

/** Integers are equal, but where rounding decides: there `ties` says what else may stand. */
function checkIntegers(name, got, expected, ties) {
  const places = ties ? fromManifest(ties.indices).data : [];
  const values = ties ? fromManifest(ties.values) : null;
  const also = new Map(Array.from(places, (place, at) => [place, at]));
  got.data.forEach((value, at) => {
    const choices = also.has(at) ? takeAlong(values, 1, [also.get(at)]).data : [expected.data[at]];
    if (!choices.includes(value)) throw refusal("sample-other", `${name}: ${value}, ${expected.data[at]}`);
  });
}

/** What a person is told of each row: the label with its score, or the value. */
function checkAnswers(manifest, outputs, { predictions = [], tolerance }) {
  if (!predictions.length) return;
  const [name] = Object.keys(manifest.signature.outputs);
  const decided = decide(manifest, outputs);
  const { data, shape } = outputs[name];
  const allowed = (data.length / (predictions.length * shape.at(-1))) * tolerance[name] + 1e-9;
  predictions.forEach(([label, score, value], row) => {
    const { ranking, value: got } = decided[row];
    const own = ranking.find((item) => item.label === label);
    const holds = value !== null
      ? Math.abs(got - value) <= allowed
      : own && Math.abs(own.score - score) <= allowed && ranking[0].score - own.score <= 2 * allowed;
    if (!holds) throw refusal("sample-other", label ?? value);
  });
}
