// One run: what it is doing, and its parts: curves, system, checkpoints, settings, events, logs.

import { tell } from "./app.js";
import { copied, count, duration, h, number, state, tags, waiting, whole } from "./dom.js";
import { curvesPart, systemPart } from "./run_curves.js";
import { checkpointsPart, eventsPart, lineagePart, logsPart, settingsPart } from "./run_parts.js";
import { act, get, hasToken } from "./wire.js";

const PARTS = {
  curves: curvesPart, system: systemPart, checkpoints: checkpointsPart, settings: settingsPart,
  lineage: lineagePart, events: eventsPart, logs: logsPart,
};
const SPENT = ["useful", "waiting", "starting", "repeated", "checkpointing", "other"];

export function openRun(stay, [id, part = "curves"], values) {
  const name = part in PARTS ? part : "curves";
  const head = h("div", { class: "head" }), spent = h("div", { class: "spent" });
  const links = Object.keys(PARTS).map((one) => h("a", { href: `#/run/${id}/${one}`, "aria-current": one === name ? "page" : null }, one));
  const below = h("div", { class: "part" }, waiting(4));
  let seen = null, inner = null;

  async function refresh() {
    const answer = await get(`runs/${id}`);
    if (answer !== seen) {
      if (!seen) stay.replaceChildren(head, spent, h("nav", { class: "tabs", "aria-label": "Parts of the run" }, links), below);
      seen = answer;
      draw(head, answer);
      drawSpent(spent, answer.goodput);
    }
    if (!inner) {
      inner = PARTS[name](id, values, () => seen);
      below.replaceChildren(inner.node);
    }
    await inner.refresh();
  }

  return {
    refresh,
    close: () => inner?.close?.(),
    key(event) {
      const number = Number(event.key);
      if (number >= 1 && number <= links.length) location.hash = links[number - 1].getAttribute("href");
      else return inner?.key?.(event) ?? false;
      return true;
    },
  };
}

function draw(head, answer) {
  const { run, status, commands } = answer;
  const took = run.started ? (run.ended ?? Date.now() / 1000) - run.started : null;
  const facts = [
    ["step", whole(run.step) + (run.steps ? ` / ${whole(run.steps)}` : "")], ["loss", number(run.loss)],
    ["eval loss", number(run.eval_loss)], ["tokens/s", count(run.tokens_per_s)], ["tokens", count(run.tokens)],
    ["attempt", run.attempt || ""], ["this attempt", duration(took)],
  ];
  head.replaceChildren(
    h("h1", {}, run.id, " ", state(run.state), " ", tags(run.tags)),
    ...(run.is_over || !run.stage ? [] : [h("p", { class: "hint" }, run.stage)]),
    ...(status.reason ? [h("p", { class: "because", data: { blame: status.blame || "nobody" } }, status.reason)] : []),
    ...status.notes.map((note) => h("p", { class: "note" }, note)),
    h("dl", { class: "facts" }, facts.filter(([, value]) => value !== "").map(([name, value]) =>
      h("div", { data: { fact: name } }, h("dt", {}, name), h("dd", {}, String(value))))),
    h("div", { class: "actions" }, action(run), commands.map(copied)),
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

