"use strict";
const read = id => JSON.parse(document.getElementById(id).textContent);
const data = read("data"), classes = read("classes");
const articles = [...document.querySelectorAll("article")];
const key = "zoo-clean:" + data.identity;
const status = document.getElementById("status");
const filter = document.getElementById("filter");
const exporting = document.getElementById("export");
let decisions = {}, current = -1, kept = true;

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(key) || "{}");
    for (const [number, decision] of Object.entries(found)) {
      if (articles[number] && ["keep", "relabel", "drop"].includes(decision[0])) decisions[number] = decision;
    }
  } catch { kept = false; }
}

function save() {
  try { localStorage.setItem(key, JSON.stringify(decisions)); kept = true; } catch { kept = false; }
}

function newLabel(article) {
  const choice = article.querySelector(".choice"), value = article.querySelector(".value");
  if (choice) return choice.value === "" ? "" : classes[choice.value];
  if (value) return value.value.trim();
  return JSON.stringify([...article.querySelectorAll("input:checked")].map(box => classes[box.dataset.place]));
}

function restore(article, label) {
  const choice = article.querySelector(".choice"), value = article.querySelector(".value");
  if (choice) choice.value = String(classes.indexOf(label));
  else if (value) value.value = label;
  else {
    let names = [];
    try { names = JSON.parse(label); } catch { return; }
    for (const box of article.querySelectorAll("input")) box.checked = names.includes(classes[box.dataset.place]);
  }
}

function show(number) {
  const article = articles[number], decision = decisions[number];
  for (const button of article.querySelectorAll("[data-decision]")) {
    button.setAttribute("aria-pressed", String(Boolean(decision) && button.dataset.decision === decision[0]));
  }
  article.toggleAttribute("data-decided", Boolean(decision));
}

function summarize() {
  const count = Object.keys(decisions).length;
  const lost = kept ? "" : "; this browser does not keep them: export before you close the page";
  status.textContent = `${count} of ${articles.length} decided${lost}`;
  exporting.disabled = count === 0;
}

function decide(number, decision) {
  const article = articles[number];
  const label = decision === "relabel" ? newLabel(article) : "";
  if (decision === "relabel" && label === "") {
    article.querySelector(".choice, .value").focus();
    status.textContent = "Choose the new label, then relabel";
    return false;
  }
  if (decision) decisions[number] = [decision, label];
  else delete decisions[number];
  show(number);
  save();
  summarize();
  return true;
}

function visible(number) { return articles[number] && !articles[number].parentElement.hidden; }

function move(step) {
  let next = current + step;
  while (next >= 0 && next < articles.length && !visible(next)) next += step;
  if (!visible(next)) return;
  current = next;
  articles[next].focus({preventScroll: true});
  articles[next].parentElement.scrollIntoView({block: "nearest"});
}

function columns() {
  const shown = articles.filter((_, number) => visible(number));
  const top = shown.length && shown[0].parentElement.offsetTop;
  return Math.max(1, shown.filter(article => article.parentElement.offsetTop === top).length);
}

function filtered() {
  articles.forEach((article, number) => {
    const wanted = filter.value === "" || (filter.value === "undecided" ? !decisions[number]
      : data.samples[number].reasons.includes(filter.value));
    article.parentElement.hidden = !wanted;
  });
  current = -1;
}

const cell = text => /[",\r\n;]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

function corrections() {
  const lines = [[data.column, "split", "label", "decision", "new_label"]];
  for (const number of Object.keys(decisions).map(Number).sort((a, b) => a - b)) {
    const sample = data.samples[number];
    lines.push([sample.key, sample.split, sample.label, ...decisions[number]]);
  }
  return lines.map(line => line.map(cell).join(",") + "\n").join("");
}

exporting.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([corrections()], {type: "text/csv"}));
  link.download = "corrections.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

filter.addEventListener("change", filtered);

articles.forEach((article, number) => {
  article.addEventListener("focusin", () => { current = number; });
  article.addEventListener("click", event => {
    const button = event.target.closest("[data-decision]");
    current = number;
    if (!button) return;
    const pressed = button.getAttribute("aria-pressed") === "true";
    decide(number, pressed ? "" : button.dataset.decision);
  });
  article.addEventListener("change", () => {
    if (newLabel(article) === "") {
      if (decisions[number] && decisions[number][0] === "relabel") decide(number, "");
    } else decide(number, "relabel");
  });
});

const KEYS = {k: "keep", r: "relabel", d: "drop", u: ""};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, audio, summary")) return;
  const letter = event.key.toLowerCase();
  if (letter in KEYS) {
    if (current < 0) move(1);
    else if (decide(current, KEYS[letter]) && letter !== "u") move(1);
  } else if (event.key === "ArrowRight") move(1);
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowDown") for (let i = columns(); i > 0; i--) move(1);
  else if (event.key === "ArrowUp") for (let i = columns(); i > 0; i--) move(-1);
  else return;
  event.preventDefault();
});

load();
for (const number of Object.keys(decisions)) {
  if (decisions[number][0] === "relabel") restore(articles[number], decisions[number][1]);
  show(number);
}
summarize();
