// What a visitor did to the canvas by hand, on top of the runs: changed tokens, locks, and every state before, so that
// undo and redo need no server. States are never altered once made; an undo just shows an earlier one again.

class Sheet {
  constructor(cells) {
    this.drafts = new Map(); // "run step" -> {id, version (of its image), tokens, image, pending: Set of cells without their picture yet}
    this.locks = null; // Int32Array: the token held by a locked cell, -1 where free; null when nothing is locked
    this.past = [];
    this.future = [];
    this.open = null;
    this.made = 0;
  }

  draft(run, k) {
    return this.drafts.get(`${run.id} ${k}`) || null;
  }

  tokens(run, k) {
    const draft = this.draft(run, k);
    return draft ? draft.tokens : run.frames[k].tokens;
  }

  // Where an action starts from: what is on screen, and in locked cells what they hold.
  start(run, k) {
    const tokens = Int32Array.from(this.tokens(run, k));
    if (this.locks) this.locks.forEach((token, cell) => { if (token >= 0) tokens[cell] = token; });
    return tokens;
  }

  isLocked(cell) {
    return Boolean(this.locks) && this.locks[cell] >= 0;
  }

  lockedCells() {
    return this.locks ? Uint8Array.from(this.locks, (token) => Number(token >= 0)) : null;
  }

  countLocked() {
    return this.locks ? this.locks.reduce((n, token) => n + (token >= 0), 0) : 0;
  }

  // Cells that stand differently from what the run left there.
  changed(run, k) {
    const draft = this.draft(run, k);
    const out = new Set();
    if (draft) run.frames[k].tokens.forEach((token, cell) => { if (draft.tokens[cell] !== token) out.add(cell); });
    return out;
  }

  // pairs: [[cell, token], ...]. Locked cells are passed over. True when anything changed.
  put(run, k, pairs) {
    const before = this.tokens(run, k);
    const wanted = pairs.filter(([cell, token]) => !this.isLocked(cell) && before[cell] !== token);
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

  lock(run, k, cells, on) {
    const tokens = this.tokens(run, k);
    const locks = this.locks ? Int32Array.from(this.locks) : new Int32Array(run.cells).fill(-1);
    for (const cell of cells) {
      if (!on) locks[cell] = -1;
      else if (tokens[cell] !== run.maskId && locks[cell] < 0) locks[cell] = tokens[cell];
    }
    this.locks = locks.some((token) => token >= 0) ? locks : null;
  }

  // ---- from one page to the next ----------------------------------------------------------------------

  // What stands on this run by hand, as plain arrays. Steps are numbered as the server does, see Run.offset.
  keep(run) {
    const drafts = run.frames.map((_, k) => {
      const tokens = this.tokens(run, k);
      return [k + run.offset, Array.from(this.changed(run, k), (cell) => [cell, tokens[cell]])];
    });
    return { drafts: drafts.filter(([, pairs]) => pairs.length), locks: this.locks && Array.from(this.locks) };
  }

  // The same again on a page that has nothing yet. The steps before a branch may not have come along.
  resume(run, { drafts, locks }) {
    for (const [k, pairs] of drafts) if (run.frames[k - run.offset]) this.put(run, k - run.offset, pairs);
    this.locks = locks && Int32Array.from(locks);
  }

  // ---- undo and redo --------------------------------------------------------------------------------

  snapshot(run, k) {
    return { run, k, draft: run ? this.draft(run, k) : null, locks: this.locks };
  }

  begin(run, k) {
    this.open = this.snapshot(run, k);
  }

  // Ends what begin() opened; a stroke of many cells is one thing to undo.
  commit(run, k) {
    const before = this.open;
    this.open = null;
    if (!before) return false;
    const after = this.snapshot(run, k);
    if (before.run === after.run && before.draft === after.draft && sameLocks(before.locks, after.locks)) return false;
    this.remember(before, after);
    return true;
  }

  // Takes back all that was done since begin().
  abandon() {
    if (this.open) this.restore(this.open);
    this.open = null;
  }

  remember(before, after) {
    this.past.push({ before, after });
    if (this.past.length > 60) this.past.shift();
    this.future = [];
  }

  // The state to show now, or null. `back` undoes, otherwise redoes.
  travel(back) {
    const entry = (back ? this.past : this.future).pop();
    if (!entry) return null;
    (back ? this.future : this.past).push(entry);
    const state = back ? entry.before : entry.after;
    this.restore(state);
    return state;
  }

  restore(state) {
    this.locks = state.locks;
    if (!state.run || state.k === null) return;
    const key = `${state.run.id} ${state.k}`;
    if (state.draft) this.drafts.set(key, state.draft);
    else this.drafts.delete(key);
  }
}

function sameLocks(a, b) {
  if (a === b) return true;
  if (!a || !b) return false;
  return a.every((token, cell) => token === b[cell]);
}
