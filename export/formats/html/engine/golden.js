/** The golden samples of a manifest: inputs with the outputs of PyTorch in float64. */

/**
 * Runs all of them; throws an Error at the first that differs.
 * @param {Model} model
 * @returns {Promise<{samples: number, error: number, allowed: number}>} the error that is closest to its tolerance
 */
async function replay(model) {
  const { golden, end_to_end, signature } = model.manifest;
  const closest = { samples: 0, error: 0, allowed: 0 };
  const arrays = golden.map((sample) => [mapEntries(sample.inputs, readInput), sample]);
  for (const [inputs, sample] of [...arrays, ...endToEndInputs(model.manifest, end_to_end)]) {
    const outputs = await model.run(inputs);
    for (const name of Object.keys(signature.outputs)) checkOutput(name, outputs[name], sample, closest);
    checkPredictions(model.manifest, outputs, sample);
    closest.samples += 1;
  }
  if (!closest.samples) throw inputError("sample-other", 0);
  return closest;
}

/** [inputs, sample] of end-to-end samples: texts and numbers are preprocessed here; for images the stored pixels are used. */
function endToEndInputs(manifest, samples) {
  return samples.flatMap((sample) => {
    const values = sample.values.map(({ text, numbers }) => text ?? numbers);
    const pictures = values.includes(undefined);
    if (pictures && !sample.read.length) return [];
    const read = pictures ? sample.read.map(fromManifest) : values.map((value) => preprocess(manifest, value));
    const inputs = collate(manifest, read);
    if (inputDigest(inputs) !== sample.sha256) throw inputError("sample-other", Object.keys(inputs));
    return [[inputs, sample]];
  });
}

function checkOutput(name, got, sample, closest) {
  const stored = sample.outputs[name];
  const sampled = "indices" in stored;
  const expected = fromManifest(sampled ? stored.values : stored);
  if (got.dtype !== (FLOATS.has(got.dtype) ? got.dtype : expected.dtype) || String(got.shape) !== String(stored.shape)) {
    throw inputError("sample-other", `${name} (${got.shape}), (${stored.shape})`);
  }
  const elements = sampled ? takePlaces(got, expected.shape, fromManifest(stored.indices).data) : got;
  if (FLOATS.has(got.dtype)) checkFloats(name, elements, expected, sample, closest);
  else checkIntegers(name, elements, expected, sample.ties?.[name]);
  if (sampled && !hasChecksums(got, stored)) throw inputError("sample-other", name);
}

function checkFloats(name, got, expected, sample, closest) {
  const columns = sample.columns?.[name];
  const allowed = columns
    ? expand(fromManifest(columns), got.shape).data
    : new Float64Array(got.data.length).fill(sample.tolerance[name]);
  for (let at = 0; at < allowed.length; at += 1) {
    const error = Math.abs(got.data[at] - expected.data[at]);
    if (!(error <= allowed[at])) {
      throw inputError("sample-off", name, error.toExponential(1), allowed[at].toExponential(1));
    }
    if (error * closest.allowed > closest.error * allowed[at] || !closest.allowed) {
      Object.assign(closest, { error, allowed: allowed[at] });
    }
  }
}

/** Integers must be equal, except for ties, where the result depends on rounding: `ties` has the accepted values. */
function checkIntegers(name, got, expected, ties) {
  const places = ties ? fromManifest(ties.indices).data : [];
  const values = ties ? fromManifest(ties.values) : null;
  const also = new Map(Array.from(places, (place, at) => [place, at]));
  got.data.forEach((value, at) => {
    const choices = also.has(at) ? takeAlong(values, 1, [also.get(at)]).data : [expected.data[at]];
    if (!choices.includes(value)) throw inputError("sample-other", `${name}: ${value}, ${expected.data[at]}`);
  });
}

/** Compares the stored prediction of each row: the label with its score, or the value. */
function checkPredictions(manifest, outputs, { predictions = [], tolerance }) {
  if (!predictions.length) return;
  const [name] = Object.keys(manifest.signature.outputs);
  const decoded = decodeOutputs(manifest, outputs);
  const { data, shape } = outputs[name];
  const allowed = (data.length / (predictions.length * shape.at(-1))) * tolerance[name] + 1e-9;
  predictions.forEach(([label, score, value], row) => {
    const { ranking, value: got } = decoded[row];
    const match = ranking.find((item) => item.label === label);
    const agrees = value !== null
      ? Math.abs(got - value) <= allowed
      : match && Math.abs(match.score - score) <= allowed && ranking[0].score - match.score <= 2 * allowed;
    if (!agrees) throw inputError("sample-other", label ?? value);
  });
}
