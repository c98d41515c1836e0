// Drives one headless browser for a Go test: node driver.mjs chromium|firefox PATH
//
// JSON, one object a line. In:  {id, op, …}      op: open {url} → page | eval {page, js} → value | screenshot {page, …} | close {page}
//                          Out: {id, value} or {id, error}; {page, console} for each line of a page's console.
// The end of the input ends the browser and this process: it cannot outlive the test.
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [engine, executablePath] = process.argv.slice(2);

const browser = await puppeteer.launch({
  browser: engine === "firefox" ? "firefox" : "chrome",
  executablePath,
  headless: true,
  acceptInsecureCerts: true, // tests make their certificates themselves
  protocolTimeout: 300_000, // one evaluate lasts as long as its scenario; the test has a deadline of its own
  // Chromium's sandbox does not start as root, which is who runs tests in a container.
  args: engine === "chromium" && process.getuid() === 0 ? ["--no-sandbox"] : [],
});

const pages = new Map();

const operations = {
  async open({ id, url }) {
    const page = await browser.newPage();
    pages.set(id, page);
    page.on("console", (line) => send({ page: id, console: `${line.type()}: ${line.text()}` }));
    page.on("pageerror", (error) => send({ page: id, console: `uncaught: ${error.message}` }));
    await page.goto(url);
    return id;
  },
  // js is the body of an async function.
  eval: ({ page, js }) => pages.get(page).evaluate(`(async () => {${js}})()`),
  async screenshot({ page, path, width, height, dark }) {
    const p = pages.get(page);
    await p.setViewport({ width, height });
    if (engine === "chromium") {
      await p.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
    }
    await p.screenshot({ path });
  },
  async close({ page }) {
    await pages.get(page).close();
    pages.delete(page);
  },
};

function send(message) {
  process.stdout.write(JSON.stringify(message) + "\n");
}

async function perform(request) {
  try {
    send({ id: request.id, value: (await operations[request.op](request)) ?? null });
  } catch (error) {
    send({ id: request.id, error: String(error.message ?? error) });
  }
}

send({ id: 0, value: await browser.version() });

// Requests run side by side: one page may wait for an event while another is told something.
for await (const line of createInterface({ input: process.stdin })) {
  perform(JSON.parse(line));
}
await browser.close();
