"use strict";

const element = (id) => document.getElementById(id);
const SETTINGS = ["nms_score_threshold", "nms_iou_threshold", "max_detections", "use_regular_nms"];
const STAGES = ["decode", "resize", "network", "post-processing"];

let about = null;    // the models, and how many photographs the data set has
let panels = [];     // a section a model
let current = null;  // the photograph: its number at the server, size and file name
let shown = null;    // the last answer
let address = null;  // of the photograph, for the <img>

function say(text, wrong = false) {
  element("status").textContent = text;
  element("status").classList.toggle("wrong", wrong);
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("Flatshot does not answer: is it still running?");
  }
  const content = await answer.json().catch(() => ({ error: `no answer (${answer.status})` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

// --- Settings ---------------------------------------------------------------------------------

function settings() {
  return {
    nms_score_threshold: Number(element("nms_score_threshold").value),
    nms_iou_threshold: Number(element("nms_iou_threshold").value),
    max_detections: Number(element("max_detections").value),
    use_regular_nms: element("use_regular_nms").value === "true",
  };
}

function showValues() {
  const now = settings();
  element("nms_score_threshold_value").value = now.nms_score_threshold.toFixed(2);
  element("nms_iou_threshold_value").value = now.nms_iou_threshold.toFixed(2);
  element("max_detections_value").value = String(now.max_detections);
}

function reset() {
  const own = about.models[0].settings;
  for (const name of SETTINGS) {
    const control = element(name);
    if (name === "max_detections") control.max = String(Math.max(100, own[name]));
    control.value = String(own[name]);
  }
  showValues();
}

// One question at a time: while an answer is under way, only the newest settings wait.
let asking = false;
let waiting = false;

async function update() {
  showValues();
  if (current === null) return;
  waiting = true;
  if (asking) return;
  asking = true;
  try {
    while (waiting) {
      waiting = false;
      const question = { image: current.number, settings: settings() };
      const begin = performance.now();
      const answer = await ask("/find", { method: "POST", body: JSON.stringify(question) });
      if (answer.image === current.number) show(answer);
      document.body.dataset.milliseconds = (performance.now() - begin).toFixed(1);
    }
  } catch (error) {
    say(error.message, true);
  } finally {
    asking = false;
  }
}

// --- Photographs ------------------------------------------------------------------------------

async function look(blob, name) {
  say(`Looking at ${name} …`);
  try {
    const answer = await ask("/look", { method: "POST", body: blob });
    if (address !== null) URL.revokeObjectURL(address);
    address = URL.createObjectURL(await picture(blob));
    current = { number: answer.image, name, width: answer.width, height: answer.height };
    for (const panel of panels) {
      const image = panel.section.querySelector("img");
      image.src = address;
      image.alt = name;
    }
    say(`${name}, ${answer.width} × ${answer.height}`);
    show(answer);
    await update();
  } catch (error) {
    say(error.message, true);
  }
}

// Browsers show what they know; the type of a data set's file is told by its first bytes.
async function picture(blob) {
  if (blob.type.startsWith("image/")) return blob;
  const head = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
  const type = head[0] === 0x89 ? "image/png" : "image/jpeg";
  return new Blob([blob], { type });
}

async function step(number) {
  const place = Math.max(1, Math.min(about.images, number));
  element("number").value = String(place);
  try {
    const answer = await fetch(`/dataset/${place - 1}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const name = /filename="([^"]*)"/.exec(answer.headers.get("content-disposition") ?? "");
    await look(await answer.blob(), name ? name[1] : `photograph ${place}`);
  } catch (error) {
    say(error.message, true);
  }
}

async function openCamera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    say(`No camera: ${error.message}`, true);
    return;
  }
  const dialog = element("viewfinder");
  const video = dialog.querySelector("video");
  video.srcObject = stream;
  dialog.addEventListener("close", () => stream.getTracks().forEach((track) => track.stop()),
    { once: true });
  element("shoot").onclick = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob((blob) => look(blob, "camera.jpg"), "image/jpeg", 0.92);
  };
  dialog.showModal();
}

// --- What was found ---------------------------------------------------------------------------

// Steps of the golden ratio around the colour wheel keep neighbouring classes apart.
const colour = (index) => `hsl(${((index * 0.618034 + 0.58) % 1) * 360} 90% 65%)`;

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function show(answer) {
  shown = answer;
  answer.models.forEach((model, place) => showModel(panels[place], model, answer));
}

function showModel(panel, model, { width, height }) {
  const { section, drawing, told, table } = panel;
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const size = Math.max(width, height) / 45;
  const groups = model.detections.map((found) => {
    const [top, left, bottom, right] = found.box;
    const box = { x: left * width, y: top * height,
      width: Math.max(0, (right - left) * width), height: Math.max(0, (bottom - top) * height) };
    const group = svg("g", {});
    const tint = colour(found.class);
    const text = `${found.name} ${found.score.toFixed(2)}`;
    const y = box.y > size * 1.2 ? box.y - size * 0.3 : box.y + size;
    group.append(svg("rect", { class: "halo", ...box }),
      svg("rect", { class: "edge", stroke: tint, ...box }),
      svg("text", { class: "tag", x: Math.max(0, box.x), y, fill: tint, "font-size": size }, text),
      svg("title", {}, `${text}${found.anchor === null ? "" : `, anchor ${found.anchor}`}`));
    return group;
  });
  drawing.replaceChildren(...groups.toReversed());  // the surest on top
  const rows = model.detections.map((found, place) => {
    const row = document.createElement("tr");
    for (const text of [found.name, found.score.toFixed(4), found.anchor ?? "–"]) {
      const cell = document.createElement(row.childElementCount ? "td" : "th");
      if (cell.tagName === "TH") cell.scope = "row";
      if (row.childElementCount) cell.className = "n";
      cell.textContent = text;
      row.append(cell);
    }
    for (const part of [row, groups[place]]) {
      part.addEventListener("pointerenter", () => light(row, groups[place], true));
      part.addEventListener("pointerleave", () => light(row, groups[place], false));
    }
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  table.caption.textContent = `${rows.length} ${rows.length === 1 ? "object" : "objects"}`;
  table.hidden = false;
  const times = STAGES.filter((stage) => stage in model.seconds)
    .map((stage) => `${stage} ${(1000 * model.seconds[stage]).toFixed(1)}`);
  told.textContent = model.error ?? `ms: ${times.join(", ")}`;
  told.classList.toggle("wrong", model.error !== null);
  for (const button of section.querySelectorAll(".saves button")) button.disabled = false;
}

function light(row, group, on) {
  row.classList.toggle("lit", on);
  group.classList.toggle("lit", on);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function savePicture(place) {
  const { width, height } = current;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.drawImage(panels[place].section.querySelector("img"), 0, 0, width, height);
  const size = Math.max(width, height) / 45;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  for (const found of shown.models[place].detections.toReversed()) {
    const [top, left, bottom, right] = found.box;
    const box = [left * width, top * height, (right - left) * width, (bottom - top) * height];
    for (const [style, line] of [["#101317", size / 4], [colour(found.class), size / 8]]) {
      pen.strokeStyle = style;
      pen.lineWidth = line;
      pen.strokeRect(...box);
    }
    const text = `${found.name} ${found.score.toFixed(2)}`;
    const y = box[1] > size * 1.2 ? box[1] - size * 0.3 : box[1] + size;
    pen.strokeStyle = "#101317";
    pen.lineWidth = size / 5;
    pen.strokeText(text, Math.max(0, box[0]), y);
    pen.fillStyle = colour(found.class);
    pen.fillText(text, Math.max(0, box[0]), y);
  }
  canvas.toBlob((blob) => save(blob, `${stem()}.png`), "image/png");
}

function saveJson(place) {
  const content = {
    image: current.name, width: current.width, height: current.height,
    model: about.models[place].name, settings: settings(),
    detections: shown.models[place].detections,
  };
  const blob = new Blob([JSON.stringify(content, null, 2)], { type: "application/json" });
  save(blob, `${stem()}.json`);
}

const stem = () => `${current.name.replace(/\.[^.]*$/, "")}-found`;

// --- Start ------------------------------------------------------------------------------------

function addPanel(model, place) {
  const section = element("model").content.cloneNode(true).querySelector("section");
  section.querySelector("h2").textContent = model.name;
  section.querySelector(".told").textContent = `input ${model.input[0]} × ${model.input[1]}` +
    (model.changeable ? "" : "; its own operator suppresses, so its settings cannot be moved here");
  section.querySelector(".picture").addEventListener("click", () => savePicture(place));
  section.querySelector(".json").addEventListener("click", () => saveJson(place));
  element("models").append(section);
  panels.push({ section, drawing: section.querySelector("svg"),
    told: section.querySelector(".told"), table: section.querySelector("table") });
}

function listen() {
  element("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) look(file, file.name);
    event.target.value = "";
  });
  element("camera").addEventListener("click", openCamera);
  element("close").addEventListener("click", () => element("viewfinder").close());
  for (const name of SETTINGS) element(name).addEventListener("input", update);
  element("reset").addEventListener("click", () => { reset(); update(); });
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("previous").addEventListener("click", () => step(Number(element("number").value) - 1));
  element("next").addEventListener("click", () => step(Number(element("number").value) + 1));
  element("number").addEventListener("change", () => step(Number(element("number").value)));
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) look(file, file.name || "pasted.png");
  });
  let depth = 0;
  document.addEventListener("dragenter", () => { depth += 1; document.body.classList.add("over"); });
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) document.body.classList.remove("over");
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) look(file, file.name);
  });
}

async function start() {
  try {
    about = await ask("/about");
  } catch (error) {
    say(error.message, true);
    return;
  }
  about.models.forEach(addPanel);
  reset();
  if (about.models.every((model) => !model.changeable)) element("settings").disabled = true;
  if (about.images) {
    element("stepper").hidden = false;
    element("total").textContent = `of ${about.images}`;
    element("number").max = String(about.images);
  }
  listen();
  if (about.images) await step(1);
}

start();
