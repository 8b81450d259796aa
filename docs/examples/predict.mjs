// Predict with ONNX Runtime alone: `ptx export convnet --embed-preprocessing` puts the rest into the graph.
//
//     npm install onnxruntime-node
//     node predict.mjs convnet.pixels.onnx digit.pgm other.pgm
//
// An image is a binary PGM of the model's size, light on dark, as `convert digit.png digit.pgm` makes it.
// Finding a digit in a photograph (resize mode "mnist" in the manifest) is not part of this program.

import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';

// The API shows no custom metadata, so the manifest is read from the file: an ONNX file is one protobuf
// message, and its fields of number 14 are pairs of a key (field 1) and a value (field 2).
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the file ends early');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    if (tag % 8 === 0) varint();
    else if (tag % 8 === 1) at += 8;
    else if (tag % 8 === 5) at += 4;
    else {
      const size = varint();
      yield [number, bytes.subarray(at, at + size)];
      at += size;
    }
  }
}

function readManifest(file) {
  for (const [number, entry] of fields(file)) {
    if (number !== 14) continue;
    const pair = new Map(fields(entry));
    if (pair.get(1).toString() === 'ptx.manifest') return JSON.parse(pair.get(2).toString());
  }
  throw new Error('the file has no manifest: it was not written by ptx');
}

function checkManifest(manifest) {
  if (manifest.format !== 1) throw new Error(`the manifest has format ${manifest.format}; this program reads 1`);
  if (!manifest.signature.inputs.pixels || !manifest.signature.outputs.label)
    throw new Error('expected a classifier that was exported with --embed-preprocessing');
}

// The pixels of a binary PGM: "P5", width, height, 255, one byte for each pixel.
function readImage(path, height, width) {
  const bytes = readFileSync(path);
  const header = /^P5\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  if (!header || Number(header[1]) !== width || Number(header[2]) !== height)
    throw new Error(`${path}: expected a binary PGM of ${width}×${height} pixels`);
  return bytes.subarray(header[0].length, header[0].length + width * height);
}

const [model, ...images] = process.argv.slice(2);
const file = readFileSync(model);
const manifest = readManifest(file);
checkManifest(manifest);
const [, [, height, width]] = manifest.signature.inputs.pixels;

const session = await InferenceSession.create(file, { executionProviders: ['cpu'] });
for (const image of images) {
  const pixels = new Tensor('uint8', readImage(image, height, width), [1, height, width]);
  const { label, probabilities } = await session.run({ pixels });
  const best = Number(label.data[0]);
  console.log(`${image}: ${manifest.labels[best]} (${probabilities.data[best].toFixed(4)})`);
}
