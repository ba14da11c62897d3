// @ts-check
// Going to Learn, from chapter to chapter, and away from it are steps of the browser's history. The address names the
// chapter (?chapter=editing). What else stands in it (the link of a run in the hash, class mode) belongs to what is on
// screen and not to a place: it comes along when one goes back, so that no old link is opened again by that.

import { carried, gameLinked, look } from "../../export/address.js";

const IN_ADDRESS = "chapter";
const MARK = "chiselTask"; // of our entries of the history: the task that was chosen there

/** The chapter that the address names. @returns {string | null} */
export const asked = () => new URLSearchParams(location.search).get(IN_ADDRESS);

export class History {
  /**
   * @param {(chapter: string | null, task: string) => void} go to a place that one comes back to
   */
  constructor(go) {
    this.go = go;
    this.going = false; // back or forward: the entry is there already
    this.carrying = false;
    this.chapter = asked(); // that stood in the address when it was last looked at or written
    look();
    window.addEventListener("popstate", (event) => this.came(event.state?.[MARK]));
    // before all who open the link in the address: some browsers tell of a hash that changed along with the place
    window.addEventListener("hashchange", (event) => {
      if (this.carrying) event.stopImmediatePropagation();
      this.carrying = false;
    }, true);
  }

  /** A chapter is open, or with null another task. @param {string | null} chapter @param {string} task */
  at(chapter, task) {
    if (this.going) return;
    const state = { ...history.state, [MARK]: task };
    // a game's link opens its chapter without anybody having gone there
    if (asked() === chapter || gameLinked()) history.replaceState(state, "", placed(chapter));
    else history.pushState(state, "", placed(chapter));
    this.chapter = chapter;
  }

  /** Back or forward, or to a link. @param {string | undefined} task */
  came(task) {
    this.carrying = asked() !== this.chapter;
    this.chapter = asked();
    if (!this.carrying) return look(); // within a place, a link is what one goes to
    carried();
    const url = placed(this.chapter);
    if (document.body.classList.contains("cz-class")) url.searchParams.set("class", "1");
    else url.searchParams.delete("class");
    history.replaceState(history.state, "", url);
    this.going = true;
    this.go(this.chapter, task ?? "create");
    this.going = false;
  }
}

/** The address of a place. @param {string | null} chapter */
function placed(chapter) {
  const url = new URL(location.href);
  if (chapter === null) url.searchParams.delete(IN_ADDRESS);
  else url.searchParams.set(IN_ADDRESS, chapter);
  return url;
}
