// @ts-check
// Learn as a place: which chapter is open, and what stands behind it. A chapter is every section of the page that bears
// its name, whoever put it there. Which one is open stands in the address (?chapter=editing), to be put on a board.

import { find, findAll, make } from "../../layout/dom.js";
import { asked, History } from "./history.js";

/** @typedef {Record<string, (data: any) => Promise<any>>} Server */

export class Place {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {{element: HTMLElement, server: Server}} piece
   * @param {string[]} without chapters that mean nothing for the opened model
   */
  constructor(stage, { element, server }, without = []) {
    this.stage = stage;
    this.element = element;
    this.server = server;
    this.now = "";
    this.part = ""; // of the chapter, that is open; sections that bear its name as data-part are shown with it
    /** @type {string | null} what is shown of what stands behind the chapter */
    this.behind = null;
    this.panel = this.find(".cz-behind-panel");
    this.history = new History((chapter, task) => this.back(chapter, task));
    for (const name of without) this.find(`[data-open="${name}"]`)?.closest("li").remove();
    this.tabs = findAll("[data-open]", element);
    this.number();
    for (const tab of this.tabs) tab.addEventListener("click", () => this.open(tab.dataset.open));
    for (const button of findAll("[data-behind]", element)) {
      button.addEventListener("click", () => this.look(button.dataset.behind));
    }
    // any button of the page that names a chapter leads there: the next one, the lessons, the tour
    document.addEventListener("click", (event) => {
      const to = event.target instanceof Element && event.target.closest("[data-chapter-link]");
      if (to instanceof HTMLElement) this.lead(to.dataset.chapterLink);
    });
    stage.on("show-chapter", (name) => this.lead(name, false));
    stage.on("chapter-part", (part) => { this.part = part; this.show(); });
    stage.on("task", (task) => {
      this.history.at(task === "learn" ? this.now : null, task);
      stage.enter(task === "learn" ? this.now : "");
    });
    for (const name of ["run", "change"]) stage.on(name, () => { this.find(".cz-place-none").hidden = Boolean(stage.run); });
    this.find(".cz-place-none").hidden = Boolean(stage.run);
    // Gradio brings some chapters later than the place
    const coming = new MutationObserver(() => { if (this.show()) coming.disconnect(); });
    coming.observe(document.body, { childList: true, subtree: true });
    const first = asked();
    this.open(this.has(first) ? first : this.tabs[0].dataset.open, false);
    if (this.has(first)) stage.choose("learn");
  }

  /** @param {string} name */
  find(name) {
    return find(name, this.element);
  }

  /** @param {string | null} name */
  has(name) {
    return this.tabs.some((tab) => tab.dataset.open === name);
  }

  /** The chapters that there are, counted. */
  number() {
    findAll("[data-open] i", this.element).forEach((node, i) => { node.textContent = String(i + 1); });
  }

  /** To another chapter, and to its top. @param {string} name @param {boolean} focus */
  lead(name, focus = true) {
    if (!this.has(name)) return;
    const here = this.stage.task === "learn";
    if (name !== this.now) this.open(name, here);
    if (!here) this.stage.choose("learn");
    const title = this.find(".cz-chapter-title");
    if (focus) title.focus({ preventScroll: true });
    if (title.getBoundingClientRect().top < 0) this.element.scrollIntoView({ block: "start" });
  }

  /** @param {string} name @param {boolean} told whether the address is to say so */
  open(name, told = true) {
    this.now = name;
    this.close();
    this.show();
    for (const tab of this.tabs) {
      if (tab.dataset.open === name) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    const tab = this.find(`[data-open="${name}"]`);
    this.find(".cz-chapter-title").textContent = tab.dataset.title;
    tab.scrollIntoView?.({ block: "nearest", inline: "nearest" });
    this.find("[data-behind=formula]").hidden = !this.find(`[data-formula="${name}"]`);
    this.find(".cz-behind").hidden = name === "lessons";
    this.element.dataset.chapter = name;
    if (told) this.history.at(name, "learn");
    if (this.stage.task === "learn") this.stage.enter(name);
  }

  /** To where one was before: a chapter, or another task. @param {string | null} chapter @param {string} task */
  back(chapter, task) {
    if (!this.has(chapter)) {
      if (this.stage.task !== task && task !== "learn") this.stage.choose(task);
      return;
    }
    if (chapter !== this.now) this.open(chapter, false);
    if (this.stage.task !== "learn") this.stage.choose("learn");
  }

  /** The sections of the open chapter, and no others. Tells whether all chapters are there. */
  show() {
    const there = new Set();
    for (const section of findAll("#learn [data-chapter].cz-chapter, #learn .cz-chapter[id^=chapter-]")) {
      there.add(nameOf(section));
      const { part } = section.dataset;
      const hidden = nameOf(section) !== this.now || (part !== undefined && part !== this.part);
      const block = section.closest(".block") ?? section;
      if (section.hidden !== hidden) section.hidden = hidden;
      // the frame that Gradio puts around a piece would keep its share of the gaps
      if (block.hidden !== hidden) block.hidden = hidden;
    }
    for (const column of findAll("#learn [id^=pieces-]")) column.hidden = column.id !== `pieces-${this.now}`;
    return this.tabs.every((tab) => there.has(tab.dataset.open));
  }

  // ---- behind the chapter -------------------------------------------------------------------------------------

  close() {
    this.behind = null;
    this.panel.hidden = true;
    for (const button of findAll("[data-behind]", this.element)) button.setAttribute("aria-expanded", "false");
  }

  /** Shows formula, code or card; the same once more closes it. @param {string} what */
  async look(what) {
    if (this.behind === what) return this.close();
    this.close();
    this.behind = what;
    this.find(`[data-behind=${what}]`).setAttribute("aria-expanded", "true");
    const chapter = this.now;
    const parts = what === "formula" ? [this.formula()] : await this.told(what);
    if (this.behind !== what || this.now !== chapter) return;
    this.panel.replaceChildren(...parts);
    this.panel.hidden = false;
    this.panel.scrollTop = 0;
  }

  /** @returns {Node} */
  formula() {
    return this.find(`[data-formula="${this.now}"]`).cloneNode(true);
  }

  /** @param {string} what @returns {Promise<Node[]>} */
  async told(what) {
    const answer = await this.server.behind({ chapter: this.now, what }).catch(() => ({ error: "The studio did not answer." }));
    if (answer.error) return [make("p", { textContent: answer.error })];
    if (answer.card) {
      return [make("dl", { className: "cz-card" }, ...answer.card.flatMap((/** @type {string[]} */ [name, value]) => {
        return [make("dt", { textContent: name }), make("dd", { textContent: value })];
      }))];
    }
    if (!answer.code.length) return [make("p", { textContent: "This chapter computes nothing of its own." })];
    return answer.code.flatMap((/** @type {string[]} */ [where, text]) => {
      return [make("h3", { textContent: where }), make("pre", {}, make("code", { textContent: text }))];
    });
  }
}

/** @param {HTMLElement} section */
function nameOf(section) {
  return section.dataset.chapter ?? section.id.replace("chapter-", "");
}
