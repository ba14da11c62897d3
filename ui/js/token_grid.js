// The studio's stage: takes the frames as they stream in, and ties canvas, timeline and inspector together.
// Runs inside gr.HTML's js_on_load after the other files of this folder; `element`, `props` and `watch` come from there.

const find = (name) => element.querySelector(name);
const canvas = find(".cz-canvas");
const painter = new Painter(canvas);
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const PLAY_MS = 260;
const MOTION_MS = 30;

let run = null;
let shown = 0; // the step on screen
let follow = true; // stay on the newest frame while the run streams
let overlay = "picture";
let selected = -1;
let hover = -1;
let arrived = 0; // when the step on screen came up, for the motion of its changes
let moving = false; // the step came from streaming or playing, not from scrubbing
let playing = null;
let pending = 0;

const timeline = new Timeline(find(".cz-timeline"), (k) => { pause(); go(k); });
const inspector = new Inspector(find(".cz-inspector"), (k) => { pause(); go(k); });

function paint(now) {
  pending = 0;
  const since = moving && !calm.matches ? now - arrived : null;
  const busy = playing !== null || (run && run.state === "running");
  const age = now - arrived;
  let marks = 0;
  if (moving) marks = calm.matches ? Number(busy) : Math.max(0, Math.min(1, 1.6 - (1.6 * age) / MARK_MS));
  const began = performance.now();
  painter.draw({ run, k: shown, overlay, selected, hover, since, marks });
  const frame = run ? run.frames[shown] : null;
  Object.assign(canvas.dataset, {
    step: run ? String(shown) : "",
    last: run ? String(run.last) : "",
    state: run ? run.state : "idle",
    run: run ? run.id : "",
    masked: frame ? String(frame.masked) : "",
    edits: frame ? String(frame.editsSoFar) : "",
    cell: String(selected),
    overlay,
  });
  if (window.chisel) window.chisel.painted = performance.now() - began;
  // Motion runs at half the screen's rate: on a machine without a graphics card the model needs the time more.
  if (moving && !calm.matches && age < MARK_MS) setTimeout(request, MOTION_MS);
}

function request() {
  if (!pending) pending = requestAnimationFrame(paint);
}

// Shows step k as soon as its picture is decoded; the step before stays up until then, so nothing flickers.
function go(k, withMotion = false) {
  if (!run) return;
  const target = Math.min(Math.max(k, 0), run.last);
  const owner = run;
  follow = target === run.last;
  const settle = () => {
    if (run !== owner) return;
    shown = target;
    moving = withMotion;
    arrived = performance.now();
    refresh();
  };
  const frame = run.frames[target];
  if (frame.image || frame.masked === run.cells) settle();
  else frame.ready.then(settle);
}

function refresh() {
  timeline.show(run, shown);
  const words = inspector.show(run, shown, selected, painter);
  if (words && words !== find(".cz-say").textContent && document.activeElement === canvas) {
    find(".cz-say").textContent = words;
  }
  find(".cz-status").textContent = run ? run.describe(shown) : "";
  find(".cz-engraving").hidden = Boolean(run);
  const idle = !run || run.last < 1;
  for (const name of [".cz-play", ".cz-back", ".cz-next"]) find(name).disabled = idle;
  find(".cz-back").disabled = idle || shown === 0;
  find(".cz-next").disabled = idle || shown === run.last;
  request();
}

function play() {
  if (!run || run.last < 1) return;
  if (shown >= run.last) go(0);
  playing = setInterval(() => {
    if (shown < run.last) go(shown + 1, true);
    if (shown >= run.last && run.state !== "running") pause();
  }, PLAY_MS);
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

function select(cell) {
  selected = cell;
  refresh();
}

function setOverlay(name) {
  overlay = name;
  element.querySelectorAll(".cz-view").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.view === name)));
  element.querySelectorAll(".cz-key").forEach((key) => { key.hidden = !key.dataset.views.split(" ").includes(name); });
  request();
}

function cellAt(event) {
  const box = canvas.getBoundingClientRect();
  const [rows, columns] = run ? [run.rows, run.columns] : [16, 16];
  const x = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const y = Math.floor(((event.clientY - box.top) / box.height) * rows);
  return x < 0 || y < 0 || x >= columns || y >= rows ? -1 : y * columns + x;
}

function moveSelection(dx, dy) {
  if (!run) return;
  const from = selected < 0 ? Math.floor(run.cells / 2) + Math.floor(run.columns / 2) : selected;
  if (selected < 0) return select(from);
  const x = Math.min(Math.max((from % run.columns) + dx, 0), run.columns - 1);
  const y = Math.min(Math.max(Math.floor(from / run.columns) + dy, 0), run.rows - 1);
  select(y * run.columns + x);
}

const KEYS = {
  ArrowLeft: () => moveSelection(-1, 0),
  ArrowRight: () => moveSelection(1, 0),
  ArrowUp: () => moveSelection(0, -1),
  ArrowDown: () => moveSelection(0, 1),
  " ": () => (playing === null ? play() : pause()),
  "[": () => { pause(); go(shown - 1); },
  "]": () => { pause(); go(shown + 1); },
  Home: () => { pause(); go(0); },
  End: () => { pause(); go(run ? run.last : 0); },
  Escape: () => select(-1),
};

function onKey(event) {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
}
canvas.addEventListener("keydown", onKey);
// After Generate nothing has the focus: stepping and playing should work then too, arrows still scroll the page.
document.addEventListener("keydown", (event) => {
  if (event.target === document.body && run && ["[", "]", " "].includes(event.key)) onKey(event);
});
canvas.addEventListener("click", (event) => {
  canvas.focus({ preventScroll: true });
  if (run) select(cellAt(event));
});
canvas.addEventListener("pointermove", (event) => {
  const cell = run && event.pointerType !== "touch" ? cellAt(event) : -1;
  if (cell !== hover) { hover = cell; request(); }
});
canvas.addEventListener("pointerleave", () => { hover = -1; request(); });
find(".cz-play").addEventListener("click", KEYS[" "]);
find(".cz-back").addEventListener("click", KEYS["["]);
find(".cz-next").addEventListener("click", KEYS["]"]);
find(".cz-close").addEventListener("click", () => { select(-1); canvas.focus(); });
element.querySelectorAll(".cz-view").forEach((b) => b.addEventListener("click", () => setOverlay(b.dataset.view)));
new ResizeObserver(refresh).observe(canvas);
new MutationObserver(refresh).observe(document.body, { attributes: true, attributeFilter: ["class"] });

watch("value", () => {
  const message = props.value;
  if (!message || message.v !== 1) return;
  if (message.state === "waiting") return waiting(message.ahead);
  if (message.state === "left") return window.chisel.ended();
  if (!Array.isArray(message.frames)) return;
  if (!run || run.id !== message.run) {
    pause();
    run = new Run(message, run && message.parent && run.id === message.parent[0] ? run : null);
    follow = true;
    element.classList.remove("is-waiting");
  }
  run.take(message);
  if (run.last < 0) return;
  if (message.state !== "running") remember(message);
  canvas.setAttribute("aria-label", `Token grid for: ${run.prompt}. Arrow keys inspect a token, space plays, brackets step.`);
  if (follow && playing === null && shown !== run.last) go(run.last, true);
  else if (follow && run.last === 0) go(0);
  else refresh();
});

function waiting(ahead) {
  find(".cz-status").textContent = ahead === 1 ? "waiting: one visitor is ahead of you" : `waiting: ${ahead} visitors are ahead of you`;
}

// Pressing Generate again with nothing changed rolls a new seed, unless the seed is kept: the same press always gives
// something new to look at, and a changed slider keeps the seed, so that the two pictures can be compared.
let finished = null;
let asking = null;
function remember() {
  finished = window.chisel.sent;
}
window.chisel = {
  sent: null,
  painted: 0, // how long the last drawing took, in ms
  // Called with the values of the form, in the order of limits.check_run, and the ask last; the second is the seed.
  before(values) {
    values[values.length - 1] = asking;
    asking = null;
    const keep = document.querySelector("#keep-seed input");
    const form = JSON.stringify(values);
    if (keep && !keep.checked && form === finished) values[1] = this.roll();
    this.sent = JSON.stringify(values);
    element.classList.add("is-waiting");
    find(".cz-status").textContent = "waiting for the first step …";
    return values;
  },
  // Starts a model event for the canvas as it stands: {kind, role, count}, see ui/asks.py.
  ask(wish) {
    if (!run) return;
    asking = { run: run.id, step: shown, tokens: pack(run.frames[shown].tokens, Int32Array), locked: null, ...wish };
    document.querySelector("#act").click();
  },
  press(name) { this.ask({ kind: name }); },
  server,
  step: () => shown,
  go,
  roll: () => crypto.getRandomValues(new Uint32Array(1))[0],
  // Called when the event is over, however it ended: a refused run never sends a frame.
  ended() {
    if (!element.classList.contains("is-waiting")) return;
    element.classList.remove("is-waiting");
    refresh();
  },
  run: () => run,
  select,
};

setOverlay("picture");
refresh();
