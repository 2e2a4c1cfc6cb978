"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const token = new URLSearchParams(location.search).get("token");
const at = id => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const SLOTS = ["image", "other"];

const dropped = new Map();  // number -> name
const chosen = { image: 0, other: Math.min(1, facts.images.length - 1) };
const runs = new Map();  // id -> { cells, ... }
let tab = null, slot = "image", view = "descend", current = null, last = null;

// -- asking ---------------------------------------------------------------------------------------

function complain(line) {
  at("error").textContent = line || "";
  at("error").hidden = !line;
}

async function ask(path, body, raw) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST", headers: { "X-Token": token },
      body: raw || JSON.stringify({ tab, ...body }),
    });
  } catch {
    throw new Error("the server does not answer: is robust-reps explore still running?");
  }
  const said = answer.headers.get("content-type") === "application/json"
    ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(said.error);
  return said;
}

const attempt = what => async (...given) => {
  complain("");
  try { return await what(...given); } catch (error) { complain(error.message); }
};

function connect() {
  const events = new EventSource("/events?token=" + encodeURIComponent(token));
  events.onmessage = message => heard(JSON.parse(message.data));
  events.onerror = () => { tab = null; };
}

function heard(event) {
  if (event.type === "hello") {
    const again = tab === null && runs.size;
    tab = event.tab;
    document.body.dataset.connected = "yes";
    for (const [number] of dropped) forget(number);
    if (again) { runs.clear(); current = last = null; buttons(); complain("the connection was lost, and with it what was not kept"); }
    else route();
    return;
  }
  const run = runs.get(event.run), cell = run && run.cells.get(event.network);
  if (!cell) return;
  if (event.pixels) draw(cell.canvas, event);
  if (event.type === "frame") framed(run, cell, event);
  else changed(run, cell, event);
}

function draw(canvas, { width, height, pixels }) {
  const bytes = atob(pixels), colours = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0, k = 0; i < bytes.length; k++) {
    colours[k++] = bytes.charCodeAt(i++);
    colours[k++] = bytes.charCodeAt(i++);
    colours[k++] = bytes.charCodeAt(i++);
  }
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  canvas.getContext("2d").putImageData(new ImageData(colours, width, height), 0, 0);
}

const short = value => value === null || value === undefined ? ""
  : Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(1);

function framed(run, cell, event) {
  const now = performance.now();
  cell.first ??= now - run.clicked;
  cell.frames = (cell.frames || 0) + 1;
  cell.until = now;
  if (event.value !== null) {
    cell.values.push([event.step, event.value]);
    cell.path.setAttribute("d", line(cell.values));
  }
  cell.said.textContent = `step ${event.step}` + (event.value === null ? "" : `, ${short(event.value)}`);
  if (run === current) speed(run);
}

function changed(run, cell, event) {
  cell.state = event.state;
  cell.figure.dataset.state = event.state;
  const words = {
    running: "begins", held: `held at step ${event.step}`,
    done: `${event.step} steps, ${short(event.value)}`, failed: "failed",
    stopped: `stopped at step ${event.step}, ${short(event.value)}`, cancelled: "given up",
  };
  cell.said.textContent = words[event.state];
  if (event.state === "failed") complain(event.error);
  if (event.value !== undefined && cell.values.length) {
    cell.values.push([event.step + 1, event.value]);
    cell.path.setAttribute("d", line(cell.values));
  }
  if (ended(run) && run.ended) run.ended(run);
  buttons();
}

const ENDED = ["done", "stopped", "cancelled", "failed"];
const ended = run => [...run.cells.values()].every(cell => ENDED.includes(cell.state));
const kept = run => [...run.cells.values()].some(cell => ["done", "stopped"].includes(cell.state));

function line(values) {
  const ys = values.map(([, y]) => y), low = Math.min(...ys), span = Math.max(...ys) - low || 1;
  const end = Math.max(1, values[values.length - 1][0]);
  return values.map(([x, y], i) =>
    `${i ? "L" : "M"}${(100 * x / end).toFixed(2)} ${(29 - 28 * (y - low) / span).toFixed(2)}`).join("");
}

function speed(run) {
  const cells = [...run.cells.values()].filter(cell => cell.frames > 1);
  if (!cells.length) return;
  const first = Math.max(...cells.map(cell => cell.first));
  const rate = Math.min(...cells.map(cell => 1000 * (cell.frames - 1) / (cell.until - run.clicked - cell.first)));
  at("speed").textContent = `first frame after ${first.toFixed(0)} ms, ${rate.toFixed(0)} frames a second`;
  at("speed").dataset.first = first;
  at("speed").dataset.rate = rate;
}

// -- images ---------------------------------------------------------------------------------------

const nameOf = number => dropped.get(number) ?? facts.images[number] ?? "";
const source = number => `/images/${number}?token=${encodeURIComponent(token)}` +
  (dropped.has(number) ? `&tab=${encodeURIComponent(tab)}` : "");

function choose(number) {
  chosen[slot] = number;
  show();
  if (view === "descend") preview();
  if (view === "between") slide();
}

function show() {
  const second = view === "between" || (view === "descend" && (at("start").value === "other" || at("kind").value === "direction"));
  at("paint").hidden = !["image", "other"].includes(at("start").value);
  at("clear").hidden = at("paint").hidden || !painted.size;
  for (const button of all(".slot")) {
    const number = chosen[button.dataset.slot];
    if (button.dataset.slot === "other") button.hidden = !second;
    if (!second) slot = "image";
    button.setAttribute("aria-pressed", String(button.dataset.slot === slot));
    button.querySelector("img").src = source(number);
    button.querySelector(".name").textContent = nameOf(number);
  }
  for (const thumb of all(".thumb")) {
    thumb.setAttribute("aria-pressed", String(thumb.dataset.image === String(chosen[slot])));
  }
  at("end-image").textContent = nameOf(chosen.image);
  at("end-other").textContent = nameOf(chosen.other);
  at("choice").hidden = view === "units";
}

function forget(number) {
  dropped.delete(number);
  for (const name of SLOTS) if (chosen[name] === number) chosen[name] = 0;
  for (const thumb of all(".thumb")) if (thumb.dataset.image === number) thumb.remove();
  show();
}

const take = attempt(async file => {
  if (file.size > facts.most_bytes) {
    throw new Error(`${file.name} has more than ${facts.most_bytes >> 20} MB: make it smaller, or choose another file`);
  }
  const address = `/images?tab=${encodeURIComponent(tab)}&name=${encodeURIComponent(file.name)}`;
  const { image, name } = await ask(address, null, file);
  dropped.set(image, name);
  const thumb = document.createElement("button");
  Object.assign(thumb, { type: "button", className: "thumb", title: name });
  thumb.dataset.image = image;
  thumb.append(Object.assign(new Image(), { alt: name, src: source(image) }));
  at("drop").after(thumb);
  choose(image);
});

// -- runs -----------------------------------------------------------------------------------------

const number = id => at(id).value === "" ? null : Number(at(id).value);
const networks = () => [...new Set([at("first").value, at("second").value].filter(one => one !== "").map(Number))];
const common = () => ({
  layer: at("layer").value.trim() || null, eps: number("eps"), schedule: at("schedule").value || null,
  iterations: number("iterations"), seed: number("seed") ?? 0,
});

function cellOf(figure, canvas, said, path) {
  return { figure, canvas, said, path, values: [], state: "waiting" };
}

function part(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function stage(name, pictures, which) {
  const painting = at("paint").getAttribute("aria-pressed") === "true";
  const figures = pictures.map(([label, number, begins]) => part("figure", {},
    part("div", { className: "painted" }, part("img", { src: source(number), alt: label }),
      ...(begins && (painting || painted.size) ? [painter()] : [])),
    part("figcaption", {}, part("span", { className: "name", textContent: label }),
      part("span", { className: "state", textContent: nameOf(number) }))));
  const cells = new Map();
  which.forEach((network, i) => {
    const canvas = part("canvas", { width: 64, height: 64 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `what ${facts.networks[network].name} makes of it`);
    const said = part("span", { className: "state", textContent: "" });
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    const caption = part("figcaption", {},
      part("span", { className: "name", textContent: facts.networks[network].name }), said);
    const figure = part("figure", { className: i ? "second" : "first" }, canvas, caption, svg);
    figures.push(figure);
    cells.set(network, cellOf(figure, canvas, said, path));
  });
  const parts = all(`[data-stage="${name}"]`)[0];
  parts.replaceChildren(...figures);
  return cells;
}

async function begin(wanted, cells, more = {}) {
  const run = { clicked: performance.now(), cells, wanted, ...more };
  if (tab === null) throw new Error("not connected yet: try again");
  run.id = [...crypto.getRandomValues(new Uint8Array(8))].map(one => one.toString(16).padStart(2, "0")).join("");
  runs.set(run.id, run);  // at once, as its frames may be here before the answer
  try {
    const { networks, before } = await ask("/runs", { ...wanted, run: run.id, networks: [...cells.keys()] });
    networks.forEach((network, i) => {
      const cell = cells.get(network);
      if (before[i] && cell.state === "waiting") cell.said.textContent = `waits, ${before[i]} before it`;
    });
  } catch (error) {
    runs.delete(run.id);
    throw error;
  }
  return run;
}

const steer = (run, what) => ask(`/runs/${run.id}/${what}`, {});

async function giveUp() {
  const before = current;
  current = null;
  if (before && !ended(before)) await steer(before, "cancel");
}

const start = attempt(async () => {
  at("kept").hidden = true;
  const kind = at("kind").value, wanted = { kind, image: chosen.image, start: at("start").value, ...common() };
  if (wanted.start === "other") wanted.other = chosen.other;
  if (kind === "coordinate") wanted.coordinate = number("coordinate") ?? 0;
  if (kind === "class") wanted.class = number("class") ?? 0;
  if (kind === "direction") wanted.other = chosen.other;
  wanted.mask = mask();
  await giveUp();
  current = last = await begin(wanted, stage("descend", pictures(), networks()));
  buttons();
  if (document.activeElement === at("go")) at("hold").focus();  // so that Space holds
});

const hold = attempt(async () => {
  if (!current || ended(current)) return;
  current.held = !current.held;
  buttons();
  await steer(current, current.held ? "hold" : "go_on");
});

const stop = attempt(async () => { if (current && !ended(current)) await steer(current, "stop"); });

const keep = attempt(async () => {
  if (!last || !ended(last) || !kept(last)) return;
  const { folders, commands, note } = await steer(last, "keep");
  at("folders").textContent = folders.join(", ");
  at("commands").replaceChildren(...commands.map(command => {
    const copy = part("button", { type: "button", textContent: "Copy" });
    copy.addEventListener("click", () => navigator.clipboard.writeText(command));
    return part("pre", {}, part("code", { textContent: command }), copy);
  }));
  at("kept-note").textContent = note;
  at("kept").hidden = false;
  at("kept").scrollIntoView({ block: "nearest" });
});

function buttons() {
  const going = Boolean(current) && !ended(current);
  at("hold").disabled = at("stop").disabled = !going;
  at("hold").firstElementChild.textContent = going && current.held ? "Go on" : "Hold";
  for (const button of all(".keep")) button.disabled = !(last && ended(last) && kept(last));
}

// -- between --------------------------------------------------------------------------------------

const between = new Map();  // what it is -> run

const slide = attempt(async () => {
  const place = Number(at("place").value);
  at("lambda").textContent = `λ ${(place / facts.steps).toFixed(1)}`;
  const wanted = { kind: "between", image: chosen.image, other: chosen.other, place, ...common() };
  const key = JSON.stringify([wanted, networks()]), known = between.get(key);
  const ends = [["second image", chosen.other], ["image", chosen.image]];
  if (known && runs.has(known.id)) {
    all('[data-stage="between"]')[0].replaceChildren(...known.figures);
    last = known;
    buttons();
    return;
  }
  await giveUp();
  const cells = stage("between", ends, networks());
  const figures = [...all('[data-stage="between"]')[0].children];
  current = last = await begin(wanted, cells, { figures, ended: run => { if (kept(run)) between.set(key, run); } });
  buttons();
});

// -- units ----------------------------------------------------------------------------------------

const address = unit => "#units/" + [at("first").selectedOptions[0].textContent, at("layer").value.trim(), unit].map(encodeURIComponent).join("/");

const walk = attempt(async (first, see) => {
  const network = Number(at("first").value), layer = at("layer").value.trim() || null;
  at("count").textContent = "looking at the images";
  const { size, first: from, units } = await ask("/units", { network, layer, first });
  at("unit").max = size - 1;
  at("count").textContent = `${from} to ${from + units.length - 1} of ${size}`;
  Object.assign(at("list").dataset, { from, count: units.length, size });
  at("list").replaceChildren(...units.map(one => unitCard(one, network)));
  if (see !== undefined) all(".unit .see")[0]?.click();
});

function unitCard({ unit, images, values, least }, network) {
  images = images.filter((_, i) => values[i] > least);
  const canvas = part("canvas", { width: 64, height: 64 }), said = part("span", { textContent: "not computed yet" });
  const seen = images.map((image, i) => part("div", {},
    part("img", { src: source(image), alt: nameOf(image), title: nameOf(image), loading: "lazy" }),
    part("span", { textContent: short(values[i]) })));
  const see = part("button", { type: "button", className: "see", textContent: "Visualise" });
  const card = part("div", { className: "unit", id: `unit-${unit}` },
    part("h3", {}, part("a", { href: address(unit), textContent: `unit ${unit}` }), see),
    part("div", { className: "sides" }, part("div", { className: "seen" }, ...(seen.length ? seen : [part("span", { textContent: "no image here turns it on" })])),
      part("div", { className: "made" }, canvas, said)));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `what raises unit ${unit}`);
  see.addEventListener("click", attempt(async () => {
    await giveUp();
    all(".unit").forEach(one => one.classList.toggle("chosen", one === card));
    history.replaceState(null, "", address(unit));
    const cell = cellOf(card, canvas, said, document.createElementNS("http://www.w3.org/2000/svg", "path"));
    const wanted = { kind: "coordinate", image: 0, start: "noise", coordinate: unit, ...common() };
    current = last = await begin(wanted, new Map([[network, cell]]));
    buttons();
  }));
  return card;
}

const turn = pages => {
  const { from = 0, size = 1 } = at("list").dataset;
  walk(Math.max(0, Math.min(Number(size) - 1, Number(from) + 12 * pages)));
};

// -- views and keys -------------------------------------------------------------------------------

function route() {
  const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  view = ["descend", "units", "between"].includes(name) ? name : "descend";
  for (const one of all(".view")) one.hidden = one.id !== view;
  for (const one of all("[data-view]")) {
    if (one.dataset.view === view) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  all(".only-descend").forEach(one => { one.hidden = view !== "descend"; });
  all(".pair").forEach(one => { one.hidden = view === "units"; });
  at("kept").hidden = true;
  kindChanged();
  if (view === "descend") preview();
  if (tab === null) return;
  if (view === "between") slide();
  if (view === "units") {
    const network = facts.networks.findIndex(one => one.name === rest[0]);
    if (network >= 0) at("first").value = String(network);
    if (rest.length > 1) at("layer").value = rest[1];
    if (rest.length > 2) at("unit").value = rest[2];
    walk(number("unit") ?? 0, rest.length > 2 ? rest[2] : undefined);
  }
}

function pictures() {
  const start = at("start").value, kind = at("kind").value, shown = [];
  if (kind === "match") shown.push(["target", chosen.image]);
  else if (start === "image" || kind === "direction") shown.push([kind === "direction" ? "towards" : "image", chosen.image, start === "image"]);
  if (start === "other" || kind === "direction") shown.push(["second image", chosen.other, start === "other"]);
  return shown;
}

// -- the mask: painted over the picture that the run starts from -------------------------------------

const CELLS = 32, painted = new Set();  // numbers of cells

function tint(over) {
  const drawing = over.getContext("2d");
  drawing.clearRect(0, 0, CELLS, CELLS);
  drawing.fillStyle = "rgb(11 110 98 / .6)";
  for (const one of painted) drawing.fillRect(one % CELLS, Math.floor(one / CELLS), 1, 1);
  at("clear").hidden = !painted.size || at("paint").hidden;
}

function brush(over, x, y) {
  for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) {
    const [i, j] = [Math.round(x) + dx, Math.round(y) + dy];
    if (dx * dx + dy * dy < 6 && i >= 0 && j >= 0 && i < CELLS && j < CELLS) painted.add(CELLS * j + i);
  }
  tint(over);
}

function painter() {
  const over = part("canvas", { width: CELLS, height: CELLS, className: "paint", tabIndex: 0 });
  over.setAttribute("aria-label", "where pixels may change: paint with the pointer, or move with the arrows and paint with the space bar");
  let x = CELLS / 2, y = CELLS / 2;
  const there = event => {
    const box = over.getBoundingClientRect();
    brush(over, CELLS * (event.clientX - box.left) / box.width - .5, CELLS * (event.clientY - box.top) / box.height - .5);
  };
  over.addEventListener("pointerdown", event => { over.setPointerCapture(event.pointerId); there(event); });
  over.addEventListener("pointermove", event => { if (event.buttons) there(event); });
  over.addEventListener("keydown", event => {
    const move = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2], " ": [0, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    x = Math.max(0, Math.min(CELLS - 1, x + move[0]));
    y = Math.max(0, Math.min(CELLS - 1, y + move[1]));
    if (event.key === " ") brush(over, x, y);
    else { tint(over); over.getContext("2d").strokeRect(x - 2, y - 2, 5, 5); }
  });
  tint(over);
  return over;
}

function mask() {
  if (at("paint").hidden || !painted.size) return null;
  const rows = [];
  for (let j = 0; j < CELLS; j++) {
    let row = "";
    for (let i = 0; i < CELLS; i++) row += painted.has(CELLS * j + i) ? "1" : "0";
    rows.push(row);
  }
  return rows;
}

function preview() {
  if (current && !ended(current)) return;
  stage("descend", pictures(), networks());
  last = null;
  buttons();
}

function kindChanged() {
  const kind = at("kind").value, before = at("start").value;
  const words = { noise: "noise", grey: "grey", other: "second image", image: "the image" };
  at("start").replaceChildren(...facts.starts[kind].map(value => part("option", { value, textContent: words[value] })));
  if (facts.starts[kind].includes(before)) at("start").value = before;
  for (const one of all("[data-for]")) one.hidden = view !== "descend" || one.dataset.for !== kind;
  const { classes } = facts.networks[Number(at("first").value)], name = at("class").value;
  at("class").replaceChildren(...classes.map((label, i) => part("option", { value: i, textContent: label })));
  if (name !== "" && Number(name) < classes.length) at("class").value = name;
  const layers = new Set(networks().flatMap(i => facts.networks[i].layers));
  at("layers").replaceChildren(...[...layers].map(value => part("option", { value })));
  show();
}

at("controls").addEventListener("submit", event => { event.preventDefault(); if (view === "descend") start(); });
at("kind").addEventListener("change", () => { kindChanged(); preview(); });
at("start").addEventListener("change", () => { show(); preview(); });
for (const id of ["first", "second", "layer", "eps", "schedule", "iterations", "seed"]) {
  at(id).addEventListener("change", () => {
    kindChanged();
    if (view === "descend" && ["first", "second"].includes(id)) preview();
    if (view === "between") slide();
    if (view === "units") walk(number("unit") ?? 0);
  });
}
at("paint").addEventListener("click", () => {
  at("paint").setAttribute("aria-pressed", String(at("paint").getAttribute("aria-pressed") !== "true"));
  preview();
});
at("clear").addEventListener("click", () => { painted.clear(); show(); preview(); });
at("go").addEventListener("click", start);
at("hold").addEventListener("click", hold);
at("stop").addEventListener("click", stop);
all(".keep").forEach(button => button.addEventListener("click", keep));
at("place").addEventListener("input", slide);
at("unit").addEventListener("change", () => walk(number("unit") ?? 0));
at("back").addEventListener("click", () => turn(-1));
at("next").addEventListener("click", () => turn(1));
at("file").addEventListener("change", () => { if (at("file").files[0]) take(at("file").files[0]); at("file").value = ""; });
all(".slot").forEach(button => button.addEventListener("click", () => { slot = button.dataset.slot; show(); }));
at("choice").addEventListener("click", event => {
  const thumb = event.target.closest(".thumb");
  if (thumb) choose(/^\d+$/.test(thumb.dataset.image) ? Number(thumb.dataset.image) : thumb.dataset.image);
});
for (const name of ["dragenter", "dragover"]) document.addEventListener(name, event => { event.preventDefault(); document.body.classList.add("dropping"); });
document.addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { stop(); return; }
  if (event.target.closest("input, select, textarea")) return;
  if (event.target.closest("button, a, summary") && ["Enter", " "].includes(event.key)) return;
  const keys = { Enter: view === "descend" && start, " ": hold, k: keep, n: view === "units" && (() => turn(1)), p: view === "units" && (() => turn(-1)) };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
window.addEventListener("hashchange", route);
for (const thumb of all(".thumb")) thumb.querySelector("img").src = source(Number(thumb.dataset.image));
route();
connect();
