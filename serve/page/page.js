"use strict";
const { models, words } = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in words) || "en";
const say = (word) => words[language][word];
const make = (tag, text = "", given = {}) => Object.assign(document.createElement(tag), { textContent: text }, given);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const show = (element, shown) => { element.hidden = !shown; };

let model;
let asking = new AbortController();

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const element of document.querySelectorAll("[data-alt]")) element.alt = say(element.dataset.alt);
}

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
  for (const kind of ["picture", "text", "row", "none"]) show(at(kind), one.kind === kind);
  at("expects").textContent = one.kind === "none" ? "" : `${say("expects")}: ${one.expects}`;
  at("fields").replaceChildren(...one.columns.map(makeField));
  at("word").value = "";
  showExamples();
  at("card").replaceChildren(...one.facts.flatMap(([word, text]) => [make("dt", say(word)), make("dd", text)]));
  at("curl").textContent = curl();
  at("python").textContent = python();
  clearPaper();
  forget();
}

function makeField(name, index) {
  const field = make("input", "", { inputMode: "decimal", autocomplete: "off", required: true });
  field.addEventListener("paste", (event) => fillFields(event, index));
  const label = make("label", name);
  label.append(field);
  return label;
}

function fillFields(event, from) {
  const numbers = event.clipboardData.getData("text").trim().split(/[\s,;]+/);
  if (numbers.length < 2) return;
  event.preventDefault();
  fields().slice(from).forEach((field, index) => { field.value = numbers[index] ?? field.value; });
}

const fields = () => [...at("fields").querySelectorAll("input")];

function showExamples() {
  const list = at("examples").lastElementChild;
  list.replaceChildren(...model.examples.map((value, index) => {
    const button = make("button", model.kind === "picture" ? "" : value, { type: "button" });
    if (model.kind === "picture") button.append(make("img", "", { src: value, alt: `${say("example")} ${index + 1}` }));
    button.addEventListener("click", () => takeExample(value));
    return button;
  }));
  show(at("examples"), model.examples.length > 0);
}

function takeExample(value) {
  if (model.kind === "picture") return ask(bytesOf(value));
  if (model.kind === "text") at("word").value = value;
  else value.split(",").forEach((number, index) => { fields()[index].value = number; });
  return ask(value);
}

function bytesOf(address) {
  const [head, text] = address.split(",");
  return new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))], { type: head.slice(5, head.indexOf(";")) });
}

// Paper

const pen = at("paper").getContext("2d");
let drawn = null;

function clearPaper() {
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, 280, 280);
}

function place(event) {
  const box = at("paper").getBoundingClientRect();
  return [(event.clientX - box.left) * (280 / box.width), (event.clientY - box.top) * (280 / box.height)];
}

function draw(event) {
  if (!drawn) return;
  const to = place(event);
  Object.assign(pen, { lineWidth: 20, lineCap: "round", strokeStyle: "#000000" });
  pen.beginPath();
  pen.moveTo(...drawn);
  pen.lineTo(...to);
  pen.stroke();
  drawn = to;
}

function usePaper() {
  const paper = at("paper");
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    drawn = place(event);
    draw(event);
  });
  paper.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) {
    paper.addEventListener(end, () => {
      if (drawn) paper.toBlob((blob) => ask(blob));
      drawn = null;
    });
  }
  at("clear").addEventListener("click", () => { clearPaper(); forget(); });
}

// Files

function takeFile(list) {
  const file = [...list].find((one) => one.type.startsWith("image/")) || list[0];
  if (file && model.kind === "picture") ask(file);
}

function useFiles() {
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", (event) => { takeFile(event.target.files); event.target.value = ""; });
  }
  document.addEventListener("paste", (event) => takeFile(event.clipboardData.files));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragged"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragged"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragged");
    takeFile(event.dataTransfer.files);
  });
}

// Asking

function forget() {
  asking.abort();
  for (const id of ["refusal", "label", "read"]) show(at(id), false);
  for (const id of ["given", "seen"]) show(at(id).parentElement, false);
  show(at("waiting"), true);
  at("bars").replaceChildren();
  at("time").textContent = "";
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
  const response = await post(`/predict/${encodeURIComponent(model.name)}?top=5`, value, signal);
  const answer = await response.json();
  if (signal.aborted) return;
  if (!response.ok) { refuse(answer.error); return; }
  at("time").textContent = `${Math.round(performance.now() - begun)} ${say("milliseconds")}`;
  at("label").textContent = answer.label ?? String(Number(answer.value.toPrecision(6)));
  show(at("label"), true);
  at("bars").replaceChildren(...(answer.top || []).map(makeBar));
}

function makeBar({ label, score }) {
  const item = make("li");
  const bar = make("progress", "", { max: 1, value: score });
  bar.setAttribute("aria-label", label);
  item.append(make("span", label), bar, make("span", percent(score)));
  return item;
}

async function askPreview(value, signal) {
  const response = await post(`/v2/models/${encodeURIComponent(model.name)}/preview`, value, signal);
  if (!response.ok) return; // the answer says why
  if (response.headers.get("content-type") === "image/png") {
    const picture = await response.blob();
    if (!signal.aborted) showPicture("seen", picture);
    return;
  }
  const { seen } = await response.json();
  if (signal.aborted) return;
  at("read").textContent = `${say("read")}: ${seen}`;
  show(at("read"), true);
}

function showPicture(id, blob) {
  const image = at(id);
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  show(image.parentElement, true);
}

function refuse(reason) {
  at("refusal").textContent = reason;
  show(at("refusal"), true);
}

// The same from a program

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const sample = () => model.examples.find(() => model.kind !== "picture") || (model.kind === "row" ? model.columns.map(() => "0").join(",") : "text");

function curl() {
  const address = `${location.origin}/predict/${encodeURIComponent(model.name)}`;
  if (model.kind === "none") return `curl ${location.origin}/v2/models/${encodeURIComponent(model.name)}`;
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
if (navigator.clipboard) useCopy(); // a plain http address of another host has none
else for (const button of document.querySelectorAll("[data-copy]")) show(button, false);
at("text").addEventListener("submit", (event) => { event.preventDefault(); ask(at("word").value); });
at("row").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(fields().map((field) => field.value.trim().replace(",", ".")).join(","));
});
choose(models.find((one) => one.name === decodeURIComponent(location.hash.slice(1))) || models[0]);
