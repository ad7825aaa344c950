// The list of experiments, and above it what waits for a second person.
import { Fragment } from "preact";
import type { VNode } from "preact";
import { experiments, proposals } from "./api";
import type { ExperimentSummary, Proposal } from "./api";
import { count } from "./format";
import { Polled } from "./parts";
import { ProposalList } from "./proposals";

type Overview = { all: ExperimentSummary[]; waiting: Proposal[] };

async function overview(abort: AbortSignal): Promise<Overview> {
  const [all, waiting] = await Promise.all([experiments(abort), proposals(abort)]);
  return { all, waiting };
}

/** All experiments, each with what it asks and what the sender uses now. */
export function ExperimentsPage(): VNode {
  return (
    <Polled title="Experiments" waiting="Fetching the experiments…" load={overview}>
      {({ all, waiting }, again) => (
        <>
          <ProposalList all={waiting} again={again} />
          {all.length === 0 ? <Empty /> : <List all={all} />}
        </>
      )}
    </Polled>
  );
}

function Empty(): VNode {
  return (
    <section class="card empty">
      <h2>No experiments yet</h2>
      <p>Write one down as YAML and hand it over, bring in a past one from a file, or watch a simulated one run:</p>
      <pre>
        <code>
          {["sendlab experiment apply experiment.yaml", "sendlab import experiment past.csv --mapping mapping.yaml", "sendlab demo"].join("\n")}
        </code>
      </pre>
      <p class="muted">It shows up here by itself.</p>
    </section>
  );
}

function List({ all }: { all: ExperimentSummary[] }): VNode {
  return (
    <ul class="experiments">
      {all.map((one) => (
        <li key={one.experiment} class="card" data-experiment={one.experiment}>
          <div class="what">
            <h2>
              <a href={`#/experiments/${encodeURIComponent(one.experiment)}`}>{one.question || one.experiment}</a>
            </h2>
            <p class="muted">
              <code>{one.experiment}</code>
              {one.factors.map((factor) => (
                <Fragment key={factor}>
                  {" "}
                  <span class="chip">{factor}</span>
                </Fragment>
              ))}
            </p>
          </div>
          <dl>
            <div class="broad">
              <dt>Variants</dt>
              <dd>
                <ul class="variants">
                  {one.variants.map((variant) => (
                    <li key={variant.name}>{variant.name}</li>
                  ))}
                </ul>
              </dd>
            </div>
            <div>
              <dt>Primary metric</dt>
              <dd>{one.primary}</dd>
            </div>
            <div>
              <dt>Recipients</dt>
              <dd class="number">{count(one.assigned)}</dd>
            </div>
            <div>
              <dt>Sender uses now</dt>
              <dd class="current">{one.recommendation ? one.recommendation.variant : <span class="muted">none yet</span>}</dd>
            </div>
          </dl>
        </li>
      ))}
    </ul>
  );
}
