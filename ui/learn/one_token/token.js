// @ts-check
// The chapter on tokens: the stone in one cell, where it lies in the box, and which cells hold the same one.

import { find, findAll, make } from "../../layout/dom.js";
import { patchButton, patchCanvas } from "../../inspector/patches.js";
import { count, place } from "../../stage/run/words.js";

/**
 * See ui/learn/one_token/one_token.py.
 * @typedef {{error?: string, token: number, code: number[], turns: number[][], patches: Record<number, string>}} Told
 */

const GATHERED = 80; // tokens that a saved lesson has along

export class Token {
  /**
   * @param {import("../../stage/stage.js").Stage} stage @param {import("../../hands/hands.js").Hands} hands
   * @param {import("../../layout/facts.js").Facts} model
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   */
  constructor(stage, hands, model, { element, server }) {
    this.stage = stage;
    this.hands = hands;
    this.element = element;
    this.server = server;
    this.open = false;
    this.marking = false; // all cells with the token are ringed
    this.held = -1; // the token that is told of
    /** @type {Map<number, Told>} */
    this.kept = new Map();
    this.tellAbout(model);
    this.find(".tk-same").addEventListener("click", () => { this.marking = !this.marking; this.mark(); });
    stage.on("chapter", (name) => this.turn(name === "token"));
    for (const name of ["select", "step", "edit"]) stage.on(name, () => { if (this.open) this.look(); });
    for (const name of ["run", "done"]) stage.on(name, () => { if (this.open) this.turn(true); });
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** What holds for every picture of the model. @param {import("../../layout/facts.js").Facts} model */
  tellAbout(model) {
    const { cells, vocab, pixels, tokens, times } = saved(model);
    this.find(".tk-cells").textContent = `${model.grid[0]} × ${model.grid[1]}`;
    this.find(".tk-vocab").textContent = vocab.toLocaleString("en");
    this.find(".tk-saves").textContent = `The pixels of a picture are ${pixels.toLocaleString("en")} bytes. As tokens it is `
      + `${cells.toLocaleString("en")} numbers of ${Math.ceil(Math.log2(vocab))} bits, ${tokens.toLocaleString("en")} bytes in all: `
      + `${times} times less. To draw is then to choose ${cells.toLocaleString("en")} numbers, which is what the next chapters are about.`;
  }

  /** @param {boolean} open */
  turn(open) {
    this.open = open;
    const { stage } = this;
    if (!open) {
      if (this.marking) { this.marking = false; this.mark(); }
      return;
    }
    const { rows, columns } = stage.grid;
    if (stage.run && stage.selected < 0) stage.select(Math.floor(rows / 2) * columns + Math.floor(columns / 2));
    this.look();
  }

  /** The chosen cell, as it stands on the canvas. */
  async look() {
    const { stage } = this;
    const { run, selected, tokens } = stage;
    const token = run && selected >= 0 ? tokens[selected] : -1;
    this.find(".tk-same").disabled = token < 0;
    this.mark();
    if (token < 0) return this.say("No cell is picked yet.", "");
    const at = place(selected, run.columns);
    const same = tokens.filter((one) => one === token).length;
    if (token === run.maskId) {
      this.held = -1;
      this.find(".tk-code").hidden = true;
      this.find(".tk-patch").replaceChildren();
      return this.say(`At ${at} is stone: the mask, which is no token of the box. It means “not decided yet”.`,
        `${count(same, "cell")} of ${run.cells} ${same === 1 ? "is" : "are"} masked at this step.`);
    }
    this.say(`Token #${token} at ${at}`, same === 1
      ? "No other cell of this picture holds it." : `${same} of the ${run.cells} cells hold this very token.`);
    this.held = token;
    const told = this.kept.get(token) ?? await this.server.look_at({ token }).catch(() => ({ error: "The studio did not answer." }));
    if (this.held !== token) return;
    if (told.error) {
      this.find(".tk-code").hidden = true;
      return this.find(".tk-patch").replaceChildren();
    }
    this.kept.set(token, told);
    this.draw(told, selected);
  }

  /** For a saved lesson: the tokens that this picture holds, the most frequent first. */
  async gather() {
    const { run } = this.stage;
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const token of run.frames[run.last].tokens) if (token !== run.maskId) found.set(token, (found.get(token) ?? 0) + 1);
    const ids = [...found.keys()].sort((a, b) => found.get(b) - found.get(a)).slice(0, GATHERED);
    for (const token of ids) await this.server.look_at({ token }).catch(() => {});
  }

  /** @param {string} name @param {string} words */
  say(name, words) {
    this.find(".tk-name").textContent = name;
    this.find(".tk-count").textContent = words;
  }

  mark() {
    const { run, selected, tokens } = this.stage;
    const token = run && selected >= 0 ? tokens[selected] : -1;
    const cells = this.marking && token >= 0 ? [...tokens.keys()].filter((cell) => tokens[cell] === token) : [];
    if (this.open || !cells.length) this.stage.point(cells);
    this.find(".tk-same").setAttribute("aria-pressed", String(this.marking));
    this.find(".tk-same").textContent = this.marking ? "Hide its cells" : "Show all its cells";
  }

  /** @param {Told} told @param {number} cell */
  draw(told, cell) {
    this.find(".tk-patch").replaceChildren(patchCanvas(told.patches[told.token]));
    this.find(".tk-code").hidden = !told.code.length;
    if (!told.code.length) return;
    const sizes = told.turns.map((turn) => turn.length);
    this.find(".tk-dials").textContent = `${count(sizes.length, "dial")} of ${sizes.join(", ")} places make `
      + `${sizes.join(" × ")} = ${sizes.reduce((a, b) => a * b, 1).toLocaleString("en")} stones; `
      + `this one stands at (${told.code.map((one) => one + 1).join(", ")}).`;
    const focused = find(":focus", this.find(".tk-turns"))?.dataset;
    this.find(".tk-turns").replaceChildren(...told.turns.map((turn, d) => make("div", {
      className: "tk-turn", role: "group", "aria-label": `Dial ${d + 1}`, onkeydown: turned,
    }, make("b", { textContent: `Dial ${d + 1}` }), ...turn.map((token, i) => {
      const here = token === told.token;
      const button = patchButton(told.patches[token], "", {
        "aria-label": `Dial ${d + 1} at place ${i + 1}: token ${token}`,
        "aria-pressed": String(here),
        title: `#${token}`,
        "data-dial": d,
        "data-place": i,
        tabIndex: here ? 0 : -1, // a dial is one stop of the Tab key, arrows turn it
        onclick: () => this.stage.change(() => this.hands.put([[cell, token]])),
      });
      return button;
    }))));
    // the buttons are new: the keyboard stays where it was
    if (focused) find(`[data-dial="${focused.dial}"][data-place="${focused.place}"]`, this.element)?.focus({ preventScroll: true });
  }
}

/** Arrows turn the dial to the next place. @param {KeyboardEvent} event */
function turned(event) {
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!by || !(event.target instanceof HTMLElement)) return;
  const buttons = findAll("button", /** @type {HTMLElement} */ (event.currentTarget));
  const next = buttons[buttons.indexOf(event.target.closest("button")) + by];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.click();
}

/**
 * Bytes of a picture as pixels and as tokens.
 * @param {{grid: [number, number], patch: number, vocab: number}} model
 */
export function saved({ grid: [rows, columns], patch, vocab }) {
  const cells = rows * columns;
  const pixels = cells * patch * patch * 3;
  const tokens = Math.ceil((cells * Math.ceil(Math.log2(vocab))) / 8);
  return { cells, vocab, pixels, tokens, times: Math.round(pixels / tokens) };
}
