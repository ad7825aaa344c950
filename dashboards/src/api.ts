// The door to the public API: the key, the calls, and errors that say what to do. Nothing else in the console talks to
// the server.
import { signal } from "@preact/signals";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.gen";

type Schemas = components["schemas"];
export type Experiment = Schemas["Experiment"];
export type ExperimentSummary = Schemas["ExperimentSummary"];
export type Campaign = Schemas["CampaignStatus"];
export type MessageCount = Schemas["CountView"];
export type Metric = Schemas["Metric"];
export type Readout = Schemas["Readout"];
export type Estimate = Schemas["Estimate"];
export type Interval = Schemas["Interval"];
export type Recommendation = Schemas["Recommendation"];
export type Scope = Schemas["RecommendationScope"];
export type Decision = Schemas["DecisionAnswer"];
export type Forecast = Schemas["Forecast"];
export type HarmCheck = Schemas["HarmCheck"];
export type Proposal = Schemas["Proposal"];
export type BanditStanding = Schemas["BanditStanding"];
export type RolloutStanding = Schemas["RolloutStanding"];
export type Breakdown = Schemas["Breakdown"];
export type Overlap = Schemas["Overlap"];
export type Adjusted = Schemas["Adjusted"];
export type Series = Schemas["Series"];
export type Sizing = Schemas["Sizing"];
export type SizingParams = NonNullable<paths["/v1/experiments/{id}/sizing"]["get"]["parameters"]["query"]>;

/** How often a page that is looked at asks again. A readout is one scan of the lake, so this is also its load. */
const POLL_MS = 5_000;
/** How often a page asks again what scans the lake beside the readout and changes less often. */
export const SLOW_POLL_MS = 15_000;
/** How long the server may hold a question for a changed recommendation; shorter than what proxies cut off. */
const LONG_POLL_SECONDS = 25;
/** Where the key lives: gone when the tab is closed. */
const KEY_ITEM = "sendlab-key";

/** The API key in use; null asks for one. */
export const key = signal<string | null>(sessionStorage.getItem(KEY_ITEM));
/** Why the sign-in page is shown again, if something went wrong. */
export const refusal = signal<Failure | null>(null);

/** Something went wrong, with what to do about it. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Keeps a key for this tab. */
export function signIn(secret: string): void {
  sessionStorage.setItem(KEY_ITEM, secret);
  refusal.value = null;
  key.value = secret;
}

/** Forgets the key; `why` is shown where one is asked for. */
export function signOut(why: Failure | null = null): void {
  sessionStorage.removeItem(KEY_ITEM);
  refusal.value = why;
  key.value = null;
}

const client = createClient<paths>({ baseUrl: "", cache: "no-store" });

function authorized(secret = key.value): { Authorization: string } {
  return { Authorization: `Bearer ${secret ?? ""}` };
}

/** What to do in the console by status, where the API's own hint speaks to programs or gives none. */
type Advice = { byStatus: Record<number, string>; otherwise: string };

const CHECK_KEY = "Check that the whole key was copied and was not revoked. `sendlab keys create` makes a new one.";

const ADVICE: Advice = {
  byStatus: {
    0: "Check that the server runs (sendlab serve) and that this machine reaches it. The page tries again by itself.",
    401: CHECK_KEY,
    404: "Go back to the list of experiments and choose one that exists.",
    429: "Wait a moment. The page tries again by itself.",
  },
  otherwise: "The server's log says more. The page tries again by itself.",
};

/** For what a person asked for once: nothing tries again by itself, and what the server refuses is said in its words. */
const ADVICE_ONCE: Advice = {
  byStatus: { 0: "Check that the server runs (sendlab serve) and that this machine reaches it, then try again.", 401: CHECK_KEY },
  otherwise: "The server's log says more.",
};

/** The API's messages are clauses, to be put after an error's name; here they stand for themselves. */
function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function failure(status: number, body: unknown, advice: Advice): Failure {
  const told = (body as { error?: Schemas["Error"] } | undefined)?.error;
  const message = told?.message ?? (status === 0 ? "Sendlab does not answer" : `Sendlab answered with status ${status}`);
  const hint = advice.byStatus[status] ?? (told ? sentence(told.hint) : advice.otherwise);
  return new Failure(status, sentence(message), hint);
}

type Reply<T> = { data?: T; error?: unknown; response: Response };

async function reply<T>(call: Promise<Reply<T>>, advice = ADVICE): Promise<Reply<T>> {
  try {
    return await call;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw failure(0, undefined, advice);
  }
}

async function answer<T>(call: Promise<Reply<T>>, advice = ADVICE): Promise<T> {
  const { data, error, response } = await reply(call, advice);
  if (!response.ok || data === undefined) throw failure(response.status, error, advice);
  return data;
}

/** All experiments. `secret` tries a key that is not in use yet. */
export function experiments(abort?: AbortSignal, secret?: string): Promise<ExperimentSummary[]> {
  return answer(client.GET("/v1/experiments", { headers: authorized(secret), signal: abort ?? null }));
}

/** One experiment as written. */
export function experiment(id: string, abort: AbortSignal): Promise<Experiment> {
  return answer(client.GET("/v1/experiments/{id}", { params: { path: { id } }, headers: authorized(), signal: abort }));
}

/** The readout, computed now. */
export function readout(id: string, abort: AbortSignal): Promise<Readout> {
  return answer(client.GET("/v1/experiments/{id}/readout", { params: { path: { id } }, headers: authorized(), signal: abort }));
}

/** What would be decided now. Asking decides nothing. */
export function decision(id: string, abort: AbortSignal): Promise<Decision> {
  return answer(client.GET("/v1/experiments/{id}/decision", { params: { path: { id } }, headers: authorized(), signal: abort }));
}

/** Where the experiment's bandit stands; it must have one. */
export function bandit(id: string, abort: AbortSignal): Promise<BanditStanding> {
  return answer(client.GET("/v1/experiments/{id}/bandit", { params: { path: { id } }, headers: authorized(), signal: abort }));
}

/** Every scope that is rolled out in steps; none where the experiment has no rollout or nothing was decided. */
export function rollout(id: string, abort: AbortSignal): Promise<RolloutStanding[]> {
  return answer(client.GET("/v1/experiments/{id}/rollout", { params: { path: { id } }, headers: authorized(), signal: abort }));
}

/** What waits, or waited, for a second person, the newest first; only of one experiment where it is named. */
export function proposals(abort: AbortSignal, experiment?: string): Promise<Proposal[]> {
  const params = { query: experiment === undefined ? {} : { experiment } };
  return answer(client.GET("/v1/proposals", { params, headers: authorized(), signal: abort }));
}

/** Lets the senders follow a proposal. The server wants another key than the one that proposed it. */
export async function approve(proposal: string): Promise<void> {
  const params = { path: { proposal } };
  await answer(client.POST("/v1/proposals/{proposal}/approve", { params, headers: authorized() }), ADVICE_ONCE);
}

/** Refuses a proposal; `note` says why. */
export async function refuse(proposal: string, note: string): Promise<void> {
  const params = { path: { proposal } };
  await answer(client.POST("/v1/proposals/{proposal}/refuse", { params, body: { note }, headers: authorized() }), ADVICE_ONCE);
}

/** An experiment by groups of its recipients. */
export function breakdown(id: string, by: string, abort: AbortSignal): Promise<Breakdown> {
  const params = { path: { id }, query: { by } };
  return answer(client.GET("/v1/experiments/{id}/breakdown", { params, headers: authorized(), signal: abort }), ADVICE_ONCE);
}

/** Other experiments on the same recipients. */
export function overlaps(id: string, abort: AbortSignal): Promise<Overlap[]> {
  const params = { path: { id } };
  return answer(client.GET("/v1/experiments/{id}/overlaps", { params, headers: authorized(), signal: abort }), ADVICE_ONCE);
}

/** The primary metric with less noise. */
export function adjusted(id: string, abort: AbortSignal): Promise<Adjusted> {
  const params = { path: { id } };
  return answer(client.GET("/v1/experiments/{id}/adjusted", { params, headers: authorized(), signal: abort }), ADVICE_ONCE);
}

/** An experiment by age and by day. */
export function series(id: string, abort: AbortSignal): Promise<Series> {
  const params = { path: { id } };
  return answer(client.GET("/v1/experiments/{id}/series", { params, headers: authorized(), signal: abort }), ADVICE_ONCE);
}

/** How large a test should be. */
export function sizing(id: string, query: SizingParams, abort: AbortSignal): Promise<Sizing> {
  const params = { path: { id }, query };
  return answer(client.GET("/v1/experiments/{id}/sizing", { params, headers: authorized(), signal: abort }), ADVICE_ONCE);
}

/** The page for those who decide, as an address that this tab can open. The key travels in a header, which a plain link has not. */
export async function experimentPage(id: string): Promise<string> {
  const params = { path: { id } };
  const page = await answer(client.GET("/v1/experiments/{id}/page", { params, headers: authorized(), parseAs: "blob" }));
  return URL.createObjectURL(page as Blob);
}

/** All recommendations of an experiment for everybody, newest first; the first is the current one. */
export async function history(experiment: string, abort: AbortSignal): Promise<Recommendation[]> {
  const params = { path: { experiment } };
  const all = await answer(client.GET("/v1/recommendations/{experiment}/history", { params, headers: authorized(), signal: abort }));
  return all.filter(({ scope }) => scope.market == null && scope.locale == null && scope.segment == null);
}

/** All campaigns, oldest first, and how far each is. */
export function campaigns(abort: AbortSignal): Promise<Campaign[]> {
  return answer(client.GET("/v1/campaigns", { headers: authorized(), signal: abort }));
}

/** Messages to one person of the last month, by class and state. */
export function messageCounts(abort: AbortSignal): Promise<MessageCount[]> {
  return answer(client.GET("/v1/messages", { headers: authorized(), signal: abort }));
}

/** The currency that amounts are converted to. */
export async function baseCurrency(abort: AbortSignal): Promise<string> {
  return (await answer(client.GET("/v1/lake", { headers: authorized(), signal: abort }))).base_currency;
}

/** Waits until the current recommendation is another one than `tag` says; gives the new tag. */
async function recommendationChange(experiment: string, tag: string | null, abort: AbortSignal): Promise<string | null> {
  const params = { path: { experiment }, query: tag === null ? {} : { wait_seconds: LONG_POLL_SECONDS } };
  const headers = { ...authorized(), ...(tag === null ? {} : { "If-None-Match": tag }) };
  const { response, error } = await reply(
    client.GET("/v1/recommendations/{experiment}", { params, headers, signal: abort, parseAs: "text" }),
  );
  if (response.status === 304) return tag;
  if (!response.ok) throw failure(response.status, error, ADVICE);
  return response.headers.get("ETag");
}

function wait(ms: number, abort: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    abort.addEventListener("abort", () => (clearTimeout(timer), reject(abort.reason)), { once: true });
  });
}

function visible(abort: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    document.addEventListener("visibilitychange", () => resolve(), { once: true, signal: abort });
    abort.addEventListener("abort", () => reject(abort.reason), { once: true });
  });
}

/** A refused key ends the session; any other failure goes to `fail`. */
function hear(why: unknown, fail: (why: Failure) => void): void {
  const known = why instanceof Failure ? why : new Failure(0, String(why), "Reload the page.");
  if (known.status === 401) signOut(known);
  else fail(known);
}

/**
 * Calls `step` again and again while the page is looked at, until the returned function is called. A refused key ends
 * the session; any other failure goes to `fail` and the next round tries again.
 */
function repeat(step: (abort: AbortSignal) => Promise<number>, fail: (why: Failure) => void): () => void {
  const controller = new AbortController();
  const abort = controller.signal;
  const run = async (): Promise<void> => {
    while (!abort.aborted) {
      await visible(abort);
      const pause = await step(abort).catch((why: unknown) => {
        if (abort.aborted) return 0;
        hear(why, fail);
        return POLL_MS;
      });
      await wait(pause, abort);
    }
  };
  run().catch(() => undefined); // ends by being aborted, which is no news
  return () => controller.abort();
}

/** Gives `load`'s answer to `show` once, unless the returned function is called before. */
export function ask<T>(load: (abort: AbortSignal) => Promise<T>, show: (value: T) => void, fail: (why: Failure) => void): () => void {
  const controller = new AbortController();
  const abort = controller.signal;
  load(abort).then(
    (value) => abort.aborted || show(value),
    (why: unknown) => abort.aborted || hear(why, fail),
  );
  return () => controller.abort();
}

/** Gives `load`'s answer to `show` now and after every pause. Call the returned function to stop. */
export function poll<T>(
  load: (abort: AbortSignal) => Promise<T>,
  show: (value: T) => void,
  fail: (why: Failure) => void,
  pauseMs = POLL_MS,
): () => void {
  return repeat(async (abort) => {
    show(await load(abort));
    return pauseMs;
  }, fail);
}

/** Gives the recommendations to `show` now and at every change, which a long poll hears of at once. */
export function watchRecommendations(id: string, show: (all: Recommendation[]) => void, fail: (why: Failure) => void): () => void {
  let tag: string | null = null;
  let known = false;
  return repeat(async (abort) => {
    if (!known) {
      const all = await history(id, abort);
      show(all);
      known = all.length > 0;
      if (!known) return POLL_MS; // there is no current one to wait on yet
    }
    const next = await recommendationChange(id, tag, abort);
    if (next !== tag) show(await history(id, abort));
    // A server that gives no tag cannot be waited on.
    tag = next;
    return tag === null ? POLL_MS : 0;
  }, fail);
}
