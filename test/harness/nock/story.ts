/**
 * The one door to nock. A story says which requests may be made and what is answered; a request that is not
 * in it fails the test, and so does an answer that nobody asked for. Without this wrapper nock is lenient
 * twice over: an unexpected path of a mocked host is answered 501 (`ERR_NOCK_NO_MATCH`), which our code would
 * treat as a failing service and try again, and a mock that is never used goes unnoticed.
 *
 * What nock 15 intercepts (each tried in story.test.ts): it stands in below `node:net`, so undici's
 * `request()` is caught with the global dispatcher and with an `Agent` or `Pool` of one's own, and so are
 * undici's `fetch` and `node:http(s)`. It cannot catch `ProxyAgent` (the CONNECT tunnel is not a request it
 * knows), and the runtime's built-in `fetch` refuses a dispatcher of the undici package ("invalid
 * onRequestStart method") with or without nock. A proxy is therefore tested with a real one on loopback.
 */
import nock from "nock";

/**
 * The story and what happened differ. The message lists what was asked, what the story allows and what nobody
 * asked for.
 */
export class StoryError extends Error {
  override name = "StoryError";
}

export interface Story {
  /**
   * Opens the chapter of one origin, for instance
   * `on("https://graph.microsoft.com").get("/v1.0/security/alerts_v2").query({ $top: "100" }).reply(200,
   * page)`. Each `reply` answers one request; `.times(n)` and `.persist()` are nock's own.
   */
  on(origin: string): nock.Scope;
  /**
   * Plays a recorded exchange (a fixture of `npm run scrub`): each step answers one request, those of one
   * address in their order.
   */
  replay(steps: readonly RecordedStep[]): void;
  /** `GET https://host/path?query` of each request that the story answered, in order. */
  readonly told: readonly string[];
}

/** A step of a fixture; more members are welcome. */
export interface RecordedStep {
  readonly scope: string;
  readonly method: string;
  /** With its query. Instants in it stand for any instant, since what is asked depends on the clock. */
  readonly path: string;
  readonly status: number;
  readonly response: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Runs `play` with every way to the network closed but those that the story opens. Throws StoryError when a
 * request came that is not in the story or when a part of it was never asked for; an error of `play` itself
 * is then its cause.
 */
export async function withStory<T>(play: (story: Story) => Promise<T> | T): Promise<T> {
  const told: string[] = [];
  const unexpected: string[] = [];
  const allowed: string[] = [];
  const refuse = (...seen: unknown[]): void => {
    unexpected.push(describeRequest(seen[0]));
    allowed.push(...nock.pendingMocks().map(withoutDefaultPort));
  };

  nock.cleanAll();
  if (!nock.isActive()) nock.activate();
  nock.disableNetConnect();
  nock.emitter.on("no match", refuse);
  const on = (origin: string): nock.Scope => {
    const scope = nock(origin);
    scope.on("request", (request: unknown) => told.push(describeRequest(request)));
    return scope;
  };
  const story: Story = {
    told,
    on,
    replay(steps) {
      for (const step of steps) {
        const wanted = withoutInstants(step.path);
        on(step.scope)
          .intercept((path) => withoutInstants(path) === wanted, step.method)
          .reply(step.status, step.response, step.headers);
      }
    },
  };
  try {
    let outcome: { readonly value: T } | undefined;
    let failure: unknown;
    try {
      outcome = { value: await play(story) };
    } catch (error) {
      failure = error;
    }
    const unused = nock.pendingMocks().map(withoutDefaultPort);
    if (unexpected.length > 0 || (outcome !== undefined && unused.length > 0)) {
      throw new StoryError(explain({ unexpected, allowed: [...new Set(allowed)], unused, told }), { cause: failure });
    }
    if (outcome === undefined) throw failure;
    return outcome.value;
  } finally {
    nock.emitter.removeListener("no match", refuse);
    nock.abortPendingRequests();
    nock.cleanAll();
    nock.enableNetConnect();
    // Put the real sockets back: tests of the same file may talk to a simulator on loopback.
    nock.restore();
  }
}

function explain(seen: { unexpected: string[]; allowed: string[]; unused: string[]; told: string[] }): string {
  const lines = ["the exchange is not the one the story tells"];
  for (const request of seen.unexpected) lines.push(`not in this story:   ${request}`);
  if (seen.unexpected.length > 0) lines.push(`the story allows:    ${seen.allowed.join(" · ") || "nothing more"}`);
  if (seen.told.length > 0) lines.push(`already told:        ${seen.told.join(" · ")}`);
  for (const request of seen.unused) lines.push(`never asked for:     ${request}`);
  return lines.join("\n");
}

const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?/g;

/**
 * An address as it is compared in a replay: decoded, its query sorted, without what differs from run to run.
 */
function withoutInstants(path: string): string {
  const url = new URL(path, "https://replay.invalid");
  url.searchParams.delete("client-request-id");
  url.searchParams.sort();
  return `${url.pathname}?${decodeURIComponent(url.searchParams.toString())}`.replace(INSTANT, "<instant>");
}

/** nock hands out the runtime's own Request, whichever client asked. */
function describeRequest(seen: unknown): string {
  if (!(seen instanceof Request)) return "a request of an unknown kind";
  return withoutDefaultPort(`${seen.method} ${decodeQuery(seen.url)}`);
}

/** `%24top` reads worse than `$top` and says no more. */
function decodeQuery(url: string): string {
  return url.replaceAll("%24", "$");
}

function withoutDefaultPort(text: string): string {
  return text.replace(/(https:\/\/[^/:]+):443(?=\/|$)/, "$1").replace(/(http:\/\/[^/:]+):80(?=\/|$)/, "$1");
}
