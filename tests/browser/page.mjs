// The page of the camera loop in Chromium: what it shows, at three widths, in light and dark, and whether axe finds it accessible.
//
//     npm install playwright-core axe-core         # in any folder
//     NODE_PATH=FOLDER/node_modules node tests/browser/page.mjs [PROGRAM] [FOLDER FOR SCREENSHOTS]
//
// CHROMIUM names the browser (/usr/bin/chromium).
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
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

// The clip's states change, as it shows several things.
const settings = join(folder, "camera.toml");
writeFileSync(settings, `input = "clip://"
outputs = ["http://127.0.0.1:0"]
input-loop = true
name = "front"
[[region]]
name = "left"
rect = "0%,0%,50%,100%"
state = { enter = 0.3, leave = 0.2, hold = 0.1 }
[[region]]
name = "right"
rect = "50%,0%,50%,100%"
state = { enter = 0.3, leave = 0.2, hold = 0.1 }
`);
const camera = spawn(program, ["--config", settings], { stdio: ["ignore", "ignore", "pipe"] });
let said = "";
const page = await new Promise((resolve, reject) => {
  camera.stderr.on("data", data => {
    said += data;
    const found = said.match(/http:\/\/127\.0\.0\.1:\d+\//);
    if (found) resolve(found[0]);
  });
  camera.on("exit", () => reject(new Error(said)));
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [400, 1280, 2560]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: Math.round(width * 0.7) + 300 } });
      const tab = await context.newPage();
      const errors = [], outside = [];
      tab.on("pageerror", error => errors.push(String(error)));
      tab.on("request", request => { if (!request.url().startsWith(page) && !request.url().startsWith("data:")) outside.push(request.url()); });
      await tab.goto(page, { waitUntil: "load" });
      await tab.waitForFunction(() => document.querySelectorAll("#events li").length >= 3 && document.querySelector("#events img")?.naturalWidth > 0, null, { timeout: 60000 });
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
      const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      const serious = violations.filter(v => ["serious", "critical"].includes(v.impact));
      check(`${name}: axe finds nothing serious ${JSON.stringify(serious.map(v => [v.id, v.nodes.map(n => n.html)]))}`, serious.length === 0);
      check(`${name}: no errors, and nothing from elsewhere ${errors} ${outside}`, errors.length === 0 && outside.length === 0);
      await context.close();
    }
  }
  console.log("screenshots are in " + shots);
} finally {
  await browser.close();
  camera.kill();
}
