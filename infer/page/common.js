"use strict";
/** What the pages of ptx share; each calls its own `ask(value)`, `forget()` and `model`. */
const data = JSON.parse(document.getElementById("data").textContent);
const { words } = data;
const at = (id) => document.getElementById(id);
const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in words) || "en";
const say = (word, ...given) => words[language][word].replace(/\{(\d)\}/g, (_, place) => given[place]);
const make = (tag, text = "", given = {}) => Object.assign(document.createElement(tag), { textContent: text }, given);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const show = (element, shown) => { element.hidden = !shown; };

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const element of document.querySelectorAll("[data-alt]")) element.alt = say(element.dataset.alt);
}

/** Shows what the model takes. */
function showInput() {
  for (const kind of ["picture", "text", "row", "array", "none"]) show(at(kind), model.kind === kind);
  at("expects").textContent = model.kind === "none" ? "" : say("expects", say(...model.expects));
  at("fields").replaceChildren(...model.columns.map(makeField));
  at("arrays").replaceChildren(...model.arrays.flatMap(makeArray));
  at("word").value = "";
  const paper = model.paper !== false; // a photograph is not drawn
  for (const id of ["paper", "clear"]) show(at(id), paper);
  at("drop").textContent = say(paper ? "drop" : "drop-alone");
  closeCamera();
  showExamples();
  at("manifest").replaceChildren(...model.facts.flatMap(([word, text]) => [make("dt", say(word)), make("dd", Array.isArray(text) ? say(...text) : text)]));
  clearPaper();
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

function useForms() {
  at("text").addEventListener("submit", (event) => { event.preventDefault(); ask(at("word").value); });
  at("array").addEventListener("submit", (event) => { event.preventDefault(); askArrays(); });
  at("row").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(fields().map((field) => field.value.trim().replace(",", ".")).join(","));
  });
}

/** A field for one array, and a file for it. */
function makeArray(text, index) {
  const own = (name) => (index ? `${name}-${index}` : name);
  const field = make("textarea", "", { id: own("numbers"), rows: model.arrays.length > 1 ? 3 : 6, autocomplete: "off", spellcheck: false });
  const file = make("input", "", { id: own("table"), type: "file", accept: ".npy,.json,.csv,.txt" });
  file.setAttribute("aria-label", `${say("open")}, ${text}`);
  file.addEventListener("change", () => { giveArray(field, file.files[0]); file.value = ""; });
  const button = make("label", "", { className: "button" });
  button.append(make("span", say("open")), file);
  return [make("label", text, { htmlFor: field.id }), field, button];
}

const arrays = () => [...at("arrays").querySelectorAll("textarea")];

/** A file stands for what is not written; its name is shown in place of that. */
function giveArray(field, file) {
  Object.assign(field, { file, value: "", placeholder: file.name });
  if (arrays().every((one) => one.value || one.file)) askArrays();
}

const askArrays = () => ask(arrays().map(({ value, file }) => value || file || ""));

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

let pen = null;
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
  pen = paper.getContext("2d");
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

function takeFile(list, target) {
  const file = [...list].find((one) => one.type.startsWith("image/")) || list[0];
  if (!file) return;
  if (model.kind === "picture") ask(file);
  if (model.kind === "array") giveArray(arrays().find((one) => one === target) || arrays().find((one) => !one.value && !one.file) || arrays()[0], file);
}

function useFiles() {
  useCamera();
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", (event) => { takeFile(event.target.files); event.target.value = ""; });
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

let film = null;

function closeCamera() {
  film?.getTracks().forEach((track) => track.stop());
  film = null;
  show(at("live"), false);
}

/** Shows what the camera sees; where there is none that may be used, the browser asks for a file instead. */
async function openCamera() {
  try {
    film = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    at("camera").click();
    return;
  }
  at("video").srcObject = film;
  show(at("live"), true);
  await at("video").play();
}

function shoot() {
  const { videoWidth: width, videoHeight: height } = at("video");
  if (!width) return;
  const canvas = make("canvas", "", { width, height });
  canvas.getContext("2d").drawImage(at("video"), 0, 0);
  canvas.toBlob((blob) => ask(blob));
  closeCamera();
}

/** A telephone has a camera program of its own, which the input opens. */
function useCamera() {
  at("shoot").addEventListener("click", shoot);
  at("stop").addEventListener("click", closeCamera);
  if (!navigator.mediaDevices?.getUserMedia || !matchMedia("(pointer: fine)").matches) return;
  let tried = false;
  at("camera").addEventListener("click", (event) => {
    if (tried) {
      tried = false;
      return;
    }
    event.preventDefault();
    tried = true;
    openCamera().finally(() => { tried = false; });
  });
}

// The answer

/** Empties what stands there of an answer. */
function clearAnswer() {
  for (const id of ["refusal", "label", "read"]) show(at(id), false);
  for (const id of ["given", "seen"]) show(at(id).parentElement, false);
  show(at("waiting"), true);
  at("bars").replaceChildren();
  at("time").textContent = "";
}

function showAnswer({ label, value, top }) {
  at("label").textContent = label ?? String(Number(value.toPrecision(6)));
  show(at("label"), true);
  at("bars").replaceChildren(...(top || []).map(makeBar));
}

function makeBar({ label, score }) {
  const item = make("li");
  const bar = make("progress", "", { max: 1, value: score });
  bar.setAttribute("aria-label", label);
  item.append(make("span", label), bar, make("span", percent(score)));
  return item;
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
