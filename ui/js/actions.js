// Buttons and keys: what can be done now, and what a press does. Last of the files, it wakes the stage.

// name: [possible now?, what it does]
const ACTIONS = {
  repaint: [() => free() && masked() > 0, () => act("repaint")],
  heal: [() => free() && masked() === 0, () => act("heal")],
  vary: [() => free() && masked() > 0, () => act("repaint", { role: "variation", count: 3 })],
  around: [() => free() && sheet.countLocked() > 0, () => act("generate")],
  branch: [() => free() && shown < run.last, () => act("branch")],
  "break-some": [() => free(), () => change(() => sheet.put(run, shown, wrong(some())))],
  clear: [() => free() && (sheet.countLocked() > 0 || Boolean(sheet.draft(run, shown))), clear],
  unlock: [() => free() && sheet.countLocked() > 0, () => change(() => { sheet.locks = null; })],
  undo: [() => !busy() && !variations.open && sheet.past.length > 0, () => travel(true)],
  redo: [() => !busy() && !variations.open && sheet.future.length > 0, () => travel(false)],
  stop: [() => busy(), () => document.querySelector("#stop").click()],
  "lock-cell": [() => free() && selected >= 0 && held() !== run.maskId, () => change(() => sheet.lock(run, shown, [selected], !sheet.isLocked(selected)))],
  "mask-cell": [() => free() && selected >= 0 && !sheet.isLocked(selected) && canMask(), maskCell],
  stamp: [() => free() && selected >= 0 && held() !== run.maskId, toggleStamp],
};

function free() {
  return Boolean(run) && !busy() && !variations.open;
}

// The token of the selected cell as it stands on the canvas.
function held() {
  return sheet.tokens(run, shown)[selected];
}

// A cell that the run itself left masked has nothing to go back to.
function canMask() {
  return held() !== run.maskId || run.frames[shown].tokens[selected] !== run.maskId;
}

// Repaint stands in Edit, so that is where a masked cell leads.
function maskCell() {
  const on = held() !== run.maskId;
  if (on) window.chisel.task("edit");
  change(() => remask([selected], on));
}

function masked() {
  let n = 0;
  for (const token of sheet.start(run, shown)) n += token === run.maskId;
  return n;
}

function press(name) {
  const action = ACTIONS[name];
  if (action && action[0]()) action[1]();
}

function clear() {
  change(() => {
    const was = run.frames[shown].tokens;
    sheet.locks = null;
    sheet.put(run, shown, Array.from(was, (token, cell) => [cell, token]));
  });
}

function toggleStamp() {
  setStamp(stamp >= 0 ? -1 : sheet.tokens(run, shown)[selected]);
}

// The ask for `kind` from the canvas as it stands.
function wish(kind, more = {}) {
  const locked = sheet.lockedCells();
  const tokens = pack(sheet.start(run, shown), Int32Array);
  return { kind, run: run.id, step: shown, tokens, locked: locked && pack(locked, Uint8Array), ...more };
}

function act(kind, more = {}, changes = {}) {
  return asks.start(wish(kind, more), changes);
}

// The run on screen made again with one thing changed, and put beside it.
function compareWith(what) {
  const { ask, change: values } = again(run);
  if (what === "editing") values.editing = !values.editing;
  if (what === "half") values.steps = Math.max(1, Math.round(values.steps / 2));
  if (what === "seed") values.seed = rollSeed();
  asks.start({ ...ask, role: "beside" }, values);
}

function refreshActions() {
  document.querySelectorAll("[data-press]").forEach((button) => { button.disabled = !ACTIONS[button.dataset.press]?.[0](); });
  document.querySelectorAll("button[data-tool]").forEach((b) => b.setAttribute("aria-checked", String(b.dataset.tool === tools.tool)));
  document.querySelectorAll("[data-size]").forEach((b) => {
    b.setAttribute("aria-pressed", String(b.dataset.size === "rectangle" ? tools.rectangle : !tools.rectangle && Number(b.dataset.size) === tools.size));
  });
  const hint = document.querySelector(".cz-tool-hint");
  if (hint) hint.textContent = !run ? "Make a picture first: Create, then Generate."
    : variations.open ? "Accept one of the variations, or discard them, to go on." : HINTS[tools.tool];
  const brush = document.querySelector(".cz-brush");
  if (brush) brush.hidden = !tools.paints || (tools.tool === "choose" && stamp < 0);
  const stamping = document.querySelector("[data-press=stamp]");
  if (stamping) {
    stamping.hidden = tools.tool !== "choose";
    stamping.textContent = stamp >= 0 ? `Stamping token #${stamp}: stop` : "Stamp the picked token";
  }
  const one = run && selected >= 0;
  find("[data-press=lock-cell]").textContent = one && sheet.isLocked(selected) ? "Unlock" : "Lock";
  find("[data-press=mask-cell]").textContent = one && held() === run.maskId && canMask() ? "Bring back" : "Remask";
  const marks = document.querySelector(".cz-marks");
  if (marks) marks.textContent = tally();
  find(".cz-key-locked").classList.toggle("is-off", !sheet.countLocked());
  const put = run ? [...sheet.changed(run, shown)].some((cell) => sheet.tokens(run, shown)[cell] !== run.maskId) : false;
  find(".cz-key-hand").classList.toggle("is-off", !put);
  const kept = document.querySelector(".cz-kept");
  const n = sheet.countLocked();
  document.querySelectorAll(".cz-unlock").forEach((button) => { button.hidden = !n; });
  if (kept) kept.textContent = n ? `${count(n, "locked cell")} ${n === 1 ? "stays" : "stay"} in the next picture.` : "";
  const menu = find(".cz-compare");
  menu.hidden = Boolean(beside);
  menu.disabled = !free() || run.state !== "done";
  find(".cz-compare-stop").hidden = !beside;
  const own = Boolean(run) && ["generate", "repaint", "branch"].includes(run.kind);
  for (const option of menu.querySelectorAll("[data-again]")) option.disabled = !own;
  const others = shelf.runs.filter((other) => other !== run);
  const group = menu.querySelector("optgroup");
  group.hidden = !others.length;
  const key = others.map((other) => other.id).join();
  if (key === group.dataset.key) return; // an open menu must not change under the hand
  group.dataset.key = key;
  group.replaceChildren(...others.slice(0, RUNS_SHOWN).map((other) => {
    const option = document.createElement("option");
    option.value = other.id;
    option.textContent = `${other.prompt.slice(0, 40)} · ${other.note()}`;
    return option;
  }));
}

// Gradio's buttons know no tooltips, and come to stand on the page after this script.
const TIPS = {
  "#dice": "Roll another seed",
  "#keep-seed": "On: Generate keeps this seed and draws the same picture again. Off: pressing Generate twice rolls a new one.",
};
function explain() {
  const nodes = Object.entries(TIPS).map(([name, words]) => {
    const node = document.querySelector(name);
    if (node) node.title = words;
    return node;
  });
  return nodes.every(Boolean);
}
if (!explain()) {
  const watcher = new MutationObserver(() => { if (explain()) watcher.disconnect(); });
  watcher.observe(document.body, { childList: true, subtree: true });
}

// "3 masked · 12 locked · 2 changed by hand"
function tally() {
  if (!run) return "";
  const hidden = masked();
  const changed = sheet.changed(run, shown);
  const tokens = sheet.tokens(run, shown);
  const put = [...changed].filter((cell) => tokens[cell] !== run.maskId).length;
  return [hidden && `${hidden} masked`, sheet.countLocked() && `${sheet.countLocked()} locked`, put && `${put} changed by hand`]
    .filter(Boolean).join(" · ");
}

// ---- keys --------------------------------------------------------------------------------------------------

const KEYS = {
  ArrowLeft: (event) => moveSelection(-1, 0, event.shiftKey),
  ArrowRight: (event) => moveSelection(1, 0, event.shiftKey),
  ArrowUp: (event) => moveSelection(0, -1, event.shiftKey),
  ArrowDown: (event) => moveSelection(0, 1, event.shiftKey),
  " ": () => (tools.paints && selected >= 0 ? tools.press() : playing === null ? play() : pause()),
  Enter: () => tools.press(),
  p: () => (playing === null ? play() : pause()),
  "[": () => { pause(); go(position - 1); },
  "]": () => { pause(); go(position + 1); },
  Home: () => { pause(); go(0); },
  End: () => { pause(); go(longest()); },
  Escape: () => { tools.anchor = -1; select(-1); },
  i: () => chooseTool("inspect"),
  l: () => chooseTool("lock"),
  m: () => chooseTool("mask"),
  b: () => chooseTool("break"),
  c: () => chooseTool("choose"),
  "+": () => lookCloser(1),
  "=": () => lookCloser(1),
  "-": () => lookCloser(-1),
  0: () => zoom.set(1),
  r: () => setBrush("rectangle"),
  1: () => setBrush("1"),
  2: () => setBrush("2"),
  3: () => setBrush("3"),
};
const ANYWHERE = ["[", "]", " "];

function onKey(event) {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action(event);
}

function chooseTool(name) {
  if (document.body.dataset.task !== "edit" && name !== "inspect") return;
  setStamp(-1);
  tools.choose(name);
  refresh();
}

function setBrush(size) {
  tools.rectangle = size === "rectangle";
  if (!tools.rectangle) tools.size = Number(size);
  refreshActions();
}

canvas.addEventListener("keydown", onKey);
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing && !event.altKey) {
    event.preventDefault();
    travel(!event.shiftKey);
  } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y" && !typing) {
    event.preventDefault();
    travel(false);
  } else if (event.target === document.body && run && ANYWHERE.includes(event.key)) {
    // after Generate nothing has the focus: stepping and playing should work then too, arrows still scroll the page
    onKey(event);
  }
});

// ---- buttons -----------------------------------------------------------------------------------------------

find(".cz-play").addEventListener("click", KEYS.p);
find(".cz-back").addEventListener("click", KEYS["["]);
find(".cz-next").addEventListener("click", KEYS["]"]);
find(".cz-speed").addEventListener("click", changeSpeed);
find(".cz-close").addEventListener("click", () => { select(-1); canvas.focus(); });
find(".cz-compare-stop").addEventListener("click", () => compare(null));
find(".cz-compare").addEventListener("change", (event) => {
  const value = event.target.value;
  event.target.value = "";
  const other = shelf.find(value);
  if (other) compare(other);
  else if (value) compareWith(value);
  if (other) go(longest());
});
element.querySelectorAll(".cz-view").forEach((b) => b.addEventListener("click", () => setOverlay(b.dataset.view)));
document.addEventListener("click", (event) => {
  const tool = event.target.closest("button[data-tool]");
  const size = event.target.closest("[data-size]");
  const button = event.target.closest("[data-press]");
  if (tool) chooseTool(tool.dataset.tool);
  if (size) setBrush(size.dataset.size);
  if (button) press(button.dataset.press);
});
document.addEventListener("keydown", (event) => {
  const tool = event.target.closest?.("button[data-tool]");
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!tool || !by) return;
  event.preventDefault();
  const next = TOOLS[(TOOLS.indexOf(tool.dataset.tool) + by + TOOLS.length) % TOOLS.length];
  document.querySelector(`button[data-tool=${next}]`).focus();
  chooseTool(next);
});
document.addEventListener("chisel:task", (event) => {
  if (event.detail !== "edit") chooseTool("inspect");
});
new ResizeObserver(refresh).observe(canvas);
new MutationObserver(refresh).observe(document.body, { attributes: true, attributeFilter: ["class"] });

// ---- messages ----------------------------------------------------------------------------------------------

watch("value", () => take(props.value));

function take(message) {
  if (!message || message.v !== 1) return;
  if (message.state === "waiting") return say("waiting in line …"); // the notice says how many are ahead
  if (message.state === "left") return nothingCame();
  if (message.role === "variation") return takeVariations(message);
  if (!Array.isArray(message.frames)) return;
  if (message.role === "beside") return takeBeside(message);
  keeper.note(message);
  let target = run && run.id === message.run ? run : shelf.find(message.run);
  if (!target) {
    pause();
    variations.shelve(shelf);
    target = new Run(message, message.parent ? shelf.find(message.parent[0]) : null);
    target.take(message);
    if (target.last < 0) return;
    settled();
    if (beside) compare(null);
    if (run) sheet.remember(sheet.snapshot(run, shown), { run: target, k: null, draft: null, locks: sheet.locks });
    shelf.add(target);
    setRun(target);
    emit("run", target.id);
  } else {
    target.take(message);
  }
  if (message.state !== "running") {
    asks.finished = asks.sent;
    emit("done", target.id);
  }
  if (target !== run) return refresh();
  if (holding || (follow && playing === null && shown !== run.last)) go(run.last, run.last > run.base);
  else refresh();
}

function takeBeside(message) {
  if (!beside || beside.id !== message.run) {
    const other = new Run(message, message.parent ? shelf.find(message.parent[0]) : null);
    other.take(message);
    if (other.last < 0) return;
    settled();
    shelf.add(other);
    compare(other);
  }
  beside.take(message);
  if (message.state !== "running") emit("done", beside.id);
  go(message.state === "running" ? beside.last : longest(), true);
}

function takeVariations(message) {
  settled();
  if (!variations.open) trialFrom = sheet.snapshot(run, shown);
  variations.take(message);
  if (message.state !== "running" && !variations.runs.length) variations.close();
  refresh();
}

// The wait for the first step is over.
function settled() {
  asks.waiting = false;
  element.classList.remove("is-waiting");
}

// The event is over, whatever came of it: a refused run never sends a frame, a broken line never a last message.
function nothingCame() {
  settled();
  if (asks.next || asks.pressed) setTimeout(() => asks.retry(), RETRY_MS);
  // chosen now: a run that begins within the next moment belongs to the next event
  const left = shelf.runs.filter((one) => one.state === "running");
  setTimeout(() => {
    if (!asks.waiting) variations.ended = true;
    for (const one of left) if (one.state === "running") one.state = "stopped";
    refresh();
  }, 300);
  refresh();
}

window.chisel = {
  painted: 0, // how long the last drawing took, in ms
  // Called as a model event starts, with the values of the form in the order of limits.check_run, and the ask last.
  before(values) {
    let { ask, change: changes } = asks.next || { ask: null, change: {} };
    asks.next = null;
    asks.pressed = false;
    emit("ask", null);
    const editing = document.body.dataset.task === "edit";
    if (!ask && editing && ACTIONS.repaint[0]()) ask = wish("repaint"); // Enter in the prompt while editing
    if (!ask && run && sheet.countLocked()) ask = wish("generate");
    asks.waiting = true;
    element.classList.add("is-waiting");
    say("waiting for the first step …");
    refreshActions();
    return asks.fill(values, ask, changes);
  },
  // Called when the event is over, however it ended: a refused run never sends a frame.
  ended: nothingCame,
  roll: rollSeed,
  ask: ({ kind, change: changes, ...more }) => free() && act(kind, more, changes || {}),
  press,
  server,
  show: take,
  run: () => run,
  runs: () => shelf.runs.slice(),
  beside: () => beside,
  step: () => shown,
  still: () => !holding && !pending && (!moving || performance.now() - arrived > MARK_MS + 100), // nothing moves any more
  cell: () => selected,
  tokens: () => (run ? Int32Array.from(sheet.tokens(run, shown)) : null),
  locks: () => sheet.lockedCells(),
  go,
  select,
  compare,
  follow: followPrompt,
  put: (pairs) => change(() => sheet.put(run, shown, pairs)),
  lock: (cells, on = true) => change(() => sheet.lock(run, shown, cells, on)),
  remask: (cells, on = true) => change(() => remask(cells, on)),
  breakCells: (cells) => change(() => sheet.put(run, shown, wrong(cells))),
  undo: () => travel(true),
  redo: () => travel(false),
  tool: chooseTool,
  task: (name) => document.dispatchEvent(new CustomEvent("chisel:choose-task", { detail: name })),
  on: (name, call) => document.addEventListener(`chisel:${name}`, (event) => call(event.detail)),
};

setOverlay("picture");
document.addEventListener("chisel:refresh", refresh);
refresh();
keeper.restore(take, go);
// after a refusal the page is free as soon as it says so, a moment before the event is over
asks.listen(() => !busy() || (asks.waiting && document.querySelector(".cz-notice").textContent !== ""));
emit("ready", null);
