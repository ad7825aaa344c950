// What is being sent: the campaigns and the messages to one person, each message accounted for.
import type { VNode } from "preact";
import { campaigns, messageCounts } from "./api";
import type { Campaign, MessageCount } from "./api";
import { count, moment } from "./format";
import { Polled } from "./parts";

/** The numbers of a campaign, with what each means. In doubt is a number that must never be overlooked. */
const NUMBERS = [
  ["planned", "Planned", "Recipients in the newest plan"],
  ["accepted", "Accepted", "The next server took it"],
  ["refused", "Refused", "The next server would not have it"],
  ["in_doubt", "In doubt", "Cut off while it was handed over: nobody knows, and it is not sent again"],
  ["skipped", "Skipped", "A rule or the contact was against it when it was to leave"],
  ["claimed", "On the way", "Being handed over now"],
] as const;

/** The states of messages to one person, in the order in which they follow. */
const STATES = ["waiting", "claimed", "accepted", "refused", "in_doubt", "expired"];

type Sent = { all: Campaign[]; messages: MessageCount[] };

async function sent(abort: AbortSignal): Promise<Sent> {
  const [all, messages] = await Promise.all([campaigns(abort), messageCounts(abort)]);
  return { all: [...all].reverse(), messages };
}

/** All campaigns, the newest first, and the messages to one person of the last month. */
export function CampaignsPage(): VNode {
  return (
    <Polled title="Campaigns" waiting="Fetching the campaigns…" load={sent}>
      {({ all, messages }) => (
        <>
          {all.length === 0 ? <Empty /> : <Campaigns all={all} />}
          <Messages counts={messages} />
        </>
      )}
    </Polled>
  );
}

function Empty(): VNode {
  return (
    <section class="card empty">
      <h2>No campaigns yet</h2>
      <p>Write one down as YAML, look at what it would come to, and start it:</p>
      <pre>
        <code>
          {["sendlab campaign apply campaign.yaml", "sendlab campaign dry-run NAME", "sendlab campaign start NAME"].join("\n")}
        </code>
      </pre>
      <p class="muted">It shows up here by itself.</p>
    </section>
  );
}

function Campaigns({ all }: { all: Campaign[] }): VNode {
  return (
    <div class="card scroll" role="region" aria-label="Campaigns" tabIndex={0}>
      <table class="sent">
        <thead>
          <tr>
            <th scope="col">Campaign</th>
            <th scope="col">State</th>
            {NUMBERS.map(([name, title, meaning]) => (
              <th key={name} scope="col" class="right" title={meaning}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {all.map(({ campaign, state, progress, error, created_at }) => (
            <tr key={campaign.campaign} data-campaign={campaign.campaign}>
              <th scope="row">
                <code>{campaign.campaign}</code>
                <span class="muted small">
                  {" "}
                  by {campaign.channel ?? "email"}, stored {moment(created_at)}
                </span>
                {error && <span class="problem small">{error}</span>}
              </th>
              <td data-field="state">
                <span class="chip">{state}</span>
              </td>
              {NUMBERS.map(([name]) => (
                <td
                  key={name}
                  class={name === "in_doubt" && progress.in_doubt > 0 ? "right number doubtful" : "right number"}
                  data-field={name}
                >
                  {count(progress[name])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Messages({ counts }: { counts: MessageCount[] }): VNode {
  const classes = [...new Set(counts.map((one) => one.class))].sort();
  const of = (name: string, state: string): number =>
    counts.find((one) => one.class === name && one.state === state)?.messages ?? 0;
  return (
    <section class="card messages scroll" aria-label="Messages to one person" tabIndex={0}>
      <h2>Codes, receipts and other messages to one person</h2>
      {classes.length === 0 ? (
        <p class="muted">
          None in the last month. <code>sendlab message</code> and <code>POST /v1/messages</code> send some.
        </p>
      ) : (
        <table class="sent">
          <thead>
            <tr>
              <th scope="col">Class</th>
              {STATES.map((state) => (
                <th key={state} scope="col" class="right">
                  {state.replace("_", " ")}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map((name) => (
              <tr key={name} data-class={name}>
                <th scope="row">{name}</th>
                {STATES.map((state) => (
                  <td
                    key={state}
                    class={state === "in_doubt" && of(name, state) > 0 ? "right number doubtful" : "right number"}
                    data-field={state}
                  >
                    {count(of(name, state))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
