// A sweep: its leaderboard, how its trials learned, and what its settings do. All pictures show the
// same trial when one is pointed at, and the same trials when a brush keeps some.

import { h, nothing, number } from "./dom.js";
import { fateOf, Leaderboard } from "./leaderboard.js";
import { Parallel } from "./parallel.js";
import { Scatter } from "./scatter.js";
import { SweepCurves } from "./sweep_curves.js";
import { get } from "./wire.js";

export function sweepPart(id, values) {
  const look = {
    hot: null,
    kept: null,
    point(trial) {
      if (look.hot === trial) return;
      look.hot = trial;
      for (const view of views) view.mark();
      told.textContent = trial === null ? "" : sentence(seen, trial);
    },
    keep(trials) {
      look.kept = trials;
      board.fill();
      for (const view of views) view.mark();
    },
    open(trial) {
      location.hash = `#/run/${seen.trials.find((one) => one.trial === trial).run}`;
    },
  };
  const board = new Leaderboard(look, values);
  const curves = new SweepCurves(look), parallel = new Parallel(look), scatter = new Scatter(look, values);
  const views = [board, curves, parallel, scatter];
  const facts = h("dl", { class: "facts" }), told = h("p", { class: "pointed hint", role: "status" });
  const weights = h("figure", { class: "chart importance" }, h("figcaption", {}, "What the value hangs on"), h("p", { class: "hint" }, "judging"));
  const node = h("div", { class: "sweep" }, h("p", { class: "hint" }, "loading"));
  let seen = null, judged = null;

  async function refresh() {
    const answer = await get(`runs/${id}/sweep`).catch((err) => {
      if (!seen) node.replaceChildren(nothing(err.message, err.hint ?? ""));
      throw err;
    });
    if (answer !== seen) {
      seen = answer;
      draw();
    }
    if (seen.trials.length) weigh().catch(() => {});
  }

  function draw() {
    if (!seen.trials.length) {
      node.replaceChildren(nothing("No trial has begun yet.", `${seen.wanted} configurations will be tried, by ${seen.search}.`));
      return;
    }
    if (!facts.isConnected) {
      node.replaceChildren(facts, board.node, told,
        h("div", { class: "charts pair" }, curves.node, scatter.node), parallel.node, weights);
    }
    const { counts } = seen, best = seen.trials.find((trial) => trial.rank === 1);
    facts.replaceChildren(...[
      [`best ${seen.metric}`, best ? number(best.value) : "—"],
      ["configurations", `${seen.done} / ${seen.wanted}`],
      ...Object.keys(counts).filter((fate) => counts[fate]).map((fate) => [fateOf(fate, seen), String(counts[fate])]),
      ["epochs in all", number(seen.epochs)],
      ["search", seen.search],
    ].map(([name, value]) => h("div", { data: { fact: name } }, h("dt", {}, name), h("dd", {}, value))));
    for (const view of views) view.draw(seen);
  }

  // Asked for apart and only when another trial has finished: it takes the server a moment.
  async function weigh() {
    if (judged === seen.counts.finished) return;
    judged = seen.counts.finished;
    const { shares, caution, num_trials: count, foretold } = await get(`runs/${id}/importance`);
    const most = Math.max(...shares.map((pair) => pair[1]), 1e-9);
    weights.dataset.ready = "yes";
    weights.replaceChildren(h("figcaption", {}, "What the value hangs on"),
      ...shares.map(([key, share]) => {
        const fill = h("span", { class: "fill" });
        fill.style.width = `${100 * share / most}%`;
        return h("div", { class: "weight" }, h("code", {}, key), h("span", { class: "gauge" }, fill), h("span", { class: "num" }, `${Math.round(100 * share)} %`));
      }),
      h("p", { class: "hint" }, caution, shares.length ? `${caution ? " " : ""}From ${count} trials that finished, by a forest of trees and shuffling; R² for trials left out: ${foretold.toFixed(2)}.` : ""));
  }

  return {
    node,
    refresh,
    close: () => { for (const view of [curves, parallel, scatter]) view.close(); },
    key: (event) => (seen?.trials.length ? board.press(event) : false),
  };
}

function sentence(answer, number_) {
  const trial = answer.trials.find((one) => one.trial === number_);
  if (!trial) return "";
  const settings = Object.entries(trial.point).map(([key, value]) => `${key}=${typeof value === "number" ? number(value) : value}`);
  return `trial ${String(trial.trial).padStart(4, "0")}, ${fateOf(trial.fate, answer)}: ${answer.metric} ${number(trial.value) || "—"} after ${number(trial.epochs)} epochs; ${settings.join(", ")}`;
}
