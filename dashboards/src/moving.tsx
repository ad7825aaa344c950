// How what was decided reaches those who follow: a rollout in steps, or a bandit in waves.
import type { ComponentChildren, VNode } from "preact";
import type { BanditStanding, Experiment, HarmCheck, RolloutStanding } from "./api";
import type { Current } from "./asking";
import { NONE, chance, count, effect, interval, moment, pValue, share, unitOf, whom } from "./format";
import type { Unit } from "./format";
import { Problem, Scroll } from "./parts";

type Written = { written: Experiment; currency: string };
type Props = Written & { rollout: Current<RolloutStanding[]>; bandit: Current<BanditStanding> };

/** Where rollout and bandit stand, or how to have one. */
export function MovingSection({ written, currency, rollout, bandit }: Props): VNode {
  const none = !written.rollout && !written.bandit;
  return (
    <section aria-labelledby="moving">
      <div class="section-head">
        <h2 id="moving">On the way to everybody</h2>
        {!none && <p class="muted small">How those who follow the recommendation are moved. Looking moves nobody.</p>}
      </div>
      {none && (
        <div class="card standing">
          <p class="muted">
            What is decided goes to everybody at once: this experiment has no rollout and no bandit. Write <code>rollout: {"{}"}</code>{" "}
            into the next one to go in steps, or <code>bandit: {"{}"}</code> to move the shares in waves.
          </p>
        </div>
      )}
      {written.rollout && (
        <Standing title="Rollout" current={rollout}>
          {(all) =>
            all.length === 0 ? (
              <NoRollout id={written.experiment} />
            ) : (
              all.map((one) => <Rollout key={whom(one.scope)} one={one} written={written} currency={currency} />)
            )
          }
        </Standing>
      )}
      {written.bandit && (
        <Standing title="Bandit" current={bandit}>
          {(one) => <Bandit one={one} written={written} currency={currency} />}
        </Standing>
      )}
    </section>
  );
}

type StandingProps<T> = { title: string; current: Current<T>; children: (value: T) => ComponentChildren };

function Standing<T>({ title, current, children }: StandingProps<T>): VNode {
  const { value, problem } = current;
  return (
    <>
      <Problem why={problem} stale={value !== null} />
      <div class={value === null && !problem ? "card standing pending" : "card standing"} data-standing={title.toLowerCase()}>
        <h3>{title}</h3>
        {value === null ? <p class="muted">{problem ? "Not known." : "Asking where it stands…"}</p> : children(value)}
      </div>
    </>
  );
}

function NoRollout({ id }: { id: string }): VNode {
  return (
    <p class="muted">
      Nothing is on its way in steps: nothing was decided yet, or it is over. <code>sendlab experiment decide {id}</code> begins it where a
      variant is to be shipped.
    </p>
  );
}

function Time({ at }: { at: string }): VNode {
  return <time dateTime={at}>{moment(at)}</time>;
}

/** A moment as the API's sentences write it. */
const MOMENT = /(\d{4}-\d\d-\d\dT[\d:.]+Z)/;

/** A sentence of the server, its moments in the reader's own time zone. */
function Said({ sentence }: { sentence: string }): VNode {
  const parts = sentence.split(MOMENT);
  return (
    <p class="lead" data-field="sentence">
      {parts.map((part, index) => (index % 2 === 1 ? <Time key={index} at={part} /> : part))}
    </p>
  );
}

function Next({ children }: { children: ComponentChildren }): VNode {
  return (
    <p data-field="next">
      <strong>Next:</strong> {children}
    </p>
  );
}

function RolloutNext({ one: { next, control } }: { one: RolloutStanding }): VNode {
  if (next.kind === "stop") return <Next>everybody gets {control} again. {next.reason}</Next>;
  if (next.kind === "advance") return <Next>the step to {next.to}% is due now.</Next>;
  if (next.kind === "done") return <Next>nothing, it goes to everybody.</Next>;
  if (next.until == null) return <Next>it waits for more followers, or for somebody who finds out what is wrong.</Next>;
  return (
    <Next>
      a step can be due from <Time at={next.until} /> on.
    </Next>
  );
}

function Rollout({ one, written, currency }: Written & { one: RolloutStanding }): VNode {
  const { scope, variant, control, steps, doubts, checks, sentence } = one;
  const reached = steps.at(-1)?.share ?? 0;
  const ahead = (written.rollout?.steps ?? []).filter((percent) => percent / 100 > reached);
  return (
    <div class="scope" data-scope={whom(scope)}>
      <Said sentence={sentence} />
      <RolloutNext one={one} />
      {doubts.map((doubt) => (
        <p key={doubt.code + doubt.sentence} class="problem">
          {doubt.sentence} <code>{doubt.code}</code>
        </p>
      ))}
      <Scroll label={`Steps for ${whom(scope)}`}>
        <table class="small-table">
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">Since</th>
              <th scope="col" class="right">
                Got {variant}
              </th>
              <th scope="col" class="right">
                Got {control}
              </th>
            </tr>
          </thead>
          <tbody>
            {steps.map((step) => (
              <tr key={step.recommendation_id}>
                <th scope="row">{share(step.share)}</th>
                <td>
                  <Time at={step.since} />
                </td>
                {[variant, control].map((name) => (
                  <td key={name} class="right number">
                    {count(step.followers[name] ?? 0)}
                    <span class="muted small"> of whom {count(step.counted[name] ?? 0)} count</span>
                  </td>
                ))}
              </tr>
            ))}
            {ahead.map((percent) => (
              <tr key={percent} class="muted">
                <th scope="row">{percent}%</th>
                <td colSpan={3}>still to come</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <Checks rows={checks.map((check) => ({ variant, check }))} written={written} currency={currency} />
    </div>
  );
}

function BanditNext({ next }: { next: BanditStanding["next"] }): VNode {
  if (next.kind === "begin") return <Next>the first wave, in which everybody is dealt all variants alike.</Next>;
  if (next.kind === "wave") return <Next>a new wave is due now.</Next>;
  if (next.kind === "stop") return <Next>the best bets go to everybody.</Next>;
  if (next.kind === "done") return <Next>nothing, one variant goes to everybody.</Next>;
  if (next.until == null) return <Next>it waits for more followers to count.</Next>;
  return (
    <Next>
      the next wave is due at <Time at={next.until} />.
    </Next>
  );
}

function Bandit({ one, written, currency }: Written & { one: BanditStanding }): VNode {
  const unit = unitOf(written.metrics.find(({ name }) => name === written.primary), currency);
  return (
    <>
      <Said sentence={one.sentence} />
      <BanditNext next={one.next} />
      {one.scopes.length === 0 ? (
        <p class="muted">No shares yet: the first wave sets them.</p>
      ) : (
        <Scroll label="Shares of the variants">
          <Shares scopes={one.scopes} variants={written.variants.map(({ name }) => name)} />
        </Scroll>
      )}
      {one.effects.length > 0 && <Effects effects={one.effects} control={written.control ?? ""} unit={unit} />}
      <Checks rows={one.checks} written={written} currency={currency} />
    </>
  );
}

function Shares({ scopes, variants }: { scopes: BanditStanding["scopes"]; variants: string[] }): VNode {
  const part = (of: Record<string, number>, name: string): string => (name in of ? share(of[name]!) : NONE);
  return (
    <table class="small-table">
      <thead>
        <tr>
          <th scope="col">For whom</th>
          <th scope="col">Variant</th>
          {["Share now", "By what is known", "Chance of being best", "Followers who count"].map((title) => (
            <th key={title} scope="col" class="right">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      {scopes.map((of) => (
        <tbody key={whom(of.scope)} data-scope={whom(of.scope)}>
          {variants.map((name, index) => (
            <tr key={name} data-variant={name}>
              {index === 0 && (
                <th scope="rowgroup" rowSpan={variants.length}>
                  {whom(of.scope)}
                  <span class="muted small"> {of.is_decided ? "decided" : `wave ${count(of.waves)}`}</span>
                  {of.since && (
                    <span class="muted small">
                      {" "}
                      since <Time at={of.since} />
                    </span>
                  )}
                </th>
              )}
              <td>{name}</td>
              <td class="right number" data-field="share">
                {part(of.shares, name)}
              </td>
              <td class="right number">{part(of.proposed, name)}</td>
              <td class="right number">{name in of.chances ? chance(of.chances[name]!) : NONE}</td>
              <td class="right number">{count(of.counted[name] ?? 0)}</td>
            </tr>
          ))}
        </tbody>
      ))}
    </table>
  );
}

function Effects({ effects, control, unit }: { effects: BanditStanding["effects"]; control: string; unit: Unit }): VNode {
  return (
    <details>
      <summary>What followers tell, whatever the shares were</summary>
      <Scroll label="Effects from followers">
        <table class="small-table">
          <thead>
            <tr>
              <th scope="col">Variant</th>
              <th scope="col" class="right">
                Per follower against {control || "control"}
              </th>
              <th scope="col" class="right">
                p
              </th>
              <th scope="col" class="right">
                Waves
              </th>
            </tr>
          </thead>
          <tbody>
            {effects.map((one) => (
              <tr key={one.variant}>
                <th scope="row">{one.variant}</th>
                <td class="right">
                  <span class="number">{effect(one.difference, unit)}</span>
                  <br />
                  <span class="muted small">{interval(one.interval, unit)}</span>
                </td>
                <td class="right number">{pValue(one.p_value)}</td>
                <td class="right number">{count(one.waves)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  );
}

const HARM: Record<HarmCheck["state"], string> = { kept: "no harm", unproven: "not proven yet", broken: "harm is shown" };

/** Whether harm is shown, variant by variant and metric by metric. */
function Checks({ rows, written, currency }: Written & { rows: BanditStanding["checks"] }): VNode | null {
  if (rows.length === 0) return null;
  return (
    <details>
      <summary>Checks for harm: {count(rows.length)}</summary>
      <Scroll label="Checks for harm">
        <table class="small-table">
          <thead>
            <tr>
              <th scope="col">Variant</th>
              <th scope="col">Metric</th>
              <th scope="col">State</th>
              <th scope="col" class="right">
                Per follower
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ variant, check }) => {
              const unit = unitOf(written.metrics.find(({ name }) => name === check.metric), currency);
              return (
                <tr key={variant + check.metric}>
                  <th scope="row">{variant}</th>
                  <td>
                    {check.metric} <span class="muted small">{check.role}</span>
                  </td>
                  <td>{HARM[check.state]}</td>
                  <td class="right number">{check.difference == null ? NONE : effect(check.difference, unit)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </details>
  );
}
