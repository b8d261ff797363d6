// Two or more runs side by side: curves, where they first differ, settings, lineage.

import { keep, tell } from "./app.js";
import { Curves } from "./curves.js";
import { hue } from "./chart.js";
import { count, h, nothing, number, plain, state, table, whole } from "./dom.js";
import { chosen } from "./runs.js";
import { get } from "./wire.js";

const FIRST = ["train/loss", "eval/loss", "train/tokens_per_s", "train/grad_norm"];

export function openCompare(stay, _, values) {
  let ids = (values.get("runs") ?? [...chosen].join(",")).split(",").filter(Boolean);
  let seen = null, all = [];
  const curves = new Curves(values, () => []);
  const list = h("datalist", { id: "more" });
  const field = h("input", { type: "text", list: "more", placeholder: "add a run", "aria-label": "Add a run", onchange: add });
  const picked = h("div", { class: "bar" });
  const below = h("div");

  function add() {
    const found = all.filter((run) => !ids.includes(run.id) && run.id.includes(field.value.trim()));
    if (found.length !== 1) { tell(`${found.length} other runs have ${field.value} in their id.`, true); return; }
    field.value = "";
    change([...ids, found[0].id]);
  }

  function change(next) {
    ids = next;
    chosen.clear();
    ids.forEach((id) => chosen.add(id));
    keep({ runs: ids.join(",") });
    seen = null;
    refresh().catch((err) => tell(err.message, true));
  }

  async function refresh() {
    all = (await get("runs")).runs;
    if (!picked.isConnected) stay.replaceChildren(h("h1", {}, "Compare"), picked, below);
    if (list.childElementCount !== all.length) list.replaceChildren(...all.map((run) => h("option", { value: run.id })));
    const chips = ids.map((id, index) => h("button", { type: "button", class: "chip", title: "Take it out",
      onclick: () => change(ids.filter((one) => one !== id)) }, swatch(index), `${id} ×`));
    if (picked.dataset.ids !== ids.join()) {
      picked.dataset.ids = ids.join();
      picked.replaceChildren(...chips, field, list);
    }
    if (ids.length < 2) {
      below.replaceChildren(nothing("Choose two runs or more.", "Add them above, or mark them in the list of runs with x and press c."));
      seen = null;
      return;
    }
    const answer = await get(`compare?runs=${ids.join(",")}`);
    if (answer !== seen) { seen = answer; draw(below, answer, curves); }
    await curves.refresh();
  }

  return { refresh, close: () => curves.close(), key: (event) => curves.press(event) };
}

function draw(below, answer, curves) {
  const { runs } = answer;
  const names = runs.map((run, index) => h("span", {}, swatch(index), run.id));
  curves.show(FIRST.map((metric) => ({ title: metric, series: runs.map((run, index) =>
    ({ run: run.id, metric, label: run.id, hue: index, isOver: run.is_over })) })));
  const facts = [["state", (run) => state(run.state)], ["step", (run) => whole(run.step)], ["loss", (run) => number(run.loss)],
    ["eval loss", (run) => number(run.eval_loss)], ["tokens/s", (run) => count(run.tokens_per_s)], ["model", (run) => run.model]];
  const head = (title) => [title, ...names.map((name) => name.cloneNode(true))];
  below.replaceChildren(
    table(head(""), facts.map(([name, of]) => [name, ...runs.map(of)]), { "data-table": "facts" }),
    curves.node,
    h("h2", {}, "First difference"),
    h("p", { class: "hint" }, `Against ${runs[0].id}, exactly, at steps that both have; figures that measure the machine are left out.`),
    ...answer.steps.map(firsts),
    h("h2", {}, "Settings"),
    answer.settings.length ? table(head("setting"), answer.settings.map(({ key, values }) =>
      [h("code", {}, key), ...values.map(plain)]), { "data-table": "settings" }) : h("p", {}, "No difference."),
    h("h2", {}, "Lineage"),
    answer.lineage.length ? table(head(""), answer.lineage.map(({ key, values }) => [h("code", {}, key), ...values.map(plain)]))
      : h("p", {}, "No difference."),
  );
}

function firsts({ run, differ, equal }) {
  if (!differ.length) return h("p", { class: "same" }, `${run}: ${equal.length} metrics are the same at every step.`);
  return h("div", {}, h("h3", {}, run), table(["metric", "first step", "values there", "steps that differ"], differ.map((row) =>
    [h("code", {}, row.metric), whole(row.step), `${row.values[0]} → ${row.values[1]}`, `${whole(row.differ)} of ${whole(row.steps)}`]),
  { "data-table": "first" }), equal.length ? h("p", { class: "hint" }, `The same: ${equal.join(", ")}`) : null);
}

function swatch(index) {
  const made = h("i", { class: "swatch" });
  made.style.background = hue(index);
  return made;
}
