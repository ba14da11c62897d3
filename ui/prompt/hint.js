// @ts-check
// The hint about words that the model does not know. It never holds up Generate.

import { find, make, whenThere } from "../layout/dom.js";
import { facts } from "../layout/facts.js";
import { box, BOX, write } from "./prompt_box.js";

const HINT_MS = 350;
const LOOK_MS = 500;

/** @typedef {[start: number, end: number, word: string, near: string[]]} Unknown */

export class Hint {
  /** @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece */
  constructor({ element, server }) {
    this.line = find(".cz-prompt-hint", element);
    this.server = server;
    this.longest = facts().promptCharacters;
    this.timer = 0;
    this.asked = 0;
    whenThere(BOX, (field) => {
      field.addEventListener("input", () => this.later());
      this.later();
      // a chip or a share link fills the box without typing
      let seen = field.value;
      setInterval(() => {
        if (field.value === seen) return;
        seen = field.value;
        this.later();
      }, LOOK_MS);
    });
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.understand(), HINT_MS);
  }

  clear() {
    this.line.hidden = true;
    this.line.replaceChildren();
  }

  async understand() {
    const prompt = box().value;
    const mine = ++this.asked;
    if (!prompt.trim() || prompt.length > this.longest) return this.clear();
    const told = await this.server.understand(prompt).catch(() => ({ error: "no answer" }));
    if (mine !== this.asked || box().value !== prompt) return;
    if (told.error || !told.sentence) return this.clear();
    this.line.replaceChildren(...withButtons(told.sentence, told.near, (name, start, end) => {
      if (box().value !== prompt) return;
      write(prompt.slice(0, start) + name + prompt.slice(end), start + name.length);
      box().focus();
    }));
    this.line.hidden = false;
  }
}

/**
 * The sentence with its names as buttons where they stand.
 * @param {string} sentence @param {Unknown[]} unknown @param {(name: string, start: number, end: number) => void} use
 */
function withButtons(sentence, unknown, use) {
  const nodes = [];
  let rest = sentence;
  for (const [start, end, word, near] of unknown) {
    const listed = `“${word}”. Near it: ${near.join(", ")}.`;
    const at = rest.indexOf(listed);
    if (at < 0) continue;
    nodes.push(`${rest.slice(0, at)}“${word}”. Near it:`);
    rest = rest.slice(at + listed.length);
    for (const name of near) {
      const label = `Write ${name} instead of ${word}`;
      const onclick = () => use(name, start, end);
      nodes.push(" ", make("button", { className: "cz-word", textContent: name, "aria-label": label, onclick }));
    }
  }
  return [...nodes, rest];
}
