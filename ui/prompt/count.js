// @ts-check
// How much of a prompt there is and may be, while it is typed: characters, and text tokens as the model counts them.

import { find, make } from "../layout/dom.js";
import { facts } from "../layout/facts.js";
import { whenTyped } from "./prompt_box.js";

/**
 * "12 of 500 characters, 4 of 40 tokens"
 * @param {number} characters @param {number} longest @param {{tokens?: number, most?: number}} told
 */
export function counted(characters, longest, { tokens, most }) {
  const first = `${characters} of ${longest} characters`;
  return most === undefined ? first : `${first}, ${tokens} of ${most} tokens`;
}

export class Count {
  /** @param {{element: HTMLElement, server: Record<string, (data: any) => Promise<any>>}} piece */
  constructor({ element, server }) {
    this.line = find(".cz-count", element);
    this.server = server;
    this.longest = facts().promptCharacters;
    this.asked = 0;
    whenTyped((prompt) => this.measure(prompt));
  }

  /** @param {string} prompt */
  async measure(prompt) {
    const mine = ++this.asked;
    const fits = prompt.length <= this.longest;
    const told = fits ? await this.server.measure(prompt).catch(() => ({})) : {};
    if (mine !== this.asked) return;
    const over = !fits || told.tokens > told.most;
    // the figures alone where there is room for no more; in words for those who hear them
    const tokens = told.most === undefined ? "" : ` · ${told.tokens}/${told.most}`;
    const short = `${prompt.length}/${this.longest}${tokens}`;
    const words = counted(prompt.length, this.longest, told);
    const heard = make("span", { className: "cz-say", textContent: over ? "" : words });
    this.line.replaceChildren(make("span", { "aria-hidden": String(!over), textContent: over ? `${words}: too long` : short }), heard);
    const pieces = told.most === undefined ? "" : " Tokens are the words and pieces of words that the model reads your prompt in.";
    this.line.title = `${words}.${pieces} Neither may be more.`;
    this.line.classList.toggle("is-over", over);
  }
}
