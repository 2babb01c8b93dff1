// Headless Chromium with `page.mjs`, driven as a person would: one JSON request per line on stdin, one JSON answer per line
// on stdout.
//
//   node browser.mjs ws://127.0.0.1:PORT
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { answer } from "./answer.mjs";

const TIMEOUT = 100_000;
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

const { outputFiles } = await build({
  entryPoints: [new URL("page.mjs", import.meta.url).pathname],
  bundle: true,
  write: false,
  format: "esm",
  logLevel: "silent",
  // What jazz-tools offers to React alone.
  external: ["react", "react-dom"],
});
const script = outputFiles[0].text;
const page = `<!doctype html><p id="account"></p><input id="title"><script type="module" src="page.js"></script>`;

const http = createServer((request, response) => {
  const isScript = request.url === "/page.js";
  response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
  response.end(isScript ? script : page);
});
await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));

const profile = await mkdtemp(join(tmpdir(), "interop-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  args: FLAGS,
  timeout: TIMEOUT,
});
browser.setDefaultTimeout(TIMEOUT);
const tab = await browser.newPage();
tab.on("pageerror", (error) => process.stderr.write(`page: ${error}\n`));

const requests = {
  // Answers with the account that the page has made.
  async start() {
    await tab.goto(`http://127.0.0.1:${http.address().port}/#${process.argv[2]}`);
    await tab.waitForFunction(() => document.querySelector("#account").textContent !== "");
    return { account: await tab.textContent("#account") };
  },
  async show({ id }) {
    await tab.evaluate((id) => globalThis.show(id), id);
    return {};
  },
  // Types into the field.
  async type({ text }) {
    await tab.fill("#title", text);
    return {};
  },
  // Answers when the field shows the text.
  async waitFor({ text }) {
    await tab.waitForFunction((text) => document.querySelector("#title").value === text, text);
    return {};
  },
};

await answer(requests);
await browser.close();
await rm(profile, { recursive: true, force: true });
process.exit(0);
