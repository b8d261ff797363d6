// What the model made of some validation samples at its newest measurement.

import { h, nothing, number, plain, whole } from "./dom.js";
import { get } from "./wire.js";

export function samplesPart(id, _, now) {
  const node = h("div", { class: "samples" }, h("p", { class: "hint" }, "loading"));
  let seen = null;
  return {
    node,
    async refresh() {
      const answer = await get(`runs/${id}/samples`);
      if (answer === seen) return;
      seen = answer;
      const { samples, step } = answer;
      if (!samples.length) {
        node.replaceChildren(nothing("No samples yet.", "They are written at each measurement of the validation split."));
        return;
      }
      const isText = "pieces" in samples[0];
      const when = `At step ${whole(step)}${now().run.is_over ? "" : ", the newest measurement"}.`;
      node.replaceChildren(h("p", { class: "hint" }, when, isText ? " Masked words as they stood there; below each the model's first guess, green where it is right. Point at one for its other guesses." : ""),
        ...(isText ? samples.map(text) : [examples(samples)]));
    },
  };
}

function text({ pieces, masked }) {
  const right = masked.filter(([, target, guesses]) => guesses[0][0] === target).length;
  const body = h("p", { class: "sample" });
  const by = new Map(masked.map((one) => [one[0], one]));
  pieces.forEach((piece, at) => {
    if (!by.has(at)) { body.append(piece); return; }
    const [, target, guesses] = by.get(at);
    if (/^\s/.test(target)) body.append(" ");
    body.append(hole(piece, target, guesses));
  });
  return h("figure", { class: "card sample-card", data: { masked: String(masked.length) } },
    h("figcaption", { class: "hint" }, `${pieces.length} tokens, ${right} of ${masked.length} masked ones right`), body);
}

// <ruby> has a word and what is written below it, which readers of screens know too.
function hole(piece, target, guesses) {
  const isRight = guesses[0][0] === target;
  const all = guesses.map(([word, chance]) => `${word.trim()} ${(100 * chance).toFixed(chance < 0.1 ? 1 : 0)} %`).join("\n");
  return h("ruby", { class: "hole", tabindex: "0", data: { right: String(isRight), guesses: all },
    title: `the model read ${piece.trim()}\n${all}` }, h("b", {}, target.trim() || target), h("rt", {}, guesses[0][0].trim() || "␣"));
}

function examples(samples) {
  const isSame = (one) => JSON.stringify(one.label) === JSON.stringify(one.answer);
  return h("div", { class: "scroll" }, h("table", { class: "rows examples", "data-table": "examples" },
    h("thead", {}, h("tr", {}, ["example", "label", "the model says", "confidence"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, samples.map((one) => h("tr", { data: { right: typeof one.answer === "number" ? "" : String(isSame(one)) } },
      h("td", { class: "texts" }, one.texts.length > 2 ? one.texts.join(" ") : one.texts.map((part) => h("p", {}, part))),
      h("td", {}, shown(one.label)), h("td", { class: "said" }, shown(one.answer)),
      h("td", { class: "num" }, one.confidence === null ? "" : `${Math.round(100 * one.confidence)} %`))))));
}

const shown = (value) => (typeof value === "number" ? number(value) : Array.isArray(value) ? value.map(shown).join(" ") : plain(value));
