const { models } = data;

let model;
let controller = new AbortController();

function listModels() {
  for (const one of models) {
    const radio = make("input", "", { type: "radio", name: "model", value: one.name });
    radio.addEventListener("change", () => choose(one));
    const label = make("label", one.name);
    label.prepend(radio);
    byId("models").lastElementChild.append(label);
  }
}

function choose(one) {
  model = one;
  for (const radio of document.getElementsByName("model")) radio.checked = radio.value === one.name;
  history.replaceState(null, "", `#${encodeURIComponent(one.name)}`);
  document.title = `${one.name} – ptx`;
  showInput();
  byId("curl").textContent = curl();
  byId("python").textContent = python();
  reset();
}

// Predicting

function reset() {
  controller.abort();
  clearPrediction();
}

async function predict(value) {
  reset();
  show(byId("waiting"), false);
  const { signal } = controller = new AbortController();
  if (value instanceof Blob) showPicture("input-image", value);
  try {
    await Promise.all([requestPrediction(value, signal), requestPreview(value, signal)]);
  } catch (error) {
    if (!signal.aborted) showError(translated("silent"));
  }
}

const post = (address, body, signal) => fetch(address, { method: "POST", body, signal });

async function requestPrediction(value, signal) {
  const started = performance.now();
  const response = await post(`predict/${encodeURIComponent(model.name)}?top=5`, value, signal);
  const result = await response.json();
  if (signal.aborted) return;
  if (!response.ok) { showError(result.error); return; }
  byId("time").textContent = `${Math.round(performance.now() - started)} ${translated("milliseconds")}`;
  showPrediction(result);
}

async function requestPreview(value, signal) {
  const response = await post(`v2/models/${encodeURIComponent(model.name)}/preview`, value, signal);
  if (!response.ok) return; // requestPrediction shows the error
  if (response.headers.get("content-type") === "image/png") {
    const picture = await response.blob();
    if (!signal.aborted) showPicture("model-input", picture);
    return;
  }
  const { preview } = await response.json();
  if (signal.aborted) return;
  byId("details").textContent = translated("received", preview);
  show(byId("details"), true);
}

// Code that sends the same request

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const sample = () => model.examples.find(() => model.kind !== "picture") || (model.kind === "row" ? model.columns.map(() => "0").join(",") : "text");

function curl() {
  const address = new URL(`predict/${encodeURIComponent(model.name)}`, location);
  if (model.kind === "none") return `curl ${new URL(`v2/models/${encodeURIComponent(model.name)}`, location)}`;
  return `curl --data-binary ${model.kind === "picture" ? "@picture.png" : quoted(sample())} ${address}`;
}

function python() {
  const secure = location.protocol === "https:" ? ", ssl=True" : "";
  const inputs = model.kind === "none" ? model.tensors : [[model.input, "BYTES", [1]]];
  const values = model.kind === "none" ? null : model.kind === "picture"
    ? 'open("picture.png", "rb").read()' : `${JSON.stringify(sample())}.encode()`;
  const lines = inputs.flatMap(([name, type, shape], index) => [
    `tensor${index} = http.InferInput(${JSON.stringify(name)}, ${JSON.stringify(shape.map((size) => Math.max(size, 1)))}, "${type}")`,
    values === null
      ? `tensor${index}.set_data_from_numpy(np.zeros(tensor${index}.shape(), triton_to_np_dtype("${type}")))`
      : `tensor${index}.set_data_from_numpy(np.array([${values}], object))`,
  ]);
  const names = inputs.map((_, index) => `tensor${index}`).join(", ");
  return [
    "import numpy as np", "import tritonclient.http as http",
    ...(values === null ? ["from tritonclient.utils import triton_to_np_dtype"] : []), "",
    `client = http.InferenceServerClient("${location.host}"${secure})`, ...lines,
    `print(client.infer(${JSON.stringify(model.name)}, [${names}]).as_numpy(${JSON.stringify(model.output)}))`,
  ].join("\n");
}

function useCopy() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
      button.textContent = translated("copied");
      setTimeout(() => { button.textContent = translated("copy"); }, 1500);
    });
  }
}

translatePage();
listModels();
useDrawing();
useFiles();
useForms();
if (navigator.clipboard) useCopy(); // a plain http address of another host has none
else for (const button of document.querySelectorAll("[data-copy]")) show(button, false);
choose(models.find((one) => one.name === decodeURIComponent(location.hash.slice(1))) || models[0]);
