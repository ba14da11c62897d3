// @ts-check
// Numbers as text, the way they travel: base64 of a little-endian array. See ui/server/frames.py.

/** @typedef {Uint8ArrayConstructor | Uint16ArrayConstructor | Int32ArrayConstructor} Type */

/** @param {string} text */
export function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** @template {Type} T @param {string} text @param {T} Type @returns {InstanceType<T>} */
export function unpack(text, Type) {
  return /** @type {any} */ (new Type(bytesOf(text).buffer));
}

/** @param {ArrayLike<number>} values @param {Type} Type */
export function pack(values, Type) {
  let binary = "";
  for (const byte of new Uint8Array(Type.from(values).buffer)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
