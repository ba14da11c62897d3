// @ts-check
// What a visitor did to the canvas by hand, on top of the runs: changed tokens, locks, and every state before, so that
// undo and redo need no server. States are never altered once made; an undo just shows an earlier one again. Both are the
// picture's own: another picture on the canvas has its own changes and its own locks, or none.

/** @typedef {import("../run/run.js").Run} Run */
/**
 * A changed step: `version` counts the pictures it has had, `pending` are the cells whose picture is not there yet.
 * @typedef {{id: number, version: number, tokens: Int32Array, image: HTMLImageElement | null, pending: Set<number>}} Draft
 *
 * What undo and redo go between; k is null where only the run matters.
 * @typedef {{run: Run | null, k: number | null, draft: Draft | null, locks: Int32Array | null}} State
 *
 * @typedef {{drafts: [number, number[][]][], locks: number[] | null}} Kept
 */

const STATES_KEPT = 60;

export class Sheet {
  constructor() {
    /** @type {Map<string, Draft>} by "run step" */
    this.drafts = new Map();
    /** @type {Map<string, Int32Array>} by run: the token held by a locked cell, -1 where free; absent when nothing is locked */
    this.held = new Map();
    this.at = ""; // the run on the canvas: its locks are meant where no run is named
    /** @type {{before: State, after: State}[]} */
    this.past = [];
    /** @type {{before: State, after: State}[]} */
    this.future = [];
    /** @type {State | null} where the change under way began */
    this.open = null;
    this.made = 0;
  }

  /** Another run is on the canvas. @param {Run} run */
  turn(run) {
    this.at = run.id;
  }

  // ---- locks ------------------------------------------------------------------------------------------------

  /** Those of the picture on the canvas; null when nothing is locked. */
  get locks() {
    return this.held.get(this.at) ?? null;
  }

  set locks(locks) {
    this.hold(this.at, locks);
  }

  /** @param {string} id of a run @param {Int32Array | null} locks */
  hold(id, locks) {
    if (locks) this.held.set(id, locks);
    else this.held.delete(id);
  }

  /** @param {Run} run */
  locksOf(run) {
    return this.held.get(run.id) ?? null;
  }

  /**
   * A run that was made around the locks of another picture keeps them: it holds the same tokens there. Any other run, also
   * one that comes from elsewhere while the locks wait for theirs, has none of them.
   * @param {Run} run @param {Int32Array | null} locks that were asked for
   */
  inherit(run, locks) {
    const start = run.frames[run.base];
    if (!locks || !start || locks.length !== run.cells) return;
    const holds = (/** @type {number} */ token, /** @type {number} */ cell) => {
      return start.locked[cell] ? token === start.tokens[cell] : token < 0;
    };
    if (locks.every(holds)) this.hold(run.id, locks);
  }

  /** Something was done to it that a twin of it does not have. @param {Run} run */
  touched(run) {
    const locks = this.locksOf(run);
    const own = locks && locks.some((token, cell) => (token >= 0) !== Boolean(run.frames[run.base]?.locked[cell]));
    return Boolean(own) || run.frames.some((_, k) => this.draft(run, k));
  }

  /** @param {Run} run @param {number} k */
  draft(run, k) {
    return this.drafts.get(`${run.id} ${k}`) || null;
  }

  /** @param {Run} run @param {number} k */
  tokens(run, k) {
    const draft = this.draft(run, k);
    return draft ? draft.tokens : run.frames[k].tokens;
  }

  /**
   * Where an action starts from: what is on screen, and in locked cells what they hold.
   * @param {Run} run @param {number} k
   */
  start(run, k) {
    const tokens = Int32Array.from(this.tokens(run, k));
    this.locksOf(run)?.forEach((token, cell) => { if (token >= 0) tokens[cell] = token; });
    return tokens;
  }

  /** @param {number} cell */
  isLocked(cell) {
    return Boolean(this.locks) && this.locks[cell] >= 0;
  }

  lockedCells() {
    return this.locks ? Uint8Array.from(this.locks, (token) => Number(token >= 0)) : null;
  }

  countLocked() {
    return this.locks ? this.locks.filter((token) => token >= 0).length : 0;
  }

  /** Cells that stand differently from what the run left there. @param {Run} run @param {number} k @returns {Set<number>} */
  changed(run, k) {
    const draft = this.draft(run, k);
    /** @type {Set<number>} */
    const out = new Set();
    if (draft) run.frames[k].tokens.forEach((token, cell) => { if (draft.tokens[cell] !== token) out.add(cell); });
    return out;
  }

  /**
   * pairs: [[cell, token], ...]. Locked cells are passed over. True when anything changed.
   * @param {Run} run @param {number} k @param {number[][]} pairs
   */
  put(run, k, pairs) {
    const before = this.tokens(run, k);
    const locks = this.locksOf(run);
    const wanted = pairs.filter(([cell, token]) => !(locks?.[cell] >= 0) && before[cell] !== token);
    if (!wanted.length) return false;
    const old = this.draft(run, k);
    const tokens = Int32Array.from(before);
    const pending = new Set(old ? old.pending : []);
    for (const [cell, token] of wanted) {
      tokens[cell] = token;
      if (token === run.maskId) pending.delete(cell);
      else pending.add(cell);
    }
    const same = tokens.every((token, cell) => token === run.frames[k].tokens[cell]);
    const draft = { id: ++this.made, version: 0, tokens, image: old ? old.image : null, pending };
    if (same) this.drafts.delete(`${run.id} ${k}`);
    else this.drafts.set(`${run.id} ${k}`, draft);
    return true;
  }

  /** @param {Run} run @param {number} k @param {number[]} cells @param {boolean} on */
  lock(run, k, cells, on) {
    const tokens = this.tokens(run, k);
    const before = this.locksOf(run);
    const locks = before ? Int32Array.from(before) : new Int32Array(run.cells).fill(-1);
    for (const cell of cells) {
      if (!on) locks[cell] = -1;
      else if (tokens[cell] !== run.maskId && locks[cell] < 0) locks[cell] = tokens[cell];
    }
    this.hold(run.id, locks.some((token) => token >= 0) ? locks : null);
  }

  // ---- from one page to the next ----------------------------------------------------------------------

  /**
   * What stands on this run by hand, as plain arrays. Steps are numbered as the server does, see Run.offset.
   * @param {Run} run @returns {Kept}
   */
  keep(run) {
    /** @type {Kept["drafts"]} */
    const drafts = [];
    run.frames.forEach((_, k) => {
      const tokens = this.tokens(run, k);
      const pairs = Array.from(this.changed(run, k), (cell) => [cell, tokens[cell]]);
      if (pairs.length) drafts.push([k + run.offset, pairs]);
    });
    const locks = this.locksOf(run);
    return { drafts, locks: locks && Array.from(locks) };
  }

  /**
   * The same again on a page that has nothing yet. The steps before a branch may not have come along.
   * @param {Run} run @param {Kept} kept
   */
  resume(run, { drafts, locks }) {
    for (const [k, pairs] of drafts) if (run.frames[k - run.offset]) this.put(run, k - run.offset, pairs);
    this.hold(run.id, locks && Int32Array.from(locks));
  }

  // ---- undo and redo --------------------------------------------------------------------------------

  /** @param {Run | null} run @param {number} k @returns {State} */
  snapshot(run, k) {
    return { run, k, draft: run ? this.draft(run, k) : null, locks: run ? this.locksOf(run) : null };
  }

  /** @param {Run} run @param {number} k */
  begin(run, k) {
    this.open = this.snapshot(run, k);
  }

  /** Ends what begin() opened; a stroke of many cells is one thing to undo. @param {Run} run @param {number} k */
  commit(run, k) {
    const before = this.open;
    this.open = null;
    if (!before) return false;
    const after = this.snapshot(run, k);
    if (before.run === after.run && before.draft === after.draft && sameLocks(before.locks, after.locks)) return false;
    this.remember(before, after);
    return true;
  }

  /** What was begun is one thing to undo with the change before it, where that led to where this began. */
  join() {
    const last = this.past[this.past.length - 1];
    if (!this.open || !last || last.after.draft !== this.open.draft || last.after.run !== this.open.run) return;
    this.open = last.before;
    this.past.pop();
  }

  /** Takes back all that was done since begin(). */
  abandon() {
    if (this.open) this.restore(this.open);
    this.open = null;
  }

  /** @param {State} before @param {State} after */
  remember(before, after) {
    this.past.push({ before, after });
    if (this.past.length > STATES_KEPT) this.past.shift();
    this.future = [];
  }

  /** The state to show now, or null. `back` undoes, otherwise redoes. @param {boolean} back */
  travel(back) {
    const entry = (back ? this.past : this.future).pop();
    if (!entry) return null;
    (back ? this.future : this.past).push(entry);
    const state = back ? entry.before : entry.after;
    this.restore(state);
    return state;
  }

  /** @param {State} state */
  restore(state) {
    if (!state.run) return;
    this.hold(state.run.id, state.locks);
    if (state.k === null) return;
    const key = `${state.run.id} ${state.k}`;
    if (state.draft) this.drafts.set(key, state.draft);
    else this.drafts.delete(key);
  }
}

/** @param {Int32Array | null} a @param {Int32Array | null} b */
function sameLocks(a, b) {
  if (a === b) return true;
  if (!a || !b) return false;
  return a.every((token, cell) => token === b[cell]);
}
