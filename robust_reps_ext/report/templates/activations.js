"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const [where, order, kind, which, asked, back, on] =
  ["where", "order", "class", "model", "coordinate", "back", "on"].map(id =>
    document.getElementById(id));
const walls = [...document.querySelectorAll(".wall")];
const PAGE = walls.length > 1 ? 24 : 48;
let shown = [], page = 0, chosen = null;

const rank = {
  number: () => 0,
  alike: (model, i) => -model.alike[i],
  value: (model, i) => -model.most.value[i][0],
};

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function end(model, name, i) {
  const row = made("div", "end " + name), { image, value } = model[name];
  row.append(made("span", "", name));
  image[i].forEach((k, j) => {
    const cell = made("figure"), picture = made("img"), label = facts.names[k];
    picture.src = facts.thumbnails[k];
    picture.alt = label || "image " + facts.index[k];
    const caption = made("figcaption", "caption", value[i][j].toPrecision(3));
    cell.title = `${label ? label + ", " : ""}image ${facts.index[k]}, R(x) ${value[i][j]}`;
    cell.append(picture, caption);
    row.append(cell);
  });
  return row;
}

function common(model, i) {
  const names = model.most.image[i].map(k => facts.names[k]);
  const times = name => names.filter(other => other === name).length;
  const first = names.reduce((one, other) => times(other) > times(one) ? other : one);
  return first && times(first) > 1 ? `${times(first)} of ${names.length}: ${first}` : "";
}

function unit(m, i) {
  const model = facts.models[m], number = model.coordinates[i], address = `${m + 1}-${number}`;
  const item = made("li", chosen === address ? "chosen" : ""), title = made("h2");
  const link = made("a", "", number), ends = made("div", "ends");
  link.href = "#" + address;
  title.append(link, made("small", "", common(model, i)));
  ends.append(end(model, "most", i), end(model, "least", i));
  if (model.raised.length) {
    const raised = made("figure", "raised"), picture = made("img");
    picture.src = model.raised[i];
    picture.alt = "raises coordinate " + number;
    raised.append(picture, made("figcaption", "caption", "raises it"));
    ends.prepend(raised);
    ends.classList.add("beside");
  }
  item.append(title, ends);
  return item;
}

const last = () => Math.max(0, Math.ceil(Math.max(...shown.map(some => some.length)) / PAGE) - 1);

function show() {
  const first = page * PAGE;
  walls.forEach((wall, m) => {
    const some = shown[m].slice(first, first + PAGE);
    wall.closest(".model").hidden = which !== null && which.value !== "" && Number(which.value) !== m;
    wall.replaceChildren(...some.map(i => unit(m, i)));
    if (!some.length) wall.append(made("li", "none", "none"));
  });
  const count = Math.max(...shown.map(some => some.length));
  where.textContent = count ? `${first + 1} to ${Math.min(count, first + PAGE)} of ${count}` : "none";
  back.disabled = page === 0;
  on.disabled = page === last();
}

function sort() {
  const by = rank[order.value], name = kind === null ? "" : kind.value;
  shown = facts.models.map(model => model.coordinates.map((_, i) => i)
    .filter(i => !name || model.most.image[i].some(k => facts.names[k] === name))
    .sort((i, j) => by(model, i) - by(model, j) || i - j));
}

function turn(pages) {
  const next = Math.min(last(), Math.max(0, page + pages));
  if (next === page) return;
  page = next;
  show();
  window.scrollTo({ top: 0 });
}

function go(m, number) {
  const i = facts.models[m] ? facts.models[m].coordinates.indexOf(number) : -1;
  chosen = i < 0 ? null : `${m + 1}-${number}`;
  if (chosen !== null) {
    if (!shown[m].includes(i)) {
      kind.value = "";
      sort();
    }
    if (which !== null && which.value !== "") which.value = String(m);
    page = Math.floor(shown[m].indexOf(i) / PAGE);
  }
  show();
  const item = document.querySelector(".chosen");
  if (item) item.scrollIntoView({ block: "center" });
  return chosen !== null;
}

function follow() {
  const [, m, number] = /^#(\d+)-(\d+)$/.exec(location.hash) || [];
  if (number !== undefined) go(Number(m) - 1, Number(number));
}

for (const select of [order, kind, which]) {
  if (select) select.addEventListener("change", () => { sort(); page = 0; show(); });
}
asked.addEventListener("input", () => {
  const m = which === null ? 0 : Number(which.value);
  const found = asked.value === "" ? go(-1, 0) || true : go(m, Number(asked.value));
  asked.setCustomValidity(found ? "" : "no such coordinate");
  asked.reportValidity();
});
back.addEventListener("click", () => turn(-1));
on.addEventListener("click", () => turn(1));
document.addEventListener("keydown", event => {
  if (event.target.matches("input, select")) return;
  if (event.key === "ArrowRight") turn(1);
  if (event.key === "ArrowLeft") turn(-1);
});
window.addEventListener("hashchange", follow);
sort();
show();
follow();
