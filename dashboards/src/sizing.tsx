// How many people and days a test needs.
import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { sizing } from "./api";
import type { Sizing, SizingParams } from "./api";
import { NONE, chance, count, days, effect, mean, plain, share, unitOf } from "./format";
import { Scroll } from "./parts";
import { Question } from "./question";

/** What can be asked, in the words of people. Fractions are typed in percent. */
const FIELDS = [
  { name: "mde", label: "Lift to show, %", perUnit: 100, step: "any", hint: "5" },
  { name: "power", label: "Power, %", perUnit: 100, step: "any", hint: "80" },
  { name: "test_units", label: "People who can be tested", perUnit: 1, step: "1", hint: "all" },
  { name: "contacts_per_day", label: "People a day", perUnit: 1, step: "any", hint: "all at once" },
] as const;

/** The size of a test like this one, by what its audience did before. */
export function Size({ id, currency }: { id: string; currency: string }): VNode {
  const [params, setParams] = useState<SizingParams>({});
  return (
    <Question
      name="sizing"
      title="Size of the test"
      about="How many people and days does such a test need?"
      waiting="Looking at what the audience did before…"
      asked={JSON.stringify(params)}
      load={(abort) => sizing(id, params, abort)}
      form={<Form ask={setParams} />}
    >
      {(answer) => <Answer answer={answer} currency={currency} />}
    </Question>
  );
}

function Form({ ask }: { ask: (params: SizingParams) => void }): VNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement);
    const given = FIELDS.filter(({ name }) => typed.get(name) !== "");
    ask(Object.fromEntries(given.map(({ name, perUnit }) => [name, Number(typed.get(name)) / perUnit])));
  };
  return (
    <form class="fields" onSubmit={submit}>
      {FIELDS.map(({ name, label, step, hint }) => (
        <label key={name}>
          <span>{label}</span>
          <input name={name} type="number" min="0" step={step} placeholder={hint} inputMode="decimal" />
        </label>
      ))}
      <button type="submit" class="plain">
        Compute
      </button>
    </form>
  );
}

type Size = Sizing["plain"];

function rows(answer: Sizing, currency: string): [title: string, of: (size: Size) => string][] {
  const unit = unitOf(answer.metric, currency);
  const sign = answer.metric.lower_is_better ? -1 : 1;
  const wanted = (of: (wanted: NonNullable<Size["wanted"]>) => string) => (size: Size) => (size.wanted ? of(size.wanted) : NONE);
  const asked: [string, (size: Size) => string][] = [
    ["People it needs", wanted((of) => `${count(of.test_units)} (${of.units.map(count).join(" / ")})`)],
    ["Days it takes at most", wanted((of) => days(of.days))],
    ["Share of the list", wanted((of) => share(of.share_of_list))],
    ["People until it stops, on average", wanted((of) => count(of.expected_units))],
    ["Power with the people there are", wanted((of) => share(of.power))],
  ];
  return [
    ...(answer.plain.wanted ? asked : []),
    ["People who can be tested", (size) => count(size.test_units)],
    [`Smallest lift they show, power ${share(answer.power)}`, (size) => share(size.mde)],
    ["Days they take", (size) => days(size.days)],
    ["Test that earns most: people", ({ value }) => `${count(value.test_units)} (${value.units.map(count).join(" / ")})`],
    ["What it earns over no test, per recipient", ({ value }) => effect(sign * value.gain_over_no_test, unit)],
    ["Chance of a wrong pick", ({ value }) => chance(value.probability_wrong)],
  ];
}

function Answer({ answer, currency }: { answer: Sizing; currency: string }): VNode {
  const { sentence, contacts, metric, correlation } = answer;
  return (
    <>
      <p class="lead" data-field="sentence">
        {sentence}
      </p>
      <p class="muted small">
        {count(contacts)} contacts; {metric.name} is {mean(answer.mean, unitOf(metric, currency))} per contact; correlation with the 90 days
        before {plain(correlation)}.
      </p>
      <Scroll label="Sizes">
        <table class="small-table">
          <thead>
            <tr>
              <th scope="col">
                <span class="unseen">What</span>
              </th>
              <th scope="col" class="right">
                As it is
              </th>
              <th scope="col" class="right">
                With less noise (CUPED)
              </th>
            </tr>
          </thead>
          <tbody>
            {rows(answer, currency).map(([title, of]) => (
              <tr key={title}>
                <th scope="row">{title}</th>
                <td class="right number">{of(answer.plain)}</td>
                <td class="right number">{of(answer.cuped)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </>
  );
}
