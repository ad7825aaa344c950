// The console: what page is shown, the frame around it, and signing in. It has no privileges: all it knows comes from
// the public API with the reader's own key.
import { computed, signal } from "@preact/signals";
import { render } from "preact";
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, experiments, key, refusal, signIn, signOut } from "./api";
import { CampaignsPage } from "./campaigns";
import { ExperimentsPage } from "./experiments";
import { ReadoutPage } from "./readout";
import "./style.css";
import "./sections.css";

const EXPERIMENT_ROUTE = "#/experiments/";
const CAMPAIGNS_ROUTE = "#/campaigns";

/** Takes a key given as `#key=SECRET` (and the page to open, `&open=EXPERIMENT`) and leaves no trace of it in the URL. */
function takeKeyFromAddress(): void {
  if (!location.hash.startsWith("#key=")) return;
  const given = new URLSearchParams(location.hash.slice(1));
  const open = given.get("open");
  history.replaceState(null, "", open === null ? "#/" : EXPERIMENT_ROUTE + encodeURIComponent(open));
  signIn(given.get("key") ?? "");
}

takeKeyFromAddress();
const hash = signal(location.hash);
addEventListener("hashchange", () => {
  takeKeyFromAddress();
  hash.value = location.hash;
});

/** The experiment whose readout is shown; null shows the list. */
const shown = computed(() => {
  if (!hash.value.startsWith(EXPERIMENT_ROUTE)) return null;
  try {
    return decodeURIComponent(hash.value.slice(EXPERIMENT_ROUTE.length)) || null;
  } catch {
    return null; // not an address this console made
  }
});

function Frame({ children }: { children: ComponentChildren }): VNode {
  const page = useRef<HTMLElement>(null);
  const skip = (event: Event): void => {
    event.preventDefault(); // the address names the page; a jump within it must not change it
    page.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <div class="wide">
          <a class="brand" href="#/">
            <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
              <path d="M5 10h10M5 22h20" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" opacity=".45" />
              <circle cx="21" cy="10" r="4.2" fill="currentColor" />
              <circle cx="13" cy="22" r="4.2" fill="currentColor" />
            </svg>
            Sendlab
          </a>
          {key.value !== null && (
            <nav aria-label="Pages">
              <a href="#/" aria-current={hash.value === CAMPAIGNS_ROUTE ? undefined : "page"}>
                Experiments
              </a>
              <a href={CAMPAIGNS_ROUTE} aria-current={hash.value === CAMPAIGNS_ROUTE ? "page" : undefined}>
                Campaigns
              </a>
            </nav>
          )}
          {key.value !== null && (
            <button type="button" class="quiet" onClick={() => signOut()}>
              Sign out
            </button>
          )}
        </div>
      </header>
      <main id="content" class="wide" tabIndex={-1} ref={page}>
        {children}
      </main>
    </>
  );
}

function SignIn(): VNode {
  const [problem, setProblem] = useState<Failure | null>(refusal.value);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Sign in – Sendlab";
  }, []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const secret = String(new FormData(event.currentTarget as HTMLFormElement).get("key")).trim();
    setBusy(true);
    try {
      await experiments(undefined, secret);
      signIn(secret);
    } catch (why) {
      setProblem(why as Failure);
      setBusy(false);
    }
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      <h1>Sign in</h1>
      <p class="muted">The console reads what your API key may read. The key stays in this tab and is gone when you close it.</p>
      <label for="key">API key</label>
      <input
        id="key"
        name="key"
        type="password"
        required
        autocomplete="off"
        spellcheck={false}
        placeholder="sl_…"
        aria-invalid={problem !== null}
        aria-describedby="key-problem"
      />
      <div id="key-problem" role="alert">
        {problem && (
          <p class="problem">
            <strong>{problem.message}</strong> {problem.hint}
          </p>
        )}
      </div>
      <button type="submit" disabled={busy}>
        {busy ? "Signing in…" : "Sign in"}
      </button>
      <p class="muted small">
        No key yet? <code>sendlab keys create</code> makes one. The scope <code>read</code> is enough; approving and refusing
        proposals takes <code>manage</code>.
      </p>
    </form>
  );
}

function Console(): VNode {
  if (key.value === null) {
    return (
      <Frame>
        <SignIn />
      </Frame>
    );
  }
  if (hash.value === CAMPAIGNS_ROUTE) {
    return (
      <Frame>
        <CampaignsPage />
      </Frame>
    );
  }
  const id = shown.value;
  return <Frame>{id === null ? <ExperimentsPage /> : <ReadoutPage key={id} id={id} />}</Frame>;
}

render(<Console />, document.getElementById("console")!);
