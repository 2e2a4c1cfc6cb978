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
