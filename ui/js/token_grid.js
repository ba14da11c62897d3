// The studio's stage: takes the frames as they stream in, and ties canvas, timeline, tools and inspector together.
// Runs inside gr.HTML's js_on_load between the other files of this folder; `element`, `props`, `server` and `watch` come from there.

const find = (name) => element.querySelector(name);
const canvas = find(".cz-canvas");
const painter = new Painter(canvas);
const besidePainter = new Painter(find(".cz-canvas-beside"));
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const PLAY_MS = 260;
const SPEEDS = [1, 2, 4, 0.5];
const MOTION_MS = 30;
const PANEL_PX = 300; // this much of the panel should be in sight
const ABOVE_PX = 60; // and this much above the chosen cell
const NONE = new Set();

let run = null;
let beside = null; // the run compared with
let position = 0; // the step on the timeline
let shown = 0; // the step of `run` on screen
let follow = true; // stay on the newest frame while the run streams
let overlay = "picture";
let selected = -1;
let arrived = 0; // when the step on screen came up, for the motion of its changes
let moving = false; // the step came from streaming or playing, not from scrubbing
let playing = null;
let speed = 1;
let pending = 0;
let holding = false; // another run is coming onto the canvas; what is there stays until its picture is decoded

const sheet = new Sheet();
const asks = new Asks();
const keeper = new Keeper(sheet, (id) => ({ run: shelf.find(id), k: run && run.id === id ? shown : Infinity }));
const previews = new Previews(() => refresh(), (words) => say(words));
const timeline = new Timeline(find(".cz-timeline"), (k) => { pause(); go(k); });
const inspector = new Inspector(find(".cz-inspector"), (k) => { pause(); go(k); });
const shelf = new Shelf(find(".cz-runs"), { show: showRun, current: () => run, beside: () => beside });
const tools = new Tools({
  canvas,
  grid: () => run,
  busy: () => !run || busy() || variations.open,
  select: (cell) => { select(cell); reveal(); },
  selected: () => selected,
  apply,
  begin: () => sheet.begin(run, shown),
  commit: () => {
    if (sheet.commit(run, shown)) edited();
    if (tools.tool === "choose" && stamp < 0) reveal();
  },
  abandon: () => { sheet.abandon(); look(); refresh(); },
  hover: glance,
  changed: request,
});
const variations = new Variations(find(".cz-variations"), {
  look: (trial) => { setRun(trial); go(trial.last); },
  accept: (trial) => {
    shelf.add(trial);
    sheet.remember(trialFrom, sheet.snapshot(trial, trial.last));
    arrive(trial);
  },
  discard: () => { if (trialFrom) { setRun(trialFrom.run); go(trialFrom.k); } },
});
let trialFrom = null; // the state from before the variations
let stamp = -1; // the token that the Choose tool stamps, -1 for none
let breaking = false; // what the stroke under way does: lock or unlock, mask or bring back
new Loupe(canvas, find(".cz-loupe"));
const zoom = new Zoom(Array.from(element.querySelectorAll(".cz-pane")), find(".cz-zoom"));

// ---- drawing ---------------------------------------------------------------------------------------------

function paint(now) {
  pending = 0;
  if (holding) return;
  const since = moving && !calm.matches ? now - arrived : null;
  const age = now - arrived;
  let marks = 0;
  if (moving) marks = calm.matches ? Number(playing !== null || busy()) : Math.max(0, Math.min(1, 1.6 - (1.6 * age) / MARK_MS));
  const began = performance.now();
  const tokens = run ? sheet.tokens(run, shown) : null;
  const draft = run ? sheet.draft(run, shown) : null;
  const changed = run ? sheet.changed(run, shown) : NONE;
  painter.draw({
    run, k: shown, overlay, selected, since, marks, tokens, draft, changed, locks: sheet.locks,
    hover: tools.hovered, marked: tools.marked(),
  });
  if (beside) {
    const k = Math.min(position, beside.last);
    besidePainter.draw({
      run: beside, k, overlay, selected, since, marks, tokens: beside.frames[k].tokens, draft: null, changed: NONE,
      locks: null, hover: tools.hovered, marked: [],
    });
  }
  tell(tokens, draft, changed);
  window.chisel.painted = performance.now() - began;
  // Motion runs at half the screen's rate: on a machine without a graphics card the model needs the time more.
  if (moving && !calm.matches && age < MARK_MS) setTimeout(request, MOTION_MS);
}

// What the canvas shows, for screen readers' scripts, tests and measurements.
function tell(tokens, draft, changed) {
  const frame = run ? run.frames[shown] : null;
  let masked = 0;
  if (run) for (const token of tokens) masked += token === run.maskId;
  Object.assign(canvas.dataset, {
    step: run ? String(shown) : "",
    last: run ? String(run.last) : "",
    state: run ? run.state : "idle",
    run: run ? run.id : "",
    kind: run ? run.kind : "",
    masked: run ? String(masked) : "",
    edits: frame ? String(frame.editsSoFar) : "",
    cell: String(selected),
    locked: String(sheet.countLocked()),
    drafted: String(changed.size),
    pending: String(draft ? draft.pending.size : 0),
    tool: tools.tool,
    beside: beside ? beside.id : "",
    besideState: beside ? beside.state : "",
    overlay,
    zoom: String(zoom.factor),
  });
}

function request() {
  if (!pending) pending = requestAnimationFrame(paint);
}

// Shows step k as soon as its picture is decoded; the step before stays up until then, so nothing flickers.
function go(k, withMotion = false) {
  if (!run) return;
  const wanted = Math.min(Math.max(k, 0), longest());
  const target = Math.min(wanted, run.last);
  const owner = run;
  follow = target === run.last;
  const other = beside;
  const settle = () => {
    if (run !== owner) return;
    holding = false;
    position = wanted;
    shown = target;
    moving = withMotion;
    arrived = performance.now();
    look();
    refresh();
    emit("step", shown);
  };
  const frames = [run.frames[target], other ? other.frames[Math.min(wanted, other.last)] : null].filter(Boolean);
  const late = frames.filter((frame) => !frame.image && !frame.settled);
  if (!late.length) settle();
  else Promise.all(late.map((frame) => frame.ready)).then(settle);
}

function longest() {
  return Math.max(run ? run.last : 0, beside ? beside.last : 0);
}

function refresh() {
  const drafted = new Set();
  if (run) for (let k = 0; k <= run.last; k++) if (sheet.draft(run, k)) drafted.add(k);
  timeline.show(run, position, beside, drafted);
  const words = inspector.show(run, shown, selected, painter);
  if (words && words !== find(".cz-say").textContent && document.activeElement === canvas) {
    find(".cz-say").textContent = words;
  }
  if (tools.hovered >= 0 && !busy()) glance(tools.hovered);
  else if (!asks.waiting) say(run ? run.describe(shown, sheet.changed(run, shown).size) : "");
  find(".cz-engraving").hidden = Boolean(run);
  find(".cz-under").hidden = !run;
  caption(find(".cz-caption"), run);
  caption(find(".cz-caption-beside"), beside);
  find(".cz-side-beside").hidden = !beside;
  element.classList.toggle("is-comparing", Boolean(beside));
  const idle = !run || longest() < 1;
  for (const name of [".cz-play", ".cz-back", ".cz-next"]) find(name).disabled = idle;
  find(".cz-back").disabled = idle || position === 0;
  find(".cz-next").disabled = idle || position === longest();
  shelf.show();
  refreshActions();
  request();
}

function caption(node, of) {
  node.hidden = !of;
  if (!of) return;
  node.querySelector("b").textContent = of.prompt || "";
  node.querySelector("span").textContent = of.note();
}

function say(words) {
  find(".cz-status").textContent = words;
}

// One line about the cell under the mouse, in place of the step's own.
function glance(cell) {
  if (!run || asks.waiting || holding) return;
  if (cell < 0) return say(run.describe(shown, sheet.changed(run, shown).size));
  const token = sheet.tokens(run, shown)[cell];
  const frame = run.frames[shown];
  const place = `row ${Math.floor(cell / run.columns) + 1}, column ${(cell % run.columns) + 1}`;
  const byHand = token !== frame.tokens[cell];
  const what = token === run.maskId ? "masked" : `token ${token}`;
  const sure = byHand ? "changed by hand" : frame.phase === "start" ? "" : percent(frame.p[cell] / 65535);
  say([place, what, sure, sheet.isLocked(cell) ? "locked" : ""].filter(Boolean).join(" · "));
}

function emit(name, detail) {
  document.dispatchEvent(new CustomEvent(`chisel:${name}`, { detail }));
}

// ---- time --------------------------------------------------------------------------------------------------

function play() {
  if (!run || longest() < 1) return;
  if (position >= longest()) go(0);
  playing = setInterval(() => {
    if (position < longest()) go(position + 1, true);
    if (position >= longest() && !busy()) pause();
  }, PLAY_MS / speed);
  showPlaying();
}

function pause() {
  if (playing !== null) clearInterval(playing);
  playing = null;
  showPlaying();
}

function showPlaying() {
  const button = find(".cz-play");
  button.classList.toggle("is-playing", playing !== null);
  button.setAttribute("aria-label", playing !== null ? "Pause" : "Play the steps");
}

function changeSpeed() {
  speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length];
  const button = find(".cz-speed");
  button.textContent = `${speed}×`;
  button.setAttribute("aria-label", `Speed: ${speed} times`);
  if (playing !== null) { pause(); play(); }
}

// ---- runs --------------------------------------------------------------------------------------------------

function busy() {
  return asks.waiting || (variations.open && !variations.ended) || Boolean(run && run.state === "running") || Boolean(beside && beside.state === "running");
}

function setRun(next) {
  run = next;
  follow = true;
  holding = true;
  shown = Math.min(shown, run.last);
  position = Math.min(position, longest());
  canvas.setAttribute("aria-label", `Token grid for: ${run.prompt}. Arrow keys inspect a token, space plays, brackets step.`);
}

// Another run comes onto the canvas; where it came from can be gone back to.
function arrive(next) {
  setRun(next);
  emit("run", next.id);
  go(next.last);
}

function showRun(next) {
  if (next === run || busy()) return;
  pause();
  variations.shelve(shelf);
  followPrompt(next);
  sheet.remember(sheet.snapshot(run, shown), { run: next, k: null, draft: null, locks: sheet.locks });
  arrive(next);
}

function travel(back) {
  if (busy() || variations.open) return;
  const state = sheet.travel(back);
  if (!state) return;
  pause();
  if (state.run && state.run !== run) { setRun(state.run); emit("run", run.id); }
  if (run) go(state.k === null ? run.last : state.k);
  edited();
}

function compare(other) {
  beside = other;
  if (!other && run) position = shown;
  refresh();
  emit("compare", other ? other.id : "");
}

// In one column the panel of the chosen cell may lie below the window: it comes into sight, and the cell stays there.
function reveal() {
  if (selected < 0) return;
  const hidden = find(".cz-inspector").getBoundingClientRect().top - (window.innerHeight - PANEL_PX);
  const box = canvas.getBoundingClientRect();
  const above = box.top + Math.floor(selected / run.columns) * (box.height / run.rows) - ABOVE_PX;
  const by = Math.min(hidden, above);
  if (hidden > 0 && by > 0) window.scrollBy({ top: by, behavior: calm.matches ? "auto" : "smooth" });
}

// ---- hands -------------------------------------------------------------------------------------------------

function select(cell) {
  selected = cell;
  refresh();
  emit("select", cell);
}

function apply(tool, cells, first, from) {
  const tokens = sheet.tokens(run, shown);
  if (tool === "lock") {
    if (first) breaking = !sheet.isLocked(from);
    sheet.lock(run, shown, cells, breaking);
  } else if (tool === "mask") {
    if (first) breaking = tokens[from] !== run.maskId;
    remask(cells, breaking);
  } else if (tool === "break") {
    sheet.put(run, shown, wrong(cells));
  } else if (tool === "choose") {
    if (stamp >= 0) sheet.put(run, shown, cells.map((cell) => [cell, stamp]));
    else select(from);
  }
  look();
}

function remask(cells, on) {
  const was = run.frames[shown].tokens;
  sheet.put(run, shown, cells.map((cell) => [cell, on ? run.maskId : was[cell]]));
}

// For each cell a token that is not its own, from the whole codebook.
function wrong(cells) {
  const tokens = sheet.tokens(run, shown);
  return cells.filter((cell) => !sheet.isLocked(cell)).map((cell) => {
    const token = Math.floor(Math.random() * (run.maskId - 1));
    return [cell, token + Number(token >= tokens[cell])];
  });
}

// A tenth of the free cells, anywhere.
function some() {
  const free = [];
  for (let cell = 0; cell < run.cells; cell++) if (!sheet.isLocked(cell)) free.push(cell);
  for (let i = free.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [free[i], free[j]] = [free[j], free[i]];
  }
  return free.slice(0, Math.max(1, Math.round(run.cells / 10)));
}

// Cells that have no picture yet get one from the server; what is on screen meanwhile says so.
function look() {
  const draft = run ? sheet.draft(run, shown) : null;
  if (draft && draft.pending.size) previews.want(run, draft);
  request();
}

function edited() {
  look();
  refresh();
  emit("edit", shown);
}

// One undoable change made by anything but a stroke.
function change(make) {
  if (!run || busy() || variations.open) return;
  sheet.begin(run, shown);
  make();
  if (sheet.commit(run, shown)) edited();
}

function setStamp(token) {
  stamp = token;
  refreshActions();
}

function setOverlay(name) {
  overlay = name;
  element.querySelectorAll(".cz-view").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.view === name)));
  element.querySelectorAll(".cz-key").forEach((key) => { key.hidden = !key.dataset.views.split(" ").includes(name); });
  request();
}

function moveSelection(dx, dy, stretching) {
  if (!run) return;
  if (selected < 0) return select(Math.floor(run.cells / 2) + Math.floor(run.columns / 2));
  tools.stretch(stretching && tools.paints);
  const x = Math.min(Math.max((selected % run.columns) + dx, 0), run.columns - 1);
  const y = Math.min(Math.max(Math.floor(selected / run.columns) + dy, 0), run.rows - 1);
  select(y * run.columns + x);
  zoom.follow(x / run.columns, y / run.rows, 1 / run.columns, 1 / run.rows);
}

// A step in or out, to the selected cell where there is one.
function lookCloser(step) {
  zoom.by(step);
  if (!run || selected < 0) return;
  const [x, y] = [selected % run.columns, Math.floor(selected / run.columns)];
  zoom.set(zoom.factor, { x: (x + 0.5) / run.columns, y: (y + 0.5) / run.rows });
}
