// The primary metric with what is known of recipients taken out.
import type { VNode } from "preact";
import { adjusted } from "./api";
import type { Adjusted } from "./api";
import { PERCENT, effect, interval, pValue } from "./format";
import type { Unit } from "./format";
import { Scroll } from "./parts";
import { Question } from "./question";

/** The plain difference beside the one with less noise. */
export function LessNoise({ id, unit }: { id: string; unit: Unit }): VNode {
  return (
    <Question
      name="adjusted"
      title="With less noise"
      about="What remains where what recipients did before is taken out?"
      waiting="Taking out what they did before…"
      asked={id}
      load={(abort) => adjusted(id, abort)}
    >
      {(answer) => (
        <>
          <p class="lead" data-field="sentence">
            {answer.sentence}
          </p>
          {answer.variants.length > 0 && <Table answer={answer} unit={unit} />}
          <p class="muted small">What is decided rests on the plain numbers, unless the experiment has <code>cuped</code>.</p>
        </>
      )}
    </Question>
  );
}

function Table({ answer, unit }: { answer: Adjusted; unit: Unit }): VNode {
  return (
    <Scroll label={`${answer.metric.name} with less noise`}>
      <table class="small-table">
        <thead>
          <tr>
            <th scope="col">Variant</th>
            <th scope="col" class="right">
              As it is
            </th>
            <th scope="col" class="right">
              With less noise
            </th>
            <th scope="col" class="right">
              Noise taken out
            </th>
          </tr>
        </thead>
        <tbody>
          {answer.variants.map((one) => (
            <tr key={one.variant} data-variant={one.variant}>
              <th scope="row">{one.variant}</th>
              <Difference of={one.plain} unit={unit} />
              <Difference of={one.adjusted} unit={unit} />
              <td class="right number">{effect(one.variance_removed, PERCENT)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Difference({ of, unit }: { of: Adjusted["variants"][number]["plain"]; unit: Unit }): VNode {
  return (
    <td class="right">
      <span class="number">{effect(of.difference, unit)}</span>
      <br />
      <span class="muted small">
        {interval(of.interval, unit)}; p {pValue(of.p_value)}
      </span>
    </td>
  );
}
