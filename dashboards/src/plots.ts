// Intervals drawn with Observable Plot. The numbers come from the readout as they are; a plot only places them.
import * as Plot from "@observablehq/plot";

/** One effect to draw. `lower` or `upper` is null where the interval has no such end. */
export type Drawn = { value: number; lower: number | null; upper: number | null; tone: Tone; certain: boolean };
/** Which way an effect points: the colour is never the only sign of it. */
export type Tone = "good" | "bad" | "even";
/** The room a plot has. */
export type Room = { width: number; height: number };
/** What a plot shows of the number line. */
export type Domain = [number, number];

/** Room at both sides, so that no mark touches the edge and the arrow of an open end fits. */
const INSET = 14;

/** The piece of the number line that holds all these effects, zero, and `others`. */
export function domainOf(effects: Drawn[], others: number[]): Domain {
  const ends = effects.flatMap(({ value, lower, upper }) => [value, lower ?? value, upper ?? value]);
  const low = Math.min(0, ...ends, ...others);
  const high = Math.max(0, ...ends, ...others);
  return low === high ? [-1, 1] : [low, high];
}

function frame({ width, height }: Room, marginBottom: number, domain: Domain, marks: Plot.Markish[]): Element {
  const plot = Plot.plot({
    width,
    height,
    marginTop: 0,
    marginBottom,
    marginLeft: INSET,
    marginRight: INSET,
    x: { domain, axis: null },
    y: { domain: [0, 1], axis: null },
    marks,
  });
  // Plot brings a style element of its own. style.css says the same, so that a strict content security policy holds.
  plot.querySelectorAll("style").forEach((style) => style.remove());
  plot.setAttribute("aria-hidden", "true"); // the same numbers stand beside it as text
  return plot;
}

function ticks(width: number): number {
  return Math.max(2, Math.floor(width / 90));
}

/** One effect with its interval. `margin` is where a guardrail would be broken, if it has one on this scale. */
export function effectPlot(drawn: Drawn, domain: Domain, margin: number | null, room: Room): Element {
  const [start, end] = [drawn.lower ?? domain[0], drawn.upper ?? domain[1]];
  const stroke = `var(--${drawn.tone})`;
  const open = [...(drawn.lower === null ? [{ x: start, text: "◂" }] : []), ...(drawn.upper === null ? [{ x: end, text: "▸" }] : [])];
  return frame(room, 0, domain, [
    Plot.gridX({ ticks: ticks(room.width), stroke: "var(--line)", strokeOpacity: 1 }),
    Plot.ruleX([0], { stroke: "var(--muted)", strokeWidth: 1.25 }),
    ...(margin === null ? [] : [Plot.ruleX([margin], { stroke: "var(--bad)", strokeDasharray: "3 3" })]),
    Plot.link([drawn], { x1: start, x2: end, y1: 0.5, y2: 0.5, stroke, strokeWidth: 5, strokeOpacity: 0.38, strokeLinecap: "round" }),
    Plot.text(open, { x: "x", y: 0.5, text: "text", fill: stroke, fontSize: 15 }),
    Plot.dot([drawn], {
      x: "value",
      y: 0.5,
      r: 5.5,
      fill: drawn.certain ? stroke : "var(--surface)",
      stroke,
      strokeWidth: 2,
      className: "mark",
    }),
  ]);
}

/** The axis below a metric's effects. */
export function axisPlot(domain: Domain, label: (value: number) => string, room: Room): Element {
  return frame(room, room.height, domain, [
    Plot.axisX({ anchor: "bottom", ticks: ticks(room.width), tickFormat: label, tickSize: 0, fontSize: 11, color: "var(--muted)" }),
  ]);
}
