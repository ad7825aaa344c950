// The console in a real browser against a running server with at least one experiment that has a readout and a current
// recommendation.
//
// SENDLAB_URL and SENDLAB_KEY name the server and a key with the scope `read`. SENDLAB_EXPERIMENT chooses the
// experiment; the first one of the list where it is not set. CHROMIUM is the browser's path.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { SENDLAB_URL, SENDLAB_KEY, SENDLAB_EXPERIMENT, CHROMIUM = "/usr/bin/chromium" } = process.env;
const BASE = SENDLAB_URL?.replace(/\/$/, "");
/** Chromium needs these where it runs as root and without a network beyond this machine. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let browser;

before(async () => {
  assert.ok(SENDLAB_URL && SENDLAB_KEY, "set SENDLAB_URL and SENDLAB_KEY to a running server and a key with the scope `read`");
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});

after(() => browser?.close());

async function api(path) {
  const response = await fetch(BASE + path, { headers: { Authorization: `Bearer ${SENDLAB_KEY}` } });
  assert.equal(response.status, 200, `GET ${path}`);
  return response.json();
}

async function theExperiment() {
  const all = await api("/v1/experiments");
  assert.ok(all.length > 0, "the server has an experiment");
  const chosen = SENDLAB_EXPERIMENT ? all.find(({ experiment }) => experiment === SENDLAB_EXPERIMENT) : all[0];
  assert.ok(chosen, `the server has the experiment ${SENDLAB_EXPERIMENT}`);
  return chosen;
}

/** A page that remembers what went wrong in it and which servers it asked. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(BASE).origin) problems.push(`asked another server: ${request.url()}`);
  });
  return { page, problems, close: () => context.close() };
}

async function signIn(page, secret) {
  await page.goto(`${BASE}/`);
  await page.getByLabel("API key").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/**
 * Checks that `text` shows `value` times `factor`, rounded to the digits it has. The parser is written for itself, so
 * that it does not repeat a mistake of the console's formatter.
 */
function shows(text, value, factor, what) {
  const match = /^([+−-]?)([\d,]+)(?:\.(\d+))?/.exec(text.trim());
  assert.ok(match, `${what}: "${text}" is a number`);
  const [, sign, whole, decimals = ""] = match;
  const shown = Number(`${whole.replaceAll(",", "")}.${decimals || "0"}`) * (sign === "−" || sign === "-" ? -1 : 1);
  const tolerance = 0.5 * 10 ** -decimals.length * (1 + 1e-9) + 1e-12;
  assert.ok(Math.abs(shown - value * factor) <= tolerance, `${what}: "${text}" is shown for ${value * factor}`);
}

function showsInterval(text, { lower, upper }, factor, what) {
  if (lower == null && upper == null) return assert.match(text, /open above and below/, what);
  if (upper == null) return assert.match(text, /open above/, what), shows(text, lower, factor, what);
  if (lower == null) return assert.match(text, /open below/, what), shows(text, upper, factor, what);
  const ends = text.split(" to ");
  assert.equal(ends.length, 2, `${what}: "${text}"`);
  shows(ends[0], lower, factor, `${what}, lower end`);
  shows(ends[1], upper, factor, `${what}, upper end`);
}

function showsP(text, value, what) {
  if (value == null) return assert.equal(text, "–", what);
  if (value < 0.0001) return assert.equal(text, "< 0.0001", what);
  return shows(text, value, 1, what);
}

function rowOf({ metric, variant, baseline }) {
  return `[data-metric=${JSON.stringify(metric)}][data-variant=${JSON.stringify(variant)}][data-baseline=${JSON.stringify(baseline)}]`;
}

async function field(row, name) {
  return (await row.locator(`[data-field="${name}"]`).innerText()).trim();
}

async function checkTableRow(page, estimate, factor) {
  const what = `${estimate.metric} of ${estimate.variant} against ${estimate.baseline}`;
  const row = page.locator(`table.numbers tr${rowOf(estimate)}`);
  assert.equal(await row.count(), 1, `${what} has one row`);
  for (const name of ["mean_variant", "mean_baseline"]) {
    if (estimate[name] != null) shows(await field(row, name), estimate[name], factor, `${what}, ${name}`);
  }
  if ("computed" in estimate.absolute) {
    const effect = estimate.absolute.computed;
    shows(await field(row, "difference"), effect.difference, factor, `${what}, difference`);
    showsInterval(await field(row, "difference_interval"), effect.interval, factor, `${what}, interval`);
    shows(await field(row, "statistic"), effect.statistic, 1, `${what}, t`);
    showsP(await field(row, "p_value"), effect.p_value, `${what}, p`);
  } else {
    assert.match(await field(row, "difference"), /cannot be computed, because/, what);
  }
  if ("computed" in estimate.relative) {
    const lift = estimate.relative.computed;
    shows(await field(row, "lift"), lift.relative, 100, `${what}, lift`);
    showsInterval(await field(row, "lift_interval"), lift.interval, 100, `${what}, interval of the lift`);
  } else {
    assert.match(await field(row, "lift"), /cannot be computed, because/, what);
  }
  showsP(await field(row, "p_adjusted"), estimate.p_adjusted, `${what}, p after Holm`);
}

/** Each comparison has one mark and shows the number of `scale`, or says why it has none. */
async function checkForest(page, estimates, scale, factorOf) {
  assert.equal(await page.locator(".forest li.comparison").count(), estimates.length, "one line per comparison");
  let marks = 0;
  for (const estimate of estimates) {
    const what = `${scale} effect on ${estimate.metric} of ${estimate.variant} against ${estimate.baseline}`;
    const line = page.locator(`.forest li${rowOf(estimate)}`);
    const answer = estimate[scale];
    if ("degenerate" in answer) {
      assert.match(await line.innerText(), /Cannot be computed, because/, what);
      assert.equal(await line.locator("circle").count(), 0, `${what} has no mark`);
      continue;
    }
    marks += 1;
    await line.locator("circle").waitFor();
    assert.equal(await line.locator("circle").count(), 1, `${what} has one mark`);
    const [value, factor] = scale === "relative" ? [answer.computed.relative, 100] : [answer.computed.difference, factorOf(estimate)];
    shows(await field(line, "effect"), value, factor, what);
    showsInterval(await field(line, "interval"), answer.computed.interval, factor, what);
  }
  assert.equal(await page.locator(".forest circle").count(), marks, "one mark per comparison that can be computed");
}

async function checkFunnel(page, arms) {
  for (const { variant, funnel } of arms) {
    const row = page.locator(`table.funnel tr[data-variant=${JSON.stringify(variant)}]`);
    for (const [stage, value] of Object.entries(funnel)) {
      const text = await row.locator(`[data-stage="${stage}"] [data-field="count"]`).innerText();
      assert.equal(text, value.toLocaleString("en-GB"), `${stage} of ${variant}`);
    }
  }
}

test("an experiment's page shows what its readout says", async () => {
  const { experiment: id, question } = await theExperiment();
  const { page, problems, close } = await open();
  await signIn(page, SENDLAB_KEY);
  const entry = page.locator(`[data-experiment=${JSON.stringify(id)}]`);
  await entry.getByRole("link", { name: question || id }).click();
  await page.locator("[data-verdict]").waitFor();

  const readout = await api(`/v1/experiments/${encodeURIComponent(id)}/readout`);
  const written = await api(`/v1/experiments/${encodeURIComponent(id)}`);
  const rates = new Set(written.metrics.filter(({ measure }) => measure === "occurred").map(({ name }) => name));
  const factorOf = ({ metric }) => (rates.has(metric) ? 100 : 1);

  assert.equal(await page.locator("[data-verdict]").innerText(), readout.verdict.sentence);
  assert.equal(await page.locator("[data-verdict]").getAttribute("data-verdict"), readout.verdict.kind);
  const doubts = await page.locator("[data-doubt]").evaluateAll((all) => all.map((one) => one.dataset.doubt));
  assert.deepEqual(doubts, readout.doubts.map(({ code }) => code), "the doubts");
  if (doubts.length === 0) await page.getByRole("heading", { name: "No doubts" }).waitFor();

  const all = await api(`/v1/recommendations/${encodeURIComponent(id)}/history`);
  const history = all.filter(({ scope }) => Object.values(scope).every((part) => part === null));
  assert.ok(history.length > 0, "the experiment has a recommendation");
  await page.locator(`[data-current=${JSON.stringify(history[0].id)}]`).waitFor();
  assert.equal(await page.locator("[data-current]").innerText(), history[0].variant);
  assert.equal(await page.locator(".history li").count(), history.length, "the history is whole");

  const againstControl = readout.estimates.filter(({ baseline }) => baseline === readout.control);
  await checkForest(page, againstControl, "relative", factorOf);
  await page.getByText("Absolute", { exact: true }).click();
  await checkForest(page, againstControl, "absolute", factorOf);
  if (readout.estimates.length > againstControl.length) {
    await page.getByLabel("also between the other variants").check();
    await checkForest(page, readout.estimates, "absolute", factorOf);
  }

  const opened = page.waitForEvent("popup");
  await page.getByRole("button", { name: "Page for those who decide" }).click();
  const forDeciders = await opened;
  await forDeciders.getByRole("heading", { name: "What to do", exact: true }).waitFor();
  await forDeciders.close();

  await checkFunnel(page, readout.arms);
  assert.equal(await page.locator("table.numbers tbody tr").count(), readout.estimates.length);
  for (const estimate of readout.estimates) await checkTableRow(page, estimate, factorOf(estimate));
  for (const [table, version] of Object.entries(readout.versions)) {
    assert.equal(await page.locator(`[data-table=${JSON.stringify(table)}] strong`).innerText(), String(version), `version of ${table}`);
  }
  assert.deepEqual(problems, [], "nothing went wrong in the page");
  await close();
});

/** Opens a question of the page and waits for what it shows: the answer, or the server's own words where it refuses. */
async function checkQuestion(page, name, path, check) {
  const question = page.locator(`[data-question="${name}"]`);
  assert.equal(await question.locator(".answer").innerText(), "", `${name} is not asked before it is opened`);
  await question.locator("summary").first().click();
  await question.locator('.answer:not(:empty), [role="alert"] .problem').first().waitFor();
  const response = await fetch(BASE + path, { headers: { Authorization: `Bearer ${SENDLAB_KEY}` } });
  const answer = await response.json();
  if (response.ok) return check(question, answer);
  const said = (await question.getByRole("alert").innerText()).toLowerCase();
  return assert.ok(said.includes(answer.error.message.toLowerCase()), `${name} says what the server says: ${said}`);
}

async function says(question, sentence) {
  assert.equal(await question.locator('[data-field="sentence"]').first().innerText(), sentence);
}

test("an experiment's page shows the decision and answers what is opened", async () => {
  const { experiment: id } = await theExperiment();
  const of = `/v1/experiments/${encodeURIComponent(id)}`;
  const { page, close } = await open();
  await page.goto(`${BASE}/#key=${SENDLAB_KEY}&open=${encodeURIComponent(id)}`);
  const decided = page.locator("[data-action]");
  await decided.waitFor();
  const decision = await api(`${of}/decision`);
  assert.equal(await decided.getAttribute("data-action"), decision.action);
  await says(decided, decision.sentence);
  for (const { sentence } of [...decision.reasons, ...decision.factors]) await decided.getByText(sentence).first().waitFor();
  if (decision.markets.length > 0) await decided.getByText("By market").click();
  assert.equal(await decided.locator("[data-market]").count(), decision.markets.length, "a row for each market");

  await checkQuestion(page, "groups", `${of}/breakdown?by=market`, async (question, answer) => {
    await says(question, answer.sentence);
    const parts = await question.locator("[data-part]").evaluateAll((all) => all.map((one) => one.dataset.part));
    assert.deepEqual(parts, answer.parts.map(({ part }) => part));
  });
  const groups = page.locator('[data-question="groups"]');
  await groups.getByRole("combobox", { name: "Group by" }).selectOption("channel");
  await groups.getByRole("columnheader", { name: "channel" }).waitFor();
  await groups.getByLabel("or by an attribute").fill("tier");
  await groups.getByRole("button", { name: "Group by it" }).click();
  await groups.getByRole("columnheader", { name: "attributes.tier" }).waitFor();
  await checkQuestion(page, "overlaps", `${of}/overlaps`, async (question, answer) => {
    assert.equal(await question.locator("[data-other]").count(), answer.length);
    if (answer.length > 0) await says(question, answer[0].sentence);
  });
  await checkQuestion(page, "adjusted", `${of}/adjusted`, async (question, answer) => {
    await says(question, answer.sentence);
    assert.equal(await question.locator("[data-variant]").count(), answer.variants.length);
  });
  await checkQuestion(page, "series", `${of}/series`, async (question, answer) => {
    await says(question, answer.sentence);
    const ages = await question.locator("[data-age]").evaluateAll((all) => all.map((one) => Number(one.dataset.age)));
    assert.deepEqual(ages, answer.ages.map(({ age_hours }) => age_hours));
    const days = answer.days.reduce((rows, { variants }) => rows + variants.length, 0);
    assert.equal(await question.locator("[data-day]").count(), days);
  });
  await checkQuestion(page, "sizing", `${of}/sizing`, (question, answer) => says(question, answer.sentence));
  await close();
});

/** A proposal as the API tells it; the story's own experiment asks for no second person. */
function proposal(id, state) {
  const scope = { market: null, locale: null, segment: null };
  const decided = { id: "r1", experiment_id: id, scope, variant: "b", weights: { b: 1 }, parent: null, reason: "It sells more." };
  const more = { readout_id: null, expected_gain: null, expected_loss: null, valid_until: null, created_at: "2026-03-02T09:00:00Z" };
  const settled = { settled_by: state === "open" ? null : "the boss", settled_at: state === "open" ? null : "2026-03-02T10:00:00Z" };
  const proposed = { recipients: 1200, proposed_by: "console", proposed_at: "2026-03-02T09:00:00Z" };
  return { id: "p1", experiment_id: id, recommendations: [{ ...decided, ...more }], ...proposed, state, ...settled, note: "" };
}

test("what waits for a second person is approved, and a refusal of the server is told in its words", async () => {
  const { experiment: id } = await theExperiment();
  const { page, close } = await open();
  const refusal = { kind: "invalid", message: "key: is that of the key `console`, which proposed it", hint: "another one must approve" };
  let state = "open";
  let refused = true;
  await page.route("**/v1/proposals*", (route) => route.fulfill({ json: [proposal(id, state)] }));
  await page.route("**/v1/proposals/p1/approve", (route) => {
    if (refused) return route.fulfill({ status: 422, json: { error: refusal } });
    state = "approved";
    return route.fulfill({ json: [] });
  });
  await signIn(page, SENDLAB_KEY);
  const waits = page.locator('[data-proposal="p1"]');
  await waits.getByRole("link", { name: id }).click();
  await page.locator("[data-verdict]").waitFor();
  await waits.getByRole("heading", { name: "This waits for a second person" }).waitFor();
  assert.match(await waits.innerText(), /send b\. It sells more\.[^]*Proposed by console[^]*1,200 people were still to follow/);
  await waits.getByRole("button", { name: "Approve" }).click();
  await waits.getByRole("alert").getByText("Key: is that of the key `console`, which proposed it. Another one must approve.").waitFor();
  refused = false;
  await waits.getByRole("button", { name: "Approve" }).click();
  await waits.getByText("Approved by the boss").waitFor();
  assert.equal(await waits.getByRole("button").count(), 0);
  await close();
});

/** Runs in the page: what sticks out of the screen, in words; nothing where the page is as wide as the screen. */
function tooWide() {
  const screen = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= screen) return "";
  const out = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > screen);
  const name = (element) => `${element.tagName}.${element.getAttribute("class") ?? ""} to ${element.getBoundingClientRect().right}`;
  return `${document.documentElement.scrollWidth} of ${screen}: ${out.slice(0, 5).map(name).join(", ")}`;
}

test("the campaigns' page accounts for every message", async () => {
  const campaigns = await api("/v1/campaigns");
  const { page, problems, close } = await open();
  await signIn(page, SENDLAB_KEY);
  await page.getByRole("link", { name: "Campaigns" }).click();
  await page.getByRole("heading", { name: "Campaigns", exact: true }).waitFor();
  await page.getByRole("region", { name: "Messages to one person" }).waitFor();
  assert.equal(await page.locator("[data-campaign]").count(), campaigns.length);
  for (const { campaign, state, progress } of campaigns) {
    const row = page.locator(`[data-campaign=${JSON.stringify(campaign.campaign)}]`);
    assert.equal(await field(row, "state"), state);
    for (const name of ["planned", "accepted", "refused", "in_doubt", "skipped", "claimed"]) {
      shows(await field(row, name), progress[name], 1, `${campaign.campaign}, ${name}`);
    }
  }
  assert.deepEqual(problems, []);
  await close();
});

test("a phone shows everything without scrolling sideways", async () => {
  const { experiment: id } = await theExperiment();
  const { page, problems, close } = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
  await page.goto(`${BASE}/#key=${SENDLAB_KEY}&open=${encodeURIComponent(id)}`);
  await page.locator(".forest circle").first().waitFor();
  assert.ok(!page.url().includes(SENDLAB_KEY), "the key is gone from the address");
  assert.equal(await page.evaluate(tooWide), "", "the page is as wide as the screen");
  // Not the size of a test: a list without a past is refused one, which a browser logs.
  for (const closed of await page.locator('main details:not([data-question="sizing"]) > summary').all()) await closed.click();
  await page.locator('[data-question="overlaps"] .answer:not(:empty)').waitFor();
  await page.locator('[data-question="groups"] .answer:not(:empty)').waitFor();
  assert.equal(await page.evaluate(tooWide), "", "so it is with everything opened");
  const pages = page.getByRole("navigation", { name: "Pages" });
  await pages.getByRole("link", { name: "Experiments" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("[data-experiment]").first().waitFor();
  await pages.getByRole("link", { name: "Campaigns" }).click();
  await page.getByRole("region", { name: "Messages to one person" }).waitFor();
  assert.equal(await page.evaluate(tooWide), "", "so is the campaigns' page");
  assert.deepEqual(problems, [], "nothing went wrong in the page");
  await close();
});

test("a made-up key is refused with what to do", async () => {
  const { page, close } = await open();
  await signIn(page, "sl_made-up");
  const alert = page.getByRole("alert").filter({ hasText: /key/i });
  await alert.waitFor();
  assert.match(await alert.innerText(), /sendlab keys create/);
  assert.equal(await page.locator("[data-experiment]").count(), 0);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, "a refused key is not kept");

  await page.goto(`${BASE}/#key=sl_made-up`);
  await alert.waitFor();
  assert.ok(!page.url().includes("sl_made-up"), "the key is gone from the address");
  await close();
});
