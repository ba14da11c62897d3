// @ts-check
// What a hand does to cells: lock, mask, break, stamp. Locked cells are passed over.

/** Every tool, and what it is for. */
export const HINTS = {
  inspect: "Pick a cell to see what the model thinks of it.",
  mask: "Paint over what should be made anew, then press Repaint, with this prompt or another.",
  erase: "Paint over what you did by hand: cells get back what the run left there, masked ones too.",
  lock: "Paint over cells that must stay. They never change, whatever you do next. Paint again to unlock.",
  move: "Mark cells, then drag them, or use the arrow keys. What they leave, and a seam around them, is masked: press Repaint.",
  choose: "Pick a cell and choose its token in the panel, or stamp its token onto other cells.",
  break: "Put wrong tokens in on purpose, then press Heal and watch the model mend them.",
};
/** What is otherwise where the model was never trained to doubt a token that is set. @type {Record<string, string>} */
export const WITHOUT_DOUBT = {
  break: "Put wrong tokens in on purpose, then press Remask the unsure: those that do not fit are made anew.",
};
export const TOOLS = Object.keys(HINTS);
const BROKEN_SHARE = 0.1;

/**
 * Any token but this one, each as likely as another.
 * @param {number} token the mask counts as none @param {number} vocab
 */
export function other(token, vocab) {
  if (token >= vocab) return Math.floor(Math.random() * vocab);
  const drawn = Math.floor(Math.random() * (vocab - 1));
  return drawn + Number(drawn >= token);
}

export class Hands {
  /** @param {import("../stage/stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.stamp = -1; // the token that the Choose tool stamps, -1 for none
    this.on = false; // what the stroke under way does: lock or unlock, mask or bring back
  }

  /**
   * One touch of a stroke. To choose cells is no change of the picture, and is the business of `Mover`.
   * @param {string} tool @param {number[]} cells @param {boolean} first of the stroke @param {number} from where it began
   */
  apply(tool, cells, first, from) {
    const { stage } = this;
    const { run, shown, sheet, tokens } = stage;
    if (tool === "lock") {
      if (first) this.on = !sheet.isLocked(from);
      sheet.lock(run, shown, cells, this.on);
    } else if (tool === "mask") {
      if (first) this.on = tokens[from] !== run.maskId;
      this.mask(cells, this.on);
    } else if (tool === "erase") {
      this.mask(cells, false);
    } else if (tool === "break") {
      this.break(cells);
    } else if (tool === "choose" && this.stamp >= 0) {
      this.put(cells.map((cell) => [cell, this.stamp]));
    } else if (tool === "choose") {
      stage.select(from);
    }
    stage.look();
  }

  /** @param {number[][]} pairs [[cell, token], ...] */
  put(pairs) {
    this.stage.sheet.put(this.stage.run, this.stage.shown, pairs);
  }

  /** Masks cells, or gives them back the tokens that the run left there. @param {number[]} cells @param {boolean} on */
  mask(cells, on) {
    const { run, frame } = this.stage;
    this.put(cells.map((cell) => [cell, on ? run.maskId : frame.tokens[cell]]));
  }

  /** Masks what is not masked, and brings back what a hand had masked; what the run itself left masked stays. */
  invert() {
    const { run, tokens, frame } = this.stage;
    this.put(Array.from(tokens, (token, cell) => [cell, token === run.maskId ? frame.tokens[cell] : run.maskId]));
  }

  /** Gives each cell a token that is not its own, from the whole codebook. @param {number[]} cells */
  break(cells) {
    const { run, tokens, sheet } = this.stage;
    this.put(cells.filter((cell) => !sheet.isLocked(cell)).map((cell) => [cell, other(tokens[cell], run.maskId)]));
  }

  /** Breaks a share of the free cells, anywhere. */
  breakSome() {
    const { run, sheet } = this.stage;
    const free = [...run.frames[0].tokens.keys()].filter((cell) => !sheet.isLocked(cell));
    for (let i = free.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [free[i], free[j]] = [free[j], free[i]];
    }
    this.break(free.slice(0, Math.max(1, Math.round(run.cells * BROKEN_SHARE))));
  }

  /** Forgets locks and changes at this step. */
  clear() {
    const { sheet, frame } = this.stage;
    sheet.locks = null;
    this.put(Array.from(frame.tokens, (token, cell) => [cell, token]));
  }

  unlock() {
    this.stage.sheet.locks = null;
  }

  // ---- the chosen cell --------------------------------------------------------------------------------------

  /** Its token as it stands on the canvas, -1 where no cell is chosen. */
  get held() {
    const { run, selected, tokens } = this.stage;
    return run && selected >= 0 ? tokens[selected] : -1;
  }

  get holdsToken() {
    return this.held >= 0 && this.held !== this.stage.run.maskId;
  }

  /** A cell that the run itself left masked has nothing to go back to. */
  get canMask() {
    const { run, selected, frame } = this.stage;
    return this.holdsToken || (this.held >= 0 && frame.tokens[selected] !== run.maskId);
  }

  lockCell() {
    const { run, shown, selected, sheet } = this.stage;
    sheet.lock(run, shown, [selected], !sheet.isLocked(selected));
  }

  /** Repaint stands in Retouch, so that is where a masked cell leads. */
  maskCell() {
    const on = this.holdsToken;
    if (on) this.stage.choose("edit");
    this.stage.change(() => this.mask([this.stage.selected], on));
  }

  /** @param {number} token */
  setStamp(token) {
    this.stamp = token;
    this.stage.changed();
  }
}
