"use strict";
const traces = JSON.parse(document.getElementById("traces").textContent);
const inspector = document.getElementById("inspector");
let pinned = null;

function line(values) {
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const last = Math.max(1, values.length - 1);
  return values.map((v, i) =>
    `${i ? "L" : "M"}${(100 * i / last).toFixed(2)} ${(29 - 28 * (v - low) / span).toFixed(2)}`
  ).join("");
}

function inspect(cell) {
  const image = cell.querySelector("img"), run = traces[cell.dataset.run];
  const position = Number(cell.dataset.position);
  const caption = cell.querySelector(".caption").textContent;
  inspector.querySelector("img").src = image.src;
  inspector.querySelector("img").alt = image.alt;
  inspector.querySelector(".title").textContent =
    cell.dataset.name + (caption ? ", " + caption : "");
  const facts = inspector.querySelector(".facts"), svg = inspector.querySelector("svg");
  svg.style.display = run ? "" : "none";
  facts.textContent = "";
  if (run) {
    const values = run.values[position];
    inspector.querySelector("path").setAttribute("d", line(values));
    facts.textContent = `${run.objective} from ${values[0]} to ${values[values.length - 1]} in ` +
      `${run.iterations} steps of ${run.step_size[position]}, eps ${run.eps[position]}, ` +
      run.precision;
  }
  inspector.hidden = false;
}

function release() {
  if (pinned) pinned.setAttribute("aria-pressed", "false");
  pinned = null;
  inspector.hidden = true;
}

for (const grid of document.querySelectorAll(".grid")) {
  const rows = [...grid.querySelectorAll(".row")].map(row => [...row.querySelectorAll(".cell")]);
  const cells = rows.flat();
  for (const cell of cells) {
    cell.addEventListener("mouseenter", () => { if (!pinned) inspect(cell); });
    cell.addEventListener("mouseleave", () => { if (!pinned) inspector.hidden = true; });
    cell.addEventListener("focus", () => {
      cells.forEach(other => { other.tabIndex = other === cell ? 0 : -1; });
      if (!pinned && cell.matches(":focus-visible")) inspect(cell);
    });
    cell.addEventListener("click", () => {
      const again = pinned === cell;
      release();
      if (again) return;
      pinned = cell;
      cell.setAttribute("aria-pressed", "true");
      inspect(cell);
    });
  }
  grid.addEventListener("keydown", event => {
    const y = rows.findIndex(row => row.includes(event.target));
    if (y < 0) return;
    const x = rows[y].indexOf(event.target);
    const [dy, dx] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1],
      ArrowRight: [0, 1] }[event.key] || [0, 0];
    const next = (rows[y + dy] || [])[x + dx];
    if (!(dx || dy) || !next) return;
    event.preventDefault();
    release();
    next.focus();
    inspect(next);
  });
}
inspector.querySelector(".close").addEventListener("click", release);
document.addEventListener("keydown", event => { if (event.key === "Escape") release(); });

for (const path of document.querySelectorAll(".path")) {
  const weights = JSON.parse(path.dataset.weights);
  const slider = path.querySelector("input"), shown = path.querySelector("output");
  const rows = [...path.querySelectorAll(".grid .row")];
  const move = () => {
    const i = Number(slider.value);
    shown.textContent = weights[i].toFixed(2);
    for (const image of path.querySelectorAll(".trio img")) {
      image.src = rows[image.dataset.row].querySelectorAll("img")[i].src;
    }
  };
  slider.value = Math.floor((weights.length - 1) / 2);
  slider.addEventListener("input", move);
  move();
}

for (const wall of document.querySelectorAll(".feature-wall")) {
  const tiles = [...wall.querySelectorAll(".wall .cell")];
  const open = tile => {
    for (const other of tiles) {
      const chosen = other === tile && other.getAttribute("aria-expanded") === "false";
      other.setAttribute("aria-expanded", String(chosen));
      other.setAttribute("aria-pressed", String(chosen));
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  tiles.forEach(tile => tile.addEventListener("click", () => open(tile)));
  if (tiles.length) open(tiles[0]);
}
