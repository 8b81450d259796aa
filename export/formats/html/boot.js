/** The first script of the page. It runs the other one only if that is unchanged. */

const DIGESTS = {{digests}}; // sha256 of the text of each part

/** The text of a part; throws an Error with its name if it has changed. */
function textOf(id) {
  const text = document.getElementById(id)?.textContent ?? "";
  if (sha256(new TextEncoder().encode(text)) !== DIGESTS[id]) throw Object.assign(new Error(`part: ${id}`), { part: id });
  return text;
}

/** The text in a compressed block. */
function unpackText(id) {
  const stream = new Blob([fromBase85(textOf(id))]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

window.ptxParts = { textOf, unpackText };

async function boot() {
  const [data, text] = await Promise.all(["data", "page"].map(unpackText));
  document.getElementById("data").textContent = data; // where both kinds of page have it
  document.head.append(Object.assign(document.createElement("script"), { textContent: text }));
}

boot().catch(({ part, message }) => {
  document.getElementById("changed").textContent = part
    ? `✗ This page makes no prediction: its part “${part}” has changed since the page was written. 此页面不给出预测：其中的“${part}”部分已被更改。`
    : `✗ ${message}`;
});
