/** Decodes the page's blocks and computes their digests. */

const BASE85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

/**
 * The bytes of a block of the page: base85 as Python's `b85encode`, with `,` for `<`.
 * @param {string} text
 * @returns {Uint8Array}
 */
function fromBase85(text) {
  const values = new Uint8Array(128).fill(85);
  [...BASE85].forEach((char, value) => { values[char.charCodeAt(0)] = value; });
  const bytes = new DataView(new ArrayBuffer(4 * Math.ceil(text.length / 5)));
  for (let at = 0; at < text.length; at += 5) {
    let word = 0;
    for (let place = at; place < at + 5; place += 1) {
      const value = place < text.length ? values[text.charCodeAt(place)] : 84;
      if (!(value < 85)) throw new Error(`a base85 text has another character at ${place}`);
      word = word * 85 + value;
    }
    bytes.setUint32((at / 5) * 4, word);
  }
  return new Uint8Array(bytes.buffer, 0, Math.floor((text.length * 4) / 5));
}

// The first 32 bits of the fractions of the cube and square roots of primes: FIPS 180-4, 4.2.2 and 5.3.3.
const PRIMES = [...Array(312).keys()].filter((n) => n > 1 && !Array(n).fill().some((_, d) => d > 1 && n % d === 0));
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
const ROUNDS = Uint32Array.from(PRIMES.slice(0, 64), (prime) => fraction(Math.cbrt(prime)));
const BEGINNING = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

/**
 * The sha256 in hexadecimal digits; `crypto.subtle` is missing at plain http addresses.
 * @param {Uint8Array} bytes
 * @returns {string}
 */
function sha256(bytes) {
  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length * 8) % 2 ** 32);
  const state = Uint32Array.from(BEGINNING);
  const words = new Uint32Array(64);
  for (let at = 0; at < padded.length; at += 64) {
    for (let place = 0; place < 16; place += 1) words[place] = view.getUint32(at + 4 * place);
    compress(state, words);
  }
  return [...state].map((word) => word.toString(16).padStart(8, "0")).join("");
}

const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));

/** One block of SHA-256, FIPS 180-4, 6.2.2. */
function compress(state, words) {
  for (let place = 16; place < 64; place += 1) {
    const early = words[place - 15];
    const late = words[place - 2];
    words[place] = words[place - 16] + words[place - 7]
      + (turn(early, 7) ^ turn(early, 18) ^ (early >>> 3)) + (turn(late, 17) ^ turn(late, 19) ^ (late >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let place = 0; place < 64; place += 1) {
    const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[place] + words[place]) | 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + first) | 0; d = c; c = b; b = a; a = (first + second) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, place) => { state[place] += word; });
}
