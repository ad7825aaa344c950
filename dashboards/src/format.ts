// Numbers as text. Rounding for the eye is all that happens to them here.
import type { Interval, Metric, Scope } from "./api";

const LOCALE = "en-GB";
/** What stands where there is no number. */
export const NONE = "–";

export type Scale = "relative" | "absolute";

/** How a metric's values are written: a rate in percent, an amount in the base currency, or a plain number. */
export type Unit = { factor: number; value: string; difference: string };

/** Lifts and other fractions. */
export const PERCENT: Unit = { factor: 100, value: "%", difference: "%" };

/** The unit of a metric's means and differences. */
export function unitOf(metric: Metric | undefined, currency: string): Unit {
  if (metric?.measure === "occurred") return { factor: 100, value: "%", difference: " pp" };
  if (metric?.measure === "hours_to_first") return { factor: 1, value: " h", difference: " h" };
  if (metric?.unit) return { factor: 1, value: ` ${metric.unit}`, difference: ` ${metric.unit}` };
  if (metric?.measure === "amount" || metric?.measure === "profit")
    return { factor: 1, value: ` ${currency}`, difference: ` ${currency}` };
  return { factor: 1, value: "", difference: "" };
}

/** The unit effects are written in. */
export function effectUnit(scale: Scale, unit: Unit): Unit {
  return scale === "relative" ? PERCENT : unit;
}

function number(value: number, digits: number, signed: boolean): string {
  const whole = Math.abs(value) >= 10 ** digits;
  const text = new Intl.NumberFormat(LOCALE, {
    ...(whole ? { maximumFractionDigits: 0 } : { minimumSignificantDigits: digits, maximumSignificantDigits: digits }),
    signDisplay: signed ? "exceptZero" : "auto",
  }).format(value);
  return value === 0 ? "0" : text.replace("-", "−");
}

/** A mean, such as `10.62%`. */
export function mean(value: number | null | undefined, unit: Unit, digits = 4): string {
  return value == null ? NONE : number(value * unit.factor, digits, false) + unit.value;
}

/** A difference or lift with its sign, such as `+7.659 pp`. */
export function effect(value: number, unit: Unit, digits = 3): string {
  return number(value * unit.factor, digits, true) + unit.difference;
}

/** An interval in words; a side that is open is said. */
export function interval({ lower, upper }: Interval, unit: Unit, digits = 3): string {
  const end = (value: number): string => effect(value, unit, digits);
  if (lower != null && upper != null) return `${end(lower)} to ${end(upper)}`;
  if (lower != null) return `${end(lower)} or more, open above`;
  if (upper != null) return `${end(upper)} or less, open below`;
  return "open above and below";
}

/** A p-value. */
export function pValue(value: number | null | undefined): string {
  if (value == null) return NONE;
  return value < 0.0001 ? "< 0.0001" : new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 4, maximumFractionDigits: 4 }).format(value);
}

/** A whole number. */
export function count(value: number): string {
  return new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 }).format(value);
}

/** A part of one as percent, for orientation beside a count. */
export function share(part: number): string {
  const digits = part < 0.1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 1 };
  return new Intl.NumberFormat(LOCALE, digits).format(part * 100) + "%";
}

/** A chance; what is nearly sure is not rounded to sure. */
export function chance(part: number): string {
  if (part > 0 && part < 0.001) return "< 0.1%";
  return part < 1 && part > 0.999 ? "> 99.9%" : share(part);
}

/** For whom something is, such as `everybody` or `market DE`. */
export function whom({ market, locale, segment }: Scope): string {
  const parts = [market && `market ${market}`, locale && `language ${locale}`, segment && `segment ${segment}`].filter(Boolean);
  return parts.length === 0 ? "everybody" : parts.join(", ");
}

/** A plain number with four digits that count. */
export function plain(value: number | null | undefined): string {
  return value == null ? NONE : number(value, 4, false);
}

/** A moment in the reader's own time zone. */
export function moment(text: string): string {
  return new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
}

/** A number of hours as people say it. */
export function hours(value: number): string {
  const [amount, word] = value % 24 === 0 ? [value / 24, "day"] : [value, "hour"];
  return `${amount} ${word}${amount === 1 ? "" : "s"}`;
}

/** A number of days, to a tenth. */
export function days(value: number): string {
  return new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format(value);
}

/** A label of an axis: as short as it can be. */
export function tick(value: number, unit: Unit): string {
  const text = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 3, signDisplay: "exceptZero" }).format(value * unit.factor);
  return value === 0 ? "0" : text.replace("-", "−") + (unit.difference === "%" ? "%" : "");
}
