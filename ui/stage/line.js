// @ts-check
// A line under the timeline: said in full where there is room for it, and in fewer words where there is not.

const TIGHT_PX = 520; // below this, what came of a run has two smaller lines
const NARROW_PX = 300; // and below this, larger words than usual would not fit
const SLACK = 1.03; // figures of equal width are wider than those that are measured

/**
 * The first of the forms, from the longest to the shortest, that is no wider than the room; else the last.
 * @param {string[]} forms @param {number} room @param {(words: string) => number} width
 */
export function fitting(forms, room, width) {
  return forms.find((words) => SLACK * width(words) <= room) ?? forms[forms.length - 1] ?? "";
}

/**
 * A prompt and what follows it: whole, then with ever fewer of the prompt's words.
 * @param {string} prompt @param {string} rest @returns {string[]}
 */
export function quoted(prompt, rest) {
  const words = prompt.split(/\s+/).filter(Boolean);
  const shorter = words.map((_, n) => `${words.slice(0, words.length - n - 1).join(" ")}… · ${rest}`).slice(0, -1);
  return [[prompt, rest].filter(Boolean).join(" · "), ...(rest ? [...shorter, rest] : [])];
}

export class Line {
  /** @param {HTMLElement} node in a box whose width is the room @param {number} lines that it may take where it is tight */
  constructor(node, lines) {
    this.node = node;
    this.lines = lines;
    this.pen = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
    this.room = 0; // none is known before the page is laid out
    /** @type {string[]} */
    this.forms = [];
    const box = /** @type {HTMLElement} */ (node.parentElement);
    new ResizeObserver(() => {
      if (box.clientWidth === this.room) return;
      this.room = box.clientWidth;
      box.classList.toggle("is-tight", this.room < TIGHT_PX);
      box.classList.toggle("is-narrow", this.room < NARROW_PX);
      this.measured();
      this.fit();
    }).observe(box);
  }

  /** @param {string[]} forms the same in ever fewer words */
  tell(forms) {
    this.forms = forms;
    this.fit();
  }

  fit() {
    const words = this.room && this.forms.length > 1 ? this.fitted() : this.forms[0] ?? "";
    if (words !== this.node.textContent) this.node.textContent = words;
  }

  /** The line's font, asked for when the room changes: asking while one scrubs would lay out the page at every step. */
  measured() {
    const { fontWeight, fontSize, fontFamily } = getComputedStyle(this.node);
    this.pen.font = `${fontWeight} ${fontSize} ${fontFamily}`;
  }

  fitted() {
    const lines = this.room < TIGHT_PX ? this.lines : 1;
    // a line ends at a word, hence not at its edge
    const room = this.room * (lines > 1 ? lines * 0.88 : 1);
    return fitting(this.forms, room, (words) => this.pen.measureText(words).width);
  }
}
