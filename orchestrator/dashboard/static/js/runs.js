// All runs: search, sort, filter, group; rows are made again only where they changed.

import { keep } from "./app.js";
import { ago, count, h, nothing, number, state, tags, whole } from "./dom.js";
import { get } from "./wire.js";

const COLUMNS = [
  ["", null], ["run", "id"], ["state", "state"], ["job", "job"], ["model", "model"], ["step", "step"],
  ["loss", "loss"], ["eval", "eval_loss"], ["tokens/s", "tokens_per_s"], ["age", "created"], ["tags", null],
];
const STATES = ["all", "live", "finished", "failed", "stopped"];
const GROUPS = { "": "no groups", group: "parent", model: "model", job: "job", state: "state" };
export const chosen = new Set();

export function openRuns(stay, _, values) {
  const view = {
    words: values.get("q") ?? "", state: values.get("state") ?? "all", group: values.get("group") ?? "",
    sort: values.get("sort") ?? "id", isUp: values.get("up") === "1", at: -1,
  };
  let all = null, shown = [], body = null, made = new Map();
  const parts = toolbar(view, () => draw(), () => compare());

  function compare() {
    location.hash = `#/compare?runs=${[...chosen].join(",")}`;
  }

  function draw() {
    keep({ q: view.words, state: view.state === "all" ? "" : view.state, group: view.group,
      sort: view.sort === "id" ? "" : view.sort, up: view.isUp ? "1" : "" });
    if (!all) return;
    if (!all.length) {
      stay.replaceChildren(nothing("No runs yet.", "Start one, and it appears here:",
        h("code", {}, "orchestrator run probe")));
      body = null;
      return;
    }
    if (!body) {
      body = h("tbody");
      stay.replaceChildren(parts.bar, h("table", { class: "runs-table" }, heads(view, draw), body));
    }
    shown = sorted(all.filter((run) => fits(run, view)), view);
    parts.update(all, shown, view);
    for (const head of stay.querySelectorAll("th[data-key]")) {
      const isSorted = head.dataset.key === view.sort;
      head.setAttribute("aria-sort", isSorted ? (view.isUp ? "ascending" : "descending") : "none");
    }
    view.at = Math.min(view.at, shown.length - 1);
    fill();
  }

  function fill() {
    const rows = [];
    let group = null;
    const before = made;
    made = new Map();
    shown.forEach((run, index) => {
      if (view.group && run[view.group] !== group) {
        group = run[view.group];
        const size = shown.filter((one) => one[view.group] === group).length;
        rows.push(h("tr", { class: "group" }, h("th", { colspan: String(COLUMNS.length), scope: "rowgroup" },
          group || "none", h("span", { class: "hint" }, ` ${size}`))));
      }
      const text = JSON.stringify(run) + (run.is_over ? "" : ago(run.created));
      const known = before.get(run.id);
      const kept = known?.text === text ? known : { text, row: line(run, () => draw()) };
      made.set(run.id, kept);
      kept.row.classList.toggle("at", index === view.at);
      kept.row.querySelector("input").checked = chosen.has(run.id);
      rows.push(kept.row);
    });
    if (!rows.length) rows.push(h("tr", {}, h("td", { colspan: String(COLUMNS.length), class: "none" }, "No run fits.")));
    const same = rows.length === body.children.length && rows.every((row, i) => row === body.children[i]);
    if (!same) body.replaceChildren(...rows);
  }

  return {
    async refresh() {
      const answer = await get("runs");
      const isNew = all !== answer.runs;
      all = answer.runs;
      const isLive = all.some((run) => !run.is_over);
      if (isNew || isLive) draw();
    },
    key(event) {
      if (event.key === "c" && chosen.size > 1) compare();
      else if (event.key === "j" || event.key === "k") {
        view.at = Math.max(0, Math.min(shown.length - 1, view.at + (event.key === "j" ? 1 : -1)));
        fill();
        body.querySelector(".at")?.scrollIntoView({ block: "nearest" });
      } else if (event.key === "Enter" && shown[view.at] && !event.target.closest("a, button")) {
        location.hash = `#/run/${shown[view.at].id}`;
      } else if (event.key === "x" && shown[view.at]) {
        choose(shown[view.at].id);
        draw();
      } else return false;
      return true;
    },
  };
}

function toolbar(view, draw, compare) {
  const search = h("input", { type: "search", placeholder: "Search: words, tag:lr, state:failed, model:bert  ( / )",
    "aria-label": "Search runs", value: view.words,
    oninput: () => { view.words = search.value; draw(); } });
  const states = h("div", { class: "segments", role: "group", "aria-label": "State" }, STATES.map((name) =>
    h("button", { type: "button", data: { name }, onclick: () => { view.state = name; draw(); } }, name, h("i"))));
  const group = h("select", { "aria-label": "Group by", onchange: () => { view.group = group.value; draw(); } },
    Object.entries(GROUPS).map(([key, name]) => h("option", { value: key, selected: key === view.group }, name)));
  const button = h("button", { type: "button", class: "main", onclick: compare }, "Compare");
  const told = h("span", { class: "hint", role: "status" });
  return {
    bar: h("div", { class: "bar" }, search, states, group, told, button),
    update(all, shown) {
      told.textContent = `${shown.length} of ${all.length}`;
      button.hidden = chosen.size < 2;
      button.textContent = `Compare ${chosen.size}`;
      for (const one of states.children) {
        const name = one.dataset.name;
        one.setAttribute("aria-pressed", String(name === view.state));
        one.querySelector("i").textContent = String(all.filter((run) => isIn(run, name)).length);
      }
    },
  };
}

function heads(view, draw) {
  return h("thead", {}, h("tr", {}, COLUMNS.map(([name, key]) => key === null
    ? h("th", { scope: "col", class: name || "pick" }, name)
    : h("th", { scope: "col", class: key, data: { key } }, h("button", { type: "button", class: "plain", onclick: () => {
      view.isUp = view.sort === key ? !view.isUp : false;
      view.sort = key;
      draw();
    } }, name)))));
}

function line(run, draw) {
  const pick = h("input", { type: "checkbox", "aria-label": `Choose ${run.id}`,
    onchange: () => { choose(run.id); draw(); } });
  const share = run.steps ? Math.min(1, run.step / run.steps) : 0;
  const fill = h("span", { class: "fill" });
  fill.style.width = `${share * 100}%`;
  const steps = run.steps ? ` / ${whole(run.steps)}` : "";
  return h("tr", { data: { run: run.id, state: run.state } },
    h("td", { class: "pick" }, pick),
    h("td", { class: "id" }, h("a", { href: `#/run/${run.id}` }, run.id),
      run.reason ? h("span", { class: "reason", title: run.reason }, run.reason) : null),
    h("td", { class: "state" }, state(run.state)),
    h("td", { class: "job" }, run.job),
    h("td", { class: "model" }, run.model),
    h("td", { class: "step num" }, whole(run.step), h("span", { class: "hint" }, steps),
      run.is_over || !run.steps ? null : h("span", { class: "gauge" }, fill)),
    h("td", { class: "loss num" }, number(run.loss)),
    h("td", { class: "eval_loss num" }, number(run.eval_loss)),
    h("td", { class: "tokens_per_s num" }, count(run.tokens_per_s)),
    h("td", { class: "created num" }, ago(run.created)),
    h("td", { class: "tags" }, tags(run.tags)));
}

function choose(id) {
  if (!chosen.delete(id)) chosen.add(id);
}

const isIn = (run, name) => name === "all" || (name === "live" ? !run.is_over : run.state === name);

function fits(run, view) {
  if (!isIn(run, view.state)) return false;
  const text = [run.id, run.job, run.model, run.state, run.note, run.reason, run.parent, ...run.tags].join(" ").toLowerCase();
  return view.words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => {
    const [key, value] = word.split(/:(.*)/);
    if (value === undefined || !["tag", "state", "model", "job", "id", "parent"].includes(key)) return text.includes(word);
    return key === "tag" ? run.tags.some((tag) => tag.toLowerCase().includes(value))
      : String(run[key] ?? "").toLowerCase().includes(value);
  });
}

function sorted(runs, view) {
  const way = view.isUp ? 1 : -1;
  const value = (run, key) => run[key] ?? null;
  const order = (a, b, key) => {
    const [one, other] = [value(a, key), value(b, key)];
    if (one === null || other === null) return (one === null) - (other === null); // what is not there comes last
    return (one < other ? -1 : one > other ? 1 : 0) * way;
  };
  const found = [...runs].sort((a, b) => order(a, b, view.sort));
  if (!view.group) return found;
  const first = new Map();
  found.forEach((run, index) => { if (!first.has(run[view.group])) first.set(run[view.group], index); });
  return found.sort((a, b) => first.get(a[view.group]) - first.get(b[view.group]));
}
