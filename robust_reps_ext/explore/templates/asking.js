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
  events.onerror = () => {
    tab = null;
    complain(events.readyState === EventSource.CLOSED
      ? "not connected: too many pages are open, or robust-reps explore has ended; load this page again"
      : "not connected: trying again");
  };
}

function heard(event) {
  if (event.type === "hello") {
    const again = tab === null && runs.size;
    tab = event.tab;
    document.body.dataset.connected = "yes";
    for (const [number] of dropped) forget(number);
    if (again) { runs.clear(); current = last = null; buttons(); complain("the connection was lost, and with it what was not kept"); }
    else { complain(""); route(); }
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
