"use strict";
/** What the pages of ptx share; each calls its own `predict(value)`, `reset()` and `model`. */
const data = JSON.parse(document.getElementById("data").textContent);
const { words } = data;
const byId = (id) => document.getElementById(id);
const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in words) || "en";
const translated = (word, ...values) => words[language][word].replace(/\{(\d)\}/g, (_, index) => values[index]);
const make = (tag, text = "", properties = {}) => Object.assign(document.createElement(tag), { textContent: text }, properties);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const show = (element, visible) => { element.hidden = !visible; };

function translatePage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = translated(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", translated(element.dataset.label));
  for (const element of document.querySelectorAll("[data-alt]")) element.alt = translated(element.dataset.alt);
}

/** Shows the input elements that suit the model. */
function showInput() {
  for (const kind of ["picture", "text", "row", "array", "none"]) show(byId(kind), model.kind === kind);
  byId("expects").textContent = model.kind === "none" ? "" : translated("expects", translated(...model.expects));
  byId("fields").replaceChildren(...model.columns.map(makeField));
  byId("arrays").replaceChildren(...model.arrays.flatMap(makeArray));
  byId("text-input").value = "";
  const drawing = model.drawing !== false; // a drawing is no useful input of a model for photographs
  for (const id of ["drawing", "clear"]) show(byId(id), drawing);
  byId("drop").textContent = translated(drawing ? "drop" : "drop-alone");
  closeCamera();
  showExamples();
  byId("manifest").replaceChildren(...model.facts.flatMap(([word, text]) => [make("dt", translated(word)), make("dd", Array.isArray(text) ? translated(...text) : text)]));
  clearDrawing();
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

const fields = () => [...byId("fields").querySelectorAll("input")];

function useForms() {
  byId("text").addEventListener("submit", (event) => { event.preventDefault(); predict(byId("text-input").value); });
  byId("array").addEventListener("submit", (event) => { event.preventDefault(); predictArrays(); });
  byId("row").addEventListener("submit", (event) => {
    event.preventDefault();
    predict(fields().map((field) => field.value.trim().replace(",", ".")).join(","));
  });
}

/** A field for one array, and a file for it. */
function makeArray(text, index) {
  const own = (name) => (index ? `${name}-${index}` : name);
  const field = make("textarea", "", { id: own("numbers"), rows: model.arrays.length > 1 ? 3 : 6, autocomplete: "off", spellcheck: false });
  const file = make("input", "", { id: own("table"), type: "file", accept: ".npy,.json,.csv,.txt" });
  file.setAttribute("aria-label", `${translated("open")}, ${text}`);
  file.addEventListener("change", () => { setArray(field, file.files[0]); file.value = ""; });
  const button = make("label", "", { className: "button" });
  button.append(make("span", translated("open")), file);
  return [make("label", text, { htmlFor: field.id }), field, button];
}

const arrays = () => [...byId("arrays").querySelectorAll("textarea")];

/** Sets a file instead of the text of a field; its name is shown as the placeholder. */
function setArray(field, file) {
  Object.assign(field, { file, value: "", placeholder: file.name });
  if (arrays().every((one) => one.value || one.file)) predictArrays();
}

const predictArrays = () => predict(arrays().map(({ value, file }) => value || file || ""));

function showExamples() {
  const list = byId("examples").lastElementChild;
  list.replaceChildren(...model.examples.map((value, index) => {
    const button = make("button", model.kind === "picture" ? "" : value, { type: "button" });
    if (model.kind === "picture") button.append(make("img", "", { src: value, alt: `${translated("example")} ${index + 1}` }));
    button.addEventListener("click", () => takeExample(value));
    return button;
  }));
  show(byId("examples"), model.examples.length > 0);
}

function takeExample(value) {
  if (model.kind === "picture") return predict(bytesOf(value));
  if (model.kind === "text") byId("text-input").value = value;
  else value.split(",").forEach((number, index) => { fields()[index].value = number; });
  return predict(value);
}

function bytesOf(address) {
  const [head, text] = address.split(",");
  return new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))], { type: head.slice(5, head.indexOf(";")) });
}

// Drawing

let context = null;
let lastPoint = null;

function clearDrawing() {
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, 280, 280);
}

function pointOf(event) {
  const box = byId("drawing").getBoundingClientRect();
  return [(event.clientX - box.left) * (280 / box.width), (event.clientY - box.top) * (280 / box.height)];
}

function draw(event) {
  if (!lastPoint) return;
  const to = pointOf(event);
  Object.assign(context, { lineWidth: 20, lineCap: "round", strokeStyle: "#000000" });
  context.beginPath();
  context.moveTo(...lastPoint);
  context.lineTo(...to);
  context.stroke();
  lastPoint = to;
}

function useDrawing() {
  const drawing = byId("drawing");
  context = drawing.getContext("2d");
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    lastPoint = pointOf(event);
    draw(event);
  });
  drawing.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) {
    drawing.addEventListener(end, () => {
      if (lastPoint) drawing.toBlob((blob) => predict(blob));
      lastPoint = null;
    });
  }
  byId("clear").addEventListener("click", () => { clearDrawing(); reset(); });
}

// Files

function takeFile(list, target) {
  const file = [...list].find((one) => one.type.startsWith("image/")) || list[0];
  if (!file) return;
  if (model.kind === "picture") predict(file);
  if (model.kind === "array") setArray(arrays().find((one) => one === target) || arrays().find((one) => !one.value && !one.file) || arrays()[0], file);
}

function useFiles() {
  useCamera();
  for (const id of ["file", "camera"]) {
    byId(id).addEventListener("change", (event) => { takeFile(event.target.files); event.target.value = ""; });
  }
  document.addEventListener("paste", (event) => takeFile(event.clipboardData.files, event.target));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragged"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragged"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragged");
    takeFile(event.dataTransfer.files, event.target);
  });
}

// The camera

let stream = null;

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  show(byId("live"), false);
}

/** Shows the camera image; if no camera can be used, the browser asks for a file instead. */
async function openCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    byId("camera").click();
    return;
  }
  byId("video").srcObject = stream;
  show(byId("live"), true);
  await byId("video").play();
}

function shoot() {
  const { videoWidth: width, videoHeight: height } = byId("video");
  if (!width) return;
  const canvas = make("canvas", "", { width, height });
  canvas.getContext("2d").drawImage(byId("video"), 0, 0);
  canvas.toBlob((blob) => predict(blob));
  closeCamera();
}

/** On a phone, the file input opens the camera app instead. */
function useCamera() {
  byId("shoot").addEventListener("click", shoot);
  byId("stop").addEventListener("click", closeCamera);
  if (!navigator.mediaDevices?.getUserMedia || !matchMedia("(pointer: fine)").matches) return;
  let tried = false;
  byId("camera").addEventListener("click", (event) => {
    if (tried) {
      tried = false;
      return;
    }
    event.preventDefault();
    tried = true;
    openCamera().finally(() => { tried = false; });
  });
}

// The prediction

/** Removes the previous prediction. */
function clearPrediction() {
  for (const id of ["error", "label", "details"]) show(byId(id), false);
  for (const id of ["input-image", "model-input"]) show(byId(id).parentElement, false);
  show(byId("waiting"), true);
  byId("bars").replaceChildren();
  byId("time").textContent = "";
}

function showPrediction({ label, value, top }) {
  byId("label").textContent = label ?? String(Number(value.toPrecision(6)));
  show(byId("label"), true);
  byId("bars").replaceChildren(...(top || []).map(makeBar));
}

function makeBar({ label, score }) {
  const item = make("li");
  const bar = make("progress", "", { max: 1, value: score });
  bar.setAttribute("aria-label", label);
  item.append(make("span", label), bar, make("span", percent(score)));
  return item;
}

function showPicture(id, blob) {
  const image = byId(id);
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  show(image.parentElement, true);
}

function showError(reason) {
  byId("error").textContent = reason;
  show(byId("error"), true);
}
