/** An ONNX file's messages: https://protobuf.dev/programming-guides/encoding, onnx/onnx.proto. */

/** Field number → [name, type]; `*` behind a type: the field may stand again. Others are passed over. */
const MESSAGES = {
  Model: {
    7: ["graph", "Graph"], 8: ["opsets", "Opset*"], 14: ["metadata", "Entry*"], 25: ["functions", "bytes*"],
  },
  Opset: { 1: ["domain", "text"], 2: ["version", "int"] },
  Entry: { 1: ["key", "text"], 2: ["value", "bytes"] },
  Graph: {
    1: ["nodes", "Node*"], 5: ["initializers", "Tensor*"], 11: ["inputs", "Value*"], 12: ["outputs", "Value*"],
    15: ["sparse", "bytes*"],
  },
  Value: { 1: ["name", "text"] },
  Node: {
    1: ["inputs", "text*"], 2: ["outputs", "text*"], 4: ["operator", "text"], 5: ["attributes", "Attribute*"],
    7: ["domain", "text"],
  },
  Attribute: {
    1: ["name", "text"], 2: ["f", "float"], 3: ["i", "int"], 4: ["s", "text"], 5: ["t", "Tensor"], 6: ["g", "bytes"],
    7: ["floats", "float*"], 8: ["ints", "int*"], 9: ["strings", "text*"], 20: ["type", "int"],
  },
  Tensor: {
    1: ["dims", "int*"], 2: ["type", "int"], 4: ["float_data", "float*"], 5: ["int32_data", "int*"],
    7: ["int64_data", "int*"], 8: ["name", "text"], 9: ["raw_data", "bytes"], 10: ["double_data", "double*"],
    14: ["location", "int"],
  },
};

const [VARINT, FIXED64, LENGTH, FIXED32] = [0, 1, 2, 5];

/**
 * A message as an object; what may stand again is an array.
 * @param {string} kind a key of MESSAGES
 * @param {Uint8Array} bytes
 * @returns {Object}
 */
function readMessage(kind, bytes) {
  const found = {};
  for (const [name, type] of Object.values(MESSAGES[kind])) if (type.endsWith("*")) found[name] = [];
  for (const [number, wire, value] of walkFields(bytes)) {
    const known = MESSAGES[kind][number];
    if (!known) continue;
    const [name, type] = known;
    if (!type.endsWith("*")) found[name] = readValue(type, wire, value);
    else if (wire === LENGTH && /^(int|float|double)/.test(type)) found[name].push(...readPacked(type, value));
    else found[name].push(readValue(type.slice(0, -1), wire, value));
  }
  return found;
}

/** [number, wire type, value] of each field: a number, or the bytes of it. */
function* walkFields(bytes) {
  const at = { place: 0 };
  while (at.place < bytes.length) {
    const tag = readVarint(bytes, at);
    const wire = tag % 8;
    if (wire === VARINT) {
      yield [Math.floor(tag / 8), wire, readVarint(bytes, at)];
      continue;
    }
    const size = wire === LENGTH ? readVarint(bytes, at) : wire === FIXED64 ? 8 : wire === FIXED32 ? 4 : NaN;
    if (!(size <= bytes.length - at.place)) throw new Error("the model's bytes end early, or are none of ONNX");
    yield [Math.floor(tag / 8), wire, bytes.subarray(at.place, at.place + size)];
    at.place += size;
  }
}

/** A number of up to 64 bits, signed; beyond 2^53 it is rounded, as the end of a slice may be. */
function readVarint(bytes, at) {
  let low = 0;
  for (let count = 0; count < 10; count += 1) {
    if (at.place >= bytes.length) throw new Error("the model's bytes end inside a number");
    const byte = bytes[at.place];
    at.place += 1;
    if (count < 7) low += (byte & 0x7f) * 2 ** (7 * count);
    else low = BigInt(low) + (BigInt(byte & 0x7f) << BigInt(7 * count));
    if (byte < 0x80) return Number(BigInt.asIntN(64, BigInt(low)));
  }
  throw new Error("the model's bytes hold a number of more than 64 bits");
}

function readValue(type, wire, value) {
  if (type in MESSAGES) return readMessage(type, value);
  if (type === "text") return fromUtf8(value);
  if (type === "float") return viewOf(value).getFloat32(0, true);
  if (type === "double") return viewOf(value).getFloat64(0, true);
  return value;
}

/** The numbers of a repeated field that stand one behind the other. */
function readPacked(type, bytes) {
  const numbers = [];
  const size = type === "float*" ? 4 : 8;
  const at = { place: 0 };
  while (at.place < bytes.length) {
    if (type === "int*") {
      numbers.push(readVarint(bytes, at));
    } else {
      numbers.push(readValue(type.slice(0, -1), FIXED32, bytes.subarray(at.place, at.place + size)));
      at.place += size;
    }
  }
  return numbers;
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
