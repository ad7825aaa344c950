// What would be decided now, and why: overall, by factor and by market.
import type { ComponentChildren, VNode } from "preact";
import type { Decision } from "./api";
import type { Current } from "./asking";
import { ForecastCells, ForecastHeads, ForecastTable } from "./forecasts";
import { count, moment } from "./format";
import type { Unit } from "./format";
import { Problem, Scroll } from "./parts";

const ACTION: Record<Decision["action"], string> = {
  ship: "Ship",
  keep_testing: "Keep testing",
  stop_for_harm: "Stop, because of harm",
  cannot_judge: "Cannot be judged yet",
};

type About = { id: string; control: string; unit: Unit };

/** What would be decided now. */
export function DecisionSection({ current, ...about }: About & { current: Current<Decision> }): VNode {
  const { value, problem } = current;
  return (
    <section aria-labelledby="decision">
      <div class="section-head">
        <h2 id="decision">Decision</h2>
        <p class="muted small">What would be decided now. Looking decides nothing.</p>
      </div>
      <Problem why={problem} stale={value !== null} />
      <div class={value === null && !problem ? "card standing pending" : "card standing"} data-action={value?.action}>
        {value ? <Answer decision={value} {...about} /> : <p class="muted">{problem ? "Not known." : "Asking what to do…"}</p>}
      </div>
    </section>
  );
}

function Answer({ decision, id, control, unit }: About & { decision: Decision }): VNode {
  const { action, sentence, reasons, factors, arms, markets, as_of } = decision;
  return (
    <>
      <p class="overline">{ACTION[action]}</p>
      <p class="lead" data-field="sentence">
        {sentence}
      </p>
      <ul class="reasons">
        {reasons.map((reason) => (
          <li key={reason.code + reason.sentence}>
            {reason.sentence} <code class="muted">{reason.code}</code>
          </li>
        ))}
      </ul>
      {factors.length > 0 && <Factors factors={factors} />}
      {arms.length > 0 && (
        <More title={`Every variant: ${count(arms.length)}`}>
          <ForecastTable forecasts={arms} control={control} unit={unit} />
        </More>
      )}
      {markets.length > 0 && (
        <More title={`By market: ${count(markets.length)}`}>
          <Markets markets={markets} control={control} unit={unit} />
        </More>
      )}
      <p class="muted small">
        Outcomes before <time dateTime={as_of}>{moment(as_of)}</time> count.
        {(action === "ship" || action === "stop_for_harm") && (
          <>
            {" "}
            To act on it: <code>sendlab experiment decide {id}</code>
          </>
        )}
      </p>
    </>
  );
}

function More({ title, children }: { title: string; children: ComponentChildren }): VNode {
  return (
    <details>
      <summary>{title}</summary>
      <Scroll label={title}>{children}</Scroll>
    </details>
  );
}

const SHOWN = { better: "better", worse: "worse", neither: "not shown" };

function Factors({ factors }: { factors: Decision["factors"] }): VNode {
  return (
    <>
      <h3>What each factor makes</h3>
      <ul class="reasons" data-field="factors">
        {factors.map(({ sentence, shown }) => (
          <li key={sentence}>
            {sentence} <span class="chip">{SHOWN[shown]}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Markets({ markets, control, unit }: { markets: Decision["markets"]; control: string; unit: Unit }): VNode {
  return (
    <table class="small-table">
      <thead>
        <tr>
          <th scope="col">Market</th>
          <th scope="col">Send</th>
          <th scope="col">Best bet</th>
          <ForecastHeads control={control} />
          <th scope="col" class="right">
            Recipients who count
          </th>
        </tr>
      </thead>
      <tbody>
        {markets.map(({ market, variant, best, mature }) => (
          <tr key={market} data-market={market}>
            <th scope="row">{market}</th>
            <td>{variant}</td>
            <td>{best?.variant ?? "not known yet"}</td>
            <ForecastCells forecast={best} control={control} unit={unit} />
            <td class="right number">{count(mature)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
