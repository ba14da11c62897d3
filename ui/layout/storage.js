// @ts-check
// What this browser remembers for us. A browser may deny it (blocked cookies, a sandboxed frame, a full disk), and then
// even looking at it throws: everything that is stored goes through here, and without it nothing is remembered.

/** @typedef {"localStorage" | "sessionStorage"} Where this browser for good, or this tab while it is open */

/**
 * What is kept under a name; null where there is nothing, or nothing may be read.
 * @param {Where} where @param {string} name @returns {string | null}
 */
export function recall(where, name) {
  try {
    return globalThis[where].getItem(name);
  } catch {
    return null;
  }
}

/**
 * Keeps a text, or with null forgets it; tells whether that was possible.
 * @param {Where} where @param {string} name @param {string | null} text
 */
export function remember(where, name, text) {
  try {
    if (text === null) globalThis[where].removeItem(name);
    else globalThis[where].setItem(name, text);
    return true;
  } catch {
    return false;
  }
}
