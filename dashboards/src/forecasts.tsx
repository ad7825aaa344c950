// What is believed of variants: lift and chance of being best, as cells of a table.
import type { VNode } from "preact";
import type { Forecast } from "./api";
import { NONE, PERCENT, chance, effect, interval } from "./format";
import type { Unit } from "./format";

/** The heads of the cells below. */
export function ForecastHeads({ control }: { control: string }): VNode {
  return (
    <>
      <th scope="col" class="right">
        Expected lift over {control}
      </th>
      <th scope="col" class="right">
        Chance of being best
      </th>
    </>
  );
}

type Props = { forecast: Forecast | null | undefined; control: string; unit: Unit };

/** The lift to expect, or the gain where control brings nothing to compare with; and the chance of being best. */
export function ForecastCells({ forecast, control, unit }: Props): VNode {
  return (
    <>
      <td class="right" data-field="forecast">
        {forecast && forecast.variant !== control ? <Expected forecast={forecast} unit={unit} /> : NONE}
      </td>
      <td class="right number" data-field="chance">
        {forecast ? chance(forecast.probability_best) : NONE}
      </td>
    </>
  );
}

function Expected({ forecast, unit }: { forecast: Forecast; unit: Unit }): VNode {
  const { lift, lift_interval, gain, gain_interval } = forecast;
  return (
    <>
      <span class="number">{lift == null ? `gain of ${effect(gain, unit)} each` : effect(lift, PERCENT)}</span>
      <br />
      <span class="muted small">{lift == null ? interval(gain_interval, unit) : interval(lift_interval, PERCENT)}</span>
    </>
  );
}

/** Every variant with what is believed of it, as a table. */
export function ForecastTable({ forecasts, control, unit }: { forecasts: Forecast[]; control: string; unit: Unit }): VNode {
  return (
    <table class="small-table">
      <thead>
        <tr>
          <th scope="col">Variant</th>
          <ForecastHeads control={control} />
        </tr>
      </thead>
      <tbody>
        {forecasts.map((forecast) => (
          <tr key={forecast.variant}>
            <th scope="row">{forecast.variant}</th>
            <ForecastCells forecast={forecast} control={control} unit={unit} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}
