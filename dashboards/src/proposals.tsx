// What waits for a second person: approving and refusing it. The server says who may.
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { approve, ask, refuse } from "./api";
import type { Failure, Proposal, Recommendation } from "./api";
import { count, moment, share, whom } from "./format";
import { Problem } from "./parts";

type Shown = { all: Proposal[]; again: () => void };

/** Open proposals, and those that were settled while this page was open. Nothing where there are none. */
function useShown(all: Proposal[]): { shown: Proposal[]; settle: (id: string) => void } {
  const [settled, setSettled] = useState<string[]>([]);
  const shown = all.filter(({ id, state }) => state === "open" || settled.includes(id));
  return { shown, settle: (id) => setSettled((before) => [...before, id]) };
}

/** On an experiment's page: the one that waits. */
export function ProposalNotice({ all, again }: Shown): VNode {
  const { shown, settle } = useShown(all);
  return (
    <>
      {shown.map((proposal) => (
        <section key={proposal.id} class="card proposal" aria-labelledby={`proposal-${proposal.id}`} data-proposal={proposal.id}>
          <h2 id={`proposal-${proposal.id}`}>This {proposal.state === "open" ? "waits" : "waited"} for a second person</h2>
          <Body proposal={proposal} settle={settle} again={again} />
        </section>
      ))}
    </>
  );
}

/** On the list of experiments: all that wait. */
export function ProposalList({ all, again }: Shown): VNode | null {
  const { shown, settle } = useShown(all);
  if (shown.length === 0) return null;
  return (
    <section class="waiting-list" aria-labelledby="waits">
      <h2 id="waits">Waits for a second person</h2>
      <ul>
        {shown.map((proposal) => (
          <li key={proposal.id} class="card proposal" data-proposal={proposal.id}>
            <h3>
              <a href={`#/experiments/${encodeURIComponent(proposal.experiment_id)}`}>{proposal.experiment_id}</a>
            </h3>
            <Body proposal={proposal} settle={settle} again={again} />
          </li>
        ))}
      </ul>
    </section>
  );
}

type Deed = "approve" | "refuse";

const DONE: Record<Deed, string> = {
  approve: "Approved. The senders follow it from now on.",
  refuse: "Refused. The senders go on as they do.",
};

type BodyProps = { proposal: Proposal; settle: (id: string) => void; again: () => void };

function Body({ proposal, settle, again }: BodyProps): VNode {
  const { id, recommendations, recipients, proposed_by, proposed_at, state } = proposal;
  const [done, setDone] = useState<Deed | null>(null);
  const finish = (what: Deed): void => {
    setDone(what);
    settle(id);
    again();
  };
  return (
    <>
      <ul class="reasons">
        {recommendations.map((one) => (
          <li key={one.id}>
            For {whom(one.scope)}: send <strong>{mix(one)}</strong>. {one.reason}
          </li>
        ))}
      </ul>
      <p class="muted small">
        Proposed by {proposed_by ?? "the server"} at <time dateTime={proposed_at}>{moment(proposed_at)}</time>, when {count(recipients)}{" "}
        {recipients === 1 ? "person was" : "people were"} still to follow.
      </p>
      {state === "open" && done === null ? (
        <Deeds id={id} finish={finish} again={again} />
      ) : (
        <Outcome state={state} words={state === "open" && done ? DONE[done] : settled(proposal)} />
      )}
    </>
  );
}

function mix({ variant, weights }: Recommendation): string {
  const parts = Object.entries(weights);
  return parts.length < 2 ? variant : parts.map(([name, weight]) => `${name} ${share(weight)}`).join(", ");
}

function settled({ state, settled_by, settled_at, note }: Proposal): string {
  const by = settled_by ? ` by ${settled_by}` : "";
  const at = settled_at ? `, ${moment(settled_at)}` : "";
  return `${state.charAt(0).toUpperCase()}${state.slice(1)}${by}${at}${note ? `: ${note}` : ""}`;
}

/** Takes the focus from the buttons it replaces. */
function Outcome({ state, words }: { state: string; words: string }): VNode {
  const place = useRef<HTMLParagraphElement>(null);
  useEffect(() => place.current?.focus(), []);
  return (
    <p ref={place} tabIndex={-1} role="status" data-state={state}>
      <strong>{words}</strong>
    </p>
  );
}

function Deeds({ id, finish, again }: { id: string; finish: (what: Deed) => void; again: () => void }): VNode {
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState<Deed | null>(null);
  const [problem, setProblem] = useState<Failure | null>(null);
  const act = (what: Deed): void => {
    setBusy(what);
    ask(
      () => (what === "approve" ? approve(id) : refuse(id, note.trim())),
      () => finish(what),
      (why) => {
        setBusy(null);
        setProblem(why);
        again(); // somebody else may have settled it
      },
    );
  };
  return (
    <>
      <div class="deeds">
        <button type="button" disabled={busy !== null} onClick={() => act("approve")}>
          {busy === "approve" ? "Approving…" : "Approve"}
        </button>
        <label>
          <span class="small muted">Why, if you refuse</span>
          <input type="text" value={note} disabled={busy !== null} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <button type="button" class="plain" disabled={busy !== null} onClick={() => act("refuse")}>
          {busy === "refuse" ? "Refusing…" : "Refuse"}
        </button>
      </div>
      <Problem why={problem} stale={false} />
    </>
  );
}
