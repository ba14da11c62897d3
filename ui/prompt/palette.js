// @ts-check
// The palette of what the model knows: read from its card when it is first opened, searched in the browser.

import { find, make } from "../layout/dom.js";
import { box, write } from "./prompt_box.js";

/** @typedef {[title: string, words: string[]]} Section */
/** @typedef {{sheet: string, side: number, columns: number, names: string[]}} Pictures */

const GAP_PX = 6;
const SAID_MS = 3500;
const OTHERS = ["numbers", "colours", "backgrounds", "styles", "relations"]; // all other headings hold things

/**
 * A thing right after another one: the captions that the model learnt say "and" between them.
 * @param {Section[]} sections @param {string} before @param {string} word
 */
export function joins(sections, before, word) {
  const text = before.trimEnd().toLowerCase();
  const things = sections.filter(([title]) => !OTHERS.includes(title)).flatMap(([, words]) => words.map((w) => w.toLowerCase()));
  return things.includes(word.toLowerCase()) && things.some((thing) => text === thing || text.endsWith(` ${thing}`));
}

/**
 * Where the last thing that a text names begins and ends, singular or plural; null where there is none.
 * @param {Section[]} sections @param {string} text @returns {[number, number] | null}
 */
export function lastThing(sections, text) {
  const things = sections.filter(([title]) => !OTHERS.includes(title)).flatMap(([, words]) => words);
  /** @type {[number, number] | null} */
  let found = null;
  for (const thing of things) {
    const plain = thing.toLowerCase().replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/y$/, "(?:y|ie)");
    for (const match of text.toLowerCase().matchAll(new RegExp(`(?<![\\w-])${plain}(?:e?s)?(?![\\w-])`, "g"))) {
      const [start, end] = [match.index, match.index + match[0].length];
      if (!found || end > found[1] || (end === found[1] && start < found[0])) found = [start, end];
    }
  }
  return found;
}

/**
 * The prompt with a word between `before` and `after`, and the place behind it, with the spaces it needs. At the end of a
 * prompt that names a thing already, another thing stands beside that one and a colour before it: "three strawberries on a
 * teal background penguin" says nothing that a model has ever read.
 * @param {Section[]} sections @param {string} before @param {string} after @param {string} word @returns {[string, number]}
 */
export function inserted(sections, before, after, word) {
  const kind = sections.find(([, words]) => words.includes(word))?.[0] ?? "";
  const thing = after.trim() ? null : lastThing(sections, before);
  if (thing && kind === "colours") {
    return [`${before.slice(0, thing[0])}${word} ${before.slice(thing[0])}${after}`, thing[0] + word.length + 1];
  }
  const beside = thing && !OTHERS.includes(kind) && before.slice(thing[1]).trim();
  if (beside) {
    const head = `${before.slice(0, thing[1])} and ${article(word)} ${word}`;
    return [`${head}${before.slice(thing[1])}${after}`, head.length];
  }
  const space = before && !/\s$/.test(before) ? " " : "";
  const and = joins(sections, before, word) ? "and " : "";
  const head = `${before}${space}${and}${word}${after && !/^[\s,.]/.test(after) ? " " : ""}`;
  return [head + after, head.length];
}

/** "a" or "an" by sound, as captions have it; see mdm_core/explain/spelling.py. @param {string} word */
export function article(word) {
  if (/^(uni|eu|one|use|ufo)/i.test(word)) return "a";
  return /^([aeiou8]|hour|x-ray|suv)/i.test(word) ? "an" : "a";
}

/** Where the k-th of n pictures lies in a background n times as long as what shows it. @param {number} k @param {number} n */
export function place(k, n) {
  return `${n > 1 ? (100 * k) / (n - 1) : 0}%`;
}

export class Palette {
  /** @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece */
  constructor({ element, server }) {
    this.server = server;
    this.list = find(".cz-palette-list", element);
    this.none = find(".cz-palette-none", element);
    this.search = find("input[type=search]", element);
    this.note = find(".cz-added", element);
    this.timer = 0;
    /** @type {HTMLElement | null} what was pressed last */
    this.from = null;
    window.addEventListener("scroll", () => this.beside(), { capture: true, passive: true });
    /** @type {Section[] | null} */
    this.sections = null;
    /** @type {Pictures | null} of the things, where the weights that drew them are open */
    this.pictures = null;
    const fold = find("details", element);
    fold.addEventListener("toggle", () => { if (fold.open) this.open(); });
    this.search.addEventListener("input", () => this.show());
    this.search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const first = find(".cz-word", element);
      if (event.key === "Enter" && first) this.insert(first.textContent, this.search);
      if (event.key === "Escape" && this.search.value) {
        this.search.value = "";
        this.show();
        event.stopPropagation();
      }
    });
  }

  async open() {
    if (!this.sections) {
      const told = await this.server.palette(null);
      this.sections = told.error ? [] : told.sections;
      this.pictures = told.pictures ?? null;
      if (this.pictures) this.list.style.setProperty("--sheet", `url(${this.pictures.sheet})`);
    }
    this.show();
  }

  /** Puts a word where the caret is. @param {string} word @param {HTMLElement} from what was pressed */
  insert(word, from) {
    const { value, selectionStart, selectionEnd } = box();
    const at = selectionStart ?? value.length;
    write(...inserted(this.sections, value.slice(0, at), value.slice(selectionEnd ?? at), word));
    this.added(word, from);
  }

  /**
   * Says what the prompt now is, beside what was pressed: the prompt itself may be out of sight.
   * @param {string} word @param {HTMLElement} from
   */
  added(word, from) {
    clearTimeout(this.timer);
    this.from = from;
    this.note.textContent = `${word} added: “${box().value}”`;
    this.beside();
    this.timer = window.setTimeout(() => this.silent(), SAID_MS);
  }

  /** The note stays at what was pressed, which a longer prompt or a hand may scroll. */
  beside() {
    const { note, from } = this;
    if (!from?.isConnected || !note.textContent) return;
    const own = from.getBoundingClientRect();
    const { offsetWidth: wide, offsetHeight: high } = note;
    const below = own.bottom + GAP_PX + high <= window.innerHeight;
    note.style.left = `${Math.max(GAP_PX, Math.min(own.left, window.innerWidth - wide - GAP_PX))}px`;
    note.style.top = `${below ? own.bottom + GAP_PX : own.top - GAP_PX - high}px`;
  }

  silent() {
    this.note.textContent = "";
  }

  /** What the model draws for a word: its place in the sheet, in pictures. @param {string} word @returns {HTMLElement[]} */
  picture(word) {
    const n = this.pictures?.names.indexOf(word) ?? -1;
    if (!this.pictures || n < 0) return [];
    const { columns, names } = this.pictures;
    const drawn = make("span", { className: "cz-word-picture", ariaHidden: "true" });
    drawn.style.backgroundSize = `${columns * 100}% ${Math.ceil(names.length / columns) * 100}%`;
    drawn.style.backgroundPosition = place(n % columns, columns) + " " + place(Math.floor(n / columns), Math.ceil(names.length / columns));
    return [drawn];
  }

  /** @param {string} words */
  say(words) {
    this.none.hidden = !words;
    this.none.textContent = words;
  }

  show() {
    if (!this.sections) return;
    const wanted = this.search.value.trim().toLowerCase();
    /** @type {Section[]} */
    const found = this.sections.map(([title, words]) => {
      return [title, words.filter((word) => title === wanted || word.toLowerCase().includes(wanted))];
    });
    const groups = found.filter(([, words]) => words.length).map(([title, words]) => {
      const chips = words.map((word) => {
        const onclick = (/** @type {any} */ { currentTarget }) => this.insert(word, currentTarget);
        return make("button", { className: "cz-word", onclick }, ...this.picture(word), word);
      });
      return make("section", {}, make("h3", { textContent: title }), make("div", { className: "cz-words" }, ...chips));
    });
    this.list.replaceChildren(...groups);
    this.list.scrollTop = 0; // another search is read from its top
    const nothing = this.sections.length
      ? `Nothing it knows is called “${this.search.value.trim()}”.`
      : "This model does not say what it knows.";
    this.say(groups.length ? "" : nothing);
  }
}
