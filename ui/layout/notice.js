// @ts-check
// One sentence under the prompt, written as text, so that it may quote what a visitor typed. It lies over what can wait.

import { find, intoSight } from "./dom.js";
import { covering } from "./covering.js";

/**
 * @param {import("../stage/stage.js").Stage} stage
 * @param {{element: HTMLElement, props: any, watch: (name: string, call: () => void) => void}} piece
 */
export function notice(stage, { element, props, watch }) {
  const line = find(".cz-notice", element);
  const cover = covering(line);
  const say = (words = "") => {
    line.textContent = words;
    cover();
    if (words) intoSight(line);
  };
  watch("value", () => say(String(props.value?.text ?? "")));
  // a complaint is over as soon as the visitor goes on
  document.addEventListener("input", () => say());
  line.addEventListener("click", () => say());
  for (const name of ["ask", "run", "edit", "task"]) stage.on(name, () => say());
}

/** A sentence stands there. */
export const said = () => find(".cz-notice").textContent !== "";
