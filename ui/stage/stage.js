// @ts-check
// The stage: which run is shown at which step, what was done to it by hand, and what is asked of the model. It knows no
// element of the page: views listen to its events and read its state. The events, each also of the page's other pieces:
//
//   change   anything that a view shows may be different       draw     only the canvas
//   run      another run came onto the canvas (its id)         step     another step is on screen (k)
//   select   another cell, -1 for none                         edit     something was changed by hand
//   done     a run has ended (its id)                          compare  a run was put beside, or taken away (its id)
//   ask      a model event starts                              message  a run's message arrived
//   task     create, edit or learn; leave: the page will go    look     cells may lack their picture
//   picture  a step is looked at that came without its picture (its run, k)
//   say      one line about what is on screen              tell     the same for those who cannot see the canvas
//   hover    the pointer is over another cell                  reveal   the panel of the chosen cell should be in sight
//   follow   the form goes along with this run                 chapter  a chapter of Learn was opened ("": left)
//   fill     the form shows this run's prompt, seed and settings   linked, paired   a game has a link; a link brought two runs
//   show-chapter  a chapter of Learn should open               chapter-part  a part of the open chapter was opened

import { Listening } from "../layout/listening.js";
import { Asks } from "./ask/ask.js";
import { Player } from "./time/player.js";
import { Run } from "./run/run.js";
import { Sheet } from "./kept/sheet.js";
import { Shelf } from "./kept/shelf.js";
import { Variations } from "./kept/variations.js";

/** @typedef {import("./run/run.js").Message} Message */
/** @typedef {import("./kept/sheet.js").Draft} Draft */

const OVER_MS = 300; // after the end of an event; what has not ended by then never will

export class Stage extends EventTarget {
  /**
   * @param {import("./run/cells.js").Grid} blank the grid of the model, drawn before there is a run
   * @param {boolean} revises whether the model was trained to doubt tokens that are set
   */
  constructor(blank = { rows: 1, columns: 1 }, revises = true) {
    super();
    this.blank = blank;
    this.revises = revises;
    /** @type {Run | null} */
    this.run = null;
    /** @type {Run | null} the run compared with */
    this.beside = null;
    this.way = "side"; // how both are looked at: side, wipe, difference
    this.position = 0; // the step on the timeline
    this.shown = 0; // the step of `run` on screen
    this.follow = true; // stay on the newest step while the run streams
    this.holding = false; // another run is coming onto the canvas; what is there stays until its picture is decoded
    this.asked = 0; // steps gone to so far; `come` is the last of them that is on screen
    this.come = 0;
    this.moving = false; // the step came from streaming or playing, not from scrubbing
    this.arrived = 0; // when the step on screen came up, for the motion of its changes
    this.selected = -1;
    /** @type {{cells: number[], round: boolean}} what a chapter of Learn points at, and whether with rings */
    this.pointed = { cells: [], round: false };
    this.overlay = "picture";
    this.task = "create";
    this.chapter = ""; // of Learn, that is open
    this.sheet = new Sheet();
    this.shelf = new Shelf();
    this.variations = new Variations(this);
    this.listening = new Listening();
    this.asks = new Asks(this);
    this.player = new Player(this, () => this.changed());
  }

  /**
   * Whoever comes late still hears which chapter is open: Gradio brings the pieces of the page in no certain order.
   * @param {string} name @param {(detail: any) => void} call
   */
  on(name, call) {
    this.addEventListener(name, (event) => call(/** @type {CustomEvent} */ (event).detail));
    if (name === "chapter" && this.chapter) queueMicrotask(() => call(this.chapter));
  }

  /** @param {string} name @param {any} detail */
  emit(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  changed() {
    this.emit("change");
    this.emit("draw");
  }

  // ---- what is on screen -----------------------------------------------------------------------------------

  get grid() {
    return this.run || this.blank;
  }

  get longest() {
    return Math.max(this.run ? this.run.last : 0, this.beside ? this.beside.last : 0);
  }

  get frame() {
    return this.run.frames[this.shown];
  }

  /** The tokens on screen, with what was changed by hand; null without a run. */
  get tokens() {
    return this.run && this.sheet.tokens(this.run, this.shown);
  }

  /** @returns {Draft | null} */
  get draft() {
    return this.run && this.sheet.draft(this.run, this.shown);
  }

  /** The cells changed by hand. @returns {Set<number>} */
  get byHand() {
    return this.run ? this.sheet.changed(this.run, this.shown) : new Set();
  }

  /** Masked cells where an action would start. */
  countMasked() {
    const { run } = this;
    return run ? this.sheet.start(run, this.shown).filter((token) => token === run.maskId).length : 0;
  }

  /** The model works for this page, or is about to. */
  get busy() {
    return this.asks.waiting || this.variations.carving || [this.run, this.beside].some((one) => one?.state === "running");
  }

  /** A picture stands there and may be worked on. */
  get free() {
    return Boolean(this.run) && !this.busy && !this.variations.open;
  }

  // ---- time ------------------------------------------------------------------------------------------------

  /**
   * Shows step k as soon as its picture is decoded; the step before stays up until then, so nothing flickers.
   * @param {number} k @param {boolean} withMotion @param {boolean} follow whether to go on to the steps to come
   */
  go(k, withMotion = false, follow = false) {
    const { run, beside } = this;
    if (!run) return;
    const position = Math.min(Math.max(k, 0), this.longest);
    const shown = Math.min(position, run.last);
    this.follow = follow || shown === run.last;
    const asked = ++this.asked;
    const settle = () => {
      if (this.run !== run || asked < this.come) return; // somewhere else by now
      this.come = asked;
      this.holding = false;
      Object.assign(this, { position, shown, moving: withMotion, arrived: performance.now() });
      this.look();
      this.changed();
      this.emit("step", shown);
    };
    const frames = [run.frames[shown], beside && beside.frames[Math.min(position, beside.last)]];
    const late = frames.filter((frame) => frame && !frame.image && !frame.settled);
    this.want(run, shown);
    if (beside) this.want(beside, Math.min(position, beside.last));
    if (late.length) Promise.all(late.map((frame) => frame.ready)).then(settle);
    else settle();
  }

  /** The picture of a step, which may have come without it. @param {Run} run @param {number} k */
  want(run, k) {
    if (run.frames[k]?.late) this.emit("picture", { run, k });
  }

  /** Goes there, and plays no further. @param {number} k */
  jump(k) {
    this.player.pause();
    this.go(k);
  }

  // ---- runs ------------------------------------------------------------------------------------------------

  /** @param {Run} next */
  setRun(next) {
    Object.assign(this, { run: next, follow: true, holding: true });
    this.sheet.turn(next); // its own locks
    this.shown = Math.min(this.shown, next.last);
    this.position = Math.min(this.position, this.longest);
  }

  /** Another run comes onto the canvas, at its last step. @param {Run} next */
  arrive(next) {
    this.setRun(next);
    this.emit("run", next.id);
    this.go(next.last);
  }

  /** A run from before; where the canvas came from can be gone back to. @param {Run} next */
  show(next) {
    if (next === this.run || this.busy) return;
    this.player.pause();
    this.variations.shelve();
    this.emit("follow", next);
    this.sheet.remember(this.sheet.snapshot(this.run, this.shown), this.whole(next));
    this.arrive(next);
  }

  /** The state to redo to where only the run matters. @param {Run} run @returns {import("./kept/sheet.js").State} */
  whole(run) {
    return { run, k: null, draft: null, locks: this.sheet.locksOf(run) };
  }

  /** Undo, or redo. @param {boolean} back */
  travel(back) {
    if (this.busy || this.variations.open) return;
    const state = this.sheet.travel(back);
    if (!state) return;
    this.player.pause();
    if (state.run && state.run !== this.run) {
      this.emit("follow", state.run);
      this.setRun(state.run);
      this.emit("run", state.run.id);
    }
    if (this.run) this.go(state.k === null ? this.run.last : state.k);
    this.edited();
  }

  /** @param {Run | null} other */
  compare(other) {
    this.beside = other;
    if (!other && this.run) this.position = this.shown;
    this.changed();
    this.emit("compare", other ? other.id : "");
  }

  /** @param {string} way side, wipe or difference */
  compareAs(way) {
    this.way = way;
    this.changed();
  }

  /** What Stop ended can be carved on where it ended. */
  get canCarryOn() {
    const { run } = this;
    return this.free && run.state === "stopped" && this.shown === run.last && run.frames[run.last].masked > 0;
  }

  // ---- hands -----------------------------------------------------------------------------------------------

  /** @param {number} cell */
  select(cell) {
    this.selected = cell;
    this.changed();
    this.emit("select", cell);
  }

  /** Frames cells on the canvas, or with none takes the frames off. @param {number[]} cells @param {boolean} round */
  point(cells, round = false) {
    if (!cells.length && !this.pointed.cells.length) return;
    this.pointed = { cells, round };
    this.emit("draw");
  }

  /** @param {string} name */
  view(name) {
    this.overlay = name;
    this.changed();
  }

  /** To a chapter of Learn, "" when Learn is left. @param {string} chapter */
  enter(chapter) {
    this.chapter = chapter;
    this.emit("chapter", chapter);
  }

  /** @param {string} task */
  choose(task) {
    this.task = task;
    this.emit("task", task);
  }

  /** One undoable change made by anything but a stroke. @param {() => void} make */
  change(make) {
    if (!this.free) return;
    this.sheet.begin(this.run, this.shown);
    make();
    this.commit();
  }

  /** Ends what sheet.begin() opened. */
  commit() {
    if (this.sheet.commit(this.run, this.shown)) this.edited();
  }

  edited() {
    this.look();
    this.changed();
    this.emit("edit", this.shown);
  }

  /** Cells that have no picture yet get one from the server; what is on screen meanwhile says so. */
  look() {
    if (this.draft?.pending.size) this.emit("look");
    this.emit("draw");
  }

  /** @param {string} words */
  say(words) {
    this.emit("say", words);
  }

  // ---- messages --------------------------------------------------------------------------------------------

  /** What the server sends while a run is made. @param {Message | null} message */
  take(message) {
    if (!message || message.v !== 1) return;
    this.listening.heard();
    if (message.state === "waiting") return this.say("waiting in line …"); // the notice says how many are ahead
    if (message.state === "left") return this.ended();
    if (message.role === "variation") return this.takeVariations(message);
    if (!Array.isArray(message.frames)) return;
    if (message.role === "beside") return this.takeBeside(message);
    this.emit("message", message);
    let target = this.run?.id === message.run ? this.run : this.shelf.find(message.run);
    if (target) {
      target.take(message);
    } else {
      this.player.pause();
      this.variations.shelve();
      target = this.begun(message);
      if (!target) return;
      if (this.beside) this.compare(null);
      if (this.run) this.sheet.remember(this.sheet.snapshot(this.run, this.shown), this.whole(target));
      this.setRun(target);
      this.emit("run", target.id);
    }
    if (message.state !== "running") {
      this.asks.finished = this.asks.sent;
      this.settle(target, true);
    }
    // while it streams, a step without its picture is passed over; at the end it is looked at, and so decoded
    const newest = message.state === "running" ? this.run.seen : this.run.last;
    const follows = this.holding || (this.follow && !this.player.playing && this.shown < newest);
    if (target === this.run && follows) this.go(newest, newest > this.run.base, true);
    else this.changed();
  }

  /** A run that was not here before, now on the shelf; null as long as it has no step. @param {Message} message */
  begun(message) {
    const run = new Run(message, message.parent && this.shelf.find(message.parent[0]));
    run.take(message);
    if (run.last < 0) return null;
    this.asks.waiting = false;
    this.sheet.inherit(run, this.asks.locks);
    this.shelf.add(run);
    return run;
  }

  /** One of equal runs stays on the shelf, the one that is shown or worked on. @param {Run} run @param {boolean} now it has just ended */
  settle(run, now = false) {
    this.shelf.settle(run, (one) => one === this.run || this.sheet.touched(one));
    if (now) this.emit("done", run.id);
  }

  /** A run of before goes onto the shelf and not onto the canvas. @param {Message} message */
  shelve(message) {
    const { waiting } = this.asks;
    const run = this.begun({ ...message, role: "main" });
    this.asks.waiting = waiting; // it is not what is waited for
    if (run) this.settle(run);
    this.changed();
  }

  /** @param {Message} message */
  takeBeside(message) {
    if (!this.beside || this.beside.id !== message.run) {
      const other = this.begun(message);
      if (!other) return;
      this.compare(other);
    }
    this.beside.take(message);
    if (message.state !== "running") this.settle(this.beside, true);
    this.go(message.state === "running" ? this.beside.seen : this.longest, true);
  }

  /** @param {Message} message */
  takeVariations(message) {
    this.asks.waiting = false;
    this.variations.take(message);
    if (message.state !== "running" && !this.variations.runs.length) this.variations.close();
    this.changed();
  }

  /** The event is over, whatever came of it: a refused run never sends a step, a broken line never a last message. */
  ended() {
    this.listening.heard();
    this.asks.waiting = false;
    this.asks.retry();
    // chosen now: a run that begins within the next moment belongs to the next event
    const left = this.shelf.runs.filter((one) => one.state === "running");
    const { carving, round } = this.variations;
    setTimeout(() => {
      if (carving && this.variations.round === round) this.variations.ended = true;
      for (const one of left) if (one.state === "running") one.state = "stopped";
      this.changed();
    }, OVER_MS);
    this.changed();
  }
}
