// Other experiments on the same recipients.
import type { VNode } from "preact";
import { overlaps } from "./api";
import type { Overlap } from "./api";
import { count, effect, interval, pValue } from "./format";
import type { Unit } from "./format";
import { Scroll } from "./parts";
import { Question } from "./question";

/** Whether other experiments change what this one does. */
export function Overlaps({ id, unit }: { id: string; unit: Unit }): VNode {
  return (
    <Question
      name="overlaps"
      title="Other experiments on the same recipients"
      about="Does one of them change what this one does?"
      waiting="Comparing with the other experiments…"
      asked={id}
      load={(abort) => overlaps(id, abort)}
    >
      {(all) => (all.length === 0 ? <None /> : <Table all={all} unit={unit} />)}
    </Question>
  );
}

function None(): VNode {
  return (
    <p class="muted">
      No other experiment shares recipients with this one while its window is open, so that nothing has to be done. To keep
      experiments apart, put them into one <code>layer</code>.
    </p>
  );
}

function Table({ all, unit }: { all: Overlap[]; unit: Unit }): VNode {
  return (
    <Scroll label="Other experiments on the same recipients">
      <table class="small-table">
        <thead>
          <tr>
            <th scope="col">Experiment</th>
            <th scope="col" class="right">
              Recipients of both
            </th>
            <th scope="col">Groups</th>
            <th scope="col">Effects</th>
          </tr>
        </thead>
        <tbody>
          {all.map((one) => (
            <tr key={one.other} data-other={one.other}>
              <th scope="row" class="told-wide">
                <a href={`#/experiments/${encodeURIComponent(one.other)}`}>{one.other}</a>
                <p class="small" data-field="sentence">
                  {one.sentence}
                </p>
              </th>
              <td class="right number">{count(one.recipients)}</td>
              <td>
                {one.is_dependent ? "not independent" : "independent"}
                <br />
                <span class="muted small">p {pValue(one.independence_p)}</span>
              </td>
              <td>
                {one.interacts ? "change each other" : "not shown to change each other"}
                <br />
                <span class="muted small">p {pValue(one.interaction_p_adjusted)}</span>
                <Interactions all={one.interactions} unit={unit} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Interactions({ all, unit }: { all: Overlap["interactions"]; unit: Unit }): VNode | null {
  if (all.length === 0) return null;
  return (
    <ul class="muted small">
      {all.map((one) => (
        <li key={`${one.variant}\n${one.with}`}>
          {one.variant} with its {one.with}: {effect(one.difference, unit)} ({interval(one.interval, unit)})
        </li>
      ))}
    </ul>
  );
}
