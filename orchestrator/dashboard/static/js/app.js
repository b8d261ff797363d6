// Which page is shown, how often it is refreshed, and the keys that work everywhere.

import { h, nothing, waiting } from "./dom.js";
import { takeToken } from "./wire.js";
import { openRuns } from "./runs.js";
import { openRun } from "./run.js";
import { openCompare } from "./compare.js";
import { openCluster } from "./cluster.js";

const PAGES = { runs: openRuns, run: openRun, compare: openCompare, cluster: openCluster };
const EVERY_MS = 1000;
const main = document.getElementById("main");
let page = null;
let turn = 0;

// `#/run/ID/logs?axis=time` → its words and its values
export function place() {
  const [path, values] = location.hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").filter(Boolean).map(decodeURIComponent), values: new URLSearchParams(values) };
}

// Values of the address without a new page: a link can be sent to somebody else.
export function keep(values) {
  const [path, before] = location.hash.split("?");
  const all = new URLSearchParams(before);
  for (const [name, value] of Object.entries(values)) {
    if (value === "" || value === null) all.delete(name);
    else all.set(name, value);
  }
  history.replaceState(null, "", all.size ? `${path}?${all}` : path);
}

async function open() {
  const { words, values } = place();
  const name = words[0] in PAGES ? words[0] : "runs";
  const mine = ++turn;
  page?.close?.();
  page = null;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.page === (name === "run" ? "runs" : name);
    link.toggleAttribute("aria-current", isHere);
  }
  delete main.dataset.ready;
  const stay = h("div", { class: `page ${name}` }, waiting());
  main.replaceChildren(stay);
  document.title = `${words[1]?.replace("~", " trial ") ?? name} · orchestrator`;
  page = PAGES[name](stay, words.slice(1), values);
  await refresh(mine, stay);
}

async function refresh(mine, stay) {
  try {
    if (!document.hidden || !main.dataset.ready) await page.refresh();
    if (mine !== turn) return;
    main.dataset.ready = "yes";
  } catch (err) {
    if (mine !== turn) return;
    if (err.status === undefined) console.error(err);
    if (!main.dataset.ready) {
      stay.replaceChildren(nothing(err.message, err.hint ?? "", h("a", { href: "#/runs" }, "All runs")));
    }
  }
  setTimeout(() => { if (mine === turn) refresh(mine, stay); }, EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) page?.refresh().catch(() => {}); });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (event.key === "Escape" && field) { field.blur(); return; }
  if (field || document.querySelector("dialog[open]")) return;
  if (event.key === "?") showKeys();
  else if (event.key === "/") document.querySelector("input[type=search]")?.focus();
  else if (event.key === "Escape" && place().words[0] !== "runs") location.hash = page?.up ?? "#/runs";
  else if (!page?.key?.(event)) return;
  event.preventDefault();
});

function showKeys() {
  document.getElementById("keys").showModal();
}

export function tell(text, isError = false) {
  const told = document.getElementById("told");
  told.textContent = text;
  told.dataset.kind = isError ? "error" : "done";
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { told.textContent = ""; }, 6000);
}

document.getElementById("help").addEventListener("click", showKeys);
takeToken();
window.addEventListener("hashchange", open);
open();
