// One experiment's page: what waits, verdict, what the sender uses, doubts, decision, figures, closer questions, and what
// the numbers rest on.
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import {
  SLOW_POLL_MS,
  bandit,
  baseCurrency,
  decision,
  experiment,
  experimentPage,
  proposals,
  readout,
  rollout,
  watchRecommendations,
} from "./api";
import type { BanditStanding, Decision, Experiment, Failure, Proposal, Readout, Recommendation, RolloutStanding } from "./api";
import { LessNoise } from "./adjusted";
import { useAsked, usePolled } from "./asking";
import type { Current } from "./asking";
import { DecisionSection } from "./decision";
import { Forest, FunnelTable, NumbersTable } from "./figures";
import { count, hours, moment, pValue, share, unitOf } from "./format";
import { Groups } from "./groups";
import { MovingSection } from "./moving";
import { Overlaps } from "./overlaps";
import { Freshness, Heading, Problem, Waiting } from "./parts";
import { ProposalNotice } from "./proposals";
import { ByTime } from "./series";
import { Size } from "./sizing";

type Known = { written: Experiment; readout: Readout; currency: string; waiting: Proposal[] };
/** What is asked beside the readout and comes when it comes. */
type Beside = { decided: Current<Decision>; rollout: Current<RolloutStanding[]>; bandit: Current<BanditStanding> };

async function known(id: string, abort: AbortSignal): Promise<Known> {
  const asked = [experiment(id, abort), readout(id, abort), baseCurrency(abort), proposals(abort, id)] as const;
  const [written, answer, currency, waiting] = await Promise.all(asked);
  return { written, readout: answer, currency, waiting };
}

/** Asked at once, beside the readout: what stands below them moves when they come late. */
function useBeside(id: string): Beside & { settled: boolean } {
  const { value: written, problem } = useAsked(id, (abort) => experiment(id, abort));
  const decided = usePolled(id, (abort) => decision(id, abort), SLOW_POLL_MS);
  const steps = usePolled(written?.rollout ? id : null, (abort) => rollout(id, abort), SLOW_POLL_MS);
  const waves = usePolled(written?.bandit ? id : null, (abort) => bandit(id, abort), SLOW_POLL_MS);
  const asked = [decided, ...(written?.rollout ? [steps] : []), ...(written?.bandit ? [waves] : [])];
  const settled = (written !== null || problem !== null) && asked.every((one) => one.value !== null || one.problem !== null);
  return { decided, rollout: steps, bandit: waves, settled };
}

/** How long a readout that is there waits for what is asked beside it, so that the page seldom shifts. */
const PATIENCE_MS = 400;

function useReady(isKnown: boolean, settled: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!isKnown) return undefined;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isKnown]);
  return isKnown && (settled || late);
}

/** The page of one experiment. */
export function ReadoutPage({ id }: { id: string }): VNode {
  const { value, at, problem, again } = usePolled(id, (abort) => known(id, abort));
  const [decisions, setDecisions] = useState<Recommendation[] | null>(null);
  const [failed, setFailed] = useState<Failure | null>(null);
  useEffect(() => setFailed(null), [at]);
  useEffect(() => watchRecommendations(id, setDecisions, setFailed), [id]);
  const { settled, ...beside } = useBeside(id);
  const shown = useReady(value !== null, settled) ? value : null;
  const why = problem ?? failed;
  return (
    <>
      <nav class="crumbs" aria-label="You are here">
        <a href="#/">Experiments</a> <span aria-hidden="true">/</span> <code>{id}</code>
      </nav>
      <div class="page-head">
        <Heading text={shown?.written.question || id} />
        <PageForDeciders id={id} fail={setFailed} />
        <Freshness at={shown && at} failing={why !== null} />
      </div>
      <Problem why={why} stale={shown !== null} />
      {shown ? <Page {...shown} {...beside} decisions={decisions} again={again} /> : !why && <Waiting what="Computing the readout…" />}
    </>
  );
}

/** Opens the page for those who decide, in a tab of its own. */
function PageForDeciders({ id, fail }: { id: string; fail: (why: Failure) => void }): VNode {
  const open = (): void => {
    // Opened at once, because browsers let only a click open a tab.
    const tab = window.open("", "_blank");
    experimentPage(id).then(
      (address) => tab?.location.replace(address),
      (why: Failure) => (tab?.close(), fail(why)),
    );
  };
  return (
    <button class="quiet" type="button" onClick={open}>
      Page for those who decide
    </button>
  );
}

type PageProps = Known & Beside & { decisions: Recommendation[] | null; again: () => void };

function Page({ written, readout: shown, currency, waiting, decisions, again, decided, rollout: steps, bandit: waves }: PageProps): VNode {
  const about = { id: written.experiment, control: shown.control, unit: unitOf(primaryOf(written), currency) };
  return (
    <>
      <ProposalNotice all={waiting} again={again} />
      <Facts written={written} readout={shown} />
      <div class="headline">
        <Verdict readout={shown} />
        <SenderUses decisions={decisions} verdict={shown.verdict.sentence} />
      </div>
      <Doubts readout={shown} />
      <DecisionSection {...about} current={decided} />
      <MovingSection written={written} currency={currency} rollout={steps} bandit={waves} />
      <Forest readout={shown} written={written} currency={currency} />
      <FunnelTable readout={shown} />
      <NumbersTable readout={shown} written={written} currency={currency} />
      <section aria-labelledby="closer">
        <div class="section-head">
          <h2 id="closer">Look closer</h2>
          <p class="muted small">Each is asked when you open it.</p>
        </div>
        <ByTime {...about} />
        <Groups {...about} />
        <Overlaps {...about} />
        <LessNoise {...about} />
        <Size id={about.id} currency={currency} />
      </section>
      <Provenance readout={shown} />
    </>
  );
}

function primaryOf(written: Experiment): Experiment["metrics"][number] | undefined {
  return written.metrics.find(({ name }) => name === written.primary);
}

function sum({ arms }: Readout, what: "assigned" | "mature"): number {
  return arms.reduce((all, arm) => all + arm[what], 0);
}

function Facts({ written, readout: shown }: { written: Experiment; readout: Readout }): VNode {
  return (
    <p class="facts">
      {written.factors.map((factor) => (
        <span key={factor} class="chip">
          {factor}
        </span>
      ))}
      <span>
        <strong>{count(sum(shown, "mature"))}</strong> of {count(sum(shown, "assigned"))} recipients count
      </span>
      <span>
        picked by <strong>{shown.primary}</strong>
      </span>
      {written.window_hours !== undefined && (
        <span>
          outcomes within <strong>{hours(written.window_hours)}</strong> of sending
        </span>
      )}
      <span>
        compared with <strong>{shown.control}</strong>
      </span>
    </p>
  );
}

const VERDICT: Record<Readout["verdict"]["kind"], string> = {
  winner: "Winner",
  keep_control: "Keep control",
  undecided: "Not decided yet",
};

function Verdict({ readout: shown }: { readout: Readout }): VNode {
  const { kind, variant, sentence } = shown.verdict;
  return (
    <section class={`card verdict ${kind}`} aria-labelledby="verdict" aria-live="polite">
      <h2 id="verdict" class="overline">
        {VERDICT[kind]}
      </h2>
      {kind !== "undecided" && <p class="name">{variant}</p>}
      <p class="sentence" data-verdict={kind}>
        {sentence}
      </p>
    </section>
  );
}

function by(decision: Recommendation): string {
  if (decision.readout_id != null) return "decided from a readout";
  return decision.parent == null ? "to begin with" : "decided by a person";
}

function SenderUses({ decisions, verdict }: { decisions: Recommendation[] | null; verdict: string }): VNode {
  const [now, ...before] = decisions ?? [];
  return (
    <section class="card sender" aria-labelledby="sender">
      <h2 id="sender" class="overline">
        The sender uses now
      </h2>
      <div aria-live="polite">
        {decisions === null && <p class="muted">Asking…</p>}
        {decisions !== null && !now && (
          <>
            <p class="name muted">Nothing yet</p>
            <p class="muted">The first decision shows up here as soon as it is made.</p>
          </>
        )}
        {now && (
          <>
            <p class="name" data-current={now.id}>
              {now.variant}
            </p>
            <p class="muted">
              since <time dateTime={now.created_at}>{moment(now.created_at)}</time>, {by(now)}
            </p>
            {now.reason !== verdict && <p class="small">{now.reason}</p>}
          </>
        )}
      </div>
      {now && (
        <details>
          <summary>{before.length === 0 ? "History: the first decision" : `History: ${count(before.length)} before`}</summary>
          <ol class="history">
            {[now, ...before].map((decision) => (
              <li key={decision.id}>
                <strong>{decision.variant}</strong>
                <span class="muted">
                  <time dateTime={decision.created_at}>{moment(decision.created_at)}</time>, {by(decision)}
                </span>
                <span>{decision.reason}</span>
              </li>
            ))}
          </ol>
        </details>
      )}
    </section>
  );
}

function Doubts({ readout: shown }: { readout: Readout }): VNode {
  return (
    <section class={shown.doubts.length === 0 ? "doubts none" : "doubts some"} aria-labelledby="doubts">
      <h2 id="doubts">{shown.doubts.length === 0 ? "No doubts" : shown.doubts.length === 1 ? "One doubt" : `${shown.doubts.length} doubts`}</h2>
      {shown.doubts.length === 0 ? (
        <p>The checks of this readout found nothing that speaks against the verdict.</p>
      ) : (
        <ul>
          {shown.doubts.map((doubt) => (
            <li key={doubt.code + doubt.sentence} data-doubt={doubt.code}>
              <span>{doubt.sentence}</span> <code>{doubt.code}</code>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function sampleRatio({ test, threshold, mismatch }: Readout["sample_ratio"]): string {
  if ("degenerate" in test) return `cannot be computed, because ${test.degenerate.why}`;
  const verdict = mismatch ? "not split as planned" : "split as planned";
  return `${verdict}, p = ${pValue(test.computed.p_value)} (alarm below ${threshold})`;
}

function Provenance({ readout: shown }: { readout: Readout }): VNode {
  const assigned = shown.arms.map((arm) => `${arm.variant} ${count(arm.assigned)} (planned ${share(arm.share)})`);
  return (
    <section aria-labelledby="provenance">
      <h2 id="provenance">What the numbers rest on</h2>
      <dl class="card provenance">
        <div>
          <dt>Outcomes before</dt>
          <dd>
            <time dateTime={shown.as_of}>{moment(shown.as_of)}</time>
          </dd>
        </div>
        <div>
          <dt>Recipients assigned</dt>
          <dd>{assigned.join(", ")}</dd>
        </div>
        <div>
          <dt>Sample ratio</dt>
          <dd>{sampleRatio(shown.sample_ratio)}</dd>
        </div>
        <div>
          <dt>Table versions read</dt>
          <dd class="versions">
            {Object.entries(shown.versions).map(([table, version]) => (
              <span key={table} data-table={table}>
                {table} <strong class="number">{version}</strong>
              </span>
            ))}
          </dd>
        </div>
        <div>
          <dt>Readout</dt>
          <dd>
            <code>{shown.id}</code>, computed by {shown.engine}
          </dd>
        </div>
        <div>
          <dt>Plan</dt>
          <dd>
            <code>{shown.plan_hash}</code>
          </dd>
        </div>
      </dl>
    </section>
  );
}
