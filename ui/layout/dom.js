// @ts-check
// Elements: found, made, waited for, and what a key that is pressed in them is for.

const LOOK_MS = 60; // between two looks at what is waited for

/**
 * The first element that fits, or null. Typed as anything, so that a field, a canvas and a button need no casts.
 * @param {string} selector @param {ParentNode} root @returns {any}
 */
export function find(selector, root = document) {
  return root.querySelector(selector);
}

/** @param {string} selector @param {ParentNode} root @returns {any[]} */
export function findAll(selector, root = document) {
  return Array.from(root.querySelectorAll(selector));
}

/**
 * A new element. What the element knows as a property is set as one (className, textContent, onclick ...), all else
 * as an attribute (aria-label, data-token ...).
 * @param {string} tag @param {Record<string, any>} has @param {...(Node | string)} children @returns {any}
 */
export function make(tag, has = {}, ...children) {
  /** @type {any} */
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  for (const [name, value] of Object.entries(has)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** @param {string} tag @param {Record<string, string | number>} has */
export function makeSvg(tag, has) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(has)) node.setAttribute(name, String(value));
  return node;
}

/**
 * Calls back as soon as an element stands on the page: Gradio brings some of them later than our own.
 * @param {string} selector @param {(node: any) => void} call
 */
export function whenThere(selector, call) {
  const look = () => {
    const node = find(selector);
    if (!node) return;
    watcher.disconnect();
    call(node);
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document.body, { childList: true, subtree: true });
  look();
}

/**
 * Waits until something is true, for so long at most; tells whether it is.
 * @param {() => boolean} met @param {number} ms
 */
export async function until(met, ms) {
  for (const end = performance.now() + ms; !met() && performance.now() < end;) {
    await new Promise((done) => { setTimeout(done, LOOK_MS); });
  }
  return met();
}

/**
 * A sentence that answers a press comes where it is seen, wherever the page is scrolled to; what is in sight moves nothing.
 * @param {HTMLElement} node
 */
export function intoSight(node) {
  node.scrollIntoView({ block: "nearest" });
}

export const isDark = () => document.body.classList.contains("dark");

/** Where text is typed or chosen: keys are its own. */
export const FIELD = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]";
const STEPS = ["[", "]"]; // no button, slider or tab has a use of its own for them

/**
 * Whether a key is meant for the stage: pressed on its canvas, where nothing has the focus (as after Generate), or a
 * bracket anywhere that no text is typed. @param {KeyboardEvent} event @param {Element} canvas
 */
export function forStage(event, canvas) {
  const target = event.target instanceof Element ? event.target : document.body;
  return target === document.body || target === canvas || (STEPS.includes(event.key) && !target.closest(FIELD));
}
