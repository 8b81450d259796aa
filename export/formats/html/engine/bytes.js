/** Bytes as text and back: the same in a page, in a worker and in a bare V8. */

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_VALUES = new Uint8Array(128).fill(255);
[...BASE64].forEach((char, value) => { BASE64_VALUES[char.charCodeAt(0)] = value; });

/**
 * The bytes of a base64 text.
 * @param {string} text padded with `=`
 * @returns {Uint8Array}
 */
function fromBase64(text) {
  const end = text.endsWith("==") ? text.length - 2 : text.endsWith("=") ? text.length - 1 : text.length;
  if (text.length % 4 !== 0) throw new Error("a base64 text ends early");
  const bytes = new Uint8Array(Math.floor((end * 3) / 4));
  for (let at = 0, to = 0, bits = 0, held = 0; at < end; at += 1) {
    const value = BASE64_VALUES[text.charCodeAt(at)];
    if (!(value < 64)) throw new Error(`a base64 text has another character at ${at}`);
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[to] = (held >> bits) & 0xff;
      to += 1;
    }
  }
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} base64, padded
 */
function toBase64(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 3) {
    const word = (bytes[at] << 16) | ((bytes[at + 1] || 0) << 8) | (bytes[at + 2] || 0);
    const left = bytes.length - at;
    parts.push(
      BASE64[word >> 18], BASE64[(word >> 12) & 63],
      left > 1 ? BASE64[(word >> 6) & 63] : "=", left > 2 ? BASE64[word & 63] : "=",
    );
  }
  return parts.join("");
}

/**
 * The characters of UTF-8 bytes; a bare V8 has no TextDecoder.
 * @param {Uint8Array} bytes
 * @returns {string}
 */
function fromUtf8(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at];
    const more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let code = more === 0 ? first : first & (0x3f >> more);
    for (let next = 1; next <= more; next += 1) code = (code << 6) | (bytes[at + next] & 0x3f);
    parts.push(String.fromCodePoint(code));
    at += more + 1;
  }
  return parts.join("");
}
