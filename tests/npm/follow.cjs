// npm's socket.io-client, unchanged, in Node or in a real browser: what it is given, a line of JSON each.
// Arguments: node, chrome or firefox; the browser's program; what `follow` takes, as JSON.
// A browser's page is at `page` of the server, so that its Origin is the server's, and has nothing but the client's script.
const { existsSync } = require("node:fs");

const [where, program, options] = process.argv.slice(2);

const say = (told) => console.log(JSON.stringify(told));

/** Runs where the client does. */
function follow(io, tell, { url, path, engines, stream }) {
  let after = null;
  // A function, so that who comes back resumes.
  const auth = (give) => give(after === null ? { stream } : { stream, after });
  const socket = io(url, { path, transports: engines, reconnectionDelay: 100, ...(stream ? { auth } : {}) });
  socket.on("batch", ({ notifications, cursor, missed }) => {
    if (after === null) tell("joined");
    if (missed !== 0) tell({ missed });
    after = cursor;
    for (const { data } of notifications) tell(data);
  });
  socket.on("welcome", tell);
}

async function inBrowser(wanted) {
  const puppeteer = require("puppeteer-core");
  const script = require.resolve("socket.io-client").replace(/\/build\/.*/, "/dist/socket.io.min.js");
  if (!existsSync(script)) throw new Error(`the browser's client is not at ${script}`);
  // Firefox is driven by WebDriver BiDi alone; so is Chromium here, for both to be driven alike.
  const browser = await puppeteer.launch({
    browser: where, executablePath: program, protocol: "webDriverBiDi", args: where === "chrome" ? ["--no-sandbox"] : [],
  });
  const page = await browser.newPage();
  page.on("pageerror", (error) => say({ error: String(error) }));
  await page.exposeFunction("tell", say);
  await page.goto(wanted.url + wanted.page);
  await page.addScriptTag({ path: script });
  await page.evaluate(`(${follow})(io, tell, ${JSON.stringify(wanted)})`);
  process.stdin.on("end", () => browser.close().then(() => process.exit()));
}

const wanted = JSON.parse(options);
// Whoever started this ends it by closing its input.
process.stdin.resume();
if (where === "node") {
  process.stdin.on("end", () => process.exit());
  follow(require("socket.io-client").io, say, wanted);
} else {
  inBrowser(wanted).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
