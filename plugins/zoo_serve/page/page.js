// The page of `zoo serve`. Everything from a run, a file or a user is inserted as text, never as
// HTML.

const MAX_CONCURRENT = 4; // requests
const MAX_CARDS = 60; // predictions on the page
const MAX_STATUS_LINES = 8; // for screen readers
const TOP_CLASSES = 5; // bars shown before "N more"
const MAX_TRIES = 6; // of a request while the server is busy

const byId = (id) => document.getElementById(id);
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
  const list = make("ol", "bars", ...items.slice(0, TOP_CLASSES));
  list.setAttribute("aria-label", "Probabilities");
  if (items.length <= TOP_CLASSES) return [list];
  const rest = make("ol", "bars", ...items.slice(TOP_CLASSES));
  return [list, make("details", "more", make("summary", "", `${items.length - TOP_CLASSES} more`), rest)];
}

function valueList(numbers) {
  const items = inOrder(numbers).map(([name, value]) =>
    make("div", "", make("dt", "", name), make("dd", "", number(value))),
  );
  return make("dl", "values", ...items);
}

// JavaScript sorts integer-like keys such as 0 to 9 numerically, whatever the server's order.
function inOrder(numbers) {
  return state.model.classes.filter((name) => name in numbers).map((name) => [name, numbers[name]]);
}

function byProbability(probabilities) {
  return inOrder(probabilities).sort(([, one], [, other]) => other - one);
}

// -- predictions -------------------------------------------------------------------------------

function headline(prediction) {
  if (prediction.label !== undefined) return prediction.label;
  if (prediction.labels !== undefined) return prediction.labels.join(", ") || "no class";
  return "";
}

function spoken(prediction) {
  if (prediction.values) {
    return inOrder(prediction.values).map(([name, value]) => `${name} ${number(value)}`).join(", ");
  }
  if (prediction.label === undefined) return headline(prediction);
  return `${prediction.label}, ${percent(prediction.probabilities[prediction.label])}`;
}

function details(prediction) {
  if (prediction.values) return [valueList(prediction.values)];
  const several = prediction.labels !== undefined;
  const chosen = new Set(several ? prediction.labels : [prediction.label]);
  return bars(byProbability(prediction.probabilities), chosen, several);
}

function card(item) {
  const head = make("div", "head", make("h3", "headline", "waiting"));
  const element = make("li", item.file ? "card prediction waiting" : "card prediction text waiting");
  if (item.file) {
    head.prepend(make("p", "name", item.name));
    element.append(preview(item.file));
  } else {
    element.append(make("div", "input-box", ...item.texts.map((text) => make("p", "input-text", text))));
  }
  element.append(head, make("div", "detail"));
  byId("predictions").prepend(element);
  byId("predictions-section").hidden = false;
  while (byId("predictions").children.length > MAX_CARDS) forget(byId("predictions").lastElementChild);
  return element;
}

function preview(file) {
  if (file.type.startsWith("audio/")) return player(file);
  const image = make("img", "thumb");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.addEventListener("error", () => {
    URL.revokeObjectURL(image.src);
    image.replaceWith(make("div", "thumb no-thumb", "no preview for this file type"));
  });
  return image;
}

function player(file) {
  const audio = make("audio", "thumb");
  audio.controls = true;
  audio.src = URL.createObjectURL(file);
  return audio;
}

function forget(element) {
  const image = element.querySelector("img, audio");
  if (image) URL.revokeObjectURL(image.src);
  element.remove();
}

function finish(item, title, ...rest) {
  const headline = item.card.querySelector(".headline");
  headline.textContent = title;
  headline.hidden = !title;
  item.card.querySelector(".detail").append(...rest);
  item.card.classList.remove("waiting");
}

function showPrediction(item, reply) {
  const [prediction] = reply.predictions;
  const time = make("p", "time");
  finish(item, headline(prediction), ...details(prediction), time);
  const elapsed = performance.now() - item.start;
  const forward = 1000 * reply.seconds.forward;
  time.textContent = `${elapsed.toFixed(0)} ms (model ${forward.toFixed(0)} ms)`;
  item.card.dataset.elapsed = elapsed;
  item.card.dataset.forward = forward;
  announce(`${item.name}: ${spoken(prediction)}`);
}

function showError(item, error) {
  item.card.classList.add("bad");
  finish(item, `${error.error}.`, make("p", "", `Expected: ${error.expected}.`));
  announce(`${item.name}: ${error.error}`);
}

function announce(text) {
  byId("status").append(make("p", "", text));
  while (byId("status").children.length > MAX_STATUS_LINES) byId("status").firstElementChild.remove();
}

// -- requests ----------------------------------------------------------------------------------

// Add a card per item, the first on top, and queue the requests.
function predict(items) {
  const start = performance.now();
  for (const item of [...items].reverse()) Object.assign(item, { start, card: card(item) });
  items.forEach(enqueue);
}

function enqueue(item) {
  const limit = state.model.limits.request_bytes;
  if (item.file && item.file.size > limit) {
    showError(item, {
      error: `The file is too large: ${bytes(item.file.size)}`,
      expected: `at most ${bytes(limit)}`,
    });
    return;
  }
  state.waiting.push(item);
  next();
}

function next() {
  while (state.running < MAX_CONCURRENT && state.waiting.length) {
    state.running += 1;
    request(state.waiting.shift()).finally(() => {
      state.running -= 1;
      next();
    });
  }
}

async function request(item) {
  let response, reply;
  try {
    response = await send(item);
    reply = await response.json();
  } catch {
    showError(item, { error: "The server does not respond", expected: "a running server" });
    return;
  }
  if (response.ok) showPrediction(item, reply);
  else showError(item, reply);
}

async function send(item) {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch("predict", { method: "POST", ...body(item) });
    const retryAfter = response.headers.get("retry-after");
    if (response.ok || !retryAfter || tries === MAX_TRIES) return response;
    await new Promise((done) => setTimeout(done, 1000 * Number(retryAfter)));
  }
}

function body(item) {
  if (item.file) {
    const form = new FormData();
    form.append(state.model.nouns, item.file, item.name);
    return { body: form };
  }
  const texts = [item.texts.length === 2 ? item.texts : item.texts[0]];
  return { body: JSON.stringify({ texts }), headers: { "content-type": "application/json" } };
}

// -- input -------------------------------------------------------------------------------------

function addFiles(files) {
  predict(Array.from(files, (file) => ({ file, name: file.name || "pasted image" })));
}

function listenForFiles(model) {
  byId("images").hidden = false;
  byId("files").accept = model.accept;
  byId("choose").textContent = `Choose ${model.nouns}`;
  byId("files").addEventListener("change", (event) => {
    addFiles(event.target.files);
    event.target.value = "";
  });
  let depth = 0; // dragenter and dragleave fire for every element crossed
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
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => addFiles(event.clipboardData.files));
}

function listenForTexts(pairs) {
  byId("texts").hidden = false;
  byId("second-field").hidden = !pairs;
  byId("second").required = pairs;
  if (pairs) byId("first-label").textContent = "First text";
  byId("texts").addEventListener("submit", (event) => {
    event.preventDefault();
    const texts = [byId("first").value, ...(pairs ? [byId("second").value] : [])];
    predict([{ texts, name: "text" }]);
  });
  byId("texts").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("texts").requestSubmit();
  });
}

// -- facts -------------------------------------------------------------------------------------

function describeInput(model) {
  if (model.files) return `${model.nouns}, ${model.takes}`;
  const kind = model.pairs ? "text pairs" : "texts";
  return `${kind}, up to ${model.input.max_length} tokens`;
}

function describeWeights(weights) {
  const origin = weights.tag ? `${weights.tag}: ${weights.license || "license not stated"}` : "none (random initialisation)";
  return weights.code_license ? `${origin}; code ${weights.code_license}` : origin;
}

const METRICS = {
  accuracy: "accuracy", macro_f1: "macro F1", micro_f1: "micro F1", map: "mAP", loss: "loss",
  mae: "MAE", rmse: "RMSE", r2: "R²",
};
const PERCENTAGES = new Set(["accuracy", "macro_f1", "micro_f1", "map"]);

function metricTable(metrics) {
  const cells = Object.entries(metrics).flatMap(([name, value]) => [
    make("span", "", METRICS[name] || name),
    make("span", "", value === null ? "not finite" : PERCENTAGES.has(name) ? percent(value) : number(Number(value.toPrecision(4)))),
  ]);
  return make("div", "metrics", ...cells);
}

function showModel(model) {
  document.title = `${model.run} · zoo`;
  byId("run").textContent = model.run;
  const { one, several } = model.outputs;
  const count = model.classes.length === 1 ? `one ${one}` : `${model.classes.length} ${several}`;
  byId("about").textContent = `${model.backbone} · ${count}`;
  const facts = {
    Backbone: model.backbone,
    Task: model.task,
    Input: describeInput(model),
    "Validation metrics": metricTable(model.metrics),
    Weights: describeWeights(model.weights),
  };
  for (const [name, value] of Object.entries(facts)) {
    byId("model").append(make("div", "", make("dt", "", name), make("dd", "", value)));
  }
  byId("classes-title").textContent = count[0].toUpperCase() + count.slice(1);
  byId("classes").append(...model.classes.map((name) => make("li", "", name)));
  byId("classes-card").hidden = false;
}

function showMistakes(page, model) {
  if (!page.shown || !page.of) return;
  const regression = !model.has_classes;
  byId("mistakes-title").textContent = regression ? "Largest errors" : "Misclassified";
  byId("mistakes-about").textContent = regression
    ? `The ${page.mistakes.length} of ${page.of} validation samples with the largest errors.`
    : `${page.count} of ${page.of} validation samples misclassified` +
      (page.count > page.mistakes.length ? `; showing the ${page.mistakes.length} most confident.` : ".");
  const texts = !model.files;
  byId("mistakes").classList.toggle("of-texts", texts);
  byId("mistakes").append(...page.mistakes.map((each) => mistake(each, texts)));
  byId("mistakes-section").hidden = false;
  byId("all-mistakes").textContent = `Show all ${page.mistakes.length}`;
  byId("all-mistakes").hidden = page.mistakes.length <= (texts ? 4 : 8);
  byId("all-mistakes").addEventListener("click", () => {
    byId("mistakes").classList.remove("folded");
    byId("all-mistakes").hidden = true;
  });
}

function mistake(each, texts) {
  const predicted = make("dd", "wrong", list(each.predicted));
  if (each.probability !== null) predicted.append(" ", make("span", "share", percent(each.probability)));
  const label = make("dd", "right", list(each.truth));
  const facts = make("dl", "", make("dt", "", "label"), label, make("dt", "", "predicted"), predicted);
  if (!texts) {
    const element = make("li", "card mistake", each.image ? thumbnail(each) : make("p", "name", each.input[0]), facts);
    element.title = each.input[0];
    return element;
  }
  const retry = make("button", "", "Try");
  retry.type = "button";
  retry.addEventListener("click", () => {
    byId("first").value = each.input[0];
    if (each.input.length === 2) byId("second").value = each.input[1];
    byId("first").focus();
  });
  return make("li", "card mistake", make("div", "", ...each.input.map((text) => make("p", "input-text", text))), retry, facts);
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
  byId("clear").addEventListener("click", () => {
    [...byId("predictions").children].filter((each) => !each.classList.contains("waiting")).forEach(forget);
    byId("predictions-section").hidden = !byId("predictions").children.length;
    announce("cleared");
    byId("input").focus();
  });
  try {
    state.model = await (await fetch("model")).json();
  } catch {
    byId("about").textContent = "The server does not respond. Restart it and reload this page.";
    return;
  }
  showModel(state.model);
  if (state.model.files) listenForFiles(state.model);
  else listenForTexts(state.model.pairs);
  document.documentElement.dataset.ready = "true";
  showMistakes(await (await fetch("mistakes")).json(), state.model);
}

start();
