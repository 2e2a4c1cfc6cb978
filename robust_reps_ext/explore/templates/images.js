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
