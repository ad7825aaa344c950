// An experiment by groups of its recipients.
import { Fragment } from "preact";
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { breakdown } from "./api";
import type { Breakdown } from "./api";
import { ForecastCells, ForecastHeads } from "./forecasts";
import { count, pValue } from "./format";
import type { Unit } from "./format";
import { Scroll } from "./parts";
import { Question } from "./question";

const DIMENSIONS = ["market", "country", "region", "language", "device", "source", "channel", "hour"];
const ATTRIBUTE = "attributes.";

/** A breakdown by a dimension that the reader chooses. */
export function Groups({ id, control, unit }: { id: string; control: string; unit: Unit }): VNode {
  const [by, setBy] = useState(DIMENSIONS[0]!);
  return (
    <Question
      name="groups"
      title="By group"
      about="Does another variant do best for some of the recipients?"
      waiting={`Comparing groups by ${by}…`}
      asked={by}
      load={(abort) => breakdown(id, by, abort)}
      form={<Choice by={by} choose={setBy} />}
    >
      {(answer) => <Answer answer={answer} control={control} unit={unit} />}
    </Question>
  );
}

function Choice({ by, choose }: { by: string; choose: (by: string) => void }): VNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const named = String(new FormData(event.currentTarget as HTMLFormElement).get("attribute")).trim();
    choose(named.startsWith(ATTRIBUTE) ? named : ATTRIBUTE + named);
  };
  const own = by.startsWith(ATTRIBUTE);
  return (
    <div class="fields">
      <label>
        <span>Group by</span>
        <select value={own ? "" : by} onChange={(event) => event.currentTarget.value && choose(event.currentTarget.value)}>
          {own && <option value="">your attribute</option>}
          {DIMENSIONS.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <form class="fields" onSubmit={submit}>
        <label>
          <span>or by an attribute of your contacts</span>
          <input name="attribute" type="text" required placeholder="tier" autocomplete="off" spellcheck={false} />
        </label>
        <button type="submit" class="plain">
          Group by it
        </button>
      </form>
    </div>
  );
}

function Answer({ answer, control, unit }: { answer: Breakdown; control: string; unit: Unit }): VNode {
  const { by, metric, parts, differences, sentence } = answer;
  return (
    <>
      <p class="lead" data-field="sentence">
        {sentence}
      </p>
      {parts.length > 0 && (
        <Scroll label={`Groups by ${by}`}>
          <table class="small-table">
            <caption class="unseen">
              What is believed of {metric} by {by}
            </caption>
            <thead>
              <tr>
                <th scope="col">{by}</th>
                <th scope="col">Variant</th>
                <ForecastHeads control={control} />
              </tr>
            </thead>
            {parts.map((part) => (
              <Group key={part.part} part={part} control={control} unit={unit} />
            ))}
          </table>
        </Scroll>
      )}
      {differences.length > 0 && <Differences differences={differences} />}
    </>
  );
}

function Group({ part, control, unit }: { part: Breakdown["parts"][number]; control: string; unit: Unit }): VNode {
  const head = (
    <th scope="rowgroup" rowSpan={Math.max(1, part.variants.length)}>
      {part.part}
      <br />
      <span class="muted small">{count(part.mature)} recipients</span>
    </th>
  );
  return (
    <tbody data-part={part.part}>
      {part.variants.length === 0 && (
        <tr>
          {head}
          <td colSpan={3} class="muted">
            Too little is known of them for a forecast.
          </td>
        </tr>
      )}
      {part.variants.map((forecast, index) => (
        <tr key={forecast.variant} data-variant={forecast.variant}>
          {index === 0 && head}
          <td>
            {forecast.variant} {forecast.variant === part.best && <span class="chip primary">best bet</span>}
          </td>
          <ForecastCells forecast={forecast} control={control} unit={unit} />
        </tr>
      ))}
    </tbody>
  );
}

function Differences({ differences }: { differences: Breakdown["differences"] }): VNode {
  return (
    <p class="muted small">
      Chance of such differences between groups where there are none:{" "}
      {differences.map(({ variant, p_adjusted, differs }, index) => (
        <Fragment key={variant}>
          {index > 0 && "; "}
          {variant} <span class="number">{pValue(p_adjusted)}</span>
          {differs && <strong> differs</strong>}
        </Fragment>
      ))}
      .
    </p>
  );
}
