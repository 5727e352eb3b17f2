// The page of `zoo serve`. Whatever comes from a run, a file or a user is put in as text, never as
// HTML.

const AT_ONCE = 4; // requests
const KEPT = 60; // answers
const REMEMBERED = 8; // lines for screen readers
const SHOWN = 5; // classes of an answer before the others are asked for
const TRIES = 6; // of a request that the server has no room for

const at = (id) => document.getElementById(id);
const state = { model: null, waiting: [], running: 0 };

// -- building ----------------------------------------------------------------------------------

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

function number(value) {
  return typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 6 }) : value;
}

function bytes(count) {
  return `${count.toLocaleString("en")} bytes`;
}

function bar(name, share, chosen, withThreshold) {
  const fill = make("div", "fill");
  fill.style.width = `${100 * share}%`;
  const track = make("div", withThreshold ? "track threshold" : "track", fill);
  track.setAttribute("aria-hidden", "true");
  const title = make("span", "class", name);
  title.title = name;
  return make("li", chosen ? "chosen" : "", title, track, make("span", "number", percent(share)));
}

function bars(rows, chosen, several) {
  const items = rows.map(([name, share]) => bar(name, share, chosen.has(name), several));
  const list = make("ol", "bars", ...items.slice(0, SHOWN));
  list.setAttribute("aria-label", "Probabilities");
  if (items.length <= SHOWN) return [list];
  const rest = make("ol", "bars", ...items.slice(SHOWN));
  return [list, make("details", "more", make("summary", "", `${items.length - SHOWN} more`), rest)];
}

function values(numbers) {
  const items = inOrder(numbers).map(([name, value]) =>
    make("div", "", make("dt", "", name), make("dd", "", number(value))),
  );
  return make("dl", "values", ...items);
}

// JavaScript puts names such as 0 to 9 into their own order, whatever the server's was.
function inOrder(numbers) {
  return state.model.classes.filter((name) => name in numbers).map((name) => [name, numbers[name]]);
}

function likeliestFirst(probabilities) {
  return inOrder(probabilities).sort(([, one], [, other]) => other - one);
}

// -- answers -----------------------------------------------------------------------------------

function headline(prediction) {
  if (prediction.label !== undefined) return prediction.label;
  if (prediction.labels !== undefined) return prediction.labels.join(", ") || "none of the classes";
  return "";
}

function inWords(prediction) {
  if (prediction.values) {
    return inOrder(prediction.values).map(([name, value]) => `${name} ${number(value)}`).join(", ");
  }
  if (prediction.label === undefined) return headline(prediction);
  return `${prediction.label}, ${percent(prediction.probabilities[prediction.label])}`;
}

function details(prediction) {
  if (prediction.values) return [values(prediction.values)];
  const several = prediction.labels !== undefined;
  const chosen = new Set(several ? prediction.labels : [prediction.label]);
  return bars(likeliestFirst(prediction.probabilities), chosen, several);
}

function card(item) {
  const head = make("div", "head", make("h3", "said", "waiting"));
  const element = make("li", item.file ? "card answer waiting" : "card answer text waiting");
  if (item.file) {
    head.prepend(make("p", "name", item.name));
    element.append(preview(item.file));
  } else {
    element.append(make("div", "asked-box", ...item.texts.map((text) => make("p", "asked", text))));
  }
  element.append(head, make("div", "detail"));
  at("answers").prepend(element);
  at("answers-section").hidden = false;
  while (at("answers").children.length > KEPT) forget(at("answers").lastElementChild);
  return element;
}

function preview(file) {
  const image = make("img", "thumb");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.addEventListener("error", () => {
    URL.revokeObjectURL(image.src);
    image.replaceWith(make("div", "thumb no-thumb", "no preview of this kind of file"));
  });
  return image;
}

function forget(element) {
  const image = element.querySelector("img");
  if (image) URL.revokeObjectURL(image.src);
  element.remove();
}

function finish(item, said, ...rest) {
  const headline = item.card.querySelector(".said");
  headline.textContent = said;
  headline.hidden = !said;
  item.card.querySelector(".detail").append(...rest);
  item.card.classList.remove("waiting");
}

function showAnswer(item, reply) {
  const [prediction] = reply.predictions;
  const time = make("p", "time");
  finish(item, headline(prediction), ...details(prediction), time);
  const elapsed = performance.now() - item.start;
  const forward = 1000 * reply.seconds.forward;
  time.textContent = `${elapsed.toFixed(0)} ms, of which the network took ${forward.toFixed(0)}`;
  item.card.dataset.elapsed = elapsed;
  item.card.dataset.forward = forward;
  announce(`${item.name}: ${inWords(prediction)}`);
}

function showError(item, error) {
  item.card.classList.add("bad");
  finish(item, `${error.error}.`, make("p", "", `Expected: ${error.expected}.`));
  announce(`${item.name}: ${error.error}`);
}

function announce(text) {
  at("status").append(make("p", "", text));
  while (at("status").children.length > REMEMBERED) at("status").firstElementChild.remove();
}

// -- asking ------------------------------------------------------------------------------------

// Every item gets its card, the first on top, and its place in the queue.
function ask(items) {
  const start = performance.now();
  for (const item of [...items].reverse()) Object.assign(item, { start, card: card(item) });
  items.forEach(enqueue);
}

function enqueue(item) {
  const most = state.model.limits.request_bytes;
  if (item.file && item.file.size > most) {
    showError(item, {
      error: `The file is too large: ${bytes(item.file.size)}`,
      expected: `at most ${bytes(most)}`,
    });
    return;
  }
  state.waiting.push(item);
  next();
}

function next() {
  while (state.running < AT_ONCE && state.waiting.length) {
    state.running += 1;
    answer(state.waiting.shift()).finally(() => {
      state.running -= 1;
      next();
    });
  }
}

async function answer(item) {
  let response, reply;
  try {
    response = await send(item);
    reply = await response.json();
  } catch {
    showError(item, { error: "The server does not answer", expected: "a server that runs" });
    return;
  }
  if (response.ok) showAnswer(item, reply);
  else showError(item, reply);
}

async function send(item) {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch("/predict", { method: "POST", ...body(item) });
    const later = response.headers.get("retry-after");
    if (response.ok || !later || tries === TRIES) return response;
    await new Promise((done) => setTimeout(done, 1000 * Number(later)));
  }
}

function body(item) {
  if (item.file) {
    const form = new FormData();
    form.append("images", item.file, item.name);
    return { body: form };
  }
  const texts = [item.texts.length === 2 ? item.texts : item.texts[0]];
  return { body: JSON.stringify({ texts }), headers: { "content-type": "application/json" } };
}

// -- input -------------------------------------------------------------------------------------

function takeFiles(files) {
  ask(Array.from(files, (file) => ({ file, name: file.name || "pasted image" })));
}

function listenForImages() {
  at("images").hidden = false;
  at("files").addEventListener("change", (event) => {
    takeFiles(event.target.files);
    event.target.value = "";
  });
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  const dragging = (change) => {
    depth = change === 0 ? 0 : depth + change;
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", () => dragging(1));
  addEventListener("dragleave", () => dragging(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(0);
    takeFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => takeFiles(event.clipboardData.files));
}

function listenForTexts(pairs) {
  at("texts").hidden = false;
  at("second-field").hidden = !pairs;
  at("second").required = pairs;
  if (pairs) at("first-label").textContent = "First text";
  at("texts").addEventListener("submit", (event) => {
    event.preventDefault();
    const texts = [at("first").value, ...(pairs ? [at("second").value] : [])];
    ask([{ texts, name: "text" }]);
  });
  at("texts").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("texts").requestSubmit();
  });
}

// -- facts -------------------------------------------------------------------------------------

function inputOf(model) {
  if (model.files) return `images, read at ${model.input.size} × ${model.input.size} pixels`;
  const kind = model.pairs ? "pairs of texts" : "texts";
  return `${kind}, the first ${model.input.max_length} tokens`;
}

function licenceOf(weights) {
  const start = weights.tag ? `${weights.tag}: ${weights.license || "license not stated"}` : "trained from random parameters";
  return weights.code_license ? `${start}; code ${weights.code_license}` : start;
}

const FIGURES = {
  accuracy: "accuracy", macro_f1: "macro F1", micro_f1: "micro F1", map: "mAP", loss: "loss",
  mae: "MAE", rmse: "RMSE", r2: "R²",
};
const SHARES = new Set(["accuracy", "macro_f1", "micro_f1", "map"]);

function figures(metrics) {
  const cells = Object.entries(metrics).flatMap(([name, value]) => [
    make("span", "", FIGURES[name] || name),
    make("span", "", value === null ? "not finite" : SHARES.has(name) ? percent(value) : number(Number(value.toPrecision(4)))),
  ]);
  return make("div", "figures", ...cells);
}

function showModel(model) {
  document.title = `${model.run} · zoo`;
  at("run").textContent = model.run;
  const { one, several } = model.outputs;
  const count = model.classes.length === 1 ? `one ${one}` : `${model.classes.length} ${several}`;
  at("about").textContent = `${model.backbone} · ${count}`;
  const facts = {
    Backbone: model.backbone,
    Task: model.task,
    Input: inputOf(model),
    "On the validation split": figures(model.metrics),
    Weights: licenceOf(model.weights),
  };
  for (const [name, value] of Object.entries(facts)) {
    at("model").append(make("div", "", make("dt", "", name), make("dd", "", value)));
  }
  at("classes-title").textContent = count[0].toUpperCase() + count.slice(1);
  at("classes").append(...model.classes.map((name) => make("li", "", name)));
  at("classes-card").hidden = false;
}

function showMistakes(page, model) {
  if (!page.shown || !page.of) return;
  const numbers = !model.has_classes;
  at("mistakes-title").textContent = numbers ? "Farthest off" : "Mistakes";
  at("mistakes-about").textContent = numbers
    ? `The ${page.mistakes.length} of ${page.of} validation examples whose numbers are farthest off.`
    : `${page.count} of ${page.of} validation examples are taken for something else` +
      (page.count > page.mistakes.length ? `; these ${page.mistakes.length} are the worst.` : ".");
  const texts = !model.files;
  at("mistakes").classList.toggle("of-texts", texts);
  at("mistakes").append(...page.mistakes.map((each) => mistake(each, texts)));
  at("mistakes-section").hidden = false;
  at("all-mistakes").textContent = `Show all ${page.mistakes.length}`;
  at("all-mistakes").hidden = page.mistakes.length <= (texts ? 4 : 8);
  at("all-mistakes").addEventListener("click", () => {
    at("mistakes").classList.remove("folded");
    at("all-mistakes").hidden = true;
  });
}

function mistake(each, texts) {
  const said = make("dd", "was-said", list(each.said));
  if (each.probability !== null) said.append(" ", make("span", "share", percent(each.probability)));
  const facts = make("dl", "", make("dt", "", "is"), make("dd", "is", list(each.truth)), make("dt", "", "said"), said);
  if (!texts) {
    const element = make("li", "card mistake", each.image ? thumbnail(each) : make("p", "name", each.input[0]), facts);
    element.title = each.input[0];
    return element;
  }
  const again = make("button", "", "Try");
  again.type = "button";
  again.addEventListener("click", () => {
    at("first").value = each.input[0];
    if (each.input.length === 2) at("second").value = each.input[1];
    at("first").focus();
  });
  return make("li", "card mistake", make("div", "", ...each.input.map((text) => make("p", "asked", text))), again, facts);
}

function thumbnail(each) {
  const image = make("img", "");
  image.loading = "lazy";
  image.alt = `validation image ${each.input[0]}`;
  image.src = each.image;
  return image;
}

function list(items) {
  return items.map(number).join(", ") || "none";
}

async function start() {
  at("clear").addEventListener("click", () => {
    [...at("answers").children].filter((each) => !each.classList.contains("waiting")).forEach(forget);
    at("answers-section").hidden = !at("answers").children.length;
    announce("cleared");
    at("ask").focus();
  });
  try {
    state.model = await (await fetch("/model")).json();
  } catch {
    at("about").textContent = "The server does not answer. Start it again, and reload this page.";
    return;
  }
  showModel(state.model);
  if (state.model.files) listenForImages();
  else listenForTexts(state.model.pairs);
  document.documentElement.dataset.ready = "true";
  showMistakes(await (await fetch("/mistakes")).json(), state.model);
}

start();
