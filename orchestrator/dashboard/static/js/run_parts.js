// The parts of a run that are read as text: checkpoints, settings, lineage, events, logs.

import { bytes, clock, h, nothing, number, plain, state, table, whole } from "./dom.js";
import { get, query } from "./wire.js";

// A part that is drawn again only when its answer changed.
function drawn(path, draw) {
  const node = h("div", {}, h("p", { class: "hint" }, "loading"));
  let seen = null;
  return {
    node,
    async refresh() {
      const answer = await get(path);
      if (answer === seen) return;
      seen = answer;
      node.replaceChildren(...draw(answer));
    },
  };
}

export function checkpointsPart(id) {
  return drawn(`runs/${id}/facts`, ({ checkpoints }) => checkpoints.length ? [table(
    ["step", "state", "size", "workers", "attempt", "validation loss", "time"],
    checkpoints.map((one) => [whole(one.step), state(one.state), bytes(one.size_bytes), one.world ?? "", one.attempt ?? "",
      number(one.loss), clock(one.time)]),
  ), h("p", { class: "hint" }, `orchestrator checkpoints ${id} --verify looks at every byte.`)]
    : [nothing("No checkpoints.", "They appear here when one is committed.")]);
}

export function settingsPart(id) {
  let words = "", isAll = false;
  const part = drawn(`runs/${id}/facts`, (answer) => {
    const body = h("div");
    const fill = () => {
      const keys = Object.keys(answer.settings).filter((key) => (isAll || key in answer.changed) && key.includes(words));
      body.replaceChildren(keys.length ? table(["setting", "value", "default"], keys.map((key) => [
        h("code", {}, key), plain(answer.settings[key]), key in answer.changed ? plain(answer.changed[key][0]) : h("span", { class: "hint" }, "same")]))
        : nothing("No setting fits."));
    };
    const search = h("input", { type: "search", placeholder: "Filter settings ( / )", "aria-label": "Filter settings", value: words,
      oninput: () => { words = search.value.trim(); fill(); } });
    const all = h("input", { type: "checkbox", checked: isAll, onchange: () => { isAll = all.checked; fill(); } });
    fill();
    return [h("div", { class: "bar" }, search, h("label", { class: "inline" }, all, " those at their default too")), body];
  });
  return part;
}

// Scores by split, and whatever else result.json has.
export function resultPart(id) {
  return drawn(`runs/${id}/result`, ({ result }) => {
    if (!result) return [nothing("No result yet.", "It is written when everything else is there.")];
    const { metrics = {}, spread = {}, schema: _, ...rest } = result;
    const splits = Object.keys(metrics).filter((split) => metrics[split] !== null && typeof metrics[split] === "object");
    const names = [...new Set(splits.flatMap((split) => Object.keys(metrics[split])))];
    const said = (split, name) => {
      const { least: low, most: high } = spread[split]?.[name] ?? {};
      return h("span", {}, number(metrics[split][name]), low === undefined ? null : h("span", { class: "hint" }, ` ${number(low)} to ${number(high)}`));
    };
    return [...(names.length ? [h("h2", {}, "Scores"), table(["", ...splits], names.map((name) =>
      [h("code", {}, name), ...splits.map((split) => (name in metrics[split] ? said(split, name) : ""))]), { "data-table": "scores" })] : []),
    h("h2", {}, "result.json"), table(["what", "value"], Object.entries(rest).map(([key, value]) => [h("code", {}, key), plain(value)]), { class: "rows pairs" })];
  });
}

export function lineagePart(id, _, now) {
  return drawn(`runs/${id}/facts`, ({ lineage, children, links }) => {
    const { packages = {}, git = {}, ...rest } = lineage;
    const commit = git.commit ? `${git.commit.slice(0, 12)} on ${git.branch}${git.is_dirty ? ", changed since" : ""}` : "no checkout";
    const link = (run) => h("a", { href: `#/run/${run}` }, run);
    const rows = [["folder", now().uri], ["git", commit],
      ...Object.entries(rest).map(([key, value]) => [key, key === "parent" && value ? link(value) : plain(value)]),
      ["children", children.length ? h("span", {}, children.flatMap((run) => [link(run), " "])) : "—"],
      ["elsewhere", Object.keys(links).length ? h("span", {}, Object.entries(links).flatMap(([name, url]) =>
        [h("a", { href: url, rel: "noreferrer", target: "_blank" }, name), " "])) : "—"]];
    return [table(["", ""], rows), h("h2", {}, "Packages"), table(["package", "version"], Object.entries(packages))];
  });
}

export function eventsPart(id) {
  return drawn(`runs/${id}/events`, ({ events }) => [table(["time", "attempt", "writer", "event", ""],
    [...events].reverse().map(({ time, attempt, writer, kind, seq, ...said }) => [h("time", {}, clock(time)), attempt, writer,
      h("b", {}, kind), Object.entries(said).filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
        .map(([key, value]) => `${key}=${value}`).join(", ")]))]);
}

export function logsPart(id) {
  let words = "", attempt = "", seen = null;
  const body = h("pre", { class: "log", tabindex: "0", "aria-label": "Output" });
  const told = h("span", { class: "hint", role: "status" });
  const search = h("input", { type: "search", placeholder: "Lines with … ( / )", "aria-label": "Filter lines",
    oninput: () => { words = search.value; clearTimeout(search.timer); search.timer = setTimeout(() => refresh().catch(() => {}), 150); } });
  const which = h("select", { "aria-label": "Attempt", onchange: () => { attempt = which.value; refresh().catch(() => {}); } },
    h("option", { value: "" }, "all attempts"));

  async function refresh() {
    const answer = await get(`runs/${id}/logs?${query({ words, attempt })}`);
    if (answer === seen) return;
    const isAtEnd = body.scrollHeight - body.scrollTop - body.clientHeight < 40;
    if (which.options.length !== answer.attempts.length + 1) {
      which.append(...answer.attempts.slice(which.options.length - 1).map((one) => h("option", { value: String(one) }, `attempt ${one}`)));
    }
    told.textContent = `${answer.lines.length} lines${answer.is_cut ? ", the last ones" : ""}`;
    body.replaceChildren(...(answer.lines.length ? answer.lines.map(([, text]) => h("span", { data: { kind: kindOf(text) } }, `${text}\n`))
      : [words ? "No line fits." : "Nothing was written yet."]));
    if (isAtEnd || !seen) body.scrollTop = body.scrollHeight;
    seen = answer;
  }

  return { node: h("div", {}, h("div", { class: "bar" }, search, which, told), body), refresh };
}

const kindOf = (text) => (/error|traceback|exception|killed/i.test(text) ? "bad" : /warn/i.test(text) ? "odd" : "");
