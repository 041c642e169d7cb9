import http from "node:http";
import https from "node:https";
import type { ParsedEvent, ParserFile } from "./parser-file.ts";
import { eventsUrl } from "./start-time.ts";

export interface PollerOptions {
  /**
   * The OAuth2 client properties file: client_id (or client_ID, as Microsoft's page prints it),
   * client_secret, token_url, scope.
   */
  readonly client: ReadonlyMap<string, string>;
  readonly refreshToken: string;
  /** With `$START_AT_TIME`, or without. */
  readonly eventsUrl: string;
  readonly startFormat: string;
  readonly parser: ParserFile;
  readonly ca?: string | undefined;
  readonly nowMs: () => number;
}

export interface Poll {
  readonly url: string;
  readonly status: number;
  /** The answer as parsed JSON, when it was 200. */
  readonly answer: unknown;
  readonly events: readonly ParsedEvent[];
}

/**
 * A REST FlexConnector as far as public text describes it: it posts a refresh token to `token_url` and gets
 * the Events URL with a start time.
 */
export class ArcSightPoller {
  private accessToken: string | undefined;
  private renewAtMs = 0;
  private refreshToken: string;
  private readonly options: PollerOptions;

  constructor(options: PollerOptions) {
    this.options = options;
    this.refreshToken = options.refreshToken;
  }

  /** Throws with the connector's own words when it gets no token. */
  async poll(startMs: number): Promise<Poll> {
    const url = eventsUrl(this.options.eventsUrl, this.options.startFormat, startMs);
    let answer = await this.get(url);
    if (answer.status === 401) {
      this.accessToken = undefined;
      answer = await this.get(url);
    }
    if (answer.status !== 200) return { url, status: answer.status, answer: answer.text, events: [] };
    const json: unknown = JSON.parse(answer.text);
    return { url, status: 200, answer: json, events: this.options.parser.parse(json) };
  }

  private async get(url: string): Promise<{ status: number; text: string }> {
    if (this.accessToken === undefined || this.options.nowMs() >= this.renewAtMs) await this.refresh();
    return this.send("GET", url, { authorization: `Bearer ${this.accessToken}`, accept: "application/json" });
  }

  private async refresh(): Promise<void> {
    const { client, nowMs } = this.options;
    const clientId = client.get("client_id") ?? client.get("client_ID");
    const tokenUrl = client.get("token_url");
    if (clientId === undefined || tokenUrl === undefined)
      throw new Error("the client properties file needs client_id and token_url");
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: clientId,
      client_secret: client.get("client_secret") ?? "",
      refresh_token: this.refreshToken,
    });
    if (client.get("scope")) form.set("scope", client.get("scope") as string);
    const answer = await this.send(
      "POST",
      tokenUrl,
      { "content-type": "application/x-www-form-urlencoded" },
      form.toString(),
    );
    if (answer.status !== 200)
      throw new Error(`Failed to refresh access token: status=HTTP/1.1 ${answer.status}: ${answer.text.slice(0, 300)}`);
    const token = JSON.parse(answer.text) as {
      access_token?: unknown;
      token_type?: unknown;
      expires_in?: unknown;
      refresh_token?: unknown;
    };
    if (typeof token.access_token !== "string") throw new Error("the token answer has no access_token");
    if (!/^bearer$/i.test(String(token.token_type))) throw new Error("the token answer's token_type is not Bearer");
    const lifetimeS = Number(token.expires_in);
    if (!(lifetimeS > 0)) throw new Error("the token answer has no expires_in");
    this.accessToken = token.access_token;
    this.renewAtMs = nowMs() + lifetimeS * 1000;
    if (typeof token.refresh_token === "string") this.refreshToken = token.refresh_token;
  }

  private send(
    method: string,
    url: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<{ status: number; text: string }> {
    const client = url.startsWith("https:") ? https : http;
    const ca = this.options.ca === undefined ? {} : { ca: this.options.ca };
    const target = new URL(url);
    // The path stays as written: a URL object would encode the characters whose handling is tested.
    const path = url.slice(url.indexOf("/", url.indexOf("//") + 2));
    return new Promise((resolve, reject) => {
      const request = client.request(
        { method, hostname: target.hostname, port: target.port, path, headers, ...ca },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on("data", (chunk: Buffer) => chunks.push(chunk));
          answer.on("error", reject);
          answer.on("end", () =>
            resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
          );
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  }
}

/**
 * The next start time: the newest value of `timeMember` in the answer's rows, or what was asked before when
 * there is none. A poller that moves by the rows' own time finds late rows only if the server gives them a
 * time of arrival.
 */
export function nextStart(poll: Poll, timeMember: string, startMs: number): number {
  const rows: unknown[] = Array.isArray(poll.answer) ? poll.answer : [];
  const times = rows.map((row) => {
    const value = (row as Record<string, unknown>)[timeMember];
    return typeof value === "number" ? value : Date.parse(typeof value === "string" ? value : "");
  });
  return times.reduce((newest, ms) => (ms > newest ? ms : newest), startMs);
}
