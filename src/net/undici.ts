import type { Agent, buildConnector, Pool } from "undici";
import type { RequestHandler } from "undici/lib/api/index.js";

/** What this program uses of undici. */
export interface Undici {
  readonly Agent: typeof Agent;
  readonly Pool: typeof Pool;
  readonly buildConnector: typeof buildConnector;
}

/**
 * Loads these parts alone. undici's index also loads fetch, WebSocket, caches and mocks: that takes 0.14 s of
 * processor time and 4 MB at each start. As the index does, it gives every dispatcher its methods.
 */
export function loadUndici(): Promise<Undici> {
  loaded ??= load();
  return loaded;
}

let loaded: Promise<Undici> | undefined;

async function load(): Promise<Undici> {
  const [agent, pool, connect, dispatcher, api] = await Promise.all([
    import("undici/lib/dispatcher/agent.js"),
    import("undici/lib/dispatcher/pool.js"),
    import("undici/lib/core/connect.js"),
    import("undici/lib/dispatcher/dispatcher.js"),
    import("undici/lib/api/index.js"),
  ]);
  Object.assign(dispatcher.default.prototype, api.default);
  letGoAtTheEnd(api.default.request.RequestHandler.prototype);
  return { Agent: agent.default, Pool: pool.default, buildConnector: connect.default };
}

/**
 * A handler whose answer has closed lets go of answer and request. The runtime may put handlers among its old
 * objects at once. All that an old object holds survives until the whole heap is collected: 6 kB a request.
 */
function letGoAtTheEnd(prototype: RequestHandler): void {
  const { onResponseStart } = prototype;
  prototype.onResponseStart = function started(...given) {
    onResponseStart.apply(this, given);
    // Not set for a provisional answer, and not any more when the caller failed.
    this.res?.once("close", () => {
      this.res = null;
      this.controller = null;
      this.abort = null;
    });
  };
}
