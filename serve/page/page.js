const { models } = data;

let model;
let asking = new AbortController();

function listModels() {
  for (const one of models) {
    const radio = make("input", "", { type: "radio", name: "model", value: one.name });
    radio.addEventListener("change", () => choose(one));
    const label = make("label", one.name);
    label.prepend(radio);
    at("models").lastElementChild.append(label);
  }
}

function choose(one) {
  model = one;
  for (const radio of document.getElementsByName("model")) radio.checked = radio.value === one.name;
  history.replaceState(null, "", `#${encodeURIComponent(one.name)}`);
  document.title = `${one.name} – ptx`;
  showInput();
  at("curl").textContent = curl();
  at("python").textContent = python();
  forget();
}

// Asking

function forget() {
  asking.abort();
  clearAnswer();
}

async function ask(value) {
  forget();
  show(at("waiting"), false);
  const { signal } = asking = new AbortController();
  if (value instanceof Blob) showPicture("given", value);
  try {
    await Promise.all([askAnswer(value, signal), askPreview(value, signal)]);
  } catch (error) {
    if (!signal.aborted) refuse(say("silent"));
  }
}

const post = (address, body, signal) => fetch(address, { method: "POST", body, signal });

async function askAnswer(value, signal) {
  const begun = performance.now();
  const response = await post(`predict/${encodeURIComponent(model.name)}?top=5`, value, signal);
  const answer = await response.json();
  if (signal.aborted) return;
  if (!response.ok) { refuse(answer.error); return; }
  at("time").textContent = `${Math.round(performance.now() - begun)} ${say("milliseconds")}`;
  showAnswer(answer);
}

async function askPreview(value, signal) {
  const response = await post(`v2/models/${encodeURIComponent(model.name)}/preview`, value, signal);
  if (!response.ok) return; // the answer says why
  if (response.headers.get("content-type") === "image/png") {
    const picture = await response.blob();
    if (!signal.aborted) showPicture("seen", picture);
    return;
  }
  const { preview } = await response.json();
  if (signal.aborted) return;
  at("read").textContent = say("read", preview);
  show(at("read"), true);
}

// The same from a program

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
      await navigator.clipboard.writeText(at(button.dataset.copy).textContent);
      button.textContent = say("copied");
      setTimeout(() => { button.textContent = say("copy"); }, 1500);
    });
  }
}

translate();
listModels();
usePaper();
useFiles();
useForms();
if (navigator.clipboard) useCopy(); // a plain http address of another host has none
else for (const button of document.querySelectorAll("[data-copy]")) show(button, false);
choose(models.find((one) => one.name === decodeURIComponent(location.hash.slice(1))) || models[0]);
