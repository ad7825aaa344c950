// An experiment by time: what recipients had done at each age of their message, and how far the messages of each day came.
import type { VNode } from "preact";
import { series } from "./api";
import type { Series } from "./api";
import { PERCENT, count, effect, hours, interval, mean } from "./format";
import type { Unit } from "./format";
import { Scroll } from "./parts";
import { Question } from "./question";

type Age = Series["ages"][number];
type Day = Series["days"][number];

const STEPS = ["sent", "accepted", "opened", "clicked", "ordered"] as const;

/** By age and by day. */
export function ByTime({ id, unit }: { id: string; unit: Unit }): VNode {
  return (
    <Question
      name="series"
      title="By time"
      about="How did the difference come about, and did the messages of each day arrive?"
      waiting="Counting by age and day…"
      asked={id}
      load={(abort) => series(id, abort)}
    >
      {(answer) => (
        <>
          <p class="lead" data-field="sentence">
            {answer.sentence}
          </p>
          {answer.ages.length > 0 && <Ages answer={answer} unit={unit} />}
          {answer.days.length > 0 && <Days days={answer.days} />}
        </>
      )}
    </Question>
  );
}

function Ages({ answer, unit }: { answer: Series; unit: Unit }): VNode {
  return (
    <Scroll label={`${answer.metric.name} by the time since the message`}>
      <table class="small-table">
        <thead>
          <tr>
            <th scope="col">After</th>
            <th scope="col" class="right">
              People as old
            </th>
            {answer.ages[0]?.variants.map(({ variant }) => (
              <th key={variant} scope="col" class="right">
                {variant}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {answer.ages.map((age) => (
            <tr key={age.age_hours} data-age={age.age_hours}>
              <th scope="row">{hours(age.age_hours)}</th>
              <td class="right number">{count(age.recipients)}</td>
              {age.variants.map((one) => (
                <AtAge key={one.variant} of={one} unit={unit} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function AtAge({ of, unit }: { of: Age["variants"][number]; unit: Unit }): VNode {
  return (
    <td class="right">
      <span class="number">{mean(of.mean, unit)}</span>
      {of.lift != null && (
        <>
          <br />
          <span class="muted small">
            {effect(of.lift, PERCENT)}, {interval(of.lift_interval, PERCENT)}
          </span>
        </>
      )}
    </td>
  );
}

function Days({ days }: { days: Day[] }): VNode {
  return (
    <Scroll label="How far the messages of each day came">
      <table class="small-table">
        <thead>
          <tr>
            <th scope="col">Day (UTC)</th>
            <th scope="col">Variant</th>
            <th scope="col" class="right">
              assigned
            </th>
            {STEPS.map((step) => (
              <th key={step} scope="col" class="right">
                {step}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {days.flatMap(({ day, variants }) =>
            variants.map((one, place) => (
              <tr key={`${day} ${one.variant}`} data-day={day}>
                <th scope="row">{place === 0 ? day : ""}</th>
                <td>{one.variant}</td>
                <td class="right number">{count(one.assigned)}</td>
                {STEPS.map((step) => (
                  <td key={step} class="right number">
                    {count(one.funnel[step])}
                  </td>
                ))}
              </tr>
            )),
          )}
        </tbody>
      </table>
    </Scroll>
  );
}
