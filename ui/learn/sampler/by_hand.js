// @ts-check
// You are the sampler: one look of the model at a time, and the visitor decides what becomes of it. The decisions travel to
// the server, where the sampler's own functions carry them out; going back needs nobody, as every step is still here.

import { find, findAll, until } from "../../layout/dom.js";
import { facts } from "../../layout/facts.js";
import { again } from "../../stage/ask/ask.js";
import { course, place } from "../../stage/run/words.js";
import { Board } from "./board.js";
import { Company } from "../company.js";
import { Choice, differing } from "./choice.js";
import { EndPair, same, verdict } from "./end.js";
import { GameLink } from "./link.js";
import { decoded, gather, reopened } from "./saved.js";
import { stepList } from "./steps.js";
import { cellWords, polishOf, RULES, stepWords } from "./words.js";

/** @typedef {import("./choice.js").Told} Told */
/** @typedef {import("./choice.js").Rule} Rule */
/** @typedef {import("../../stage/run/run.js").Run} Run */
/** @typedef {import("./saved.js").Turn} Turn */

const CLOSES_MS = 180; // that the stream of an answered event takes to close
const GATHER_MS = 20_000; // that a file waits for the first look
const REST_MS = 90; // how long the slider must rest before the temperature is asked for

export class ByHand {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {import("../../main.js").Piece & {kept?: import("../lesson/recorder.js").Kept}} piece kept: in a saved lesson
   * @param {import("../../layout/facts.js").Facts} model
   */
  constructor(stage, { element, props, trigger, watch, server, kept }, model) {
    this.stage = stage;
    this.element = element;
    this.trigger = trigger;
    this.server = server;
    this.kept = kept;
    /** @type {Turn[]} by the number of the step that they offer; 0 is empty */
    this.turns = [];
    this.k = 0; // the step that is being decided, 0 before the first
    this.run = "";
    /** @type {Choice | null} */
    this.choice = null;
    /** @type {Rule} */
    this.rule = "surest";
    this.busy = false;
    this.auto = false; // the rest goes by the rule
    this.asked = 0;
    this.timer = 0;
    this.freeAt = 0; // when the next decision may be sent
    this.hearing = Promise.resolve(); // answers are taken one after another: each waits for its pictures
    /** @type {Run | null} the finished run */
    this.made = null;
    this.company = new Company(stage);
    /** @type {Record<string, any> | null} what it was begun with */
    this.begun = null;
    this.board = new Board(this.find(".cz-by-hand-canvas"), (cell, on) => this.press(cell, on), (cell) => this.glance(cell));
    this.pair = new EndPair(stage, this.find(".cz-by-hand-pair"));
    const [rows, columns] = model.grid;
    this.find(".cz-by-hand-board").style.setProperty("--cz-by-hand-ratio", String(columns / rows));
    /** @type {Record<string, () => void>} */
    const acts = {
      begin: () => this.begin(),
      take: () => this.take(),
      rest: () => this.rest(),
      beside: () => this.compare(),
      last: () => this.back(this.turns.length - 1),
      link: () => this.link?.share(),
    };
    for (const button of findAll("[data-hand]", element)) button.addEventListener("click", acts[button.dataset.hand]);
    for (const button of findAll("[data-rule]", element)) {
      button.addEventListener("click", () => this.change(() => this.choice.follow(button.dataset.rule)));
    }
    const [many, heat] = [this.find(".cz-by-hand-many input"), this.find(".cz-by-hand-heat input")];
    many.addEventListener("input", () => this.change(() => this.choice.take(Number(many.value))));
    heat.addEventListener("input", () => this.warm(Number(heat.value)));
    this.find(".cz-by-hand-edits input").addEventListener("change", (/** @type {any} */ event) => {
      this.change(() => { this.choice.editing = event.target.checked; });
    });
    this.find(".cz-by-hand-ghost input").addEventListener("change", () => this.draw());
    const canvas = this.board.canvas;
    const voice = this.find(".cz-by-hand-cell");
    canvas.addEventListener("focus", () => voice.setAttribute("aria-live", "polite"));
    canvas.addEventListener("blur", () => voice.setAttribute("aria-live", "off"));
    stage.on("chapter", (name) => { if (name !== "sampler") this.company.leave(); else kept ? reopened(this, kept) : this.entered(); });
    // the page remembers what stands on the stage (stage/kept): the game itself does not outlive a reload
    stage.on("leave", () => this.company.leave());
    for (const name of ["run", "done", "compare"]) stage.on(name, () => this.follow());
    watch("value", () => {
      const told = props.value;
      if (told) this.hearing = this.hearing.then(() => this.heard(told));
    });
    this.link = kept ? null : new GameLink(this);
    if (!kept) this.entered();
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** Where something is said: while it is played, and before and after that. */
  get lines() {
    return findAll(".cz-by-hand-say, .cz-by-hand-first", this.element);
  }

  /** @param {string} words */
  say(words) {
    for (const line of this.lines) line.textContent = words;
    this.find(".cz-by-hand-address").hidden = true;
  }

  // ---- to and from the server --------------------------------------------------------------------------------

  /** The form to begin with: that of the picture on the stage, or the prompt in its box with what the form starts with. */
  form() {
    if (this.link?.form) return this.link.form;
    const { run } = this.stage;
    const { form } = facts();
    const typed = find("#prompt textarea")?.value.trim();
    if (run && run.kind === "generate") return again(form, run).changes;
    if (run) return { ...form, ...run.form, prompt: run.prompt, seed: run.seed };
    return { ...form, prompt: typed || form.prompt };
  }

  entered() {
    const form = this.form();
    const { prompt, seed, steps } = form;
    this.find(".cz-by-hand-with").textContent = prompt ? `“${prompt}”, seed ${seed}, ${course(Number(steps), polishOf(form))}` : "";
    this.draw();
    if (this.choice && !this.company.on && !this.find(".cz-by-hand-play").hidden && this.along()) this.company.go(this.k - 1);
  }

  /** @param {any} data */
  ask(data) {
    if (this.busy) return;
    if (this.stage.busy) return this.say("A picture is being carved: wait until it is done.");
    this.setBusy(true);
    this.link?.left(data);
    this.stage.listening.expect();
    // Gradio never reads the answers to an event that comes while the last one's stream closes
    setTimeout(() => this.trigger("decide", data), Math.max(this.freeAt - performance.now(), 0));
  }

  /** @param {boolean} on */
  setBusy(on) {
    this.busy = on;
    this.find(".cz-by-hand").dataset.state = on ? "busy" : "idle";
    this.refresh();
  }

  begin() {
    this.auto = false;
    this.say("The model looks …");
    this.ask({ form: this.form() });
  }

  take() {
    if (!this.choice?.able) return;
    this.rule = this.choice.rule;
    this.say("The model looks again …");
    const { temperature } = this.turns[this.k].told;
    this.ask({ run: this.run, step: this.k - 1, temperature, ...this.choice.decided });
  }

  /** All steps to come by the rule, or no more of them. */
  rest() {
    this.auto = !this.auto;
    if (this.auto) this.take();
    this.refresh();
  }

  /** @param {Told} told */
  async heard(told) {
    this.stage.listening.heard();
    this.freeAt = performance.now() + CLOSES_MS;
    this.link?.heard(told);
    if (told.state === "waiting") return this.say("Waiting for the model …");
    if (told.error || told.state === "stopped") {
      this.auto = false;
      this.setBusy(false);
      return this.say(told.error || "Stopped: press again to go on.");
    }
    this.run = told.run;
    if (told.state === "over") {
      this.setBusy(false);
      this.ended(told);
      return this.say(told.words ?? "");
    }
    const turn = { told, image: await decoded(told.image), guess: await decoded(told.guess) };
    this.turns.length = told.k;
    this.turns[told.k] = turn;
    this.setBusy(Boolean(told.more));
    this.open(told.k);
    if (told.more || told.words) return this.say(told.words ?? "Playing the choices of the link …");
    if (!this.auto) return this.find(".cz-by-hand-step").focus({ preventScroll: true });
    this.take();
  }

  /** Another temperature for the step that is being decided. @param {number} temperature */
  warm(temperature) {
    this.find(".cz-by-hand-heat b").textContent = temperature.toFixed(2);
    clearTimeout(this.timer);
    const asked = ++this.asked;
    this.timer = setTimeout(async () => {
      const { k, run } = this;
      const told = await this.server.again({ run, step: k - 1, temperature })
        .catch(() => ({ error: "The studio did not answer." }));
      if (asked !== this.asked || k !== this.k || run !== this.run) return;
      if (told.error) return this.say(told.error);
      const before = this.turns[k];
      this.turns[k] = { ...before, told: { ...told, image: before.told.image }, guess: await decoded(told.guess) };
      if (asked !== this.asked || k !== this.k) return;
      const old = this.choice.drawn;
      this.choice.offered(told);
      const changed = `${differing(old, this.choice.drawn)} of ${this.choice.masked} guesses changed`;
      this.find(".cz-by-hand-heat i").textContent = `${changed}, without a new look`;
      this.refresh();
      this.draw();
    }, REST_MS);
  }

  // ---- one step ----------------------------------------------------------------------------------------------

  /** @param {number} k */
  open(k) {
    this.k = k;
    const { told } = this.turns[k];
    this.asked++;
    this.choice = new Choice(told, this.rule);
    this.choice.editing = this.find(".cz-by-hand-edits input").checked;
    this.find(".cz-by-hand-about").hidden = !this.kept;
    this.find(".cz-by-hand-start").hidden = true;
    this.find(".cz-by-hand-play").hidden = false;
    this.find(".cz-by-hand-end").hidden = true;
    this.find(".cz-by-hand-heat input").value = String(told.temperature);
    this.find(".cz-by-hand-heat b").textContent = told.temperature.toFixed(2);
    this.find(".cz-by-hand-heat i").textContent = "";
    const along = this.along();
    this.say(told.phase === "polish" ? "Every cell is set: now the model only looks again, and polishes."
      : along ? "On the stage: what the sampler itself had by now." : "");
    this.refresh();
    this.draw();
    if (along) this.company.go(k - 1);
  }

  /** The stage shows the sampler's own run, and nothing else: it can go along. */
  along() {
    const own = this.own();
    return Boolean(own) && own === this.stage.run && !this.stage.beside && Boolean(find(".cz-canvas").offsetParent);
  }

  /** Back to a step, to decide it anew. @param {number} k */
  back(k) {
    if (this.busy || !this.turns[k]) return;
    this.auto = false;
    this.open(k);
  }

  /** @param {() => void} change */
  change(change) {
    if (!this.choice || this.busy) return;
    change();
    this.refresh();
    this.draw();
  }

  /** @param {number} cell @param {boolean} [on] */
  press(cell, on) {
    this.change(() => this.choice.press(cell, on));
    this.glance(cell);
  }

  /** One line about a cell. @param {number} cell */
  glance(cell) {
    const { choice } = this;
    const node = this.find(".cz-by-hand-cell");
    if (!choice || cell < 0) { node.textContent = ""; return; }
    node.textContent = `${place(cell, this.board.shown.grid.columns)}: ${cellWords(choice, cell)}`;
  }

  // ---- what is on screen -------------------------------------------------------------------------------------

  draw() {
    const turn = this.turns[this.k];
    if (!turn || !this.choice) return;
    const [rows, columns] = turn.told.grid;
    const ghost = this.find(".cz-by-hand-ghost input").checked;
    this.board.show({ grid: { rows, columns }, image: turn.image, guess: turn.guess, choice: this.choice, ghost });
  }

  refresh() {
    const { choice, k, busy } = this;
    for (const button of findAll("[data-hand]", this.element)) {
      button.disabled = busy && !(this.auto && button.dataset.hand === "rest");
    }
    if (!choice) return;
    const { steps, phase, form } = this.turns[k].told;
    this.find(".cz-by-hand-step").textContent = stepWords(k, steps, phase, polishOf(form));
    for (const button of findAll("[data-rule]", this.element)) {
      button.setAttribute("aria-pressed", String(button.dataset.rule === choice.rule));
      button.disabled = busy || !choice.masked;
    }
    this.find(".cz-by-hand-rule").textContent = choice.masked ? RULES[choice.rule]
      : "Nothing is left to set. A set cell can still go back: tap it.";
    const many = this.find(".cz-by-hand-many");
    many.hidden = !choice.masked;
    find("input", many).max = String(choice.masked);
    find("input", many).value = String(choice.set.length);
    find("b", many).textContent = `${choice.set.length} of ${choice.masked}`;
    find("i", many).textContent = `the sampler sets ${choice.commits.length}`;
    const edits = this.find(".cz-by-hand-edits");
    edits.hidden = !choice.edits.length;
    find("span", edits).textContent = choice.edits.length === 1 ? "Let the model change 1 token that it doubts"
      : `Let the model change ${choice.edits.length} tokens that it doubts`;
    const take = this.find("[data-hand=take]");
    take.textContent = choice.words;
    take.disabled = busy || !choice.able;
    const rest = this.find("[data-hand=rest]");
    rest.textContent = this.auto ? "Stop" : "Finish this way";
    rest.disabled = (busy && !this.auto) || choice.rule === "hand";
    this.find(".cz-by-hand-ghost").hidden = !choice.masked;
    this.list();
  }

  /** The steps so far: each leads back to itself. */
  list() {
    this.find(".cz-by-hand-steps").replaceChildren(...stepList(this.turns, this.k, (k) => this.back(k)));
  }

  // ---- a saved lesson ------------------------------------------------------------------------------------------

  /** Asks for what a saved lesson should be able to show; where nothing was begun, that is a first look. */
  async gather() {
    if (!this.turns.some(Boolean)) {
      this.begin();
      await until(() => !this.busy, GATHER_MS);
    }
    return gather(this.server, this.run, this.turns);
  }

  // ---- the end -----------------------------------------------------------------------------------------------

  /** @param {Told} told */
  ended(told) {
    this.auto = false;
    this.company.end();
    this.find(".cz-by-hand-play").hidden = true;
    this.find(".cz-by-hand-start").hidden = false;
    this.find(".cz-by-hand-end").hidden = false;
    this.find("[data-hand=begin]").textContent = "Begin anew";
    this.begun = told.form;
    this.stage.take(told.message);
    this.made = this.stage.shelf.find(told.run);
    this.compare();
  }

  /** The sampler's own run of the same form, where this visit has made it. @returns {Run | undefined} */
  own() {
    const form = this.turns[this.k]?.told.form ?? this.begun;
    return form && this.stage.shelf.runs.find((run) => run.kind === "generate" && run.state === "done" && same(run, form));
  }

  /** Puts the sampler's run beside the one that was decided here; makes it where there is none. */
  compare() {
    const { stage, made } = this;
    if (!made || stage.busy) return;
    if (stage.run !== made) stage.show(made);
    const own = this.own();
    if (own) {
      stage.compare(own);
      stage.go(stage.longest);
    } else {
      /** @type {import("../../stage/ask/ask.js").Ask} */
      const ask = { kind: "generate", run: null, step: 0, tokens: null, locked: null, role: "beside" };
      stage.asks.start(ask, this.begun);
    }
    this.follow();
  }

  /** What the count says, as soon as there are two to count. */
  follow() {
    const { made, stage } = this;
    if (!this.choice) this.entered();
    const node = this.find(".cz-by-hand-count");
    const beside = made && stage.run === made ? stage.beside : null;
    this.find("[data-hand=beside]").hidden = Boolean(beside);
    if (!made) return;
    const told = beside?.state === "done" && same(beside, this.begun);
    this.pair.show(told ? [made, beside] : null);
    node.textContent = told ? verdict(made, beside) : "Your picture is on the stage.";
    if (told) node.dataset.differ = String(differing(made.frames[made.last].tokens, beside.frames[beside.last].tokens));
  }
}
