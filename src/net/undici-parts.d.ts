/** Files of undici that its index loads too; its types describe the index only. */
declare module "undici/lib/core/connect.js" {
  export { buildConnector as default } from "undici";
}
declare module "undici/lib/dispatcher/agent.js" {
  export { Agent as default } from "undici";
}
declare module "undici/lib/dispatcher/dispatcher.js" {
  export { Dispatcher as default } from "undici";
}
declare module "undici/lib/dispatcher/pool.js" {
  export { Pool as default } from "undici";
}
declare module "undici/lib/api/index.js" {
  import type { Readable } from "node:stream";

  /** What becomes of one request. */
  export interface RequestHandler {
    res: Readable | null;
    controller: unknown;
    abort: unknown;
    onResponseStart: (this: RequestHandler, ...given: unknown[]) => void;
  }
  const api: Readonly<Record<string, unknown>> & {
    readonly request: { readonly RequestHandler: { readonly prototype: RequestHandler } };
  };
  export default api;
}
