
// Settings of regions, pausing, pictures: what the JSON API changes.
const say = (words, failed, where) => {
  const said = $(where ?? "said");
  said.textContent = words;
  said.classList.toggle("failed", failed === true);
};

// What a request is answered; of one that failed, why in words.
async function request(method, path, body) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("no connection: nothing was changed");
  }
  if (answer.status === 401) location.reload();
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(value.error ?? "the camera answered " + answer.status), { status: answer.status });
  return value;
}

// What can be set: name, words, kind of value, its step. Those of a state have a group of their own.
const SHOWN = [["threshold", "Least score shown", "share"], ["topk", "Classes shown", "count"], ["smoothing", "Smoothing", "share", 0.99]];
const STATE = [["enter", "Begins at", "share"], ["leave", "Ends below", "share"], ["hold", "Hold (seconds)", "seconds"], ["cooldown", "Cool-down (seconds)", "seconds"]];
let fields = [], shownRegions = "";

function field(region, group, [name, words, kind, most]) {
  const input = element("input", null), id = "set-" + fields.length;
  input.id = id;
  const label = element("label", words);
  label.htmlFor = id;
  const value = element("output", "");
  value.htmlFor = id;
  if (kind === "share") {
    Object.assign(input, { type: "range", min: 0, max: most ?? 1, step: 0.01 });
  } else {
    Object.assign(input, { type: "number", min: kind === "count" ? 1 : 0, step: kind === "count" ? 1 : "any", inputMode: kind === "count" ? "numeric" : "decimal" });
  }
  const speak = number => {
    if (kind !== "share") return;
    value.textContent = percent(number);
    input.setAttribute("aria-valuetext", percent(number));
  };
  input.addEventListener("input", () => speak(Number(input.value)));
  input.addEventListener("change", () => set(region, group, name, input));
  const of = settings => group ? settings.state[name] : settings[name];
  fields.push({ region, show: settings => { input.value = of(settings); speak(of(settings)); } });
  return element("div", null, label, ...(kind === "share" ? [value, input] : [input]));
}

function fieldset(region, group, words, list) {
  return element("fieldset", null, element("legend", words), ...list.map(each => field(region, group, each)));
}

function showSettings(settings) {
  const regions = JSON.stringify(settings.regions.map(region => [region.name, region.state === null]));
  if (regions !== shownRegions) {
    [shownRegions, fields] = [regions, []];
    $("tunings").replaceChildren(...settings.regions.map(region => {
      const sets = [fieldset(region.name, null, "Scores", SHOWN)];
      if (region.state !== null) sets.push(fieldset(region.name, "state", "State", STATE));
      const details = element("details", null, element("summary", settings.regions.length > 1 ? region.name : "Thresholds"), ...sets);
      details.open = settings.regions.length === 1;
      return details;
    }));
  }
  for (const { region, show } of fields) show(settings.regions.find(each => each.name === region));
}

async function set(region, group, name, input) {
  const value = input.value === "" ? null : Number(input.value);
  const change = group ? { [group]: { [name]: value } } : { [name]: value };
  try {
    if (value === null) throw new Error(name + " is no number");
    showSettings(await request("PATCH", "/api/settings", { regions: [{ name: region, ...change }] }));
    say("changed: " + name + " of " + region);
  } catch (error) {
    say(error.message, true);
    readSettings(true);
  }
}

// Others may change them too. What somebody is about to change here is left alone.
async function readSettings(always) {
  if (always !== true && $("tunings").contains(document.activeElement)) return;
  try {
    showSettings(await request("GET", "/api/settings"));
  } catch {
    // The picture's state says so already.
  }
}

let paused = null;

function showPaused(now) {
  if (paused === now) return;
  paused = now;
  $("pause").disabled = false;
  $("pause").textContent = now ? "Resume" : "Pause";
  $("pause").classList.toggle("on", now);
  $("take").disabled = now;
}

$("pause").addEventListener("click", async () => {
  try {
    const answer = await request("POST", paused ? "/api/resume" : "/api/pause");
    showPaused(answer.paused);
    say(answer.paused ? "paused: frames are not looked at" : "resumed");
  } catch (error) {
    say(error.message, true);
  }
});

$("take").addEventListener("click", async () => {
  try {
    const { picture } = await request("POST", "/api/snapshot");
    const reader = new FileReader();
    reader.onload = () => {
      const time = new Date(), link = element("a", null), shown = new Image();
      shown.alt = "";
      link.href = shown.src = reader.result;
      link.download = "densight-" + time.toISOString().slice(0, 19).replaceAll(":", "") + ".jpg";
      link.append(shown, element("span", "Save the picture of " + time.toLocaleTimeString()));
      $("taken").replaceChildren(link);
      $("taken").hidden = false;
      say("a picture was taken");
    };
    reader.readAsDataURL(await (await fetch(picture)).blob());
  } catch (error) {
    say(error.message, true);
  }
});

// Models: what looks at each region, and how far the newest request for another is, whoever made it.
function showModels({ regions, request }) {
  const rows = regions.map(({ region, model, input }) => [region, model + (input ? ", " + input.height + "\u00d7" + input.width : "")]);
  $("running").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const names = ["all regions", ...regions.map(({ region }) => region)];
  if (names.join("\n") !== [...$("where").options].map(option => option.textContent).join("\n")) {
    $("where").replaceChildren(...names.map((name, i) => new Option(name, i)));
  }
  if (request === null) return;
  const { asked, state } = request;
  const swapped = ({ region, model, agreement, before_ms, after_ms }) => region + " has " + model
    + (agreement === null ? "" : ", the same best label in " + percent(agreement) + " of frames")
    + (before_ms === null || after_ms === null ? "" : ", " + before_ms.toFixed(1) + " ms before, " + after_ms.toFixed(1) + " ms now");
  const words = {
    loading: () => "loading", shadowing: () => "compared on " + request.frames + " of " + request.of + " frames",
    trying: () => "tried on " + request.frames + " of " + request.of + " frames", refused: () => "refused: " + request.reason,
    swapped: () => "done" + request.regions.map(region => "; " + swapped(region)).join(""),
  };
  say(asked + ": " + words[state](), state === "refused", "progress");
  $("exchange").lastElementChild.disabled = state !== "refused" && state !== "swapped";
}

let next;

async function readModels() {
  clearTimeout(next);
  try {
    const models = await request("GET", "/api/model");
    showModels(models);
    if (models.request !== null && !["refused", "swapped"].includes(models.request.state)) next = setTimeout(readModels, 500);
  } catch {
    // The picture's state says so already.
  }
}

$("exchange").addEventListener("submit", async event => {
  event.preventDefault();
  const regions = $("where").selectedIndex > 0 ? [$("where").selectedOptions[0].textContent] : [];
  try {
    await request("POST", "/api/model", { model: $("file").value, regions, labels: $("relabel").checked ? "model" : "same" });
    readModels();
  } catch (error) {
    say(error.message, true, "progress");
  }
});
