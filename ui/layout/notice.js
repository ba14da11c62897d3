// @ts-check
// One sentence under the Generate button, written as text, so that it may quote what a visitor typed.

import { find } from "./dom.js";

/**
 * @param {import("../stage/stage.js").Stage} stage
 * @param {{element: HTMLElement, props: any, watch: (name: string, call: () => void) => void}} piece
 */
export function notice(stage, { element, props, watch }) {
  const line = find(".cz-notice", element);
  const say = (words = "") => { line.textContent = words; };
  watch("value", () => say(String(props.value?.text ?? "")));
  // a complaint is over as soon as the visitor goes on
  document.addEventListener("input", () => say());
  line.addEventListener("click", () => say());
  for (const name of ["ask", "run", "edit", "task"]) stage.on(name, () => say());
}

/** A sentence stands there. */
export const said = () => find(".cz-notice").textContent !== "";
