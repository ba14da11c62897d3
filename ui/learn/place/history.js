// @ts-check
// Going to Learn, from chapter to chapter, and away from it are steps of the browser's history. The address names the
// chapter (?chapter=editing). What else stands in it (the link of a run in the hash, class mode) belongs to what is on
// screen and not to a place: it comes along when one goes back, so that no old link is opened again by that.

import { gameLinked } from "../../export/address.js";

const IN_ADDRESS = "chapter";
const MARK = "chiselPlace"; // of our entries of the history: {task, since}

/** The chapter that the address names. @returns {string | null} */
export const asked = () => new URLSearchParams(location.search).get(IN_ADDRESS);

export class History {
  /**
   * @param {import("../../stage/stage.js").Stage} stage
   * @param {(chapter: string | null, task: string) => void} go to a place that one comes back to
   */
  constructor(stage, go) {
    this.stage = stage;
    this.go = go;
    this.since = history.state?.[MARK]?.since ?? Date.now(); // when the link in the address was brought by hand, if any was
    this.going = false; // back or forward: the entry is there already
    this.carrying = false;
    window.addEventListener("popstate", (event) => this.came(event.state?.[MARK]));
    // before all who open the link in the address
    window.addEventListener("hashchange", (event) => this.carry(event), true);
  }

  /** A chapter is open, or with null another task. @param {string | null} chapter @param {string} task */
  at(chapter, task) {
    if (this.going) return;
    const url = new URL(location.href);
    const state = { ...history.state, [MARK]: { task, since: this.since } };
    // a game's link opens its chapter without anybody having gone there
    if (asked() === chapter || gameLinked()) history.replaceState(state, "", placed(url, chapter));
    else history.pushState(state, "", placed(url, chapter));
  }

  /** @param {{task: string, since: number} | undefined} mark */
  came(mark) {
    this.carrying = false;
    if (!mark) { // somebody put a link into the address: from here on it is that link's history
      this.since = Date.now();
      history.replaceState({ ...history.state, [MARK]: { task: this.stage.task, since: this.since } }, "", location.href);
      return;
    }
    this.carrying = mark.since === this.since;
    this.since = mark.since;
    const url = new URL(location.href);
    if (document.body.classList.contains("cz-class")) url.searchParams.set("class", "1");
    else url.searchParams.delete("class");
    if (url.href !== location.href) history.replaceState(history.state, "", url);
    this.going = true;
    this.go(asked(), mark.task);
    this.going = false;
  }

  /** @param {HashChangeEvent} event */
  carry(event) {
    if (!this.carrying) return;
    this.carrying = false;
    event.stopImmediatePropagation();
    history.replaceState(history.state, "", `${location.href.split("#")[0]}${new URL(event.oldURL).hash}`);
  }
}

/** @param {URL} url @param {string | null} chapter */
function placed(url, chapter) {
  if (chapter === null) url.searchParams.delete(IN_ADDRESS);
  else url.searchParams.set(IN_ADDRESS, chapter);
  return url;
}
