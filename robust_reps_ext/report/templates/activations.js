"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const [wall, where, order, asked, back, on] =
  ["wall", "where", "order", "coordinate", "back", "on"].map(id => document.getElementById(id));
const PAGE = 48, count = facts.coordinates.length, last = Math.ceil(count / PAGE) - 1;
const rank = {
  number: () => 0,
  alike: i => -facts.alike[i],
  value: i => -facts.most.value[i][0],
};
let shown = [], page = 0, chosen = null;

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function end(name, i) {
  const row = made("div", "end " + name), { image, value } = facts[name];
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

function common(i) {
  const names = facts.most.image[i].map(k => facts.names[k]);
  const times = name => names.filter(other => other === name).length;
  const first = names.reduce((one, other) => times(other) > times(one) ? other : one);
  return first && times(first) > 1 ? `${times(first)} of ${names.length}: ${first}` : "";
}

function show() {
  wall.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(i => {
    const item = made("li", i === chosen ? "chosen" : ""), title = made("h2");
    title.append(made("span", "", facts.coordinates[i]), made("small", "", common(i)));
    item.append(title, end("most", i), end("least", i));
    return item;
  }));
  const first = page * PAGE + 1, stop = Math.min(count, first + PAGE - 1);
  where.textContent = `${first} to ${stop} of ${count}`;
  back.disabled = page === 0;
  on.disabled = page === last;
}

function sort() {
  const by = rank[order.value];
  shown = facts.coordinates.map((_, i) => i).sort((i, j) => by(i) - by(j) || i - j);
}

function turn(pages) {
  const next = Math.min(last, Math.max(0, page + pages));
  if (next === page) return;
  page = next;
  show();
  window.scrollTo({ top: 0 });
}

order.addEventListener("change", () => { sort(); page = 0; show(); });
asked.addEventListener("input", () => {
  const found = facts.coordinates.indexOf(Number(asked.value));
  chosen = asked.value === "" || found < 0 ? null : found;
  asked.setCustomValidity(asked.value !== "" && found < 0 ? "no such coordinate" : "");
  asked.reportValidity();
  if (chosen !== null) page = Math.floor(shown.indexOf(chosen) / PAGE);
  show();
  const item = wall.querySelector(".chosen");
  if (item) item.scrollIntoView({ block: "center" });
});
back.addEventListener("click", () => turn(-1));
on.addEventListener("click", () => turn(1));
document.addEventListener("keydown", event => {
  if (event.target.matches("input, select")) return;
  if (event.key === "ArrowRight") turn(1);
  if (event.key === "ArrowLeft") turn(-1);
});
sort();
show();
