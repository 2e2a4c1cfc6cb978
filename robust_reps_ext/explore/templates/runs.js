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
  await giveUp();  // the network does one thing at a time
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
