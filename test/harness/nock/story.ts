/**
 * The only module that uses nock. A story says which requests may be made and what is answered. A request
 * that is not in it fails the test, and so does an answer that nothing asked for. Without this wrapper nock
 * would hide two mistakes. It answers an unexpected path of a mocked host with 501 (`ERR_NOCK_NO_MATCH`),
 * which our code would treat as a failing service and retry. And it does not report a mock that is never
 * used.
 *
 * What nock 15 intercepts (each tried in story.test.ts): it replaces what is below `node:net`, so undici's
 * `request()` is caught with the global dispatcher and with an `Agent` or `Pool` of one's own, and so are
 * undici's `fetch` and `node:http(s)`. It cannot catch `ProxyAgent` (the CONNECT tunnel is not a request it
 * knows), and the runtime's built-in `fetch` refuses a dispatcher of the undici package ("invalid
 * onRequestStart method") with or without nock. A proxy is therefore tested with a real one on loopback.
 */
import nock from "nock";

/**
 * The story and what happened differ. The message lists what was asked, what the story allows and what was
 * never asked for.
 */
export class StoryError extends Error {
  override name = "StoryError";
}

export interface Story {
  /**
   * Adds answers of one origin, for instance
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
  readonly answered: readonly string[];
}

/** A step of a fixture; it may have further members. */
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
  const answered: string[] = [];
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
    scope.on("request", (request: unknown) => answered.push(describeRequest(request)));
    return scope;
  };
  const story: Story = {
    answered,
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
      throw new StoryError(explain({ unexpected, allowed: [...new Set(allowed)], unused, answered }), {
        cause: failure,
      });
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

function explain(seen: { unexpected: string[]; allowed: string[]; unused: string[]; answered: string[] }): string {
  const lines = ["the requests differ from those of the story"];
  for (const request of seen.unexpected) lines.push(`not in this story:   ${request}`);
  if (seen.unexpected.length > 0) lines.push(`the story allows:    ${seen.allowed.join(" · ") || "nothing more"}`);
  if (seen.answered.length > 0) lines.push(`already answered:    ${seen.answered.join(" · ")}`);
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

/** nock passes the runtime's own Request, whichever client made it. */
function describeRequest(seen: unknown): string {
  if (!(seen instanceof Request)) return "a request of an unknown kind";
  return withoutDefaultPort(`${seen.method} ${decodeQuery(seen.url)}`);
}

/** `$top` is easier to read than `%24top`. */
function decodeQuery(url: string): string {
  return url.replaceAll("%24", "$");
}

function withoutDefaultPort(text: string): string {
  return text.replace(/(https:\/\/[^/:]+):443(?=\/|$)/, "$1").replace(/(http:\/\/[^/:]+):80(?=\/|$)/, "$1");
}
