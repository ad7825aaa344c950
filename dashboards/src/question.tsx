// A question that costs the server time: it is asked when its section is opened, not before.
import type { ComponentChildren, VNode } from "preact";
import { useState } from "preact/hooks";
import { useAsked } from "./asking";
import { Problem } from "./parts";

type Props<T> = {
  name: string;
  title: string;
  /** What it answers, in plain words. */
  about: string;
  waiting: string;
  /** Tells what is asked from what was asked before. */
  asked: string;
  load: (abort: AbortSignal) => Promise<T>;
  /** What can be chosen about it. */
  form?: VNode;
  children: (answer: T) => ComponentChildren;
};

/** A section that asks when a person opens it. */
export function Question<T>({ name, title, about, waiting, asked, load, form, children }: Props<T>): VNode {
  const [open, setOpen] = useState(false);
  const { value, problem, busy, again } = useAsked(open ? asked : null, load);
  return (
    <details class="card question" data-question={name} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <h3>{title}</h3> <span class="muted small">{about}</span>
      </summary>
      {form}
      <p class="progress muted small" role="status">
        {busy && waiting}
      </p>
      <Problem why={problem} stale={value !== null} />
      {problem && (
        <button type="button" class="quiet" onClick={again}>
          Ask again
        </button>
      )}
      <div class="answer" aria-busy={busy}>
        {value !== null && children(value)}
      </div>
    </details>
  );
}
