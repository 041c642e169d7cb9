import { type LookupAddress, lookup } from "node:dns";
import * as net from "node:net";
import { TIME_LIMITS } from "./time-limits.ts";

export interface TcpTarget {
  readonly host: string;
  readonly port: number;
  readonly withinMs: number;
  readonly stop?: AbortSignal;
}

/** Finds all addresses of a name, in the order in which the system prefers them. */
export type Lookup = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void;

const systemLookup: Lookup = (host, done) => {
  // The order is set explicitly, because a flag of the runtime changes the default.
  lookup(host, { all: true, order: "verbatim" }, done);
};

/**
 * A TCP connection to the first address of the host that accepts one. The addresses are tried one after the
 * other, 250 ms apart or as soon as one fails, and an attempt that was started goes on until another one
 * connects: a slow address is not lost because a second one exists, and a dead one does not delay the next
 * (RFC 8305). The runtime's own way drops each attempt after 250 ms.
 *
 * Rejects with the error of the runtime; of several the one that says most. `ETIMEDOUT` after `withinMs`.
 */
export async function connectTcp(target: TcpTarget, find: Lookup = systemLookup): Promise<net.Socket> {
  const race = new Race(target.port);
  const timer = setTimeout(() => race.fail(timedOut(target)), target.withinMs);
  const onStop = (): void => race.fail(new Error("stopped"));
  target.stop?.addEventListener("abort", onStop, { once: true });
  if (target.stop?.aborted) onStop();
  try {
    race.begin(target.host.replace(/^\[(.+)\]$/, "$1"), find);
    return await race.winner;
  } finally {
    clearTimeout(timer);
    target.stop?.removeEventListener("abort", onStop);
  }
}

/** Attempts to several addresses, of which the first that connects wins. */
class Race {
  readonly winner: Promise<net.Socket>;
  readonly #port: number;
  readonly #sockets = new Set<net.Socket>();
  readonly #errors: unknown[] = [];
  #waiting: LookupAddress[] = [];
  #next: NodeJS.Timeout | undefined;
  #isOver = false;
  #resolve!: (socket: net.Socket) => void;
  #reject!: (error: unknown) => void;

  constructor(port: number) {
    this.#port = port;
    this.winner = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The first attempt looks the name up, and so learns of the other addresses. */
  begin(host: string, find: Lookup): void {
    const lookupFirst: net.LookupFunction = (name, _options, done) => {
      find(name, (error, addresses) => {
        const [first, ...others] = error ? [] : alternating(addresses);
        this.#waiting = others;
        this.#tryNextLater();
        if (first) done(null, first.address, first.family);
        else done(error ?? Object.assign(new Error(`${name} has no address`), { code: "ENOTFOUND" }), "");
      });
    };
    this.#attempt({ host, lookup: lookupFirst });
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#end(undefined);
    this.#reject(error);
  }

  #tryNext(): void {
    clearTimeout(this.#next);
    if (this.#isOver) return;
    const to = this.#waiting.shift();
    this.#tryNextLater();
    if (to !== undefined) this.#attempt({ host: to.address });
    else if (this.#sockets.size === 0) this.fail(mostTelling(this.#errors));
  }

  #tryNextLater(): void {
    if (this.#waiting.length > 0 && !this.#isOver)
      this.#next = setTimeout(() => this.#tryNext(), TIME_LIMITS.nextAddress.ms);
  }

  #attempt(to: { readonly host: string; readonly lookup?: net.LookupFunction }): void {
    // One address each, so that the runtime has no attempts of its own to limit.
    const socket = net.connect({ ...to, port: this.#port, autoSelectFamily: false });
    this.#sockets.add(socket);
    const onError = (error: Error): void => {
      this.#sockets.delete(socket);
      this.#errors.push(error);
      this.#tryNext();
    };
    socket.once("error", onError);
    socket.once("connect", () => {
      if (this.#isOver) return;
      socket.removeListener("error", onError);
      this.#end(socket);
      this.#resolve(socket);
    });
  }

  #end(winner: net.Socket | undefined): void {
    this.#isOver = true;
    clearTimeout(this.#next);
    for (const socket of this.#sockets) if (socket !== winner) socket.on("error", () => undefined).destroy();
  }
}

/** Takes both families in turn, beginning with the one that the system prefers (RFC 8305 section 4). */
function alternating(addresses: readonly LookupAddress[]): readonly LookupAddress[] {
  const first = addresses.filter(({ family }) => family === addresses[0]?.family);
  const second = addresses.filter(({ family }) => family !== addresses[0]?.family);
  const out: LookupAddress[] = [];
  for (let n = 0; n < Math.max(first.length, second.length); n++)
    out.push(...first.slice(n, n + 1), ...second.slice(n, n + 1));
  return out;
}

/** A missing route to one address family says less than what happened to an address that has a route. */
const NO_ROUTE = new Set(["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EHOSTUNREACH"]);

function mostTelling(errors: readonly unknown[]): unknown {
  const telling = errors.find((error) => !NO_ROUTE.has((error as NodeJS.ErrnoException).code ?? ""));
  return telling ?? errors[0];
}

function timedOut({ host, port }: TcpTarget): Error {
  return Object.assign(new Error(`no connection to ${host}:${port} in time`), { code: "ETIMEDOUT" });
}
