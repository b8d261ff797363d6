// The trials of a sweep in a table: sorted by any column, and each the way to its own page.

import { keep } from "./app.js";
import { duration, h, number, plain } from "./dom.js";

const SHOWN = 12;

export class Leaderboard {
  constructor(look, values) {
    this.look = look;
    this.sort = values.get("sort") ?? "rank";
    this.isDown = values.get("down") === "1";
    this.isAll = false;
    this.at = -1;
    this.head = h("tr");
    this.body = h("tbody");
    this.more = h("button", { type: "button", class: "chip", onclick: () => { this.isAll = !this.isAll; this.fill(); } });
    this.node = h("div", { class: "leaderboard" },
      h("div", { class: "scroll" }, h("table", { class: "trials" }, h("thead", {}, this.head), this.body)), this.more);
    this.body.addEventListener("pointerover", (event) => look.point(trialOf(event)));
    this.body.addEventListener("pointerleave", () => look.point(null));
    this.body.addEventListener("click", (event) => { if (!event.target.closest("a") && trialOf(event) !== null) look.open(trialOf(event)); });
  }

  columns(answer) {
    const { dimensions, metric, beside } = answer;
    return [
      ["rank", "#", (trial) => trial.rank, (trial) => trial.rank ?? ""],
      ["trial", "trial", (trial) => trial.trial, (trial) => h("a", { href: `#/run/${trial.run}` }, named(trial.trial),
        origin(trial) ? h("span", { class: "hint" }, ` ${origin(trial)}`) : null)],
      ["value", metric, (trial) => trial.value, (trial) => number(trial.value)],
      ...(beside ? [["cost", beside, (trial) => trial.cost, (trial) => (trial.cost === null ? "" : `${number(trial.cost)}${trial.is_worth_it ? " ◆" : ""}`)]] : []),
      ["epochs", "epochs", (trial) => trial.epochs, (trial) => number(trial.epochs)],
      ["fate", "fate", (trial) => trial.fate, (trial) => h("span", { class: "state", data: { state: stateOf(trial.fate, answer) }, title: trial.reason },
        fateOf(trial.fate, answer), trial.fate === "failed" && trial.reason ? h("span", { class: "reason" }, trial.reason) : null)],
      ...dimensions.map(({ key }) => [key, key, (trial) => trial.point[key] ?? null, (trial) => (key in trial.point ? shown(trial.point[key]) : "")]),
      ["seed", "seed", (trial) => trial.seed, (trial) => String(trial.seed)],
      ["took_s", "time", (trial) => trial.took_s, (trial) => duration(trial.took_s)],
    ];
  }

  draw(answer) {
    this.answer = answer;
    this.all = this.columns(answer);
    if (!this.all.some(([key]) => key === this.sort)) this.sort = "rank";
    this.head.replaceChildren(...this.all.map(([key, name]) => h("th", { scope: "col", class: this.kind(key), data: { key } },
      h("button", { type: "button", class: "plain", onclick: () => this.by(key) }, name))));
    this.fill();
  }

  // Numbers stand below each other by their ends, words by their beginnings.
  kind(key) {
    if (WORDS.includes(key)) return key;
    const dimension = this.answer.dimensions.find((one) => one.key === key);
    return dimension?.values.some((value) => typeof value !== "number") ? "word" : "num";
  }

  by(key) {
    this.isDown = this.sort === key ? !this.isDown : false;
    this.sort = key;
    keep({ sort: key === "rank" ? "" : key, down: this.isDown ? "1" : "" });
    this.fill();
  }

  rows() {
    const read = this.all.find(([key]) => key === this.sort)[2];
    const way = this.isDown ? -1 : 1;
    const order = (a, b) => {
      const [one, other] = [read(a), read(b)];
      if (one === null || other === null) return (one === null) - (other === null); // what is not there comes last
      return (one < other ? -1 : one > other ? 1 : 0) * way;
    };
    const kept = this.answer.trials.filter((trial) => !this.look.kept || this.look.kept.has(trial.trial));
    return kept.sort(order); // equals stay in the order of the board
  }

  fill() {
    const sorted = this.rows();
    for (const head of this.head.children) {
      head.setAttribute("aria-sort", head.dataset.key === this.sort ? (this.isDown ? "descending" : "ascending") : "none");
    }
    const least = Math.max(SHOWN, this.at + 1);
    const shownOnes = this.isAll ? sorted : sorted.slice(0, least);
    this.more.hidden = sorted.length <= SHOWN;
    this.more.textContent = this.isAll ? `the first ${SHOWN}` : `all ${sorted.length} trials`;
    this.body.replaceChildren(...shownOnes.map((trial) => h("tr", { data: { trial: String(trial.trial), fate: trial.fate } },
      this.all.map(([key, , , cell]) => h("td", { class: this.kind(key) }, cell(trial))))));
    this.mark();
  }

  press(event) {
    const sorted = this.rows();
    if (event.key === "j" || event.key === "k") {
      this.at = Math.max(0, Math.min(sorted.length - 1, this.at + (event.key === "j" ? 1 : -1)));
      if (this.at >= this.body.children.length) this.fill();
      this.look.point(sorted[this.at]?.trial ?? null);
      this.body.querySelector(".at a")?.focus(); // Enter opens it
    } else return false;
    return true;
  }

  mark() {
    for (const row of this.body.children) row.classList.toggle("at", Number(row.dataset.trial) === this.look.hot);
  }
}

// What is open when nobody runs the sweep waits for a resume.
const STATES = { open: "running", finished: "finished", stopped: "stopped", failed: "failed" };
const stateOf = (fate, answer) => (fate === "open" && answer.is_over ? "queued" : STATES[fate]);
export const fateOf = (fate, answer) => (fate === "stopped" ? "given up" : fate === "open" && answer.is_over ? "unfinished" : STATES[fate]);
const WORDS = ["trial", "fate"];
const named = (trial) => String(trial).padStart(4, "0");
const shown = (value) => (typeof value === "number" ? number(value) : plain(value));
// Of a finalist, whose settings it has; of a population, whose weights it went on with last.
const origin = ({ again_of: again, taken }) => (again !== null ? `again ${named(again)}` : taken.length ? `from ${named(taken[taken.length - 1].source)}` : "");
const trialOf = (event) => {
  const row = event.target.closest("tr[data-trial]");
  return row ? Number(row.dataset.trial) : null;
};
