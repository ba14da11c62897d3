// @ts-check
// A run as the browser keeps it: every frame unpacked once, so that scrubbing never asks the server anything.

import { unpack } from "./bytes.js";
import { count, course, planned } from "./words.js";

/**
 * One step as it travels; the wire format is described in ui/server/frames.py. All numbers are base64, see bytes.js.
 * @typedef {{k: number, phase: string, ms: number, tokens: string, set: string, edited: string, p: string, h: string,
 *   locked: string, image: string | null}} Raw
 * @typedef {{v: number, state: string, role: string, run: string, kind: string, seed: number, prompt: string,
 *   settings: Record<string, any>, grid: [number, number], vocab: number, planned: number,
 *   parent: [string, number] | null, prefix: number, ground: boolean, frames: Raw[], variations?: Message[],
 *   of?: number, form?: Record<string, any>, told?: [string, any][], seen?: [string, number]}} Message
 *
 * One step unpacked: tokens, p (of 65535) and h (in thousandths of a nat) hold a value for each cell.
 * @typedef {{at: number, from: number, to: number}} Edit
 * @typedef {{k: number, phase: string, ms: number, tokens: Int32Array, set: Uint16Array, edited: Edit[],
 *   p: Uint16Array, h: Uint16Array, editsSoFar: number, locked: Uint8Array, image: HTMLImageElement | null,
 *   ready: Promise<void>, settled: boolean, late: ((uri: string) => void) | null, meanP: number, masked: number}} Frame
 * late: takes the picture of a step that came without one, see pictures.js; null once it is there.
 * @typedef {{k: number, kind: "start" | "set" | "edit" | "remask", from?: number, to: number, p: number}} Happened
 */

export class Run {
  /**
   * @param {Message} message
   * @param {Run | null} parent the run that a branch grew from, when this tab still has it: its first steps are shared
   */
  constructor(message, parent = null) {
    this.id = message.run;
    this.kind = message.kind;
    this.role = message.role;
    this.parent = message.parent;
    this.ground = Boolean(message.ground);
    this.settings = message.settings;
    this.form = message.form ?? {}; // what the form's controls show for these settings
    this.rows = message.grid[0];
    this.columns = message.grid[1];
    this.cells = this.rows * this.columns;
    this.maskId = message.vocab;
    this.planned = message.planned;
    this.seed = message.seed;
    this.prompt = message.prompt;
    this.state = message.state;
    this.cut = false; // by a reload, and not by Stop
    /** @type {Frame[]} */
    this.frames = parent ? parent.frames.slice(0, message.prefix) : [];
    this.prefix = message.prefix;
    this.base = this.frames.length; // its own steps begin here
    this.offset = message.prefix - this.base;
  }

  get last() {
    return this.frames.length - 1;
  }

  /**
   * Adds the frames this tab has not seen yet, and pictures that they lacked; a frame that would leave a gap waits for the
   * closing message.
   * @param {Message} message
   */
  take(message) {
    this.state = message.state;
    for (const raw of message.frames) {
      const k = raw.k - this.offset;
      if (k === this.frames.length) this.frames.push(this.frame(raw));
      else if (raw.image !== null) this.frames[k]?.late?.(raw.image);
    }
  }

  /** @param {Raw} raw @returns {Frame} */
  frame(raw) {
    const before = this.frames[this.frames.length - 1];
    const tokens = unpack(raw.tokens, Int32Array);
    const p = unpack(raw.p, Uint16Array);
    const triples = unpack(raw.edited, Int32Array);
    const edited = [];
    for (let i = 0; i + 2 < triples.length; i += 3) {
      edited.push({ at: triples[i], from: triples[i + 1], to: triples[i + 2] });
    }
    /** @type {Frame} */
    const frame = {
      k: raw.k - this.offset,
      phase: raw.phase,
      ms: raw.ms,
      tokens,
      set: unpack(raw.set, Uint16Array),
      edited,
      p,
      meanP: raw.phase === "start" ? 0 : p.reduce((sum, one) => sum + one, 0) / 65535 / this.cells,
      masked: tokens.filter((token) => token === this.maskId).length,
      h: unpack(raw.h, Uint16Array),
      editsSoFar: (before ? before.editsSoFar : 0) + edited.length,
      locked: unpack(raw.locked, Uint8Array),
      image: null,
      ready: Promise.resolve(),
      settled: true,
      late: null,
    };
    if (raw.image !== null) decode(frame, raw.image);
    else {
      frame.settled = false;
      frame.ready = new Promise((done) => {
        frame.late = (uri) => {
          frame.late = null;
          frame.settled = true;
          frame.ready = Promise.resolve();
          decode(frame, uri);
          frame.ready.then(done);
        };
      });
    }
    return frame;
  }

  /** The newest step whose picture came along. */
  get seen() {
    for (let k = this.last; k > 0; k--) if (!this.frames[k].late) return k;
    return 0;
  }

  /** The step at which each cell got the token that it has at step k. @param {number} k */
  born(k) {
    const born = new Uint16Array(this.cells);
    for (let i = 1; i <= k; i++) {
      for (const cell of this.frames[i].set) born[cell] = i;
      for (const edit of this.frames[i].edited) born[edit.at] = i;
    }
    return born;
  }

  /** @param {number} k */
  editCounts(k) {
    const counts = new Uint16Array(this.cells);
    for (let i = 1; i <= k; i++) for (const edit of this.frames[i].edited) counts[edit.at]++;
    return counts;
  }

  /** @param {number} k @param {number} cell */
  isMasked(k, cell) {
    return this.frames[k].tokens[cell] === this.maskId;
  }

  /** Everything that happened to one cell, oldest first. @param {number} cell @returns {Happened[]} */
  history(cell) {
    /** @type {Happened[]} */
    const events = [];
    this.frames.forEach((frame, k) => {
      const token = frame.tokens[cell];
      const p = frame.p[cell] / 65535;
      if (k === 0) events.push({ k, kind: "start", to: token, p });
      if (frame.set.includes(cell)) events.push({ k, kind: "set", to: token, p });
      const edit = frame.edited.find((e) => e.at === cell);
      if (edit) events.push({ k, kind: edit.to === this.maskId ? "remask" : "edit", from: edit.from, to: edit.to, p });
    });
    return events;
  }

  /** Polish passes: those that it had, and until it is done those that it may have. */
  get polish() {
    if (this.kind === "heal") return 0;
    const had = this.frames.filter(({ phase }) => phase === "polish").length;
    const may = this.settings?.edit === "overwrite" ? this.settings.polish ?? 0 : 0;
    return this.state === "done" ? had : Math.max(had, may);
  }

  /** "step 13, polish pass 1 of 2": which pass a step after the last set token is. @param {number} k */
  passed(k) {
    const pass = this.frames.slice(0, k + 1).filter(({ phase }) => phase === "polish").length;
    return this.kind === "heal" ? `healing pass ${pass}` : `step ${k}, polish pass ${pass} of ${this.polish}`;
  }

  /** "step 7 of 12 + 2 polish · 141 of 256 tokens set · 5 edited so far · 0.9 s" @param {number} k @param {number} byHand */
  describe(k, byHand = 0) {
    const frame = this.frames[k];
    const where = frame.phase === "start" ? (this.planned ? `start of ${course(this.planned, this.polish)}` : "start")
      : frame.phase === "polish" ? this.passed(k)
      : `step ${k} of ${planned(this.planned, this.polish)}`;
    const set = `${this.cells - frame.masked} of ${this.cells} tokens set`;
    const time = frame.ms ? ` · ${(frame.ms / 1000).toFixed(1)} s` : "";
    // all tokens are set: nothing is left to carve on, and so there is no Continue
    const early = frame.phase === "unmask" && !frame.masked ? ", stopped before polishing" : ", stopped";
    const stopped = this.state === "stopped" && k === this.last ? (this.cut ? ", cut off by the reload" : early) : "";
    const hand = byHand ? ` · ${byHand} changed by hand` : "";
    const edits = `${frame.editsSoFar} edited${frame.editsSoFar && k < this.last ? " so far" : ""}`; // beside what this step alone edits
    return `${where}${stopped} · ${set} · ${edits}${time}${hand}`;
  }

  /**
   * The same in ever fewer words, for a line that is short.
   * @param {number} k @param {number} byHand @returns {string[]}
   */
  described(k, byHand = 0) {
    const { phase, masked } = this.frames[k];
    const full = this.describe(k, byHand);
    const short = full.replace(/ · [\d.]+ s(?= · |$)/, "").replace(" tokens set", " set").replace(" changed by hand", " by hand");
    // of a picture without a mask the count says nothing more
    const bare = masked || phase === "start" ? short.replace(` of ${this.cells} set`, " set") : short.replace(/ · \d+ of \d+ set/, "");
    const few = bare.replace(/ \+ \d+ polish/, "").replace(/step \d+, polish pass/, "polish pass");
    const least = few.replace(" so far", "");
    return [full, short, bare, ...(few === least ? [] : [few]), least, ...(byHand ? [least.replace(/ · \d+ edited/, "")] : [])];
  }

  /** What this run is, for captions: the prompt stands apart. @param {boolean} whole the polish passes too */
  note(whole = false) {
    /** @type {Record<string, string>} */
    const kinds = { repaint: "repainted", heal: "healed", upload: "uploaded", opened: "opened", hand: "decided by hand" };
    const what = this.kind === "branch" ? `branch from step ${this.parent ? this.parent[1] : 0}` : kinds[this.kind];
    const editing = this.settings && this.settings.edit === "off" ? "editing off" : "";
    const steps = ["upload", "heal"].includes(this.kind) || !this.planned ? ""
      : whole ? course(this.planned, this.polish) : count(this.planned, "step");
    return [what, this.kind === "upload" ? "" : `seed ${this.seed}`, steps, editing].filter(Boolean).join(" · ");
  }
}

/** Gives a frame its picture, once that is decoded. @param {Frame} frame @param {string} uri */
function decode(frame, uri) {
  if (!uri.startsWith("data:image/jpeg;base64,")) return;
  const image = new Image();
  image.src = uri;
  frame.settled = false;
  frame.ready = image.decode().then(() => { frame.image = image; }, () => {}).then(() => { frame.settled = true; });
}

/** What the grid is called for those who cannot see it. @param {Run} run */
export function gridLabel(run) {
  return `Token grid for: ${run.prompt}. Arrow keys inspect a token, space plays, brackets step.`;
}
