// The page of the camera loop in Chromium: what it shows, at four widths, in light and dark, whether its settings can be changed by keyboard,
// and whether axe finds it accessible.
//
//     npm install playwright-core axe-core         # in any folder
//     NODE_PATH=FOLDER/node_modules node tests/browser/page.mjs [PROGRAM] [FOLDER FOR SCREENSHOTS]
//
// CHROMIUM names the browser (/usr/bin/chromium).
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_PATH ?? ".", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const program = process.argv[2] ?? "target/release/densight-camera";
const folder = mkdtempSync(join(tmpdir(), "densight-page-"));
const shots = process.argv[3] ?? folder;

function check(what, holds) {
  if (!holds) throw new Error("not so: " + what);
  console.log("ok: " + what);
}

async function accessible(tab, name) {
  const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter(v => ["serious", "critical"].includes(v.impact));
  check(`${name}: axe finds nothing serious ${JSON.stringify(serious.map(v => [v.id, v.nodes.map(n => n.html)]))}`, serious.length === 0);
}

const settings = tab => tab.evaluate(async () => (await (await fetch("/api/settings")).json()).regions);
const said = (tab, words) => tab.waitForFunction(words => document.querySelector("#said").textContent.includes(words), words, { timeout: 10000 });

// By keyboard alone: a threshold, one that is refused, and a number.
async function changed(tab, name) {
  const before = (await settings(tab))[1].state;
  const slider = tab.getByLabel("Begins at").nth(1);
  await slider.focus();
  await slider.press("ArrowRight");
  await said(tab, "changed: enter of right");
  const after = (await settings(tab))[1].state;
  check(`${name}: a key raises a threshold by a hundredth`, Math.abs(after.enter - before.enter - 0.01) < 1e-6);
  check(`${name}: and says so`, await slider.getAttribute("aria-valuetext") === (100 * after.enter).toFixed(1) + "%");
  await slider.press("Home");
  await said(tab, "leave is 0.2: it must not be above enter, which is 0");
  check(`${name}: what is refused is said in words, and is as before`, Math.abs((await settings(tab))[1].state.enter - after.enter) < 1e-6);
  await tab.waitForFunction(value => Math.abs(document.querySelectorAll("input[type=range]")[6].value - value) < 0.006, after.enter, { timeout: 10000 });
  await accessible(tab, name + ", refused");
  await slider.press("ArrowLeft");
  await said(tab, "changed: enter of right");
  const number = tab.getByLabel("Classes shown").nth(1);
  await number.fill("2");
  await number.press("Enter");
  await tab.waitForFunction(() => document.querySelectorAll("#regions section")[1].querySelectorAll("li:not(.unknown)").length === 2, null, { timeout: 10000 });
  await number.fill("3");
  await number.press("Tab");
  await said(tab, "changed: topk of right");
  check(`${name}: a number is changed and put back`, (await settings(tab))[1].topk === 3);
}

// A model that is refused, and one that takes the other's place.
async function exchanged(tab, name) {
  const file = tab.getByLabel("Another one: its file in the folder of models");
  const told = words => tab.waitForFunction(words => document.querySelector("#progress").textContent.includes(words), words, { timeout: 60000 });
  await file.fill("no-such.onnx");
  await file.press("Enter");
  await told("model no-such.onnx: refused: ");
  await accessible(tab, name + ", model refused");
  await file.fill("hand.onnx");
  await tab.getByLabel("For", { exact: true }).selectOption("right");
  await tab.getByLabel("take its own labels").check();
  await tab.getByRole("button", { name: "Exchange" }).press("Enter");
  await told("model hand.onnx: done; right has ");
  check(`${name}: another model`, (await tab.locator("#running dd").nth(1).textContent()).startsWith("hand"));
}

async function paused(tab, name, shot) {
  await tab.getByRole("button", { name: "Pause" }).press("Enter");
  await tab.waitForFunction(() => document.querySelector("#state").textContent.startsWith("paused"), null, { timeout: 10000 });
  const button = tab.getByRole("button", { name: "Resume" });
  check(`${name}: paused, and no picture can be taken`, await button.isEnabled() && await tab.getByRole("button", { name: "Take a picture" }).isDisabled());
  await accessible(tab, name + ", paused");
  await tab.screenshot({ path: shot, fullPage: true });
  await button.press(" ");
  await tab.waitForFunction(() => document.querySelector("#state").textContent.startsWith("live"), null, { timeout: 20000 });
  await tab.getByRole("button", { name: "Take a picture" }).press("Enter");
  await tab.waitForFunction(() => document.querySelector("#taken img")?.naturalWidth > 0, null, { timeout: 10000 });
  check(`${name}: resumed, and a picture was taken`, (await tab.locator("#taken a").getAttribute("download")).endsWith(".jpg"));
  await accessible(tab, name + ", with a picture");
}

// By an address of the network, without encryption: there browsers say less of where a request comes from, and a token is asked for.
async function fromTheNetwork(browser) {
  const address = Object.values(networkInterfaces()).flat().find(one => one.family === "IPv4" && !one.internal)?.address;
  if (!address) return console.log("SKIPPED: this computer has no address in a network");
  const token = "0123456789abcdef";
  writeFileSync(join(folder, "token"), token);
  const port = await start("test://pattern", "http://0.0.0.0:0", "--token-file", join(folder, "token"));
  for (const colorScheme of ["light", "dark"]) {
    const tab = await (await browser.newContext({ colorScheme, viewport: { width: 400, height: 700 } })).newPage();
    await tab.goto(`http://${address}:${port}/`);
    await tab.evaluate(axe);
    await accessible(tab, "log-in page, " + colorScheme);
    await tab.screenshot({ path: join(shots, `login-${colorScheme}.png`) });
    await tab.getByLabel("Token").fill(token);
    await tab.getByRole("button", { name: "Log in" }).click();
    await tab.getByRole("button", { name: "Pause" }).press("Enter");
    await said(tab, "paused");
    await tab.getByRole("button", { name: "Resume" }).press("Enter");
    await said(tab, "resumed");
    await tab.getByLabel("Least score shown").press("ArrowRight");
    await said(tab, "changed: threshold of frame");
    check(`from the network, ${colorScheme}: paused, resumed, changed`, true);
    await tab.context().close();
  }
}

// The clip's states change, as it shows several things.
const file = join(folder, "camera.toml");
writeFileSync(file, `input = "clip://"
outputs = ["http://127.0.0.1:0"]
input-loop = true
models = "${folder}"
name = "front"
[swap]
slower = 100
[[region]]
name = "left"
rect = "0%,0%,50%,100%"
state = { enter = 0.3, leave = 0.2, hold = 0.1 }
[[region]]
name = "right"
rect = "50%,0%,50%,100%"
state = { enter = 0.3, leave = 0.2, hold = 0.1 }
`);
copyFileSync("models/hand_signs_densenet_bc_L40_k12_int8.onnx", join(folder, "hand.onnx"));
const cameras = [];

// Starts one; resolves with the port of its page.
function start(...options) {
  const camera = spawn(program, options, { stdio: ["ignore", "ignore", "pipe"] });
  cameras.push(camera);
  let told = "";
  return new Promise((resolve, reject) => {
    camera.stderr.on("data", data => {
      told += data;
      const found = told.match(/http:\/\/[0-9.]+:(\d+)\//);
      if (found) resolve(found[1]);
    });
    camera.on("exit", () => reject(new Error(told)));
  });
}

const page = `http://127.0.0.1:${await start("--config", file)}/`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280, 2560, 3840]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: Math.round(width * 0.5) + 500 } });
      const tab = await context.newPage();
      const errors = [], outside = [];
      tab.on("pageerror", error => errors.push(String(error)));
      tab.on("request", request => { if (!request.url().startsWith(page) && !request.url().startsWith("data:")) outside.push(request.url()); });
      await tab.goto(page, { waitUntil: "load" });
      await tab.waitForFunction(() => document.querySelectorAll("#events li").length >= 3 && document.querySelector("#events img")?.naturalWidth > 0, null, { timeout: 60000 });
      await tab.evaluate(() => document.querySelectorAll("details").forEach(details => { details.open = true; }));
      await tab.waitForTimeout(3000);
      await tab.screenshot({ path: join(shots, `page-${width}-${colorScheme}.png`), fullPage: true });
      const seen = await tab.evaluate(() => ({
        title: document.title, strips: document.querySelectorAll(".strip").length, charts: document.querySelectorAll("#charts svg").length,
        picture: document.querySelector("#stream").naturalWidth, wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        live: document.querySelector("#page").classList.contains("live"), regions: document.querySelectorAll("#regions section").length,
      }));
      const name = `${width} pixels, ${colorScheme}`;
      check(`${name}: the camera's name, both regions, their states and events`, seen.title.startsWith("front") && seen.regions === 2 && seen.strips === 2);
      check(`${name}: live, with a picture and a chart`, seen.live && seen.picture > 0 && seen.charts >= 1);
      check(`${name}: nothing is wider than the window`, !seen.wide);
      await tab.evaluate(axe);
      await accessible(tab, name);
      await changed(tab, name);
      if (width === 1280 && colorScheme === "dark") await exchanged(tab, name);
      await paused(tab, name, join(shots, `page-${width}-${colorScheme}-paused.png`));
      check(`${name}: no errors, and nothing from elsewhere ${errors} ${outside}`, errors.length === 0 && outside.length === 0);
      await context.close();
    }
  }
  await fromTheNetwork(browser);
  console.log("screenshots are in " + shots);
} finally {
  await browser.close();
  cameras.forEach(camera => camera.kill());
}
