// Small pieces that more than one page shows.
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Failure } from "./api";
import { usePolled } from "./asking";

/** A failed call and what to do about it. What was known before stays on the page below. */
export function Problem({ why, stale }: { why: Failure | null; stale: boolean }): VNode {
  return (
    <div role="alert">
      {why && (
        <p class="problem">
          <strong>{why.message}</strong> {why.hint}
          {stale && " What you see below is the last answer."}
        </p>
      )}
    </div>
  );
}

/** The heading of a page. It takes the focus when the page opens, so that a screen reader begins there. */
export function Heading({ text }: { text: string }): VNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, []);
  useEffect(() => {
    document.title = `${text} – Sendlab`;
  }, [text]);
  return (
    <h1 tabIndex={-1} ref={heading}>
      {text}
    </h1>
  );
}

/** Holds the place while the first answer is on its way. */
export function Waiting({ what }: { what: string }): VNode {
  return (
    <p class="waiting" role="status">
      {what}
    </p>
  );
}

/** Tells that the page keeps itself current, and as of when. */
export function Freshness({ at, failing }: { at: Date | null; failing: boolean }): VNode | null {
  if (at === null) return null;
  return (
    <p class={failing ? "freshness stale" : "freshness"}>
      <span class="pulse" aria-hidden="true" />
      {failing ? "Not current: last answer at " : "Refreshes by itself, last at "}
      <time dateTime={at.toISOString()}>{at.toLocaleTimeString("en-GB")}</time>
    </p>
  );
}

/** A table that scrolls sideways by itself where the page is narrow, also by keyboard. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }): VNode {
  return (
    <div class="card scroll" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

/** A page that keeps one answer current; `children` shows it once it is there and can have it asked for again at once. */
export function Polled<T>({
  title,
  waiting,
  load,
  children,
}: {
  title: string;
  waiting: string;
  load: (abort: AbortSignal) => Promise<T>;
  children: (known: T, again: () => void) => VNode;
}): VNode {
  const { value, at, problem, again } = usePolled(title, load);
  return (
    <>
      <div class="page-head">
        <Heading text={title} />
        <Freshness at={at} failing={problem !== null} />
      </div>
      <Problem why={problem} stale={value !== null} />
      {value === null ? !problem && <Waiting what={waiting} /> : children(value, again)}
    </>
  );
}
