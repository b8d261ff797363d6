// Where runs run: nodes and what they have, what live runs ask of them, the way to Ray's own page.

import { bytes, h, nothing, state, table } from "./dom.js";
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
          : [nothing("No cluster is known.", "Runs in the foreground start a Ray of their own. A persistent one:", h("code", {}, "orchestrator cluster up"))]),
        h("h2", {}, "Live runs"),
        answer.runs.length ? table(["run", "state", "workers", "CPUs", "GPUs", "where"], answer.runs.map((run) => [
          h("a", { href: `#/run/${run.id}` }, run.id), state(run.state), run.workers, run.cpus, run.gpus, run.address ?? "in the foreground"]))
          : h("p", {}, "None."));
    },
  };
}

function cluster(one, runs) {
  const link = h("a", { href: one.address, rel: "noreferrer", target: "_blank" }, "Ray's dashboard");
  if (one.error) return h("section", { class: "card" }, h("h2", {}, one.address), h("p", { class: "because" }, one.error));
  const asked = (name) => runs.filter((run) => run.address === one.address).reduce((sum, run) => sum + run[name], 0);
  const gauge = (name, has, wants) => {
    const fill = h("span", { class: "fill" });
    fill.style.width = `${has ? Math.min(100, 100 * wants / has) : 0}%`;
    return h("div", {}, h("dt", {}, name), h("dd", {}, `${wants} of ${has} asked for`), h("span", { class: "gauge" }, fill));
  };
  const { CPU = 0, GPU = 0, memory = 0 } = one.resources;
  return h("section", { class: "card" }, h("h2", {}, one.address), h("p", { class: "hint" },
    `Ray ${one.ray_version}, ${one.nodes} ${one.nodes === 1 ? "node" : "nodes"}, ${bytes(memory)} of memory. `, link),
  h("dl", { class: "facts" }, gauge("CPU", CPU, asked("cpus")), GPU ? gauge("GPU", GPU, asked("gpus")) : null));
}
