"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const [first, trial, last, person, picture, choices, where, csv, save] =
  ["first", "trial", "last", "person", "picture", "choices", "where", "csv", "save"]
    .map(id => document.getElementById(id));
const columns = ["study", "seed", "person", "order", "condition", "image", "truth", "answer",
  "correct", "milliseconds"];
let order = [], answers = [], begun = 0, timer = 0;

function random(text) {
  // FNV-1a of the text, then mulberry32.
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296;
  };
}

function shuffled(count, draw) {
  const numbers = [...Array(count).keys()];
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
  }
  return numbers;
}

const key = () => `study ${facts.study} ${person.value}`;

function keep() {
  try { localStorage.setItem(key(), JSON.stringify(answers)); } catch { /* private windows */ }
}

function kept() {
  try { return JSON.parse(localStorage.getItem(key())) ?? []; } catch { return []; }
}

function show() {
  clearTimeout(timer);
  if (answers.length === order.length) return end();
  const one = facts.trials[order[answers.length]];
  where.textContent = `${answers.length + 1} of ${order.length}`;
  picture.src = one.image;
  picture.classList.remove("gone");
  choices.replaceChildren(...one.choices.map((choice, i) => {
    const button = document.createElement("button");
    button.type = "button";
    const number = document.createElement("small");
    number.textContent = i < 9 ? i + 1 : "";
    button.append(number);
    if (one.pictures) {
      const image = document.createElement("img");
      image.src = choice;
      image.alt = `choice ${i + 1}`;
      button.append(image);
    } else {
      button.append(choice);
    }
    button.addEventListener("click", () => answer(i));
    return button;
  }));
  begun = performance.now();
  if (facts.milliseconds) {
    timer = setTimeout(() => picture.classList.add("gone"), facts.milliseconds);
  }
}

function answer(i) {
  const one = facts.trials[order[answers.length]];
  const named = k => k === null ? "" : one.pictures ? String(k + 1) : one.choices[k];
  answers.push([facts.study, facts.seed, person.value, answers.length, one.condition, one.name,
    named(one.truth), named(i), one.truth === null ? "" : Number(i === one.truth),
    Math.round(performance.now() - begun)]);
  keep();
  show();
}

function end() {
  trial.hidden = true;
  last.hidden = false;
  const quoted = value => `"${String(value).replaceAll('"', '""')}"`;
  csv.value = [columns, ...answers].map(row => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  save.href = "data:text/csv;charset=utf-8," + encodeURIComponent(csv.value);
  save.download = `answers-${person.value.replace(/[^\w-]+/g, "_")}.csv`;
}

document.getElementById("begin").addEventListener("submit", event => {
  event.preventDefault();
  order = shuffled(facts.trials.length, random(`${facts.seed} ${person.value}`));
  answers = kept();
  first.hidden = true;
  trial.hidden = false;
  show();
});

document.addEventListener("keydown", event => {
  const i = Number(event.key) - 1;
  const button = choices.children[i];
  if (!trial.hidden && Number.isInteger(i) && button) button.click();
});
