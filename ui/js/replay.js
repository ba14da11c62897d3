// The replay page: one finished run, its frames written into the page. Uses the studio's Run, Painter and Timeline.

const message = JSON.parse(document.getElementById("run").textContent);
const run = new Run(message);
run.take(message);

const find = (name) => document.querySelector(name);
const canvas = find(".cz-canvas");
const painter = new Painter(canvas);
const timeline = new Timeline(find(".cz-timeline"), (k) => { pause(); go(k); });
let shown = run.last;
let overlay = "picture";
let selected = -1;
let playing = null;

document.body.classList.toggle("dark", window.matchMedia("(prefers-color-scheme: dark)").matches);
find(".rp-prompt").textContent = run.prompt;
canvas.setAttribute("aria-label", `Token grid for: ${run.prompt}. Arrow keys inspect a token, space plays, brackets step.`);

function paint() {
  const frame = run.frames[shown];
  const locks = frame.locked.includes(1) ? Int32Array.from(frame.locked, (on, i) => (on ? frame.tokens[i] : -1)) : null;
  painter.draw({
    run, k: shown, overlay, selected, hover: -1, since: null, marks: playing === null ? 0 : 1,
    tokens: frame.tokens, draft: null, locks, changed: new Set(), marked: [],
  });
  Object.assign(canvas.dataset, {
    step: String(shown), last: String(run.last), masked: String(frame.masked), edits: String(frame.editsSoFar),
    cell: String(selected), overlay, state: run.state,
  });
}

function refresh() {
  timeline.show(run, shown, null, new Set());
  find(".cz-counter").textContent = `${shown} / ${run.last}`;
  find(".cz-status").textContent = run.describe(shown);
  find(".cz-back").disabled = shown === 0;
  find(".cz-next").disabled = shown === run.last;
  inspect();
  requestAnimationFrame(paint);
}

function go(k) {
  shown = Math.min(Math.max(k, 0), run.last);
  refresh();
}

function play() {
  if (shown >= run.last) go(0);
  playing = setInterval(() => (shown < run.last ? go(shown + 1) : pause()), 260);
  showPlaying();
}

function pause() {
  if (playing !== null) clearInterval(playing);
  playing = null;
  showPlaying();
  requestAnimationFrame(paint);
}

function showPlaying() {
  const button = find(".cz-play");
  button.classList.toggle("is-playing", playing !== null);
  button.setAttribute("aria-label", playing !== null ? "Pause" : "Play the steps");
}

function inspect() {
  if (selected < 0) return;
  const frame = run.frames[shown];
  const masked = frame.tokens[selected] === run.maskId;
  find(".rp-where").textContent = `Row ${Math.floor(selected / run.columns) + 1}, column ${(selected % run.columns) + 1}`;
  const what = masked ? "masked" : `token ${frame.tokens[selected]}`;
  const sure = frame.phase === "start" ? "" : `, ${percent(frame.p[selected] / 65535)}${masked ? " for the best guess" : ""}`;
  find(".rp-now").textContent = `At this step: ${what}${sure}.`;
  find(".rp-history").replaceChildren(...run.history(selected).map((event) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = event.k === shown ? "is-here" : event.k > shown ? "is-later" : "";
    button.textContent = `${event.k === 0 ? "start" : `step ${event.k}`}: ${happened(event)}`;
    button.addEventListener("click", () => { pause(); go(event.k); });
    item.append(button);
    return item;
  }));
}

function happened(event) {
  if (event.kind === "start") return event.to === run.maskId ? "masked" : `given as ${event.to}`;
  if (event.kind === "set") return `set to ${event.to}, ${percent(event.p)}`;
  if (event.kind === "remask") return `${event.from} back to masked`;
  return `edited from ${event.from} to ${event.to}, ${percent(event.p)}`;
}

function select(cell) {
  selected = cell;
  refresh();
}

function move(dx, dy) {
  const from = selected < 0 ? Math.floor(run.cells / 2) + Math.floor(run.columns / 2) : selected;
  const x = Math.min(Math.max((from % run.columns) + dx, 0), run.columns - 1);
  const y = Math.min(Math.max(Math.floor(from / run.columns) + dy, 0), run.rows - 1);
  select(selected < 0 ? from : y * run.columns + x);
}

const KEYS = {
  ArrowLeft: () => move(-1, 0),
  ArrowRight: () => move(1, 0),
  ArrowUp: () => move(0, -1),
  ArrowDown: () => move(0, 1),
  " ": () => (playing === null ? play() : pause()),
  "[": () => { pause(); go(shown - 1); },
  "]": () => { pause(); go(shown + 1); },
  Home: () => { pause(); go(0); },
  End: () => { pause(); go(run.last); },
};
document.addEventListener("keydown", (event) => {
  const free = event.target === document.body || event.target === canvas;
  if (!free || !KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
canvas.addEventListener("click", (event) => {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * run.columns);
  const y = Math.floor(((event.clientY - box.top) / box.height) * run.rows);
  if (x >= 0 && y >= 0 && x < run.columns && y < run.rows) select(y * run.columns + x);
});
find(".cz-play").addEventListener("click", KEYS[" "]);
find(".cz-back").addEventListener("click", KEYS["["]);
find(".cz-next").addEventListener("click", KEYS["]"]);
document.querySelectorAll(".cz-view").forEach((button) => button.addEventListener("click", () => {
  overlay = button.dataset.view;
  document.querySelectorAll(".cz-view").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
  requestAnimationFrame(paint);
}));
new ResizeObserver(() => requestAnimationFrame(paint)).observe(canvas);

const names = { steps: "Steps", guidance: "Guidance", temperature: "Temperature", order: "Order", schedule: "Schedule", edit: "Editing" };
const told = [["Seed", run.seed], ...Object.entries(names).map(([key, name]) => [name, run.settings[key]])];
find(".rp-settings").replaceChildren(...told.flatMap(([name, value]) => {
  const [term, words] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  words.textContent = String(value);
  return [term, words];
}));
Promise.all(run.frames.map((frame) => frame.ready)).then(() => { document.body.dataset.ready = "yes"; refresh(); });
