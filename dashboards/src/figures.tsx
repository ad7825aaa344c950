// The figures of a readout: the forest plot, the funnel, and the table of all numbers behind them.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Estimate, Experiment, Interval, Readout } from "./api";
import { NONE, count, effect, effectUnit, interval, mean, pValue, plain, share, tick, unitOf } from "./format";
import type { Scale, Unit } from "./format";
import { Scroll } from "./parts";
import { axisPlot, domainOf, effectPlot } from "./plots";
import type { Domain, Drawn, Room, Tone } from "./plots";

type Shown = { readout: Readout; written: Experiment; currency: string };
/** An effect on the chosen scale, or why there is none. */
type Told = { value: number; interval: Interval } | { why: string };

function told(estimate: Estimate, scale: Scale): Told {
  if (scale === "relative") {
    const answer = estimate.relative;
    return "degenerate" in answer ? answer.degenerate : { value: answer.computed.relative, interval: answer.computed.interval };
  }
  const answer = estimate.absolute;
  return "degenerate" in answer ? answer.degenerate : { value: answer.computed.difference, interval: answer.computed.interval };
}

function tone({ significant, better }: Estimate): Tone {
  return significant && better != null ? (better ? "good" : "bad") : "even";
}

const TONE: Record<Tone, string> = { good: "better", bad: "worse", even: "no clear difference" };
const GUARDRAIL = { kept: "margin kept", unproven: "margin not proven yet", broken: "margin broken" };

function result(estimate: Estimate): string {
  const words = TONE[tone(estimate)];
  return estimate.guardrail ? `${words}, ${GUARDRAIL[estimate.guardrail.state]}` : words;
}

function drawn(estimate: Estimate, { value, interval: { lower, upper } }: { value: number; interval: Interval }): Drawn {
  return { value, lower: lower ?? null, upper: upper ?? null, tone: tone(estimate), certain: estimate.significant };
}

const ROLES = ["primary", "secondary", "guardrail"];

/** The comparisons of each metric, the primary metric first and the guardrails last. */
function byMetric(estimates: Estimate[]): [metric: string, rows: Estimate[]][] {
  const groups = new Map<string, Estimate[]>();
  for (const row of estimates) groups.set(row.metric, [...(groups.get(row.metric) ?? []), row]);
  return [...groups].sort(([, [a]], [, [b]]) => ROLES.indexOf(a!.role) - ROLES.indexOf(b!.role));
}

/** Calls `draw` with the room that style.css gives, again whenever that or `stamp` changes. */
function Drawing({ draw, stamp }: { draw: (room: Room) => Element; stamp: string }): VNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const holder = place.current!;
    const watcher = new ResizeObserver(([entry]) => {
      const [width, height] = [Math.floor(entry!.contentRect.width), Math.floor(entry!.contentRect.height)];
      if (width > 0 && height > 0) holder.replaceChildren(draw({ width, height }));
    });
    watcher.observe(holder);
    return () => watcher.disconnect();
  }, [stamp]);
  return <div class="drawing" ref={place} />;
}

/** Every comparison as a mark with its interval, metric by metric. */
export function Forest({ readout, written, currency }: Shown): VNode {
  const [scale, setScale] = useState<Scale>("relative");
  const [pairs, setPairs] = useState(false);
  const others = readout.estimates.some((estimate) => estimate.baseline !== readout.control);
  const chosen = readout.estimates.filter((estimate) => pairs || estimate.baseline === readout.control);
  const metrics = byMetric(chosen);
  return (
    <section aria-labelledby="effects">
      <div class="section-head">
        <h2 id="effects">Effects</h2>
        {others && (
          <label class="check">
            <input type="checkbox" checked={pairs} onChange={(event) => setPairs(event.currentTarget.checked)} /> also between the other variants
          </label>
        )}
        <fieldset class="switch">
          <legend class="unseen">Scale of the effects</legend>
          {(["relative", "absolute"] as const).map((value) => (
            <label key={value}>
              <input type="radio" name="scale" value={value} checked={scale === value} onChange={() => setScale(value)} />
              <span>{value === "relative" ? "Relative" : "Absolute"}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <div class="card forest" data-scale={scale}>
        {metrics.map(([metric, rows]) => {
          const definition = written.metrics.find(({ name }) => name === metric);
          return (
            <MetricEffects
              key={metric}
              rows={rows}
              scale={scale}
              unit={effectUnit(scale, unitOf(definition, currency))}
              lowerIsBetter={definition?.lower_is_better ?? false}
              control={readout.control}
            />
          );
        })}
        <p class="legend small muted">
          The band is the {share(1 - readout.alpha)} interval of each comparison on its own; each metric has its own scale. A filled mark is
          distinguishable from no effect with all comparisons taken together (Holm), a hollow one is not.
          {chosen.some((row) => row.guardrail) && scale === "relative" && " The dashed line is the margin a guardrail must not cross."}
        </p>
      </div>
    </section>
  );
}

type MetricProps = { rows: Estimate[]; scale: Scale; unit: Unit; lowerIsBetter: boolean; control: string };

function MetricEffects({ rows, scale, unit, lowerIsBetter, control }: MetricProps): VNode {
  const first = rows[0]!;
  const tolerated = rows.find((row) => row.guardrail)?.guardrail?.margin;
  const margin = tolerated === undefined || scale === "absolute" ? null : lowerIsBetter ? tolerated : -tolerated;
  const effects = rows.flatMap((row) => {
    const answer = told(row, scale);
    return "why" in answer ? [] : [drawn(row, answer)];
  });
  const domain = domainOf(effects, margin === null ? [] : [margin]);
  return (
    <div class="metric">
      <h3>
        {first.metric} <span class={`chip ${first.role}`}>{first.role}</span>
        {lowerIsBetter && <span class="muted small"> less is better</span>}
      </h3>
      <ul>
        {rows.map((row) => (
          <Comparison key={`${row.variant}\n${row.baseline}`} {...{ row, scale, unit, margin, domain, control }} />
        ))}
      </ul>
      {effects.length > 0 && (
        <div class="comparison axis">
          <Drawing stamp={`${domain}${unit.difference}`} draw={(room) => axisPlot(domain, (value) => tick(value, unit), room)} />
        </div>
      )}
    </div>
  );
}

type ComparisonProps = { row: Estimate; scale: Scale; unit: Unit; margin: number | null; domain: Domain; control: string };

function Comparison({ row, scale, unit, margin, domain, control }: ComparisonProps): VNode {
  const answer = told(row, scale);
  return (
    <li class="comparison" data-metric={row.metric} data-variant={row.variant} data-baseline={row.baseline}>
      <span class="who">
        {row.variant}
        {row.baseline !== control && <span class="muted"> against {row.baseline}</span>}
      </span>
      {"why" in answer ? (
        <span class="cannot muted">Cannot be computed, because {answer.why}.</span>
      ) : (
        <>
          <Drawing
            stamp={JSON.stringify([answer, domain, margin, row.significant, row.better])}
            draw={(room) => effectPlot(drawn(row, answer), domain, margin, room)}
          />
          <span class={`told ${tone(row)}`}>
            <strong data-field="effect">{effect(answer.value, unit)}</strong>
            <span class="muted" data-field="interval">
              {interval(answer.interval, unit)}
            </span>
            <span class="result">{result(row)}</span>
          </span>
        </>
      )}
    </li>
  );
}

const STAGES = ["assigned", "sent", "accepted", "opened", "clicked", "ordered"] as const;

/** How far the recipients of each variant came. */
export function FunnelTable({ readout }: { readout: Readout }): VNode {
  return (
    <section aria-labelledby="funnel">
      <div class="section-head">
        <h2 id="funnel">Funnel</h2>
        <p class="muted small">Distinct recipients whose window is over, and their share of the assigned.</p>
      </div>
      <Scroll label="Funnel per variant">
        <table class="funnel">
          <thead>
            <tr>
              <th scope="col">Variant</th>
              {STAGES.map((stage) => (
                <th key={stage} scope="col">
                  {stage}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {readout.arms.map(({ variant, funnel }) => (
              <tr key={variant} data-variant={variant}>
                <th scope="row">{variant}</th>
                {STAGES.map((stage) => {
                  const part = funnel.assigned === 0 ? 0 : funnel[stage] / funnel.assigned;
                  return (
                    <td key={stage} data-stage={stage}>
                      <span class="number" data-field="count">
                        {count(funnel[stage])}
                      </span>
                      <span class="muted small">{funnel.assigned === 0 ? NONE : share(part)}</span>
                      <span class="bar" aria-hidden="true">
                        <span style={{ width: `${Math.min(part, 1) * 100}%` }} />
                      </span>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

/** All numbers of the readout, for reading, copying and screen readers. */
export function NumbersTable({ readout, written, currency }: Shown): VNode {
  return (
    <section aria-labelledby="numbers">
      <h2 id="numbers">All numbers</h2>
      <Scroll label="Table of all numbers">
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">Metric</th>
              <th scope="col">Comparison</th>
              {["Means", "Difference", "Lift", "t and df", "p and Holm"].map((title) => (
                <th key={title} scope="col" class="right">
                  {title}
                </th>
              ))}
              <th scope="col">Result</th>
            </tr>
          </thead>
          {byMetric(readout.estimates).map(([metric, rows]) => {
            const definition = written.metrics.find(({ name }) => name === metric);
            return (
              <tbody key={metric}>
                {rows.map((row, index) => (
                  <tr key={`${row.variant}\n${row.baseline}`} data-metric={metric} data-variant={row.variant} data-baseline={row.baseline}>
                    {index === 0 && (
                      <th scope="rowgroup" rowSpan={rows.length}>
                        {metric}
                      </th>
                    )}
                    <NumbersCells row={row} unit={unitOf(definition, currency)} />
                  </tr>
                ))}
              </tbody>
            );
          })}
        </table>
      </Scroll>
    </section>
  );
}

function NumbersCells({ row, unit }: { row: Estimate; unit: Unit }): VNode {
  const absolute = "computed" in row.absolute ? row.absolute.computed : null;
  return (
    <>
      <td class="pair">
        {row.variant}
        <br />
        <span class="muted">against {row.baseline}</span>
      </td>
      <td class="right">
        <span data-field="mean_variant">{mean(row.mean_variant, unit)}</span>
        <br />
        <span class="muted" data-field="mean_baseline">
          {mean(row.mean_baseline, unit)}
        </span>
      </td>
      <EffectCell field="difference" answer={told(row, "absolute")} unit={unit} />
      <EffectCell field="lift" answer={told(row, "relative")} unit={effectUnit("relative", unit)} />
      <td class="right">
        <span data-field="statistic">{plain(absolute?.statistic)}</span>
        <br />
        <span class="muted" data-field="degrees_of_freedom">
          {plain(absolute?.degrees_of_freedom)}
        </span>
      </td>
      <td class="right">
        <span data-field="p_value">{pValue(absolute?.p_value)}</span>
        <br />
        <span class="muted" data-field="p_adjusted">
          {pValue(row.p_adjusted)}
        </span>
      </td>
      <td>{result(row)}</td>
    </>
  );
}

/** An effect, and below it its interval without repeating the unit. */
function EffectCell({ field, answer, unit }: { field: string; answer: Told; unit: Unit }): VNode {
  if ("why" in answer) {
    return (
      <td class="right why" data-field={field}>
        {NONE} <span class="muted">cannot be computed, because {answer.why}</span>
      </td>
    );
  }
  return (
    <td class="right">
      <span data-field={field}>{effect(answer.value, unit, 4)}</span>
      <br />
      <span class="muted" data-field={`${field}_interval`}>
        {interval(answer.interval, { ...unit, difference: "" }, 4)}
      </span>
    </td>
  );
}
