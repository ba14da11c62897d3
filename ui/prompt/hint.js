// @ts-check
// The hint about words that the model does not know. It never holds up Generate.

import { find, make } from "../layout/dom.js";
import { covering } from "../layout/covering.js";
import { facts } from "../layout/facts.js";
import { box, whenTyped, write } from "./prompt_box.js";

/** @typedef {{start: number, end: number, word: string, near: string[]}} Unknown */

export class Hint {
  /** @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece */
  constructor({ element, server }) {
    this.line = find(".cz-prompt-hint", element);
    this.server = server;
    this.longest = facts().promptCharacters;
    this.asked = 0;
    this.cover = covering(this.line);
    // who has no wheel scrolls it by keys, where there is more than fits
    new ResizeObserver(() => { this.line.tabIndex = this.line.scrollHeight > this.line.clientHeight ? 0 : -1; }).observe(this.line);
    whenTyped(() => this.understand());
  }

  clear() {
    this.line.hidden = true;
    this.line.replaceChildren();
    this.cover();
  }

  async understand() {
    const prompt = box().value;
    const mine = ++this.asked;
    if (!prompt.trim() || prompt.length > this.longest) return this.clear();
    const told = await this.server.understand(prompt).catch(() => ({ error: "no answer" }));
    if (mine !== this.asked || box().value !== prompt) return;
    if (told.error || !told.parts?.length) return this.clear();
    this.line.replaceChildren(...pieces(told.parts).map((piece) => {
      if (typeof piece === "string") return piece;
      const { name, start, end, label } = piece;
      const onclick = () => {
        if (box().value !== prompt) return;
        write(prompt.slice(0, start) + name + prompt.slice(end), start + name.length);
        box().focus();
      };
      return make("button", { className: "cz-word", textContent: name, "aria-label": label, onclick });
    }));
    this.line.hidden = false;
    this.line.scrollTop = 0;
    this.cover();
  }
}

/**
 * What stands on the line: the text as it came, and each name that is offered for a word, to be made a button.
 * @param {(string | Unknown)[]} parts
 * @returns {(string | {name: string, start: number, end: number, label: string})[]}
 */
export function pieces(parts) {
  return parts.flatMap((part) => {
    if (typeof part === "string") return [part];
    const { start, end, word, near } = part;
    return near.flatMap((name, i) => {
      const button = { name, start, end, label: `Write ${name} instead of ${word}` };
      return i ? [" ", button] : [button];
    });
  });
}
