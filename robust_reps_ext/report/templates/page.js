"use strict";
const traces = JSON.parse(document.getElementById("traces").textContent);
const inspector = document.getElementById("inspector");
let pinned = null;

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const runOf = cell => traces[cell.dataset.run];

function line(values) {
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const last = Math.max(1, values.length - 1);
  return values.map((v, i) =>
    `${i ? "L" : "M"}${(100 * i / last).toFixed(2)} ${(29 - 28 * (v - low) / span).toFixed(2)}`
  ).join("");
}

function inspect(cell) {
  const part = selector => inspector.querySelector(selector);
  const image = cell.querySelector("img"), caption = cell.querySelector(".caption").textContent;
  const run = runOf(cell), values = run && run.values[Number(cell.dataset.position)];
  part("img").src = image.src;
  part("img").alt = image.alt;
  part(".title").textContent = cell.dataset.name + (caption ? ", " + caption : "");
  part(".trace").hidden = !values;
  part(".facts").textContent = "";
  if (values) {
    const position = Number(cell.dataset.position), { objective, iterations, precision } = run;
    part("path").setAttribute("d", line(values));
    part(".from").textContent = `${objective} ${values[0]}`;
    part(".to").textContent = `${values[values.length - 1]}`;
    part(".facts").textContent = `${iterations} steps of ${run.step_size[position]}, ` +
      `eps ${run.eps[position]}, schedule ${run.schedule}, ${precision}`;
  }
  inspector.classList.toggle("pinned", cell === pinned);
  inspector.hidden = false;
}

function release() {
  if (pinned) pinned.setAttribute("aria-pressed", "false");
  pinned = null;
  inspector.hidden = true;
}

for (const grid of all(".grid")) {
  const rows = all(".row", grid).map(row => all(".cell", row));
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

for (const player of all(".player")) {
  const slider = player.querySelector("input"), shown = player.querySelector("output");
  const play = player.querySelector(".play");
  const cells = all(".cell", player.closest("section")).filter(one => (runOf(one) || {}).frames);
  const results = cells.map(cell => ({
    src: cell.querySelector("img").src, caption: cell.querySelector(".caption").textContent }));
  const steps = runOf(cells[0]).frame_steps, last = steps.length - 1;
  let timer = null;
  const show = i => {
    slider.value = i;
    shown.textContent = `step ${steps[i]} of ${steps[last]}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
    cells.forEach((cell, n) => {
      const run = runOf(cell), position = Number(cell.dataset.position);
      const at = run.steps.findLastIndex(step => step <= steps[i]);
      cell.querySelector("img").src = i === last ? results[n].src : run.frames[i][position];
      cell.querySelector(".caption").textContent =
        i === last ? results[n].caption : run.values[position][at].toFixed(2);
      if (cell === pinned) inspect(cell);
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === last) show(0);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) === last) stop();
    }, 300);
  });
  slider.max = last;
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  show(last);
}

for (const paths of all(".paths")) {
  const weights = JSON.parse(paths.dataset.weights);
  const slider = paths.querySelector("input"), shown = paths.querySelector("output");
  const cards = all(".card", paths).map((card, n) => {
    const rows = all(".row", all(".steps", paths)[n]), images = all("img", card);
    return images.map((image, r) => ({ image, steps: rows
      .filter((_, i) => i % images.length === r)
      .flatMap(row => all("img", row).map(step => step.src)) }));
  }).flat();
  const move = () => {
    shown.textContent = weights[slider.value].toFixed(2);
    cards.forEach(({ image, steps }) => { image.src = steps[slider.value]; });
  };
  slider.value = Math.floor((weights.length - 1) / 2);
  slider.addEventListener("input", move);
  move();
}
