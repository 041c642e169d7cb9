import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

/** A moment at which a run of the program may be ended, seen from Microsoft's side. */
export interface Watcher {
  /** A request has arrived: the n-th, from 1. */
  requested?(n: number, request: IncomingMessage): void;
  /**
   * The n-th answer can be sent in two halves: resolve when the second one may follow, never when the program
   * is gone.
   */
  halfSent?(n: number): Promise<void>;
}

export interface Microsoft {
  readonly simulator: Simulator;
  /** Counts requests of this kind from now on until the function that is returned is called. */
  watch(watcher: Watcher, only?: RequestKind): () => void;
  stop(): Promise<void>;
}

/**
 * Which requests count: all, redemptions at the token endpoint, or requests to an API with an access token.
 */
export type RequestKind = "any" | "token" | "api";

interface Started {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket & { readonly encrypted?: boolean };
}

const TOKEN_PATH = /\/oauth2\/v2\.0\/token(\?|$)/;

/**
 * The simulator in this process, with its requests and answers in sight: Node tells of every request that one
 * of its servers receives (`diagnostics_channel`), so neither the simulator nor the program under test needs
 * a hook.
 */
export async function startMicrosoft(
  scenario: object,
  options: { readonly frozen: boolean } = { frozen: true },
): Promise<Microsoft> {
  const simulator = await startSimulator({
    scenario: scenarioOf(JSON.stringify(scenario), "scenario"),
    frozen: options.frozen,
    warn: () => undefined,
  });
  const port = Number(new URL(simulator.ready.graph_url).port);
  const watches = new Set<{
    readonly watcher: Watcher;
    readonly only: RequestKind;
    requests: number;
    answers: number;
  }>();
  const onRequest = (message: unknown): void => {
    const { request, response, socket } = message as Started;
    if (socket.localPort !== port) return;
    const kind = TOKEN_PATH.test(request.url ?? "")
      ? "token"
      : request.headers.authorization === undefined
        ? "discovery"
        : "api";
    const concerned = [...watches].filter(({ only }) => only === "any" || only === kind);
    if (concerned.some(({ watcher }) => watcher.halfSent !== undefined))
      splitAnswer(response, (goOn) => {
        const waits = concerned.map(async (one) => {
          one.answers += 1;
          await one.watcher.halfSent?.(one.answers);
        });
        void Promise.all(waits).then(goOn);
      });
    for (const one of concerned) {
      one.requests += 1;
      one.watcher.requested?.(one.requests, request);
    }
  };
  subscribe("http.server.request.start", onRequest);
  return {
    simulator,
    watch(watcher, only = "any") {
      const one = { watcher, only, requests: 0, answers: 0 };
      watches.add(one);
      return () => void watches.delete(one);
    },
    async stop() {
      unsubscribe("http.server.request.start", onRequest);
      await simulator.stop();
    },
  };
}

/**
 * Keeps what is written until the end is known and sends it as two halves; `atHalf` decides when the second
 * follows.
 */
function splitAnswer(response: ServerResponse, atHalf: (goOn: () => void) => void): void {
  const write = response.write.bind(response) as (bytes: Uint8Array, done?: () => void) => boolean;
  const end = response.end.bind(response) as (bytes?: Uint8Array) => ServerResponse;
  const kept: Buffer[] = [];
  const keep = (piece: unknown): void => {
    if (typeof piece === "string") kept.push(Buffer.from(piece));
    else if (piece instanceof Uint8Array) kept.push(Buffer.from(piece));
  };
  response.write = ((piece: unknown) => {
    keep(piece);
    return true;
  }) as ServerResponse["write"];
  response.end = ((piece: unknown) => {
    keep(piece);
    const body = Buffer.concat(kept);
    const middle = Math.floor(body.length / 2);
    if (middle === 0) return end(body);
    write(body.subarray(0, middle), () => atHalf(() => end(body.subarray(middle))));
    return response;
  }) as ServerResponse["end"];
}
