// @ts-check
// One sheet of all that keys, mouse and fingers do, opened by ? or by its button in the header.

import { find, make } from "../layout/dom.js";

/** @type {[heading: string, lines: [keys: string[], what: string][]][]} */
export const SHEET = [
  ["Anywhere", [
    [["?"], "this sheet"],
    [["Ctrl Z"], "undo"],
    [["Ctrl Shift Z"], "redo"],
    [["Ctrl V"], "paste a picture, or cells that were copied"],
    [["Ctrl Enter"], "Repaint, while you retouch"],
  ]],
  ["On the picture: time", [
    [["Space", "P"], "play and pause; Space uses a tool that paints"],
    [["[", "]"], "one step back, one step on"],
    [["Home", "End"], "first and last step"],
  ]],
  ["On the picture: cells", [
    [["←", "→", "↑", "↓"], "another cell"],
    [["Shift ←"], "stretch a rectangle, with a tool in hand"],
    [["Space", "Enter"], "use the tool there"],
    [["Esc"], "let go"],
  ]],
  ["Tools", [
    [["I"], "Inspect"],
    [["M"], "Remask"],
    [["E"], "Erase what was done by hand"],
    [["L"], "Lock"],
    [["V"], "Move"],
    [["C"], "Choose"],
    [["B"], "Break"],
    [["1", "2", "3"], "size of the brush"],
    [["R"], "rectangle"],
    [["W"], "wand: cells that look alike"],
    [["N"], "invert the mask"],
  ]],
  ["Cells chosen with Move", [
    [["←", "→", "↑", "↓"], "move them by one cell"],
    [["Ctrl C", "Ctrl X"], "copy, cut"],
    [["Ctrl A"], "choose all"],
    [["Delete"], "mask them"],
  ]],
  ["View", [
    [["+", "−", "0"], "closer, further, all of it"],
    [["Wheel"], "closer, while you retouch; with Ctrl always"],
    [["Middle button"], "drag the picture about"],
    [["H"], "hide the mask, show it"],
    [["X"], "pixels or smooth"],
    [["G"], "lines between the cells"],
  ]],
  ["With fingers", [
    [["Tap"], "a cell"],
    [["Drag"], "paint, or move chosen cells, with a tool in hand"],
    [["Two fingers"], "closer, and about"],
  ]],
];

/** @returns {HTMLDialogElement} */
function sheet() {
  const there = find(".cz-sheet");
  if (there) return there;
  const groups = SHEET.map(([heading, lines]) => make("section", {},
    make("h3", { textContent: heading }),
    make("dl", {}, ...lines.map(([keys, what]) => make("div", {},
      make("dt", {}, ...keys.map((key) => make("kbd", { textContent: key }))),
      make("dd", { textContent: what }))))));
  const close = make("button", { className: "cz-button is-small", textContent: "Close", onclick: () => dialog.close() });
  const dialog = make("dialog", { className: "cz-sheet", "aria-labelledby": "cz-sheet-title" },
    make("header", {}, make("h2", { id: "cz-sheet-title", textContent: "Keys, mouse and fingers" }), close),
    make("div", { className: "cz-sheet-groups", tabIndex: 0, role: "region", "aria-label": "All keys" }, ...groups));
  dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => { if (event.target === dialog) dialog.close(); });
  find(".gradio-container").append(dialog);
  return dialog;
}

export function openKeys() {
  const dialog = sheet();
  if (!dialog.open) dialog.showModal();
}
