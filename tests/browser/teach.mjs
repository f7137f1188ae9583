// Classes are taught on the page of the camera loop in Chromium, from an empty folder to a model that the command line runs: two classes are
// made, pictures are captured by pointer and by key, a head is taught, tried, thrown away, tried again and kept; at 360 pixels, in light and
// dark. The camera is a server of Motion JPEG in here, which shows one of two scenes.
//
//     npm install playwright-core axe-core         # in any folder
//     NODE_PATH=FOLDER/node_modules node tests/browser/teach.mjs [FOLDER OF PROGRAMS] [FOLDER FOR SCREENSHOTS]
//
// CHROMIUM names the browser (/usr/bin/chromium).
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_PATH ?? ".", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const programs = process.argv[2] ?? "target/release";
const folder = mkdtempSync(join(tmpdir(), "densight-teach-"));
const shots = process.argv[3] ?? folder;
const pictures = join(folder, "pictures"), asked = join(folder, "asked");
// Any script is allowed in a name.
const CLASSES = ["open", "закрыто"];

function check(what, holds) {
  if (!holds) throw new Error("not so: " + what);
  console.log("ok: " + what);
}

// A door, open or shut, as a camera with some noise sees it from a place and in a light of its own each time.
function draw(scene, number) {
  const canvas = new OffscreenCanvas(320, 240), pen = canvas.getContext("2d");
  let seed = number * 7919 + (scene === "open" ? 1 : 2);
  const random = () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 2147483648; };
  const light = 0.6 + 0.5 * random(), grey = value => "rgb(" + [1, 0.96, 0.9].map(tint => Math.min(255, value * light * tint)).join() + ")";
  pen.fillStyle = grey(150);
  pen.fillRect(0, 0, 320, 240);
  pen.translate(20 * (random() - 0.5), 16 * (random() - 0.5));
  pen.fillStyle = grey(90);
  pen.fillRect(-50, 190, 420, 100);
  pen.fillStyle = grey(scene === "open" ? 25 : 175);
  pen.fillRect(110, 40, 100, 150);
  pen.fillStyle = grey(scene === "open" ? 130 : 60);
  pen.beginPath();
  if (scene === "open") [[110, 40], [110, 190], [70, 225], [70, 20]].forEach(([x, y]) => pen.lineTo(x, y));
  else pen.arc(196, 118, 7, 0, 7);
  pen.fill();
  const pixels = pen.getImageData(0, 0, 320, 240);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const noise = 24 * (random() - 0.5);
    for (let channel = 0; channel < 3; channel++) pixels.data[i + channel] += noise;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 }).then(blob => blob.arrayBuffer()).then(bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))));
}

const scenes = { open: [], shut: [] };
let scene = "open";

// 15 frames a second of the scene that is on.
const camera = createServer((_, answer) => {
  answer.writeHead(200, { "Content-Type": "multipart/x-mixed-replace; boundary=frame" });
  let number = 0;
  const timer = setInterval(() => {
    const jpeg = scenes[scene][number++ % scenes[scene].length];
    answer.write(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n\r\n`);
    answer.write(jpeg);
    answer.write("\r\n");
  }, 67);
  answer.on("close", () => clearInterval(timer));
});

const running = [];

// Starts the program; resolves with the port of its page.
function start() {
  const url = `http://127.0.0.1:${camera.address().port}/`;
  const program = spawn(join(programs, "densight-camera"), [url, "http://127.0.0.1:0", "--teach", pictures], { stdio: ["ignore", "ignore", "pipe"] });
  running.push(program);
  let told = "";
  return new Promise((resolve, reject) => {
    program.stderr.on("data", data => {
      told += data;
      const found = told.match(/output {2}http:\/\/[0-9.]+:(\d+)\//);
      if (found) resolve([found[1], () => told, program]);
    });
    program.on("exit", () => reject(new Error(told)));
  });
}

async function accessible(tab, name) {
  const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(v => ["serious", "critical"].includes(v.impact));
  check(`${name}: axe finds nothing serious ${JSON.stringify(serious.map(v => [v.id, v.nodes.map(n => n.html)]))}`, serious.length === 0);
}

const status = async tab => await tab.evaluate(async () => await (await fetch("/api/teach")).json());
const count = async (tab, name) => (await status(tab)).classes.find(each => each.name === name)?.pictures ?? 0;

async function until(what, holds, longest = 60000) {
  for (const end = Date.now() + longest; !(await holds());) {
    if (Date.now() > end) throw new Error("waited too long: " + what);
    await new Promise(done => setTimeout(done, 100));
  }
}

// By a key, once it can be pressed.
async function press(tab, name) {
  const button = tab.getByRole("button", { name, exact: true });
  await until(name + " can be pressed", () => button.isEnabled());
  await button.press("Enter");
}

async function shot(tab, name) {
  check(`${name}: nothing is wider than the window`, await tab.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));
  // As it is on the screen, and all of it.
  await tab.screenshot({ path: join(shots, `teach-${name}-screen.png`) });
  await tab.screenshot({ path: join(shots, `teach-${name}.png`), fullPage: true });
  await accessible(tab, name);
}

// The best class that the page shows.
const best = tab => tab.locator("#regions li").first().locator("span").first().textContent();

async function makeClasses(tab) {
  await tab.waitForSelector("#teach:not([hidden])");
  await shot(tab, "1-empty");
  const field = tab.getByLabel("New class");
  await field.fill("../up");
  await field.press("Enter");
  await tab.waitForFunction(() => document.querySelector("#teach-said").textContent.includes("begins with a dot"));
  await tab.waitForTimeout(2500);
  check("what is refused stays to be read", (await tab.locator("#teach-said").textContent()).includes("begins with a dot"));
  await accessible(tab, "a name that is refused");
  check("nothing was made elsewhere", !existsSync(join(folder, "up")));
  for (const name of CLASSES) {
    await field.fill(name);
    await field.press("Enter");
    await tab.waitForFunction(name => [...document.querySelectorAll("#classes legend")].some(each => each.textContent.startsWith(name)), name);
  }
  check("two folders", JSON.stringify(readdirSync(pictures).sort()) === JSON.stringify([...CLASSES].sort()));
}

// By a pointer that is held, by a short press, by a key that is held, and one after the other.
async function capture(tab) {
  const held = name => tab.getByRole("button", { name: "Hold to take pictures of " + name });
  await held(CLASSES[0]).scrollIntoViewIfNeeded();
  await held(CLASSES[0]).hover();
  await tab.mouse.down();
  await until("pictures while a button is held", async () => await count(tab, CLASSES[0]) >= 8);
  await tab.mouse.up();
  const { capturing } = await status(tab);
  await tab.waitForTimeout(700);
  const after = await count(tab, CLASSES[0]);
  await tab.waitForTimeout(1200);
  check(`no pictures once it is let go (${JSON.stringify(capturing)})`, await count(tab, CLASSES[0]) === after);
  await tab.mouse.down();
  await tab.waitForTimeout(60);
  await tab.mouse.up();
  await until("a short press", async () => await count(tab, CLASSES[0]) > after);
  await tab.waitForTimeout(900);
  check("a short press takes one picture", await count(tab, CLASSES[0]) === after + 1);
  await tab.getByRole("button", { name: "Undo the last picture" }).click();
  await until("undone", async () => await count(tab, CLASSES[0]) === after);

  scene = "shut";
  await tab.waitForTimeout(500);
  await held(CLASSES[1]).focus();
  await tab.keyboard.down("Space");
  await until("pictures while a key is held", async () => await count(tab, CLASSES[1]) >= 6);
  await tab.keyboard.up("Space");
  await tab.getByLabel("Seconds between single pictures").fill("0.2");
  await tab.getByRole("button", { name: `One every 0.2 s of ${CLASSES[1]}` }).press("Enter");
  await until("pictures one after the other", async () => await count(tab, CLASSES[1]) >= 11);
  await shot(tab, "2-capturing");
  await tab.getByRole("button", { name: "Stop taking pictures of " + CLASSES[1] }).press("Enter");
  await until("stopped", async () => (await status(tab)).capturing === null);
  const shown = await tab.evaluate(async () => {
    const { classes: [{ name, newest }] } = await (await fetch("/api/teach")).json();
    const answer = await fetch(`/api/teach/${encodeURIComponent(name)}/${newest[0]}`);
    const { width, height } = await createImageBitmap(await answer.blob());
    return { type: answer.headers.get("Content-Type"), width, height };
  });
  check("a picture is what the camera shows " + JSON.stringify(shown), shown.type === "image/jpeg" && shown.width === 320 && shown.height === 240);
}

// One picture goes to the wrong class, and back.
async function move(tab) {
  const [before, other] = [await count(tab, CLASSES[1]), await count(tab, CLASSES[0])];
  await tab.locator("#classes fieldset").nth(1).locator(".thumb").first().press("Enter");
  const dialog = tab.getByRole("dialog");
  await tab.waitForFunction(() => document.querySelector("#picture img").naturalWidth > 0);
  await shot(tab, "3-picture");
  await dialog.getByRole("button", { name: "Move to " + CLASSES[0] }).press("Enter");
  await until("moved", async () => await count(tab, CLASSES[1]) === before - 1 && await count(tab, CLASSES[0]) === other + 1);
  await tab.locator("#classes fieldset").nth(0).locator(".thumb").first().press("Enter");
  await dialog.getByRole("button", { name: "Move to " + CLASSES[1] }).press("Enter");
  await until("moved back", async () => await count(tab, CLASSES[1]) === before);
  await tab.locator("#classes fieldset").nth(1).locator(".thumb").first().press("Enter");
  await dialog.getByRole("button", { name: "Delete" }).press("Enter");
  await until("deleted", async () => await count(tab, CLASSES[1]) === before - 1);
}

async function train(tab) {
  const before = (await status(tab)).lesson;
  await press(tab, "Teach");
  await until("it is taught", async () => (await status(tab)).training.state === "done" && JSON.stringify((await status(tab)).lesson) !== JSON.stringify(before), 180000);
  const { accuracy, pictures, seconds } = (await status(tab)).lesson;
  check(`taught on ${pictures} pictures in ${seconds.toFixed(1)} s, ${(100 * accuracy).toFixed(1)} % by cross-validation`, accuracy > 0.9);
}

async function tryIt(tab) {
  await press(tab, "Try it");
  await until("it is tried", async () => {
    const { running, exchange } = await status(tab);
    if (exchange?.state === "refused") throw new Error(exchange.reason);
    return running === "tried";
  }, 120000);
  for (const [name, shown] of [["open", CLASSES[0]], ["shut", CLASSES[1]]]) {
    scene = name;
    await until(`${shown} is found`, async () => await best(tab) === shown, 20000);
    check(`the page shows ${shown}`, true);
  }
}

// The class that the command line finds, of pictures that were not taught with.
function classified(model, name, number) {
  const file = join(asked, `${name}-${number}.jpg`);
  writeFileSync(file, Buffer.from(scenes[name][number]));
  return JSON.parse(execFileSync(join(programs, "densight"), ["classify", "--model", model, "--json", file]).toString().split("\n")[0]).predictions[0].label;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  mkdirSync(asked);
  const drawing = await browser.newPage();
  for (const name of Object.keys(scenes)) {
    for (let number = 0; number < 60; number++) scenes[name].push(Buffer.from(await drawing.evaluate(`(${draw})(${JSON.stringify(name)}, ${number})`), "base64"));
  }
  await drawing.close();
  await new Promise(done => camera.listen(0, "127.0.0.1", done));
  let [port, told, program] = await start();
  const open = async colorScheme => {
    const tab = await (await browser.newContext({ colorScheme, viewport: { width: 360, height: 780 } })).newPage();
    tab.on("pageerror", error => { throw error; });
    tab.on("dialog", dialog => dialog.accept());
    await tab.goto(`http://127.0.0.1:${port}/`);
    await tab.evaluate(axe);
    return tab;
  };
  let tab = await open("light");
  await makeClasses(tab);
  await capture(tab);
  await move(tab);
  await train(tab);
  await shot(tab, "4-taught");
  await tryIt(tab);
  await press(tab, "It is right");
  scene = "open";
  await until("open again", async () => await best(tab) === CLASSES[0]);
  const before = await count(tab, CLASSES[0]);
  await tab.locator("#it-is").getByRole("button", { name: CLASSES[0] }).press("Enter");
  await until("added", async () => await count(tab, CLASSES[0]) === before + 1);
  check("right and wrong are counted", await tab.locator("#judged").textContent() === "1 time right, 1 wrong");
  await shot(tab, "5-tried");
  await press(tab, "Throw it away");
  await until("the model before is back", async () => (await status(tab)).running === "other", 60000);
  check("its labels are back", !CLASSES.includes(await best(tab)) || await tab.waitForTimeout(1500).then(async () => !CLASSES.includes(await best(tab))));
  await tab.context().close();

  tab = await open("dark");
  await tab.waitForSelector("#lesson:not([hidden])");
  await train(tab);
  await tryIt(tab);
  await shot(tab, "6-dark");
  await press(tab, "Keep it");
  await until("it is kept", async () => (await status(tab)).running === "kept");
  await shot(tab, "7-kept");
  const model = join(pictures, "taught.onnx");
  check("the model is in the folder", existsSync(model));
  check("the folder has nothing else " + readdirSync(pictures), readdirSync(pictures).length === 3);
  for (const [name, label] of [["open", CLASSES[0]], ["shut", CLASSES[1]]]) {
    for (const number of [55, 57, 59]) check(`densight classify finds ${label}`, classified(model, name, number) === label);
  }
  await tab.context().close();
  program.removeAllListeners("exit");
  program.kill("SIGINT");
  await new Promise(done => program.on("exit", done));
  console.log(told());

  // It is loaded at the next start, and can be taught on.
  [port, told, program] = await start();
  tab = await open("light");
  await until("the kept model is loaded", async () => CLASSES.includes(await best(tab)));
  check("it counts as kept", (await status(tab)).running === "kept");
  await train(tab);
  await tab.locator("#classes summary").first().click();
  await tab.getByRole("button", { name: "Delete " + CLASSES[0] }).click();
  await until("a class is deleted", async () => (await status(tab)).classes.length === 1);
  check("so is its folder", !existsSync(join(pictures, CLASSES[0])));
  await tab.context().close();
  console.log("screenshots are in " + shots);
} finally {
  await browser.close();
  running.forEach(program => {
    program.removeAllListeners("exit");
    program.kill();
  });
  camera.close();
  camera.closeAllConnections();
}
