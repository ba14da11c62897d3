// @ts-check
// The chapter on noise: two sliders spoil the picture on the stage as training does, and the model goes back from there.
// What they do is a change by hand like any other: it can be undone, repainted, sent as a link.

import { find } from "../../layout/dom.js";
import { rollSeed } from "../../stage/ask/ask.js";
import { pack, unpack } from "../../stage/run/bytes.js";
import { count } from "../../stage/run/words.js";

/** @typedef {import("../../stage/run/run.js").Run} Run */
/**
 * See ui/learn/forward/forward.py.
 * @typedef {{schedule: string, flip: number, ratio: number[], rank: Uint16Array, noise: Uint16Array, wrong: Int32Array}} Noise
 */

const CURVE = { left: 30, right: 212, top: 8, bottom: 100 };

/**
 * The tokens spoilt: masked below the rank, flipped below the share of what is left.
 * @param {ArrayLike<number>} tokens @param {Noise} noise @param {number} t from 0 to 100 @param {number} flip per cent
 * @param {number} maskId
 */
export function spoilt(tokens, noise, t, flip, maskId) {
  const masks = Math.round(noise.ratio[t] * tokens.length);
  return Int32Array.from(tokens, (token, cell) => {
    if (noise.rank[cell] < masks) return maskId;
    return noise.noise[cell] < (flip / 100) * 65535 ? noise.wrong[cell] : token;
  });
}

export class Forward {
  /**
   * @param {import("../../stage/stage.js").Stage} stage @param {import("../../hands/hands.js").Hands} hands
   * @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece
   */
  constructor(stage, hands, { element, server }) {
    this.stage = stage;
    this.hands = hands;
    this.element = element;
    this.server = server;
    this.open = false;
    this.seed = 0;
    /** @type {Run | null} the finished picture that is spoilt */
    this.run = null;
    /** @type {Noise | null} */
    this.noise = null;
    this.spoiling = false; // this chapter's own change is under way
    /** @type {{run: Run, whole: Int32Array, start: Int32Array} | null} where the model was let go back from */
    this.sent = null;
    /** @type {Map<number, HTMLImageElement>} pictures with all flips of a share and no mask */
    this.pictures = new Map();
    this.mask = this.find(".fw-mask");
    this.flip = this.find(".fw-flip");
    for (const slider of [this.mask, this.flip]) {
      slider.addEventListener("input", () => this.spoil());
      slider.addEventListener("change", () => this.settle());
    }
    this.find(".fw-back").addEventListener("click", () => this.goBack());
    this.find(".fw-whole").addEventListener("click", () => this.whole());
    this.find(".fw-seed").addEventListener("click", () => this.reseed());
    stage.on("chapter", (name) => {
      const left = this.open && name !== "forward";
      this.open = name === "forward";
      if (this.open) this.meet();
      else if (left) this.leave();
    });
    for (const name of ["run", "done"]) stage.on(name, () => { if (this.open) this.meet(); });
    stage.on("done", (id) => this.came(id));
    stage.on("change", () => this.refresh());
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** Nothing can be spoilt while the model works. */
  get able() {
    return Boolean(this.noise) && this.stage.free && this.stage.run === this.run;
  }

  /** A picture is on the stage: its noise is asked for. */
  async meet() {
    const { run } = this.stage;
    if (!run || run === this.run || run.state === "running") return this.refresh();
    if (run.frames[run.last].masked) return this.say("Let every token be set first: then it can be spoilt.");
    await this.ask(run);
  }

  /** @param {Run} run */
  async ask(run) {
    const told = await this.server.noise({ run: run.id, step: run.last + run.offset, seed: this.seed })
      .catch(() => ({ error: "The studio did not answer: try again." }));
    if (this.stage.run !== run) return;
    if (told.error) return this.say(told.error);
    this.run = run;
    this.pictures.clear();
    this.noise = {
      ...told, rank: unpack(told.rank, Uint16Array), noise: unpack(told.noise, Uint16Array), wrong: unpack(told.wrong, Int32Array),
    };
    this.sliders(0, 0);
    this.find(".fw-trained").textContent = told.trained
      ? `This model was trained with the ${told.schedule} schedule, and ${Math.round(told.flip * 100)} % of the visible tokens flipped.`
      : "Which schedule this model was trained with, its files do not say.";
    this.draw();
    this.refresh();
  }

  /** @param {number} t @param {number} flip */
  sliders(t, flip) {
    this.mask.value = String(t);
    this.flip.value = String(flip);
    this.draw();
  }

  refresh() {
    const touched = Number(this.mask.value) + Number(this.flip.value) > 0;
    for (const slider of [this.mask, this.flip]) slider.disabled = !this.able;
    this.find(".fw-back").disabled = !this.able || !touched;
    this.find(".fw-whole").disabled = !this.stage.free || !(this.sent || touched);
    this.find(".fw-seed").disabled = !this.able;
  }

  /** The sliders, put onto the stage; all that a drag does is one thing to undo. */
  spoil() {
    const { stage, run } = this;
    if (!this.able) return;
    if (stage.shown !== run.last) stage.jump(run.last);
    if (stage.overlay !== "picture") stage.view("picture");
    if (!this.spoiling) stage.sheet.begin(run, run.last);
    this.spoiling = true;
    const [t, flip] = [Number(this.mask.value), Number(this.flip.value)];
    const tokens = spoilt(run.frames[run.last].tokens, this.noise, t, flip, run.maskId);
    stage.sheet.put(run, run.last, Array.from(tokens, (token, cell) => [cell, token]));
    this.draw();
    this.picture(flip);
    stage.changed();
  }

  settle() {
    if (!this.spoiling) return;
    this.spoiling = false;
    this.stage.commit();
  }

  /** The picture under the masks: with all flips of this share. It is asked for once. @param {number} flip */
  async picture(flip) {
    const { run, stage } = this;
    const draft = stage.sheet.draft(run, run.last);
    if (!draft) return;
    draft.pending = new Set();
    draft.image = flip ? this.pictures.get(flip) ?? null : run.frames[run.last].image;
    draft.version++;
    if (draft.image || !flip) return;
    const told = await this.server.preview(this.flips(flip)).catch(() => ({}));
    if (!told.image) return;
    const image = new Image();
    image.src = told.image;
    await image.decode().catch(() => {});
    if (!image.naturalWidth || this.run !== run) return;
    this.pictures.set(flip, image);
    if (Number(this.flip.value) === flip) {
      await this.picture(flip);
      stage.changed();
    }
  }

  /** For a saved lesson: the pictures under all flips that the slider can set. */
  async gather() {
    const { run, noise } = this;
    if (!run || !noise) return;
    for (let flip = Number(this.flip.step); flip <= Number(this.flip.max); flip += Number(this.flip.step)) {
      await this.server.preview(this.flips(flip)).catch(() => {});
    }
  }

  /** What is asked for the picture with these flips and no mask. @param {number} flip */
  flips(flip) {
    const { run } = this;
    return { run: run.id, tokens: pack(spoilt(run.frames[run.last].tokens, this.noise, 0, flip, run.maskId), Int32Array) };
  }

  /** The model makes what is stone, and may take back what was flipped: a run that starts where the sliders stand. */
  goBack() {
    const { stage, run } = this;
    if (!this.able) return;
    const frame = run.frames[run.last];
    const start = stage.sheet.start(run, run.last);
    this.sent = { run, whole: frame.tokens, start };
    this.say("The model goes back …");
    stage.asks.act("branch", { step: 0 }, { prompt: run.prompt });
  }

  /** A run has ended; if it is the one that went back, it is counted against the picture. @param {string} id */
  came(id) {
    const { sent, stage } = this;
    const run = stage.run;
    if (!sent || !run || run.id !== id || run.kind !== "branch" || run.state !== "done") return;
    this.say(counted(sent.whole, sent.start, run.frames[run.last].tokens, run.maskId));
  }

  /** The other chapters and tasks work on the picture, not on what the sliders left of it; undo brings that back. */
  leave() {
    if (this.able && (Number(this.mask.value) || Number(this.flip.value))) this.whole();
  }

  whole() {
    const { stage } = this;
    const run = this.sent?.run ?? this.run;
    if (!run || !stage.free) return;
    this.sent = null;
    if (stage.run !== run) stage.show(run);
    else if (stage.shown !== run.last) stage.jump(run.last);
    stage.change(() => this.hands.put(Array.from(run.frames[run.last].tokens, (token, cell) => [cell, token])));
    this.sliders(0, 0);
    this.say("");
    this.meet();
    this.refresh();
  }

  async reseed() {
    const [t, flip] = [Number(this.mask.value), Number(this.flip.value)];
    this.seed = rollSeed();
    await this.ask(this.run);
    this.sliders(t, flip);
    this.spoil();
    this.settle();
  }

  /** @param {string} words */
  say(words) {
    this.find(".fw-say").textContent = words;
  }

  /** Figures beside the sliders, and the place on the curve. */
  draw() {
    const t = Number(this.mask.value);
    const flip = Number(this.flip.value);
    this.find(".fw-t").textContent = (t / 100).toFixed(2);
    this.find(".fw-f").textContent = `${flip} %`;
    const { noise, run } = this;
    if (!noise) return;
    const tokens = spoilt(run.frames[run.last].tokens, noise, t, flip, run.maskId);
    const masked = tokens.filter((token) => token === run.maskId).length;
    const flipped = tokens.filter((token, cell) => token !== run.maskId && token !== run.frames[run.last].tokens[cell]).length;
    this.find(".fw-masked").textContent = `: ${masked} of ${run.cells} tokens masked`;
    this.find(".fw-flipped").textContent = `, ${count(flipped, "token")}`;
    Object.assign(this.element.dataset, { masked: String(masked), flipped: String(flipped) });
    const x = (/** @type {number} */ i) => CURVE.left + (i / 100) * (CURVE.right - CURVE.left);
    const y = (/** @type {number} */ r) => CURVE.bottom - r * (CURVE.bottom - CURVE.top);
    const points = noise.ratio.map((r, i) => `${x(i).toFixed(1)},${y(r).toFixed(1)}`);
    this.find(".fw-line").setAttribute("d", `M${points.join("L")}`);
    this.find(".fw-here").setAttribute("d", `M${x(t)} ${CURVE.bottom}V${y(noise.ratio[t])}`);
    this.find(".fw-dot").setAttribute("cx", String(x(t)));
    this.find(".fw-dot").setAttribute("cy", String(y(noise.ratio[t])));
  }
}

/**
 * What of the spoilt tokens is as it was.
 * @param {ArrayLike<number>} whole @param {ArrayLike<number>} start @param {ArrayLike<number>} after @param {number} maskId
 */
export function counted(whole, start, after, maskId) {
  const cells = Array.from(whole, (_, cell) => cell);
  const masked = cells.filter((cell) => start[cell] === maskId);
  const flipped = cells.filter((cell) => start[cell] !== maskId && start[cell] !== whole[cell]);
  const same = (/** @type {number[]} */ some) => some.filter((cell) => after[cell] === whole[cell]).length;
  const told = [];
  if (masked.length) told.push(`${same(masked)} of ${masked.length} masked tokens`);
  if (flipped.length) told.push(`${same(flipped)} of ${flipped.length} flipped ones`);
  const others = cells.length - masked.length - flipped.length
    - same(cells.filter((cell) => !masked.includes(cell) && !flipped.includes(cell)));
  const harmed = others ? ` It also changed ${count(others, "token")} that ${others === 1 ? "was" : "were"} right.` : "";
  return `${told.join(" and ")} came back exactly as they were.${harmed}`;
}
