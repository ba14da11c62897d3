// @ts-check
// Runs and answers as one text that can stand in a page: JSON in which long texts stand once, packed by the browser's own
// gzip, as base64. Nothing in it can end an element or be taken for markup.

/** @typedef {{texts: string[], body: any}} Folded */

const LONG = 120; // characters of a text from which on it is kept apart
const CHUNK = 8192;

/** Long texts go into a list, once each; in their place stands {"$": number}. @param {any} data @returns {Folded} */
export function folded(data) {
  /** @type {Map<string, number>} */
  const known = new Map();
  /** @type {(value: any) => any} */
  const walk = (value) => {
    if (typeof value === "string") {
      if (value.length < LONG) return value;
      if (!known.has(value)) known.set(value, known.size);
      return { $: known.get(value) };
    }
    if (Array.isArray(value)) return value.map(walk);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, walk(one)]));
    return value;
  };
  const body = walk(data);
  return { texts: [...known.keys()], body };
}

/** @param {Folded} folded @returns {any} */
export function unfolded({ texts, body }) {
  /** @type {(value: any) => any} */
  const walk = (value) => {
    if (Array.isArray(value)) return value.map(walk);
    if (!value || typeof value !== "object") return value;
    if ("$" in value) return texts[value.$];
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, walk(one)]));
  };
  return walk(body);
}

/** @param {any} data anything that JSON can hold */
export async function packed(data) {
  const stream = new Blob([JSON.stringify(data)]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = "";
  for (let i = 0; i < bytes.length; i += CHUNK) binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK));
  return btoa(binary);
}

/** @param {string} text @returns {Promise<any>} */
export async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}
