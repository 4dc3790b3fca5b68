// The page of medclf-serve: one text with the words that matter, or the rows of a CSV file. Talks to its own server
// alone, and keeps nothing when it is closed.

import { parseCsv, writeCsv } from "./csv.js";

const MAX_ROWS = 100000, MAX_FILE_BYTES = 64 * 1024 * 1024, MAX_SHOWN = 500;
const MAX_SCORES = 6, BATCH_ROWS = 32, BATCH_CHARACTERS = 200000, N_AT_A_TIME = 2, MAX_TRIES = 8;

const $ = (id) => document.getElementById(id);
let models = [], file = null;

// ---- asking the server

async function ask(path, body, tries = MAX_TRIES) {
  const reply = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => null);
  if (reply?.ok) return reply.json();
  const full = reply === null || reply.status === 429 || reply.status === 503;
  if (full && tries > 1) {
    const seconds = Number(reply?.headers.get("retry-after")) || 1;
    await new Promise((wake) => setTimeout(wake, 1000 * seconds * (1 + Math.random())));
    return ask(path, body, tries - 1);
  }
  if (reply === null) throw new Error("The server does not answer.");
  const told = await reply.json().catch(() => ({}));
  throw new Error(told.error ?? `The server answered ${reply.status}.`);
}

const model = () => models.find((one) => one.name === $("model").value) ?? models[0];

async function start() {
  models = (await ask("v1/info")).models;
  for (const one of models) $("model").append(new Option(one.name));
  $("model-choice").hidden = models.length < 2;
  $("model").addEventListener("change", showModel);
  showModel();
}

function showModel() {
  const one = model();
  const several = one.task === "multi_label_classification" ? "any number of" : "one of";
  $("about").textContent = `Gives ${several} ${one.labels.length} labels. Reads up to ${one.max_tokens.toLocaleString("en")} tokens of a text`
    + ` (${one.precision} on ${one.provider}).`;
  $("pair-field").hidden = $("pair-column-field").hidden = !one.takes_pairs;
  clear($("answer"), $("words"));
}

// ---- making elements

function make(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
}

const clear = (...elements) => elements.forEach((one) => one.replaceChildren());
const percent = (p) => (p > 0.999 ? "> 99.9 %" : p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);
const listed = (label) => (Array.isArray(label) ? label.join("; ") || "no label" : label ?? "left to a person: too unsure");

function tell(problem) {
  $("problem").hidden = !problem;
  $("problem").textContent = problem ?? "";
}

/** Run something that a button starts: the button waits, and what fails is told. */
async function busy(button, work) {
  tell(null);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { tell(error.message); $("problem").scrollIntoView({ block: "nearest" }); }
  button.disabled = false;
  button.removeAttribute("aria-busy");
}

// ---- one text

const pairOf = () => (model().takes_pairs ? $("pair").value : null);

async function classifyText() {
  clear($("answer"), $("words"));
  if (!$("text").value.trim()) throw new Error("There is no text yet.");
  const pair = pairOf();
  const body = { texts: [$("text").value], model: model().name, ...(pair === null ? {} : { pairs: [pair] }) };
  showAnswer((await ask("v1/predict", body)).results[0]);
}

function showAnswer(result) {
  const given = [].concat(result.label);
  $("answer").append(make("p", { className: "verdict" }, listed(result.label)));
  if (result.truncated) $("answer").append(cutNote(result.n_tokens));
  const scores = Object.entries(result.probabilities).map(([name, p]) => score(name, p, given.includes(name)));
  const n = Math.max(MAX_SCORES, given.length);
  $("answer").append(...scores.slice(0, n));
  if (scores.length > n)
    $("answer").append(make("details", {}, make("summary", {}, `${scores.length - n} more labels`), ...scores.slice(n)));
}

function score(name, p, given) {
  const fill = make("div", { className: "fill" });
  fill.style.width = `${100 * p}%`;
  return make("div", { className: given ? "score given" : "score" }, make("span", {}, name),
    make("div", { className: "track" }, fill), make("span", { className: "number" }, percent(p)));
}

function cutNote(nTokens) {
  return make("p", { className: "note warn" },
    `The text has ${nTokens.toLocaleString("en")} tokens; the model reads at most ${model().max_tokens.toLocaleString("en")} and did not see the rest.`);
}

async function explainText() {
  clear($("answer"), $("words"));
  if (!$("text").value.trim()) throw new Error("There is no text yet.");
  await classifyText();
  const pair = pairOf(), text = $("text").value;
  showWords(await ask("v1/explain", { text, model: model().name, ...(pair === null ? {} : { pair }) }), text, pair);
}

function showWords(answer, text, pair) {
  const largest = Math.max(1e-9, ...answer.effects.map((one) => Math.abs(one.effect)));
  const parts = [["", text, answer.effects.filter((one) => !one.second)]];
  if (pair !== null) parts.push(["Second text", pair, answer.effects.filter((one) => one.second)]);
  $("words").append(make("h3", {}, `Words that matter for ${answer.label}`), legend());
  for (const [title, whole, effects] of parts) {
    if (title) $("words").append(make("p", { className: "quiet" }, title));
    $("words").append(marked(whole, effects, largest));
  }
  $("words").append(strongest(answer.effects, text, pair), make("p", { className: "quiet" },
    "Each word (or run of words, in a long text) was left out, and the model asked again. It shows what this answer rests"
    + " on, and not why anything is so."));
}

function legend() {
  return make("p", { className: "legend quiet" }, make("mark", { className: "for" }, "speaks for it"),
    make("mark", { className: "against" }, "speaks against it"));
}

/** The text with what was left out marked; places are counted in code points. */
function marked(text, effects, largest) {
  const points = Array.from(text), box = make("div", { className: "marked" });
  let at = 0;
  for (const one of effects) {
    box.append(points.slice(at, one.start).join(""));
    const strength = Math.abs(one.effect) / largest;
    const mark = make("mark", { className: one.effect < 0 ? "against" : "for" }, points.slice(one.start, one.end).join(""));
    if (strength < 0.08) mark.className = "";
    mark.style.setProperty("--strength", (0.08 + 0.62 * strength).toFixed(2));
    box.append(mark);
    at = one.end;
  }
  box.append(points.slice(at).join(""));
  return box;
}

function strongest(effects, text, pair) {
  const word = (one) => Array.from(one.second ? pair : text).slice(one.start, one.end).join("");
  const list = (title, chosen) => make("div", {}, make("p", { className: "quiet" }, title),
    make("ol", {}, ...chosen.slice(0, 5).map((one) => make("li", {}, `${word(one)} (${one.effect > 0 ? "+" : "−"}${Math.abs(one.effect).toFixed(2)})`))));
  const sorted = [...effects].sort((a, b) => b.effect - a.effect);
  return make("div", { className: "strongest" },
    list("Strongest for it, in log-odds", sorted.filter((one) => one.effect > 0)),
    list("Strongest against it", sorted.filter((one) => one.effect < 0).reverse()));
}

// ---- a file

async function openFile(chosen) {
  clear($("rows"));
  $("file-form").hidden = true;
  if (chosen.size > MAX_FILE_BYTES) throw new Error("The file is over 64 MB: use medclf-predict for it.");
  const { text, guessed } = decode(await chosen.arrayBuffer());
  const [header, ...rows] = parseCsv(text);
  if (!rows.length) throw new Error("The file has no row below its header.");
  if (rows.length > MAX_ROWS) throw new Error(`The file has over ${MAX_ROWS.toLocaleString("en")} rows: use medclf-predict for it.`);
  file = { name: chosen.name, header, rows, results: [], stopped: false };
  $("file-about").textContent = `${chosen.name}: ${rows.length.toLocaleString("en")} rows.`
    + (guessed ? " It is not UTF-8; it was read as Windows-1252." : "");
  for (const id of ["column", "pair-column"])
    $(id).replaceChildren(...header.map((name, i) => new Option(name || `column ${i + 1}`, i)));
  $("column").value = textColumn(header, rows);
  $("export").hidden = $("progress").hidden = true;
  $("progress-text").textContent = "";
  $("file-form").hidden = false;
  $("column").focus();
}

function decode(bytes) {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), guessed: false };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), guessed: true };
  }
}

/** The column called text, or the one with the longest cells. */
function textColumn(header, rows) {
  const named = header.findIndex((name) => name.trim().toLowerCase() === "text");
  if (named >= 0) return named;
  const length = (i) => rows.slice(0, 50).reduce((sum, row) => sum + (row[i]?.length ?? 0), 0);
  return header.reduce((best, _, i) => (length(i) > length(best) ? i : best), 0);
}

async function classifyFile() {
  const job = file, column = Number($("column").value), pairColumn = Number($("pair-column").value), pairs = model().takes_pairs;
  Object.assign(job, { results: new Array(job.rows.length), nDone: 0, stopped: false, column });
  $("cancel").hidden = $("progress").hidden = false;
  $("export").hidden = true;
  clear($("rows"));
  const waiting = batches(job.rows, column);
  const work = async () => {
    for (let rows = waiting.shift(); rows && !job.stopped; rows = waiting.shift()) {
      const cells = (i) => rows.map((row) => job.rows[row][i] ?? "");
      const body = { texts: cells(column), model: model().name, on_error: "skip", top_k: 1,
        ...(pairs ? { pairs: cells(pairColumn) } : {}) };
      const { results } = await ask("v1/predict", body);
      rows.forEach((row, i) => { job.results[row] = results[i]; });
      job.nDone += rows.length;
      showProgress(job);
    }
  };
  try {
    await Promise.all(Array.from({ length: N_AT_A_TIME }, work));
  } finally {
    job.stopped = true;
    $("cancel").hidden = true;
    $("export").hidden = !job.nDone;
    if (job === file) { showProgress(job); showRows(job); }
  }
}

function batches(rows, column) {
  const all = [];
  let batch = [], size = 0;
  rows.forEach((row, i) => {
    const length = row[column]?.length ?? 0;
    if (batch.length === BATCH_ROWS || (batch.length && size + length > BATCH_CHARACTERS)) {
      all.push(batch); batch = []; size = 0;
    }
    batch.push(i); size += length;
  });
  return [...all, batch];
}

function showProgress(job) {
  $("progress").value = job.nDone / job.rows.length;
  const done = job.results.filter(Boolean), nCut = done.filter((one) => one.truncated).length, nBad = done.filter((one) => one.error).length;
  $("progress-text").textContent = `${job.nDone.toLocaleString("en")} of ${job.rows.length.toLocaleString("en")} rows`
    + `${nCut ? `, ${nCut} cut at ${model().max_tokens} tokens` : ""}${nBad ? `, ${nBad} without an answer` : ""}.`;
}

function showRows(job) {
  const head = make("tr", {}, ...["Row", "Text", "Label", "Probability", ""].map((name) => make("th", { scope: "col" }, name)));
  const body = make("tbody");
  job.results.slice(0, MAX_SHOWN).forEach((result, i) => { if (result) body.append(rowOf(job, result, i)); });
  $("rows").append(make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Labels of the rows" },
    make("table", {}, make("thead", {}, head), body)));
  if (job.rows.length > MAX_SHOWN)
    $("rows").append(make("p", { className: "quiet" }, `The first ${MAX_SHOWN} rows are shown; the download has all.`));
}

function rowOf(job, result, i) {
  const text = job.rows[i][job.column] ?? "";
  const short = text.length > 110 ? `${text.slice(0, 110)}…` : text || "(empty)";
  const open = make("button", { type: "button", title: "Show this text above" }, short);
  open.addEventListener("click", () => {
    $("text").value = text;
    $("text").scrollIntoView({ block: "center" });
    busy($("explain"), classifyText);
  });
  return make("tr", {}, make("td", { className: "number" }, String(i + 1)), make("td", {}, open),
    make("td", {}, result.error ? `(${result.error})` : listed(result.label)),
    make("td", { className: "number" }, result.probability == null ? "" : percent(result.probability)),
    make("td", { className: "cut" }, result.truncated ? `cut, ${result.n_tokens} tokens` : ""));
}

function exportRows() {
  const own = ["row", "label", "probability", "truncated", "n_tokens", "error"];
  const lines = file.results.flatMap((one, i) => (one ? [[i + 1, one.error || one.abstained ? "" : Array.isArray(one.label) ? one.label.join(";") : one.label,
    one.probability ?? "", one.truncated, one.n_tokens, one.error ?? ""]] : []));
  const link = make("a", { download: `${file.name.replace(/\.\w+$/, "")}.labels.csv` });
  link.href = URL.createObjectURL(new Blob([writeCsv([own, ...lines])], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- what starts what

$("text-form").addEventListener("submit", (event) => { event.preventDefault(); busy(event.submitter ?? $("explain"), classifyText); });
$("explain").addEventListener("click", () => busy($("explain"), explainText));
for (const id of ["text", "pair"])
  $(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("text-form").requestSubmit();
  });
$("file").addEventListener("change", () => { if ($("file").files[0]) busy($("file"), () => openFile($("file").files[0])); });
$("file-form").addEventListener("submit", (event) => { event.preventDefault(); busy(event.submitter, classifyFile); });
$("cancel").addEventListener("click", () => { if (file) file.stopped = true; });
$("export").addEventListener("click", exportRows);
for (const kind of ["dragover", "dragleave", "drop"])
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) busy($("file"), () => openFile(event.dataTransfer.files[0]));
  });
start().catch((error) => tell(error.message));
