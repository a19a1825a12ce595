// The page: what the visitor draws, chooses or writes becomes an example, and the model's answer becomes bars.

import {ofDrawing, ofImage, ofJson, ofRow, readCsv, readImage, written} from "./examples.js";
import {load} from "./model.js";

const PANELS = {image: startImages, row: startRows, raw: startRaw};
const MOST = 10; // bars
const at = (id) => document.getElementById(id);
const show = (id, visible = true) => { at(id).hidden = !visible; };

let facts, ask, asked = 0;

/** Return an element with a text and properties. */
function element(name, text = "", properties = {}) {
  return Object.assign(document.createElement(name), {textContent: text}, properties);
}

/** Show the answer to an example, or the error that making it raises. */
async function answer(make) {
  const mine = ++asked;
  try {
    const {values, shape, seen} = await make();
    const found = (await ask(values, shape))[0];
    if (mine !== asked) return; // a later question was faster
    clear();
    bars(found);
    if (seen) showSeen(seen);
    at("answer").dataset.answers = JSON.stringify(found);
  } catch (error) {
    if (mine === asked) fail(error);
  }
}

function clear() {
  at("bars").replaceChildren();
  at("table").replaceChildren();
  ["empty", "error", "seen"].forEach((id) => show(id, false));
  delete at("answer").dataset.answers;
}

function fail(error) {
  clear();
  at("error").textContent = error.message;
  show("error");
}

function bars(found) {
  if (facts.answers === "numbers")
    return at("bars").replaceChildren(...found.map(({label, value}) =>
      element("p", label ? `${label} ${number(value)}` : number(value), {className: "number"})));
  const longest = Math.max(...facts.classes.map((label) => label.length)), wide = longest > 14;
  at("bars").style.setProperty("--label", `${longest + 1}ch`);
  at("bars").replaceChildren(...found.slice(0, MOST).map(({label, value, chosen}) => {
    const bar = element("div", "", {className: `bar${chosen ? " chosen" : ""}${wide ? " wide" : ""}`});
    bar.append(element("b", label), element("progress", "", {max: 1, value, ariaLabel: label}),
               element("span", `${(100 * value).toFixed(1)} %`));
    return bar;
  }));
  if (found.length > MOST)
    at("bars").append(element("p", `and ${found.length - MOST} less probable classes`, {className: "soft"}));
}

const number = (value) => String(Number(value.toPrecision(6)));

/** Draw the example that the model gets, a pixel for a pixel. */
function showSeen({values, height, width, channels}) {
  const canvas = at("input"), pixels = new ImageData(width, height);
  for (let place = 0; place < height * width; place++) {
    for (let channel = 0; channel < 3; channel++)
      pixels.data[4 * place + channel] = values[place * channels + (channels === 1 ? 0 : channel)];
    pixels.data[4 * place + 3] = 255;
  }
  Object.assign(canvas, {width, height}).getContext("2d").putImageData(pixels, 0, 0);
  at("seen-text").textContent = `What the model sees: ${height} × ${width} pixels.`;
  show("seen");
}

const ofPixels = (image) => ({values: image.values, shape: [1, ...facts.shape], seen: image});

function startImages() {
  const [height, width] = facts.shape;
  show("images");
  const light = facts.pad && facts.pad.ground < facts.pad.ink;
  at("images-title").textContent = facts.pad ? "Or choose an image" : "Choose an image";
  at("hint").textContent = "Click to choose or take an image, or drop one here. " +
    `It becomes ${height} × ${width} pixels.` + (facts.pad ? ` The training images are ${light ? "light on dark" : "dark on light"}.` : "");
  at("images").classList.toggle("first", !facts.pad);
  at("empty").textContent = facts.pad ? "Draw something, or choose an image." : "Choose an image.";
  at("file").addEventListener("change", () => at("file").files[0] && choose(at("file").files[0]));
  const drop = at("drop");
  for (const name of ["dragover", "dragleave", "drop"])
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
    });
  if (facts.pad) startDrawing();
}

function choose(file) {
  const image = at("shown");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  show("shown");
  answer(async () => ofPixels(ofImage(await readImage(file), facts)));
}

function startDrawing() {
  const pad = at("pad"), {ground, ink} = facts.pad, [rows, columns] = facts.shape;
  pad.height = Math.round(pad.width * rows / columns);
  pad.style.setProperty("--aspect", columns / rows);
  const context = pad.getContext("2d", {willReadFrequently: true});
  const colour = (value) => `rgb(${value} ${value} ${value})`;
  const [dark, light] = ground < ink ? [0, 255] : [255, 0];
  const wipe = () => { context.fillStyle = colour(dark); context.fillRect(0, 0, pad.width, pad.height); };
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * pad.width, (event.clientY - box.top) / box.height * pad.height];
  };
  let last = null;
  const line = (event) => {
    const next = place(event);
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...next);
    context.stroke();
    last = next;
  };
  const look = () => {
    const {data} = context.getImageData(0, 0, pad.width, pad.height);
    const values = Uint8Array.from({length: pad.width * pad.height}, (_, index) => Math.abs(data[4 * index] - dark));
    const example = ofDrawing({values, height: pad.height, width: pad.width}, facts);
    if (example) answer(() => ofPixels({...example, channels: 1}));
  };
  wipe();
  // About as wide as in scans of handwriting: a pixel of small images, and two of larger ones.
  Object.assign(context, {
    lineWidth: pad.width * Math.max(0.06, 1.3 / Math.min(rows, columns)), lineCap: "round", lineJoin: "round",
    strokeStyle: colour(light)});
  pad.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    line(event);
  });
  pad.addEventListener("pointermove", (event) => {
    const parts = event.getCoalescedEvents?.() ?? []; // what a fast finger passed since the last event; may be empty
    if (last) (parts.length ? parts : [event]).forEach(line);
  });
  for (const name of ["pointerup", "pointercancel"])
    pad.addEventListener(name, () => { last &&= null; look(); });
  at("clear").addEventListener("click", () => { asked++; wipe(); clear(); show("empty"); });
  show("drawing");
}

function startRows() {
  at("empty").textContent = "Fill in a row.";
  at("fields").append(...facts.columns.map(([name, categories]) => {
    const label = element("label", name), start = facts.defaults[name];
    const held = categories ? start : written(start, facts.decimal);
    const field = categories ? element("select") : element("input", "", {inputMode: "decimal", value: held});
    for (const category of categories ?? []) field.append(element("option", category, {selected: category === held}));
    label.append(Object.assign(field, {name}));
    return label;
  }));
  const field = (index) => at("fields").children[index].lastChild;
  const ofForm = () => Object.fromEntries(facts.columns.map(([name], index) => [name, field(index).value]));
  const look = () => answer(() => ({values: ofRow(ofForm(), facts), shape: [1, ...facts.shape]}));
  at("form").addEventListener("submit", (event) => event.preventDefault());
  at("fields").addEventListener("input", look);
  at("csv").placeholder = facts.columns.map(([name]) => name).join(facts.separator);
  at("read-csv").addEventListener("click", answerTable);
  show("form");
  look();
}

/** Show the answers to pasted rows as a table. */
async function answerTable() {
  const mine = ++asked;
  try {
    const rows = readCsv(at("csv").value, facts.separator);
    if (!rows.length) throw new Error("A header and rows were expected.");
    const values = rows.flatMap((row, index) => {
      try {
        return [...ofRow(row, facts)];
      } catch (error) {
        throw new Error(`Row ${index + 1}: ${error.message}`);
      }
    });
    const found = await ask(values, [rows.length, ...facts.shape]);
    if (mine !== asked) return;
    clear();
    const table = element("table"), shares = facts.answers === "softmax";
    const numbers = facts.answers === "numbers", named = numbers && facts.classes.length;
    const head = ["row", ...named ? facts.classes : [numbers ? "value" : "class"], ...shares ? ["probability"] : []];
    table.insertRow().append(...head.map((name) => element("th", name)));
    found.forEach((answers, index) => {
      const row = table.insertRow(), said = answers.filter(({chosen}) => chosen);
      const cells = numbers ? said.map(({value}) => number(value)) : said.map(({label}) => label);
      row.append(...[index + 1, ...named ? cells : [cells.join(", ") || "none"]].map((cell) => element("td", cell)));
      if (shares) row.append(element("td", said[0].value.toFixed(4)));
    });
    at("table").append(table);
    at("answer").dataset.answers = JSON.stringify(found);
  } catch (error) {
    if (mine === asked) fail(error);
  }
}

function startRaw() {
  at("empty").textContent = "Paste an example.";
  const sides = facts.shape.map((side) => side ?? "any").join(", ");
  at("raw-shape").textContent = `Numbers as JSON, as lists of the shape [${sides}].` +
    (facts.shape.length > 1 ? " A shorter series may end early, or with steps of null." : "");
  at("read-json").addEventListener("click", () => answer(() => {
    const {values, shape} = ofJson(at("json").value, facts);
    return {values, shape: [1, ...shape]};
  }));
  show("raw");
}

try {
  ({facts, ask} = await load());
  document.title = at("title").textContent = facts.title;
  at("state").textContent = facts.about;
  at("about").textContent = `Made with kerasdl. Runs with onnxruntime-web ${facts.runtime} (onnxruntime/LICENSE).`;
  show("both");
  PANELS[facts.panel]();
} catch (error) {
  at("state").className = "bad";
  at("state").textContent = `The model does not load: ${error.message}`;
}
document.documentElement.dataset.ready = "";
