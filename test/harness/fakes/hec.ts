import { join } from "node:path";
import { Failure } from "../../../src/model/failure.ts";
import type { Http, HttpAnswer, HttpRequest } from "../../../src/model/ports.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { HecParts } from "../../../src/outputs/hec.ts";
import { HecClient } from "../../../src/outputs/hec-client.ts";
import { RejectedEvents } from "../../../src/outputs/rejected.ts";
import { FakeIndexer, type HecReply, type IndexerOptions } from "../hec/indexer.ts";
import type { FakeClock } from "./clock.ts";
import { FakeRandom } from "./random.ts";

export const HEC_TOKEN = "0f0f0f0f-1111-4222-8333-444444444444";

interface HecWorld extends Pick<HecParts, "urls" | "ack" | "spoolBytes" | "disk" | "log"> {
  readonly network: HecNetwork;
  readonly clock: FakeClock;
  readonly folder: string;
  readonly gzip?: boolean;
  readonly withoutSpool?: boolean;
}

/** What an output `outputs[0]` needs that sends to this network and keeps its state in `folder`. */
export function hecParts({ network, folder, gzip = false, ...world }: HecWorld): HecParts {
  const { clock, disk } = world;
  const name = "outputs[0]";
  let channels = 0;
  return {
    ...world,
    name,
    client: new HecClient({ name, token: sealed(HEC_TOKEN), gzip, caFile: undefined, http: network, clock }),
    stateFolder: join(folder, "outputs", "hec-1"),
    stateName: "hec-1",
    rejected: new RejectedEvents(folder, disk, clock),
    random: FakeRandom.always(),
    newChannel: () => `00000000-0000-4000-8000-${String((channels += 1)).padStart(12, "0")}`,
  };
}

/** A network on which fake indexers answer under their addresses. */
export class HecNetwork implements Http {
  readonly asked: HttpRequest[] = [];
  /** The events of all indexers that count as indexed. */
  readonly indexed: string[] = [];
  /** Addresses that refuse connections. */
  readonly down = new Set<string>();
  /** The indexer takes what it gets, and the connection breaks before its answer. */
  breaksAfterTaking = 0;
  /** Changes a reply on its way. */
  onReply: (reply: HecReply, request: HttpRequest) => HecReply | Promise<HecReply> = (reply) => reply;
  readonly #indexers = new Map<string, Pick<FakeIndexer, "handle">>();
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  indexer(url: string, options: Partial<IndexerOptions> = {}): FakeIndexer {
    const indexer = new FakeIndexer({
      token: HEC_TOKEN,
      ack: "on",
      nowMs: () => this.#clock.monotonicMs(),
      random: () => 0.5,
      indexed: (events) => this.indexed.push(...events),
      ...options,
    });
    this.#indexers.set(url, indexer);
    return indexer;
  }

  /**
   * Several indexers behind one address.
   *
   * @param choose gives the place of the one that gets the request.
   */
  balance(url: string, indexers: readonly FakeIndexer[], choose: (path: string) => number): void {
    this.#indexers.set(url, {
      handle: (request) => {
        for (const each of indexers) each.tick();
        return (indexers[choose(request.path)] as FakeIndexer).handle(request);
      },
    });
  }

  /** Batches that were sent, as their requests. */
  get posts(): readonly HttpRequest[] {
    return this.asked.filter(({ url }) => url.endsWith("/event"));
  }

  async send(request: HttpRequest): Promise<HttpAnswer> {
    const sent = Buffer.from(request.body ?? "");
    // Its memory may serve the next batch once this one is answered.
    this.asked.push({ ...request, body: sent });
    const { origin, pathname } = new URL(request.url);
    const indexer = this.#indexers.get(origin);
    if (indexer === undefined || this.down.has(origin))
      throw gone("network-unreachable", "This machine could not connect.");
    const reply = indexer.handle({ path: pathname, headers: request.headers, body: [sent] });
    if (this.breaksAfterTaking > 0 && pathname.endsWith("/event")) {
      this.breaksAfterTaking -= 1;
      throw gone("connection-reset", "The connection was closed before the answer was complete.");
    }
    const { status, headers = {}, body: text } = await this.onReply(reply, request);
    if (!sent.equals(Buffer.from(request.body ?? "")))
      throw new Error("a body changed while its request was under way");
    return {
      status,
      headers: { "content-type": "application/json", ...headers },
      body: (async function* () {
        yield Buffer.from(text);
      })(),
      text: () => Promise.resolve(text),
      discard: () => Promise.resolve(),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function gone(code: "network-unreachable" | "connection-reset", say: string): Failure {
  return new Failure(code, { actor: "operator", retry: { when: "soon" }, say });
}
