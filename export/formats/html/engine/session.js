/** Runs the model on ONNX Runtime's WebAssembly; the worker has defined `ort`. */

/** What ONNX Runtime takes of each type. */
const ORT_ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array,
  bool: Uint8Array,
};

/**
 * An ONNX file with a content digest as `openModel` opens it; its `run` gives a promise.
 * @param {Uint8Array} bytes the whole file
 * @param {Uint8Array} wasm
 * @returns {Promise<Model>}
 */
async function openSession(bytes, wasm) {
  const { manifest } = readModel(bytes);
  Object.assign(ort.env, { logLevel: "error" });
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: wasm });
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return { manifest, run: async (inputs) => mapEntries(await session.run(mapEntries(withinLimits(manifest, inputs), toOrt)), fromOrt) };
}

function toOrt({ dtype, shape, data }) {
  if (!Object.hasOwn(ORT_ARRAYS, dtype)) throw new Error(`a page gives ONNX Runtime no ${dtype}`);
  const numbers = dtype === "int64" ? BigInt64Array.from(data, BigInt) : ORT_ARRAYS[dtype].from(data);
  return new ort.Tensor(dtype, numbers, shape);
}

function fromOrt({ type, dims, data }) {
  if (!Object.hasOwn(ORT_ARRAYS, type)) throw new Error(`ONNX Runtime gives this page ${type}`);
  return makeTensor(type, [...dims], type === "int64" ? Float64Array.from(data, Number) : ARRAYS[type].from(data));
}
