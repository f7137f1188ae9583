"use strict";
const $ = id => document.getElementById(id);
const element = (tag, text, ...children) => {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  node.append(...children);
  return node;
};
// As all outputs write it: of the score in single precision, half a tenth rounded up.
const percent = score => (Math.round(Math.fround(score ?? 0) * 1000) / 10).toFixed(1) + "%";
const milliseconds = us => (us / 1000).toFixed(1) + " ms";

const isUnknown = region => region.unknown !== null && region.unknown.score > region.unknown.threshold;

function classes(region) {
  const unknown = isUnknown(region) ? [{ label: "unknown", score: region.unknown.score, unknown: true }] : [];
  const list = element("ol", null, ...unknown.concat(region.predictions).map(p => {
    const fill = element("i", null), bar = element("span", null, fill);
    bar.className = "bar";
    fill.style.width = 100 * (p.score ?? 0) + "%";
    const label = element("span", p.label);
    label.title = p.label;
    const row = element("li", null, element("div", null, label, element("span", percent(p.score))), bar);
    if (p.unknown) row.className = "unknown";
    return row;
  }));
  list.className = "classes";
  return list;
}

// States: of each region a strip of the last ten minutes. Where labels end by themselves, each has a strip of its own.
const STRIP = 600e3;
const changes = [];

function strips() {
  const multi = new Set(changes.filter(c => !c.active).map(c => c.region)), rows = new Map();
  for (const change of changes) {
    const name = multi.has(change.region) && change.label !== null ? change.region + ": " + change.label : change.region;
    if (!rows.has(name)) rows.set(name, []);
    rows.get(name).push({ at: change.time / 1000, label: change.active ? change.label ?? "uncertain" : null });
  }
  const end = Date.now(), begin = end - STRIP;
  $("history").hidden = rows.size === 0;
  $("strips").replaceChildren(...[...rows].flatMap(([name, row]) => {
    const strip = element("div", null), spoken = [];
    strip.className = "strip";
    const add = (from, to, label) => {
      const part = element("i", null);
      part.style.width = 100 * Math.max(0, to - Math.max(from, begin)) / STRIP + "%";
      part.style.background = label === null || label === "uncertain" ? "transparent" : hue(label);
      part.title = label ?? "";
      strip.append(part);
      if (label !== null && to > begin) spoken.push(label + " for " + span(to - Math.max(from, begin)));
    };
    if (row[0].at > begin) add(begin, row[0].at, null);
    row.forEach((state, i) => add(state.at, i + 1 < row.length ? row[i + 1].at : end, state.label));
    strip.setAttribute("role", "img");
    strip.setAttribute("aria-label", name + ": " + spoken.slice(-5).join(", then "));
    return [element("span", name + (row.at(-1).label ? ": " + row.at(-1).label : "")), strip];
  }));
}

// A colour for each label, the same wherever it appears.
function hue(label) {
  let sum = 7;
  for (const letter of label) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return "hsl(" + sum + " 65% 52%)";
}

function changed(number, change) {
  changes.push(change);
  if (changes.length > 200) changes.shift();
  const shown = new Image(96), time = element("time", new Date(change.time / 1000).toLocaleTimeString());
  let left = 3;
  shown.alt = "";
  shown.onerror = () => { if (left-- > 0) setTimeout(() => { shown.src = "/events/" + number + ".jpg?" + left; }, 1000); };
  shown.src = "/events/" + number + ".jpg";
  const words = (change.label ?? "uncertain") + (change.active ? "" : " ended");
  const text = element("span", null, element("b", words), time, element("small", " " + change.region + ", " + percent(change.score)));
  $("changes").hidden = false;
  $("events").prepend(element("li", null, shown, text));
  while ($("events").children.length > 50) $("events").lastChild.remove();
  strips();
}

// What is drawn over time, sampled twice a second.
const charts = { latency: { name: "Latency", unit: "ms", values: [] }, temperature: { name: "Temperature", unit: "\u00b0C", values: [] } };

function chart(which, value) {
  const values = charts[which].values;
  values.push(value);
  if (values.length > 240) values.shift();
}

function draw() {
  $("charts").replaceChildren(...Object.values(charts).filter(c => c.values.length > 0).flatMap(({ name, unit, values }) => {
    const most = Math.max(...values), least = Math.min(0, ...values), newest = values.at(-1);
    const svg = $("line").content.firstElementChild.cloneNode(true), path = svg.firstElementChild;
    svg.setAttribute("aria-label", name + ": at most " + most.toFixed(1) + " " + unit);
    const y = v => 42 - 40 * (v - least) / (most - least || 1);
    path.setAttribute("d", "M" + values.map((v, i) => (240 - values.length + i) + " " + y(v).toFixed(1)).join("L"));
    const legend = element("div", null, element("span", name), element("span", newest.toFixed(1) + " " + unit + ", at most " + most.toFixed(1)));
    legend.className = "axis";
    return [legend, svg];
  }));
}

async function temperature() {
  try {
    const found = (await (await fetch("/metrics")).text()).match(/^densight_temperature_celsius ([0-9.]+)/m);
    charts.temperature.newest = found && Number(found[1]);
  } catch {
    charts.temperature.newest = null;
  }
}

let dropped = -1;

function show(r) {
  const title = r.camera === null ? r.model : r.camera + " (" + r.model + ")";
  $("model").textContent = title;
  document.title = title + " \u2013 Densight";
  $("hash").textContent = r.model_hash;
  $("throttled").hidden = r.throttled !== true;
  $("regions").replaceChildren(...r.regions.map(region => {
    const state = region.state && (region.state.labels.join(", ") || (isUnknown(region) ? "unknown" : "uncertain"));
    const title = r.regions.length > 1 ? region.name : "Best classes";
    return element("section", null, element("h2", state ? title + ": " + state : title), classes(region));
  }));
  const s = r.stages;
  const rows = [["Frames/s", (r.fps ?? 0).toFixed(1)], ["Latency", milliseconds(r.latency_us)],
    ["Decode", milliseconds(s.decode_us)], ["Preprocess", milliseconds(s.preprocess_us)],
    ["Inference", milliseconds(s.inference_us)], ["Postprocess", milliseconds(s.postprocess_us)],
    ["Frame", r.sequence], ["Dropped", r.dropped]];
  if (r.dropped > dropped && dropped >= 0) rows.push(["", "dropping: the network is slower than the camera"]);
  dropped = r.dropped;
  if (r.lost > 0) rows.push(["Lost", r.lost]);
  if (r.skipped > 0) rows.push(["Skipped", r.skipped]);
  if (r.damaged > 0) rows.push(["Damaged", r.damaged]);
  if (r.origin !== null) rows.push(["From", r.origin]);
  $("timing").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

// How pictures come: "stream", one by one ("snapshots") where there are too many viewers, the last one ("still") while no new ones
// come, as Chromium shows a picture of a stream only when the next one begins, or not yet ("").
let way = "", asked = 0, sequence = -1;
const picture = $("stream");
const now = () => performance.now();
const ask = path => { asked = now(); picture.src = path + "?" + Math.round(asked); };

function look(stalls, newest) {
  if (stalls) {
    if (way !== "still" || sequence !== newest) ask("/snapshot.jpg");
    way = "still";
    sequence = newest;
    $("notice").textContent = "";
  } else if (way === "" || way === "still") {
    way = "stream";
    ask("/stream.mjpg");
  } else if (way === "snapshots" && now() - asked >= 1000) {
    ask("/snapshot.jpg");
  }
}

// Whether the stream was refused, and why, an image does not tell. A HEAD request takes nobody's place.
async function refused() {
  try {
    return (await fetch("/stream.mjpg", { method: "HEAD" })).status === 503;
  } catch {
    return false;
  }
}

async function choose() {
  if (await refused()) {
    way = "snapshots";
    $("notice").textContent = "too many viewers: one picture a second";
  } else {
    way = "";
    $("notice").textContent = "";
  }
}
picture.onerror = () => { if (way === "stream") choose(); };
setInterval(() => { if (way === "snapshots") choose(); }, 10000);

const span = ms => ms < 9950 ? (ms / 1000).toFixed(1) + " s" : ms < 120e3 ? Math.round(ms / 1000) + " s"
  : ms < 7200e3 ? Math.round(ms / 60e3) + " min" : Math.round(ms / 3600e3) + " h";

async function poll() {
  try {
    const answer = await fetch("/status.json");
    if (answer.ok) {
      const age = Number(answer.headers.get("Densight-Age-Ms"));
      const report = await answer.json();
      show(report);
      if (age < 5000) {
        chart("latency", report.latency_us / 1000);
        if (charts.temperature.newest) chart("temperature", charts.temperature.newest);
        draw();
      }
      showPaused(report.paused);
      look(age >= 2000, report.sequence);
      $("page").classList.toggle("live", age < 5000 && !report.paused);
      $("state").textContent = report.paused ? "paused: this picture is " + span(age) + " old" : age < 5000 ? "live, " + span(age) + " old" : "no new frame: this one is " + span(age) + " old";
    } else if (answer.status === 401) {
      location.reload();
    } else {
      $("state").textContent = "waiting for the first frame";
    }
  } catch {
    way = "";
    $("notice").textContent = "";
    $("page").classList.remove("live");
    $("state").textContent = "no connection";
  }
  setTimeout(poll, 500);
}
