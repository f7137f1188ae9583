
// Teaching: classes, their pictures, what was taught. Requests go one after the other, so that a stop never overtakes what it stops.
let teaching = null, turn = Promise.resolve(), nextLook, looks = 3, complaint = { words: "", until: 0 };
const HELD = { pictures: 4, interval: 0.25 };

function teach(what) {
  const asked = turn.then(() => request("POST", "/api/teach", what));
  const fail = error => {
    complaint = { words: error.message, until: now() + 8000 };
    if (teaching !== null) showTeaching(teaching);
  };
  turn = asked.then(status => {
    complaint.until = 0;
    showTeaching(status);
  }, fail);
  return turn;
}

async function readTeaching() {
  clearTimeout(nextLook);
  let wait = 5000;
  try {
    showTeaching(await request("GET", "/api/teach"));
    const { capturing, training, exchange } = teaching;
    const busy = capturing !== null || ["features", "head"].includes(training.state) || unsettled(exchange);
    wait = busy ? 400 : 1500;
  } catch (error) {
    // Nothing is taught here, or not yet; else the picture's state says what is wrong.
    if (error.status === 409 && teaching === null && --looks === 0) return;
  }
  nextLook = setTimeout(readTeaching, wait);
}

const unsettled = exchange => exchange !== null && !["swapped", "refused"].includes(exchange.state);
const plural = (count, word) => count + " " + word + (count === 1 ? "" : "s");
const button = (words, act) => {
  const node = element("button", words);
  node.type = "button";
  if (act) node.addEventListener("click", act);
  return node;
};

// A button that takes pictures for as long as it is held: by pointer, or by a key. Programs that press it for somebody take one.
function holding(node, name) {
  let timer = null, begun = 0;
  const begin = () => {
    if (timer !== null) return;
    begun = now();
    node.classList.add("on");
    teach({ do: "capture", class: name, pictures: 1, interval: HELD.interval });
    timer = setInterval(again, 450);
  };
  // Another class may be made meanwhile, and the buttons with it.
  const again = () => node.isConnected ? teach({ do: "capture", class: name, ...HELD }) : end();
  const end = () => {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    node.classList.remove("on");
    if (now() - begun >= 450) teach({ do: "stop" });
  };
  node.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    node.setPointerCapture(event.pointerId);
    begin();
  });
  for (const over of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) node.addEventListener(over, end);
  node.addEventListener("keydown", event => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    begin();
  });
  node.addEventListener("keyup", end);
  node.addEventListener("click", event => { if (event.detail === 0) teach({ do: "capture", class: name, pictures: 1 }); });
  node.addEventListener("contextmenu", event => event.preventDefault());
  addEventListener("visibilitychange", end);
}

// The parts of each class that change.
let shownClasses = "", parts = new Map();

function classPart(name) {
  const legend = element("legend", name), count = element("span", ""), thumbs = element("div", null);
  const hold = button("Hold to take pictures"), every = button("");
  hold.className = "hold";
  hold.setAttribute("aria-label", "Hold to take pictures of " + name);
  holding(hold, name);
  every.setAttribute("aria-pressed", "false");
  every.addEventListener("click", () => {
    const interval = Number($("every").value);
    teach(every.getAttribute("aria-pressed") === "true" ? { do: "stop" } : { do: "capture", class: name, pictures: 1000, interval });
  });
  const buttons = element("div", null, hold, every), change = element("details", null, element("summary", "Change " + name));
  buttons.className = "buttons";
  thumbs.className = "thumbs";
  const field = element("input", null), label = element("label", "Name of the class"), form = element("form", null, label, field, element("button", "Rename"));
  Object.assign(field, { type: "text", id: "name-" + parts.size, value: name, required: true, maxLength: 60, autocomplete: "off" });
  label.htmlFor = field.id;
  form.addEventListener("submit", event => {
    event.preventDefault();
    teach({ do: "rename", class: name, to: field.value.trim() });
  });
  change.append(form, button("Delete " + name, () => {
    const { pictures } = teaching.classes.find(each => each.name === name);
    if (confirm("Delete " + name + " with " + plural(pictures, "picture") + "?")) teach({ do: "delete", class: name });
  }));
  legend.append(count);
  parts.set(name, { count, thumbs, every, shown: "" });
  return element("fieldset", null, legend, buttons, thumbs, change);
}

function thumb(name, picture, words) {
  const shown = new Image(), node = button(null, () => lookAt(name, picture));
  shown.alt = "";
  shown.src = "/api/teach/" + encodeURIComponent(name) + "/" + encodeURIComponent(picture);
  node.className = "thumb";
  node.setAttribute("aria-label", words ?? "Picture " + picture + " of " + name);
  node.append(shown);
  return node;
}

// A picture by itself: it can be deleted, or given to another class.
function lookAt(name, picture) {
  const dialog = $("picture"), shown = new Image(), done = request => {
    dialog.close();
    if (!request) return;
    parts.get(name)?.every.focus();
    teach(request);
  };
  shown.alt = "Picture " + picture + " of " + name;
  shown.src = "/api/teach/" + encodeURIComponent(name) + "/" + encodeURIComponent(picture);
  const others = teaching.classes.filter(each => each.name !== name);
  const buttons = element("div", null, button("Delete", () => done({ do: "remove", class: name, picture })),
    ...others.map(each => button("Move to " + each.name, () => done({ do: "move", class: name, picture, to: each.name }))), button("Close", () => done()));
  buttons.className = "buttons";
  dialog.replaceChildren(element("h2", name), shown, buttons);
  dialog.showModal();
}

function showClasses(status) {
  const names = JSON.stringify(status.classes.map(each => each.name));
  if (names !== shownClasses) {
    const focused = $("classes").contains(document.activeElement);
    [shownClasses, parts] = [names, new Map()];
    $("classes").replaceChildren(...status.classes.map(each => classPart(each.name)));
    if (focused) $("class").focus();
    $("it-is").replaceChildren(...status.classes.map(each => button(each.name, () => teach({ do: "wrong", class: each.name }))));
  }
  const every = Number($("every").value);
  for (const { name, pictures, newest } of status.classes) {
    const part = parts.get(name), capturing = status.capturing;
    const repeats = capturing !== null && capturing.class === name && capturing.left > HELD.pictures;
    part.count.textContent = " " + plural(pictures, "picture");
    part.every.setAttribute("aria-pressed", repeats);
    part.every.classList.toggle("on", repeats);
    part.every.textContent = repeats ? "Stop" : "One every " + every + " s";
    part.every.setAttribute("aria-label", repeats ? "Stop taking pictures of " + name : "One every " + every + " s of " + name);
    if (part.shown === newest.join()) continue;
    part.shown = newest.join();
    const there = new Map([...part.thumbs.children].map(node => [node.picture, node]));
    part.thumbs.replaceChildren(...newest.slice(0, 6).map(picture => there.get(picture) ?? Object.assign(thumb(name, picture), { picture })));
  }
}

let shownLesson = "";

function showLesson(lesson) {
  $("lesson").hidden = lesson === null;
  const written = JSON.stringify(lesson);
  if (lesson === null || written === shownLesson) return;
  shownLesson = written;
  const [low, high] = lesson.interval.map(percent);
  const head = element("tr", null, element("td", null), ...lesson.classes.map(each => element("th", each.name)));
  head.querySelectorAll("th").forEach(cell => { cell.scope = "col"; });
  const rows = lesson.confusion.map((row, i) => {
    const name = element("th", lesson.classes[i].name);
    name.scope = "row";
    return element("tr", null, name, ...row.map((count, j) => {
      const cell = element("td", count);
      cell.className = i === j ? "right" : count > 0 ? "wrong" : "";
      return cell;
    }));
  });
  const table = element("div", null, element("table", null, element("caption", "Rows: what a picture shows. Columns: what it is taken for."), head, ...rows));
  table.className = "table";
  table.tabIndex = 0;
  table.setAttribute("role", "group");
  table.setAttribute("aria-label", "What is taken for what");
  const suspects = lesson.suspects.map(each => {
    const words = "Is this " + each.class + "? It looks like " + each.looks_like + " (" + percent(each.probability) + ")";
    return element("li", null, thumb(each.class, each.picture, words), element("span", words));
  });
  const list = element("ul", null, ...suspects);
  list.className = "suspects";
  const same = lesson.classes.filter(each => each.differ === 1 && each.pictures > 1).map(each => each.name);
  $("lesson").replaceChildren(
    element("p", null, element("b", percent(lesson.accuracy)), " of " + plural(lesson.pictures, "picture") + " are found when they are left out; in general " + low + " to " + high + "."),
    ...(same.length > 0 ? [element("p", "All pictures look alike: " + same.join(", ") + ". Take some from elsewhere, or in another light.")] : []),
    ...(lesson.wanted.length > 0 ? [element("p", "More pictures help most: " + lesson.wanted.join(", ") + ".")] : []),
    table, ...(suspects.length > 0 ? [list] : []));
}

function showTeaching(status) {
  const { training, exchange, running } = status;
  teaching = status;
  $("teach").hidden = false;
  $("page").classList.add("teaches");
  showClasses(status);
  showLesson(status.lesson);
  const trains = ["features", "head"].includes(training.state), settled = !unsettled(exchange), tried = running === "tried";
  $("train").disabled = trains || status.classes.length < 2;
  $("cancel").hidden = $("learning").hidden = !trains;
  if (training.state === "features") Object.assign($("learning"), { max: training.of || 1, value: training.done });
  else $("learning").removeAttribute("value");
  $("undo").disabled = trains || status.classes.every(each => each.pictures === 0);
  $("try").disabled = !status.trained || !settled;
  $("keep").disabled = $("discard").disabled = !tried || !settled;
  $("judge").hidden = !tried || !settled;
  $("judged").textContent = plural(status.right, "time") + " right, " + status.wrong + " wrong";
  const words = { loading: () => "the taught model is loaded", shadowing: () => "compared on " + exchange.frames + " of " + exchange.of + " frames",
    trying: () => "tried on " + exchange.frames + " of " + exchange.of + " frames", refused: () => "not tried: " + exchange.reason, swapped: () => "" };
  const told = {
    idle: "", features: "looking at picture " + training.done + " of " + training.of, head: "learning what tells them apart", done: "", cancelled: "cancelled",
    failed: training.reason,
  };
  const run = { other: "", tried: "The taught model is being tried.", kept: "The taught model is in use, also after the next start." }[running];
  if (now() < complaint.until) return say(complaint.words, true, "teach-said");
  const all = [status.trouble ?? "", told[training.state], exchange === null ? "" : words[exchange.state](), settled ? run : ""].filter(each => each !== "");
  say(all.join("; "), status.trouble !== null || training.state === "failed" || exchange?.state === "refused", "teach-said");
}

$("make").addEventListener("submit", async event => {
  event.preventDefault();
  const field = $("class"), name = field.value.trim();
  await teach({ do: "make", class: name });
  if (teaching.classes.some(each => each.name === name)) field.value = "";
});
for (const what of ["undo", "train", "cancel", "try", "keep", "discard", "right"]) $(what).addEventListener("click", () => teach({ do: what }).then(readTeaching));
$("every").addEventListener("input", () => { if (teaching !== null) showClasses(teaching); });
