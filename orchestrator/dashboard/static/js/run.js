// One run: what it is doing, and its parts: curves, system, checkpoints, settings, events, logs.

import { tell } from "./app.js";
import { copied, count, duration, h, number, state, tags, waiting, whole } from "./dom.js";
import { curvesPart, systemPart } from "./run_curves.js";
import { checkpointsPart, eventsPart, lineagePart, logsPart, resultPart, settingsPart } from "./run_parts.js";
import { samplesPart } from "./samples.js";
import { sweepPart } from "./sweep.js";
import { act, get, hasToken } from "./wire.js";

const PARTS = {
  sweep: sweepPart, curves: curvesPart, samples: samplesPart, result: resultPart, system: systemPart,
  checkpoints: checkpointsPart, settings: settingsPart, lineage: lineagePart, events: eventsPart, logs: logsPart,
};
const SPENT = ["useful", "waiting", "starting", "repeated", "checkpointing", "other"];

export function openRun(stay, [id, asked], values) {
  const head = h("div", { class: "head" }), spent = h("div", { class: "spent" });
  const tabs = h("nav", { class: "tabs", "aria-label": "Parts of the run" });
  const below = h("div", { class: "part" }, waiting(4));
  const page = { up: id.includes("~") ? `#/run/${id.slice(0, id.lastIndexOf("~"))}` : "#/runs" };
  let seen = null, inner = null;

  async function refresh() {
    const answer = await get(`runs/${id}`);
    if (answer !== seen) {
      if (!seen) stay.replaceChildren(head, spent, tabs, below);
      seen = answer;
      draw(head, answer);
      if (!answer.parts.includes("sweep")) drawSpent(spent, answer.goodput); // a sweep's is in its trials
      drawTabs(answer.parts);
    }
    if (!inner) {
      inner = PARTS[nameOf(answer.parts)](id, values, () => seen);
      below.replaceChildren(inner.node);
    }
    await inner.refresh();
  }

  // Which parts there are, the run says: those of a sweep, and what it has written by now.
  const nameOf = (parts) => (asked in PARTS ? asked : parts[0]);

  function drawTabs(parts) {
    if (tabs.dataset.parts === parts.join()) return;
    tabs.dataset.parts = parts.join();
    tabs.replaceChildren(...parts.map((one) => h("a", { href: `#/run/${id}/${one}`, "aria-current": one === nameOf(parts) ? "page" : null }, one)));
  }

  return Object.assign(page, {
    refresh,
    close: () => inner?.close?.(),
    key(event) {
      const link = tabs.children[event.key === "0" ? 9 : Number(event.key) - 1];
      if (!link) return inner?.key?.(event) ?? false;
      location.hash = link.getAttribute("href");
      return true;
    },
  });
}

function draw(head, answer) {
  const { run, status, commands, trial } = answer;
  const took = run.started ? (run.ended ?? Date.now() / 1000) - run.started : null;
  const facts = [
    ...(trial?.metric ? [[trial.metric, number(trial.value)],
      ["rank", trial.rank ? `${trial.rank} of ${trial.of_trials}` : ""], ["epochs", number(trial.epochs)], ["seed", String(trial.seed)]] : []),
    ["step", whole(run.step) + (run.steps ? ` / ${whole(run.steps)}` : "")], ["loss", number(run.loss)],
    ["eval loss", number(run.eval_loss)], ["tokens/s", count(run.tokens_per_s)], ["tokens", count(run.tokens)],
    ["attempt", run.attempt || ""], ["this attempt", duration(took)],
  ];
  head.replaceChildren(
    ...(trial ? [h("p", { class: "crumb" }, h("a", { href: `#/run/${trial.of}` }, `← ${trial.of}`))] : []),
    h("h1", {}, trial ? `${trial.job === "sweep" ? "trial" : "seed"} ${run.id.split("~").pop()}` : run.id, " ", state(run.state), " ", tags(run.tags)),
    ...(trial?.taken ?? []).map((leg) => h("p", { class: "note" }, `At ${number(leg.epochs)} epochs it went on with the weights of `,
      h("a", { href: `#/run/${trial.of}~${String(leg.source).padStart(4, "0")}` }, String(leg.source).padStart(4, "0")), " and settings near to its.")),
    ...(run.is_over || !run.stage ? [] : [h("p", { class: "hint" }, run.stage)]),
    ...(status.reason ? [h("p", { class: "because", data: { blame: status.blame || "nobody" } }, status.reason)] : []),
    ...status.notes.map((note) => h("p", { class: "note" }, note)),
    h("dl", { class: "facts" }, facts.filter(([, value]) => value !== "").map(([name, value]) =>
      h("div", { data: { fact: name } }, h("dt", {}, name), h("dd", {}, String(value))))),
    h("div", { class: "actions" }, trial ? null : action(run), (trial?.overrides ? [trial.overrides] : commands).map(copied)),
  );
}

// Stop and resume are asked for twice: the button becomes the question.
function action(run) {
  const name = run.is_over ? (run.state === "finished" ? null : "resume") : "stop";
  if (!name) return null;
  const title = hasToken() ? "" : "Open the address that `orchestrator dashboard` printed: it has the token.";
  const button = h("button", { type: "button", class: name === "stop" ? "danger" : "main", disabled: !hasToken(), title }, name);
  let isSure = false;
  button.addEventListener("click", async () => {
    if (!isSure) {
      isSure = true;
      button.textContent = `${name}: sure?`;
      setTimeout(() => { isSure = false; button.textContent = name; }, 4000);
      return;
    }
    button.disabled = true;
    try {
      const done = await act(`runs/${run.id}/${name}`);
      tell(`${run.id} is ${done.state}.`);
    } catch (err) {
      tell(`${err.message} ${err.hint ?? ""}`, true);
    }
    button.disabled = false;
  });
  return button;
}

function drawSpent(node, seconds) {
  if (!seconds) { node.replaceChildren(h("p", { class: "hint" }, "where its time went is being added up")); return; }
  const total = SPENT.reduce((sum, name) => sum + seconds[name], 0);
  if (!total) { node.replaceChildren(); return; }
  const share = (name) => seconds[name] / total;
  const bar = h("div", { class: "stack", role: "img", "aria-label": SPENT.map((name) => `${name} ${Math.round(share(name) * 100)} %`).join(", ") },
    SPENT.map((name) => {
      const piece = h("span", { data: { kind: name }, title: `${name} ${duration(seconds[name])}` });
      piece.style.flexGrow = String(seconds[name]);
      return piece;
    }));
  const legend = h("dl", { class: "legend" }, SPENT.filter((name) => seconds[name] > 0).map((name) =>
    h("div", { data: { kind: name } }, h("dt", {}, name), h("dd", {}, `${(share(name) * 100).toFixed(1)} %`, h("span", { class: "hint" }, ` ${duration(seconds[name])}`)))));
  node.replaceChildren(bar, legend);
}

