// How answers of the API come into the page: kept current while it is looked at, or asked for once.
import { useCallback, useEffect, useState } from "preact/hooks";
import { ask, poll } from "./api";
import type { Failure } from "./api";

type Load<T> = (abort: AbortSignal) => Promise<T>;

/** An answer that is kept current. A failure leaves the last one; `again` asks at once. */
export type Current<T> = { value: T | null; at: Date | null; problem: Failure | null; again: () => void };

/** Asks now and after every pause. `question` tells one question from another; null asks nothing. */
export function usePolled<T>(question: string | null, load: Load<T>, pauseMs?: number): Current<T> {
  const [{ value, at }, setKnown] = useState<{ value: T | null; at: Date | null }>({ value: null, at: null });
  const [problem, setProblem] = useState<Failure | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (question === null) return undefined;
    const show = (answer: T): void => {
      setKnown({ value: answer, at: new Date() });
      setProblem(null);
    };
    return poll(load, show, setProblem, pauseMs);
  }, [question, round]);
  return { value, at, problem, again: useCallback(() => setRound((last) => last + 1), []) };
}

/** The answer to a question asked once. The last one stays while `busy` with the next. */
export type Asked<T> = { value: T | null; problem: Failure | null; busy: boolean; again: () => void };

/** Asks once, and again whenever `question` becomes another one; null asks nothing. */
export function useAsked<T>(question: string | null, load: Load<T>): Asked<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState<Failure | null>(null);
  const [busy, setBusy] = useState(false);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (question === null) return undefined;
    setBusy(true);
    const settle = (answer: T | null, why: Failure | null): void => {
      if (answer !== null) setValue(answer);
      setProblem(why);
      setBusy(false);
    };
    const stop = ask(
      load,
      (answer) => settle(answer, null),
      (why) => settle(null, why),
    );
    return () => (stop(), setBusy(false));
  }, [question, round]);
  return { value, problem, busy, again: () => setRound((last) => last + 1) };
}
