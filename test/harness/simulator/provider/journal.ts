import type { Exchange } from "../exchange.ts";
import type { Customer, World } from "../world.ts";
import { isBridge, isHomeApp } from "./provider.ts";

/** One request of the provider, as an oracle sees it: without query, body and token. */
export interface NotedRequest {
  readonly atMs: number;
  readonly app: "home" | "bridge";
  readonly tenant: Customer;
  readonly method: string;
  readonly path: string;
  /** Answered with success it changed something at Microsoft. A sign-in changes nothing. */
  readonly isWrite: boolean;
  /** 0 until it was answered. */
  status: number;
}

/** Notes a request of the home app or the bridge. What the reader polls is `/shown`'s matter. */
export function noteRequest(exchange: Exchange, world: World, clientId: string, tenant: Customer): void {
  const { provider } = world;
  if (provider === undefined) return;
  const app = isHomeApp(world, clientId) ? "home" : isBridge(world, clientId) ? "bridge" : undefined;
  if (app === undefined) return;
  const { request, response, url, nowMs } = exchange;
  const method = request.method ?? "";
  const noted: NotedRequest = {
    atMs: nowMs,
    app,
    tenant,
    method,
    path: url.pathname,
    isWrite: method !== "GET" && !url.pathname.endsWith("/token"),
    status: 0,
  };
  provider.requests.push(noted);
  response.once("finish", () => {
    noted.status = response.statusCode;
  });
}
