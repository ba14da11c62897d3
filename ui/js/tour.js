// The guided tour: a small card beside the page that says what to try, rings the place, and waits until it was done.
// Nothing is blocked meanwhile, any step can be skipped, and Escape or the cross ends it at any time.

const TOUR = [
  {
    title: "A picture starts as stone",
    text: "Every cell is masked: nothing is decided. Write what you would like to see and press Generate.",
    task: "learn",
    spot: "#generate",
    done: (s) => s.began && s.state !== "idle" && s.step >= 1,
    after: "The model set some tokens at every step: blue is new. It looked at the whole picture each time.",
  },
  {
    title: "Few tokens first",
    text: "Drag the timeline back to step 1, 2 or 3. Which cells came first?",
    task: "learn",
    spot: ".cz-timeline",
    done: (s) => s.step >= 1 && s.step <= 3 && s.state !== "running",
    after: "The surest ones, mostly background. Each choice makes the next ones easier, so more follow at every step.",
  },
  {
    title: "How sure is it?",
    text: "Choose the view Confidence, then pick a cell of the grid.",
    task: "learn",
    spot: "[data-view=confidence]",
    then: ".cz-canvas",
    half: (s) => s.overlay === "confidence",
    done: (s) => s.overlay === "confidence" && s.cell >= 0,
    after: "Bright is sure, dark is unsure. The inspector shows what else the cell could have become.",
  },
  {
    title: "Changing its mind",
    text: "An orange bar below the timeline is an edit: a token the model took back. Go to a step that has one.",
    task: "learn",
    view: "picture",
    spot: ".cz-timeline",
    done: (s) => s.edited > 0 || (s.finished && s.editsInRun === 0),
    after: "Ordinary masked models cannot do this: there, what is set stays set.",
    other: "This picture needed no edit at all. Generate another one to see some, or go on.",
    otherwise: (s) => s.edited === 0,
  },
  {
    title: "Lock what you like",
    view: "picture",
    text: "You are in Edit now. Choose the tool Lock and draw over the cells that should stay.",
    task: "edit",
    spot: "[data-tool=lock]",
    then: ".cz-canvas",
    half: (s) => s.tool === "lock",
    done: (s) => s.locked > 0,
    after: "A locked token never changes, whatever you make of the rest.",
  },
  {
    title: "Break it, and heal it",
    view: "picture",
    text: "Choose Break and draw over a part of the picture. Then press Heal.",
    task: "edit",
    spot: "[data-tool=break]",
    then: "[data-press=heal]",
    half: (s) => s.drafted > 0,
    done: (s) => s.kind === "heal" && s.state === "done",
    after: "Nobody told it which cells were wrong. It found tokens that do not fit and took them back: that is editing.",
  },
];

const startButton = element.querySelector("[data-tour=start]");
const card = document.createElement("aside");
card.className = "cz-tour";
card.hidden = true;
card.setAttribute("aria-label", "Guided tour");
const made = (tag, name, words = "") => {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = words;
  if (tag === "button") node.type = "button";
  return node;
};
const where = made("p", "cz-tour-where");
const title = made("h2", "cz-tour-title");
const words = made("p", "cz-tour-words");
const said = made("p", "cz-tour-said");
said.setAttribute("role", "status");
const dots = made("div", "cz-tour-dots");
dots.setAttribute("aria-hidden", "true");
dots.append(...TOUR.map(() => made("i", "")));
const back = made("button", "cz-button", "Back");
const next = made("button", "cz-button", "Skip");
const leave = made("button", "cz-icon cz-tour-leave", "×");
leave.setAttribute("aria-label", "Leave the tour");
const row = made("div", "cz-tour-row");
row.append(back, dots, next);
card.append(leave, where, title, words, said, row);
// inside Gradio's own container: its copies of our rules reach no further
(element.closest(".contain") || document.body).append(card);

let at = -1;
let met = false; // the visitor did what this step asks for
let ringed = null;
let runAtStart = "";
let lockedBefore = false; // the visitor came with locks of their own

function look() {
  const chisel = window.chisel;
  const data = (document.querySelector(".cz-canvas") || {}).dataset || {};
  const run = chisel && chisel.run ? chisel.run() : null;
  const number = (name) => Number(data[name] || 0);
  const frame = run ? run.frames[number("step")] : null;
  return {
    state: data.state || "idle",
    finished: data.state === "done",
    began: Boolean(run) && run.id !== runAtStart,
    step: run ? number("step") : -1,
    cell: data.cell === undefined || data.cell === "" ? -1 : Number(data.cell),
    overlay: data.overlay || "",
    tool: data.tool || "",
    locked: number("locked"),
    drafted: number("drafted"),
    kind: data.kind || "",
    edited: frame ? frame.edited.length : 0,
    editsInRun: run ? run.frames.reduce((n, f) => n + f.edited.length, 0) : 0,
  };
}

function ring(selector) {
  const found = selector ? Array.from(document.querySelectorAll(selector)).find((n) => n.offsetParent !== null) : null;
  const target = found && found.matches(".cz-canvas") ? found.closest(".cz-frame") : found || null;
  if (target === ringed) return;
  if (ringed) ringed.classList.remove("cz-spot");
  ringed = target;
  if (!ringed) return;
  ringed.classList.add("cz-spot");
  bring(ringed);
}

// On a phone the card takes the lower part of the screen, so what matters goes to the top; the stage goes there whole.
function bring(node) {
  const phone = window.innerWidth <= 860;
  const to = phone && node.closest(".cz") ? document.querySelector(".cz-top") : node;
  to.scrollIntoView({ block: phone ? "start" : "nearest" });
}

function watchStep() {
  if (at < 0) return;
  const step = TOUR[at];
  const state = look();
  if (!met && step.done(state)) {
    met = true;
    said.textContent = step.otherwise && step.otherwise(state) ? step.other : step.after;
    card.classList.add("is-met");
    next.textContent = at === TOUR.length - 1 ? "Finish" : "Next";
    next.classList.add("is-main");
    ring(null);
    if (at === 0) bring(document.querySelector(".cz-frame"));
  }
  ring(met ? null : step.half && step.half(state) ? step.then : step.spot);
}

function openStep(i) {
  at = i;
  met = false;
  const step = TOUR[i];
  if (i === 0) runAtStart = (document.querySelector(".cz-canvas") || { dataset: {} }).dataset.run || "";
  window.chisel.task(step.task);
  if (step.view) view(step.view);
  const run = window.chisel.run();
  if (step.task === "edit" && run) window.chisel.go(run.last); // hands work on the finished picture
  where.textContent = `Step ${i + 1} of ${TOUR.length}`;
  title.textContent = step.title;
  words.textContent = step.text;
  said.textContent = "";
  card.classList.remove("is-met");
  Object.assign(card.dataset, { step: String(i + 1), task: step.task });
  next.textContent = "Skip";
  next.classList.remove("is-main");
  back.disabled = i === 0;
  Array.from(dots.children).forEach((dot, j) => { dot.className = j === i ? "is-here" : j < i ? "is-past" : ""; });
  watchStep();
}

function view(name) {
  document.querySelector(`[data-view=${name}]`)?.click();
}

function start() {
  lockedBefore = Boolean(window.chisel.locks());
  card.hidden = false;
  startButton.textContent = "Start again";
  openStep(0);
  next.focus({ preventScroll: true });
}

function end(finished) {
  const inside = card.contains(document.activeElement);
  at = -1;
  ring(null);
  card.hidden = true;
  window.chisel.task(finished ? "create" : "learn");
  if (finished) {
    view("picture");
    const locks = window.chisel.locks();
    // what was locked to try it out must not stay in the next picture
    if (locks && !lockedBefore) window.chisel.lock([...locks.keys()].filter((cell) => locks[cell]), false);
  }
  if (inside) (finished ? document.querySelector("#prompt textarea") : startButton).focus({ preventScroll: true });
}

startButton.addEventListener("click", start);
back.addEventListener("click", () => openStep(Math.max(at - 1, 0)));
next.addEventListener("click", () => (at + 1 < TOUR.length ? openStep(at + 1) : end(true)));
leave.addEventListener("click", () => end(false));
card.addEventListener("keydown", (event) => {
  const move = { ArrowRight: () => at + 1 < TOUR.length && openStep(at + 1), ArrowLeft: () => at > 0 && openStep(at - 1), Escape: () => end(false) };
  if (!move[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  move[event.key]();
});

// What happens on the page is read from the canvas' dataset, which changes with every drawing.
const watchCanvas = () => {
  const canvas = document.querySelector(".cz-canvas");
  if (!canvas) return void setTimeout(watchCanvas, 100);
  new MutationObserver(watchStep).observe(canvas, { attributes: true });
};
watchCanvas();
for (const name of ["run", "step", "select", "edit", "done", "task"]) {
  document.addEventListener(`chisel:${name}`, () => setTimeout(watchStep));
}
