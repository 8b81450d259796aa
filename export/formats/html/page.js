/** The page of one model, which contains everything it needs. */

const { textOf, unpackText } = window.ptxParts; // of the first script
const MAX_MULTIPLICATIONS = 1e7; // 20 MFLOP

let model = { ...data.model, examples: [] };
let worker = null;
const usesOrt = Boolean(document.getElementById("wasm"));
let requests = 0;
const pending = new Map(); // request number → functions that settle its promise
delete window.ptxParts;

async function startWorker() {
  const parts = [await unpackText("engine"), usesOrt ? await unpackText("runtime") : "", "ptx.work(self);"];
  const engine = new Blob(parts, { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(engine));
  worker.onmessage = ({ data: { id, value, error } }) => {
    const { done, fail } = pending.get(id);
    pending.delete(id);
    if (error) fail(Object.assign(new Error(error.message), error));
    else done(value);
  };
  worker.onerror = ({ message }) => { refuseToRun(new Error(message)); };
}

function send(action, argument) {
  requests += 1;
  worker.postMessage({ id: requests, action, argument });
  return new Promise((done, fail) => { pending.set(requests, { done, fail }); });
}

async function start() {
  show(byId("changed"), false);
  byId("verification").textContent = translated("checking");
  document.documentElement.lang = language;
  try {
    textOf("style");
    await startWorker();
    const found = await send("open", { packed: textOf("model"), wasm: usesOrt ? textOf("wasm") : null });
    document.querySelector("main").innerHTML = textOf("sections");
    useModel(found);
  } catch (error) {
    refuseToRun(error);
  }
}

function useModel({ samples, error, allowed, products, examples }) {
  model = { ...model, examples };
  translatePage();
  useDrawing();
  useFiles();
  useForms();
  showInput();
  reset();
  byId("verification").textContent = translated("verified", samples, model.reference, error.toExponential(1), allowed.toExponential(1));
  byId("slow").textContent = translated("slow", Math.round(products / 1e6));
  show(byId("slow"), products > MAX_MULTIPLICATIONS);
}

/** Shows why the page makes no predictions. */
function refuseToRun(error) {
  worker?.terminate();
  document.querySelector("main").replaceChildren();
  byId("verification").textContent = "";
  byId("changed").textContent = translated("changed", error.part ? translated("part", error.part) : reason(error));
  show(byId("changed"), true);
}

// Predicting

function reset() {
  requests += 1;
  clearPrediction();
}

async function predict(value) {
  reset();
  show(byId("waiting"), false);
  if (value instanceof Blob && model.kind === "picture") showPicture("input-image", value);
  const response = send("predict", value);
  const request = requests;
  try {
    const prediction = await response;
    if (request === requests) showResult(prediction);
  } catch (error) {
    if (request === requests) showError((error.input && model.arrays.length > 1 ? `${error.input}: ` : "") + reason(error));
  }
}

const reason = ({ word, values, message }) => (word ? translated(word, ...values) : message);

function showResult({ ranking, value, listing, modelInput, milliseconds }) {
  if (listing === undefined) showPrediction({ label: ranking[0]?.label, value, top: ranking.slice(0, 5) });
  byId("time").textContent = `${Math.round(milliseconds)} ${translated("milliseconds")}`;
  const isText = typeof modelInput === "string";
  if (!isText) showPixels(modelInput);
  byId("details").textContent = [...(isText ? [translated("received", modelInput)] : []), listing].join("\n");
  show(byId("details"), isText || listing !== undefined);
}

/** Gray pixels, or those of three channels, as the image that the model sees. */
function showPixels({ width, height, data: pixels, isBgr }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const shown = new ImageData(width, height);
  const channels = pixels.length / (width * height);
  for (let place = 0; place < width * height; place += 1) {
    const colours = [0, 1, 2].map((channel) => pixels[place * channels + (channels > 1 ? channel : 0)]);
    shown.data.set([...(isBgr ? colours.reverse() : colours), 255], 4 * place);
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  canvas.toBlob((blob) => showPicture("model-input", blob));
}

start();
