// @ts-check
// The guided tour: a small card beside the page that says what to try, rings the place, and waits until it was done.
// Nothing is blocked meanwhile, any step can be skipped, and Escape or the cross ends it at any time.

import { find, findAll, make } from "../layout/dom.js";
import { Company } from "./company.js";
import { placeFor, shared } from "./tour_card.js";

/**
 * What the steps look at.
 * @typedef {{state: string, began: boolean, step: number, moved: boolean, cell: number, overlay: string, tool: string,
 *   locked: number, drafted: number, kind: string, edited: number, editsInRun: number, weight: string, stone: boolean}} Seen
 *
 * One step: `chapter` is the one of Learn that tells more of it, `spot` the place that is ringed, `then` the next one once
 * it is `half` done; what is said `after` it was `done` may be an`other` thing, `otherwise`.
 * @typedef {{title: string, text: string, made?: string, task: string, spot: string, done: (seen: Seen) => boolean, after: string,
 *   chapter?: string, view?: string, then?: string, half?: (seen: Seen) => boolean, other?: string, otherwise?: (seen: Seen) => boolean,
 *   revises?: boolean, grouped?: boolean}} Step revises: a step for models that do, or for those that do not, alone;
 * grouped: for models whose codes have neighbours; made: said instead of the text where the picture did not begin as stone
 */

const PHONE_PX = 860;
const UNDER_PX = 16; // between the stage that stays and what is ringed below it
const COMES_MS = 3000; // in which a chapter that was opened gets what it has from the server
// what the steps speak of besides the place that they ring: the card lies over none of it where there is room
const SPOKEN_OF = ".cz-frame, .cz-timeline, #prompt textarea, #generate, .cz-views, .cz-pulls, .cz-explore-sum, [data-press=heal]";

/** @type {Step[]} */
const TOUR = [
  {
    title: "A picture starts as stone",
    text: "Every cell is masked: nothing is decided. Write what you would like to see and press Generate.",
    made: "What you see was not begun from nothing. Write what you would like to see and press Generate: then every cell is masked at "
      + "first, and nothing is decided.",
    task: "learn",
    chapter: "token",
    spot: "#generate",
    done: (s) => s.began && s.state !== "idle" && s.step >= 1,
    after: "The model set some tokens at every step: blue is new. It looked at the whole picture each time.",
  },
  {
    title: "Few tokens first",
    text: "Drag the timeline to step 1, 2 or 3. Which cells came first?",
    task: "learn",
    chapter: "token",
    spot: ".cz-timeline",
    done: (s) => s.moved && s.step >= 1 && s.step <= 3 && s.state !== "running",
    after: "The surest ones, mostly background. Each choice makes the next ones easier, so more follow at every step.",
  },
  {
    title: "How sure is it?",
    text: "Choose the view Confidence, then pick a cell of the grid.",
    task: "learn",
    chapter: "step",
    spot: "[data-view=confidence]",
    then: ".cz-canvas",
    half: (s) => s.overlay === "confidence",
    done: (s) => s.overlay === "confidence" && s.cell >= 0,
    after: "Bright is sure, dark is unsure. The inspector shows what else the cell could have become.",
  },
  {
    title: "Changing its mind",
    revises: true,
    text: "An orange bar below the timeline is an edit: a token the model took back. Go to a step that has one.",
    task: "learn",
    chapter: "editing",
    view: "picture",
    spot: ".cz-timeline",
    done: (s) => (s.moved && s.edited > 0) || (s.state === "done" && s.editsInRun === 0),
    after: "Ordinary masked models cannot do this: there, what is set stays set.",
    other: "This picture needed no edit at all. Generate another one to see some, or go on.",
    otherwise: (s) => s.edited === 0,
  },
  {
    title: "Why neighbours deserve credit",
    grouped: true,
    text: "Some tokens look almost alike. Plain training calls all of them wrong but one. Grouped cross-entropy (GCE) also rewards "
      + "the right one's neighbours: move the weight of the group.",
    task: "learn",
    chapter: "neighbours",
    view: "picture",
    spot: ".cz-explorer .cz-slider",
    done: (s) => s.weight !== "",
    after: "At weight 0 the neighbours are pushed down like any wrong token; the more weight, the more they share in what is right. "
      + "Who draws a neighbour was nearly right.",
  },
  {
    title: "Lock what you like",
    view: "picture",
    text: "You are in Retouch now. Choose the tool Lock and draw over the cells that should stay.",
    task: "edit",
    spot: "[data-tool=lock]",
    then: ".cz-canvas",
    half: (s) => s.tool === "lock",
    done: (s) => s.locked > 0,
    after: "A locked token never changes, whatever you make of the rest.",
  },
  {
    title: "Break it, and heal it",
    revises: true,
    view: "picture",
    text: "Choose Break and draw over a part of the picture. Then press Heal.",
    task: "edit",
    spot: "[data-tool=break]",
    then: "[data-press=heal]",
    half: (s) => s.drafted > 0,
    done: (s) => s.kind === "heal" && s.state === "done",
    after: "Nobody told it which cells were wrong. It found tokens that do not fit and took them back: that is editing.",
  },
  {
    title: "Break it, and make it anew",
    revises: false,
    view: "picture",
    text: "Choose Break and draw over a part of the picture. Then press Remask the unsure.",
    task: "edit",
    spot: "[data-tool=break]",
    then: "[data-press=remask-unsure]",
    half: (s) => s.drafted > 0,
    done: (s) => s.kind === "repaint" && s.state === "done",
    after: "Each token was judged by its neighbours alone. The least likely ones were masked, and made anew.",
  },
];

/** @param {string} tag @param {string} className @param {Record<string, any>} has @param {...Node} children */
const part = (tag, className, has = {}, ...children) => make(tag, { className, ...has }, ...children);

export class Tour {
  /**
   * @param {import("../stage/stage.js").Stage} stage
   * @param {{tools: {tool: string} | null}} hands
   * @param {{element: HTMLElement}} piece
   * @param {boolean} groups whether the model's codes have neighbours
   */
  constructor(stage, hands, { element }, groups = true) {
    this.stage = stage;
    this.hands = hands;
    this.steps = TOUR.filter(({ revises = stage.revises, grouped }) => revises === stage.revises && (!grouped || groups));
    this.at = -1;
    this.met = false; // the visitor did what this step asks for
    /** @type {HTMLElement | null} */
    this.ringed = null;
    this.runAtStart = "";
    this.cellAtStart = -1; // a cell that was chosen before is not one that the visitor picks now
    this.opened = 0; // when this step was
    this.shownAtStart = -1; // a step of the run that stood there before is not one that the visitor goes to
    this.moved = false; // along the timeline, since this step was opened
    this.weight = ""; // of the group, once the visitor has moved it at this step
    this.company = new Company(stage);
    this.lockedBefore = false; // the visitor came with locks of their own
    this.startButton = find("[data-tour=start]", element);
    this.startButton.addEventListener("click", () => this.start());
    this.where = part("p", "cz-tour-where");
    this.title = part("h2", "cz-tour-title");
    this.words = part("p", "cz-tour-words");
    this.said = part("p", "cz-tour-said", { role: "status" });
    this.dots = this.steps.map(() => part("i", ""));
    this.back = part("button", "cz-button", { textContent: "Back", onclick: () => this.open(Math.max(this.at - 1, 0)) });
    this.next = part("button", "cz-button", { textContent: "Skip", onclick: () => this.go(1) });
    const leave = { textContent: "×", "aria-label": "Leave the tour", onclick: () => this.end(false) };
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this.key(event);
    this.card = part("aside", "cz-tour", { hidden: true, "aria-label": "Guided tour", onkeydown },
      part("button", "cz-icon cz-tour-leave", leave), this.where, this.title, this.words, this.said,
      part("div", "cz-tour-row", {}, this.back, part("div", "cz-tour-dots", { "aria-hidden": "true" }, ...this.dots), this.next));
    // inside Gradio's own container: its copies of our rules reach no further
    (element.closest(".contain") || document.body).append(this.card);
    for (const name of ["change", "task"]) stage.on(name, () => setTimeout(() => this.watch()));
    document.addEventListener("input", ({ target }) => {
      if (!(target instanceof HTMLInputElement) || !target.closest(".cz-explorer .cz-slider")) return;
      this.weight = target.value;
      this.watch();
    });
    window.addEventListener("resize", () => this.stand());
    // what a chapter gets from the server pushes the ringed place away
    new ResizeObserver(() => {
      if (this.ringed && performance.now() - this.opened < COMES_MS) { bring(this.ringed); this.stand(); }
    }).observe(element.closest("#learn") ?? element);
    window.addEventListener("scroll", () => { if (this.covers()) this.stand(); }, { passive: true });
    this.stage.on("leave", () => this.company.leave()); // the tour does not outlive a reload, see stage/kept
  }

  /** @returns {Seen} */
  look() {
    const { run, shown, selected, overlay, sheet, byHand } = this.stage;
    this.moved ||= shown !== this.shownAtStart;
    return {
      state: run ? run.state : "idle",
      began: Boolean(run) && run.id !== this.runAtStart,
      step: run ? shown : -1,
      moved: this.moved,
      cell: selected === this.cellAtStart ? -1 : selected,
      overlay,
      tool: this.hands.tools?.tool ?? "",
      locked: sheet.countLocked(),
      drafted: byHand.size,
      kind: run ? run.kind : "",
      edited: run ? run.frames[shown].edited.length : 0,
      weight: this.weight,
      stone: !run || run.frames[0].masked === run.cells,
      editsInRun: run ? run.frames.reduce((n, frame) => n + frame.edited.length, 0) : 0,
    };
  }

  watch() {
    if (this.at < 0) return;
    const step = this.steps[this.at];
    const seen = this.look();
    if (!this.met && step.done(seen)) {
      this.met = true;
      this.said.textContent = step.otherwise?.(seen) ? step.other : step.after;
      this.card.classList.add("is-met");
      this.next.textContent = this.at === this.steps.length - 1 ? "Finish" : "Next";
      this.next.classList.add("is-main");
      this.ring(null);
      if (this.at === 0) bring(find(".cz-frame"));
      this.stand();
    }
    this.ring(this.met ? null : step.half?.(seen) ? step.then : step.spot);
  }

  /** @param {string | null} selector */
  ring(selector) {
    const found = selector ? findAll(selector).find((node) => node.offsetParent !== null) : null;
    const target = found?.matches(".cz-canvas") ? found.closest(".cz-frame") : found || null;
    if (target === this.ringed) return;
    this.ringed?.classList.remove("cz-spot");
    this.ringed = target;
    if (!target) return;
    target.classList.add("cz-spot");
    bring(target);
    this.stand();
  }

  /** What the card points at. @returns {HTMLElement | null} */
  get target() {
    return this.ringed ?? (this.at === 0 || this.met ? find(".cz-frame") : null);
  }

  /** The card lies over what it points at. */
  covers() {
    return this.at >= 0 && Boolean(this.target) && shared(this.card.getBoundingClientRect(), this.target.getBoundingClientRect()) > 0;
  }

  /** The card goes beside what it points at. */
  stand() {
    if (this.at < 0) return;
    const { card, target } = this;
    const seen = findAll(SPOKEN_OF).filter((node) => node.offsetParent !== null && node !== target);
    const others = seen.map((node) => node.getBoundingClientRect());
    // on a phone Retouch keeps its buttons under the thumb
    const bar = find("#edit-actions");
    const floor = bar?.offsetParent === null && bar.offsetHeight ? bar.getBoundingClientRect().top : window.innerHeight;
    const view = { width: document.documentElement.clientWidth, height: floor };
    const { left, top } = placeFor({ width: card.offsetWidth, height: card.offsetHeight }, target?.getBoundingClientRect() ?? null, others,
      view, window.innerWidth <= PHONE_PX);
    Object.assign(card.style, { left: `${left}px`, top: `${top}px`, bottom: "auto" });
  }

  start() {
    this.lockedBefore = Boolean(this.stage.sheet.locks);
    this.card.hidden = false;
    this.startButton.textContent = "Start again";
    this.open(0);
    this.next.focus({ preventScroll: true });
  }

  /** @param {number} at */
  open(at) {
    const { stage } = this;
    const step = this.steps[at];
    this.at = at;
    this.met = false;
    if (at === 0) this.runAtStart = stage.run?.id ?? "";
    this.weight = "";
    this.opened = performance.now();
    stage.choose(step.task);
    if (step.chapter) stage.emit("show-chapter", step.chapter);
    this.cellAtStart = stage.selected;
    if (step.view) stage.view(step.view);
    // the first step speaks of the stone that a picture begins as
    const { run } = stage;
    if (at === 0 && run && run.state !== "running" && this.look().stone) this.company.go(0);
    else this.company.leave();
    if (step.task === "edit" && stage.run) stage.go(stage.run.last); // hands work on the finished picture
    this.shownAtStart = stage.shown;
    this.moved = false;
    this.where.textContent = `Step ${at + 1} of ${this.steps.length}`;
    this.title.textContent = step.title;
    this.words.textContent = step.made && !this.look().stone ? step.made : step.text;
    this.said.textContent = "";
    this.card.classList.remove("is-met");
    Object.assign(this.card.dataset, { step: String(at + 1), task: step.task });
    this.next.textContent = "Skip";
    this.next.classList.remove("is-main");
    this.back.disabled = at === 0;
    this.dots.forEach((dot, i) => { dot.className = i === at ? "is-here" : i < at ? "is-past" : ""; });
    this.watch();
    this.stand();
  }

  /** A step on, or back. @param {number} by */
  go(by) {
    const at = this.at + by;
    if (at >= this.steps.length) this.end(true);
    else if (at >= 0) this.open(at);
  }

  /** @param {boolean} finished */
  end(finished) {
    const { stage } = this;
    const inside = this.card.contains(document.activeElement);
    this.at = -1;
    this.ring(null);
    this.card.hidden = true;
    this.company.leave();
    stage.choose(finished ? "create" : "learn");
    if (finished) {
      stage.view("picture");
      // what was locked to try it out must not stay in the next picture
      if (!this.lockedBefore && stage.sheet.locks) stage.change(() => { stage.sheet.locks = null; });
    }
    if (inside) (finished ? find("#prompt textarea") : this.startButton).focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const last = this.at + 1 === this.steps.length;
    const move = { ArrowRight: () => last || this.go(1), ArrowLeft: () => this.go(-1), Escape: () => this.end(false) }[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  }
}

/**
 * On a phone the card takes the lower part of the screen, so what matters goes to the top; the stage goes there whole.
 * @param {HTMLElement} node
 */
function bring(node) {
  const phone = window.innerWidth <= PHONE_PX;
  const to = phone && node.closest(".cz") ? find(".cz-top") : node;
  to.scrollIntoView({ block: phone ? "start" : "nearest" });
  if (!phone || to !== node) return;
  // in Learn the stage stays at the top there
  const stage = find("#stage");
  const over = stage.contains(node) ? 0 : stage.getBoundingClientRect().bottom - node.getBoundingClientRect().top + UNDER_PX;
  if (getComputedStyle(stage).position === "sticky" && over > 0) window.scrollBy(0, -over);
}
