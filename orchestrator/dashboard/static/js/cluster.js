// Where runs run: nodes and how busy they are, what live runs ask of them, the way to Ray's own page.

import { bytes, h, nothing, number, state, table } from "./dom.js";
import { get } from "./wire.js";

export function openCluster(stay) {
  let seen = null;
  return {
    async refresh() {
      const answer = await get("cluster");
      if (answer === seen) return;
      seen = answer;
      stay.replaceChildren(h("h1", {}, "Cluster"),
        ...(answer.clusters.length ? answer.clusters.map((one) => cluster(one, answer.runs))
          : [nothing("No cluster is known.", "Runs in the foreground start a Ray of their own. A persistent one on this machine:", h("code", {}, "orchestrator cluster up"),
            "One that is elsewhere:", h("code", {}, "orchestrator dashboard --address http://HEAD:8265"))]),
        h("h2", {}, "Live runs"),
        answer.runs.length ? table(["run", "state", "workers", "CPUs", "GPUs", "where", "elsewhere"], answer.runs.map((run) => [
          h("a", { href: `#/run/${run.id}` }, run.id), state(run.state), run.workers, run.cpus, run.gpus, run.address ?? "in the foreground",
          h("span", {}, Object.entries(run.links).flatMap(([name, url]) => [away(url, name), " "]))]), { "data-table": "live" })
          : h("p", { class: "hint" }, "None."));
    },
  };
}

const away = (url, name) => h("a", { href: url, rel: "noreferrer", target: "_blank" }, name);

function cluster(one, runs) {
  const card = (...inside) => h("section", { class: "card", data: { cluster: one.address } }, h("h2", {}, one.address), ...inside);
  if (one.is_asked) return card(h("p", { class: "hint", "aria-busy": "true" }, "asking"));
  if (one.error) return card(h("p", { class: "because" }, one.error), one.hint ? h("p", { class: "note" }, one.hint) : null,
    h("p", { class: "hint" }, "It is asked again every few seconds. Runs and their folders are here without it."));
  const alive = one.nodes.filter((node) => node.is_alive);
  const has = (name) => alive.reduce((sum, node) => sum + (node.resources[name] ?? 0), 0);
  const asked = (name) => runs.filter((run) => run.address === one.address).reduce((sum, run) => sum + run[name], 0);
  const given = one.in_use;
  const gauges = [["CPU", has("CPU"), given.CPU, asked("cpus")], ["GPU", has("GPU"), given.GPU, asked("gpus")]].filter(([, all]) => all);
  return card(
    h("p", { class: "hint" }, `Ray ${one.ray_version}, ${alive.length} ${alive.length === 1 ? "node" : "nodes"}, ${bytes(has("memory"))} of memory for work. `, away(one.address, "Ray's dashboard")),
    h("dl", { class: "facts" }, gauges.map(([name, all, used, wanted]) => h("div", { data: { resource: name } }, h("dt", {}, name),
      h("dd", {}, `${number(used ?? wanted)} of ${number(all)} ${used === undefined ? "asked for" : "in use"}`), gauge((used ?? wanted) / all),
      used === undefined ? null : h("span", { class: "hint" }, `${number(wanted)} asked for by live runs`)))),
    table(["node", "state", "given away", "CPU", "memory", "GPUs"], one.nodes.map((node) => [
      h("span", {}, node.name, h("span", { class: "hint" }, ` ${node.address}${node.is_head ? ", the head" : ""}`)),
      state(node.is_alive ? "alive" : "dead"),
      ["CPU", "GPU"].filter((name) => node.resources[name] && name in node.in_use)
        .map((name) => `${number(node.in_use[name])} of ${number(node.resources[name])} ${name}`).join(", "),
      measured(node.cpu_percent / 100, `${Math.round(node.cpu_percent)} %`),
      node.memory_bytes ? measured(node.memory_used_bytes / node.memory_bytes, `${bytes(node.memory_used_bytes)} of ${bytes(node.memory_bytes)}`) : "",
      h("div", {}, node.gpus.map((gpu) => measured(gpu.percent / 100, `${gpu.name}: ${Math.round(gpu.percent)} %, ${bytes(gpu.memory_used_bytes)} of ${bytes(gpu.memory_bytes)}`)))]), { "data-table": "nodes" }));
}

const measured = (share, words) => h("div", { class: "measured" }, words, gauge(share));

function gauge(share) {
  const fill = h("span", { class: "fill" });
  fill.style.width = `${100 * Math.min(1, Math.max(0, share || 0))}%`;
  return h("span", { class: "gauge" }, fill);
}
