/**
 * The fake Splunk Web: serves the app's views and static files as Splunk Web does, asks for a login, refuses
 * writes without the form key, and passes REST calls on to the fake splunkd. What it imitates and what only a
 * real Splunk can show: docs/harness.md.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { Splunkd } from "../splunkd/splunkd.ts";
import { configScript, LAYOUT_SCRIPT, loginPage, type PageHost, THEME_SCRIPT, viewPage } from "./documents.ts";

export interface SplunkWebOptions {
  readonly splunkd: Splunkd;
  readonly port?: number;
  readonly locale?: string;
  /** `root_endpoint` of web.conf, for example `/splunk`. */
  readonly root?: string;
  readonly version?: string;
  readonly theme?: "light" | "dark";
}

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".png": "image/png",
};

/** An answer that the next call whose path contains `path` gets instead of splunkd's. */
export interface Interference {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly text: string;
  /** Every such call gets it, until the test removes it: what a page asks again by itself. */
  readonly stays?: boolean;
}

export class SplunkWeb {
  /** The full address of the view `start`. */
  readonly url: string;
  /** Every call to splunkd: no bodies, they may hold secrets. */
  readonly calls: { readonly method: string; readonly path: string; readonly status: number }[] = [];
  readonly interferences: Interference[] = [];
  readonly #splunkd: Splunkd;
  readonly #server: Server;
  readonly #host: PageHost;
  /** Cookie to splunkd's session key. */
  readonly #sessions = new Map<string, string>();
  #formKey = newKey();

  private constructor(splunkd: Splunkd, server: Server, host: PageHost) {
    this.#splunkd = splunkd;
    this.#server = server;
    this.#host = host;
    this.url = this.viewUrl("start");
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch((error: unknown) => {
        response.writeHead(500, { "content-type": "text/plain" });
        response.end(error instanceof Error ? error.message : String(error));
      });
    });
  }

  static async start(options: SplunkWebOptions): Promise<SplunkWeb> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new SplunkWeb(options.splunkd, server, {
      port: (server.address() as AddressInfo).port,
      root: (options.root ?? "").replace(/\/+$/, ""),
      locale: options.locale ?? "en-US",
      version: options.version ?? "10.4.0",
      theme: options.theme ?? "light",
      app: options.splunkd.installed.app,
    });
  }

  viewUrl(view: string): string {
    const { port, root, locale, app } = this.#host;
    return `http://127.0.0.1:${port}${root}/${locale}/app/${app}/${view}`;
  }

  /** Every browser has to log in again. */
  expireSessions(): void {
    this.#sessions.clear();
  }

  /** As after a login in another tab: open pages hold an old key until they read the cookie again. */
  changeFormKey(): void {
    this.#formKey = newKey();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { root, locale, app } = this.#host;
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const base = `${root}/${locale}`;
    if (!url.pathname.startsWith(`${base}/`)) return redirect(response, `${base}/app/${app}/start`);
    const below = decodeURIComponent(url.pathname.slice(base.length + 1));
    if (below === "account/login") return this.#login(request, response, url);
    if (below.startsWith("splunkd/__raw/"))
      return this.#pass(request, response, url.pathname.slice(`${base}/splunkd/__raw`.length), url.search);
    if (below === "config") return script(response, configScript(this.#host, this.#build));
    if (below === "i18ncatalog") return script(response, "");
    if (below.startsWith("static/")) return this.#static(response, below.replace(/^static\/(@[^/]*\/)?/, ""));
    if (this.#sessionKey(request) === undefined)
      return redirect(response, `${base}/account/login?return_to=${encodeURIComponent(url.pathname + url.search)}`);
    const view = /^app\/([^/]+)\/([\w-]+)$/.exec(below);
    const page = view?.[1] === app ? this.#view(view[2] ?? "") : undefined;
    response.writeHead(page === undefined ? 404 : 200, { "content-type": "text/html; charset=utf-8" });
    response.end(page ?? "<!doctype html><title>404</title><h1>Page not found!</h1>");
  }

  /** `[install] build` of the app that is installed. */
  get #build(): string {
    const conf = readFileSync(path.join(this.#splunkd.installed.folder, "default/app.conf"), "utf8");
    return /^build\s*=\s*(\d+)/m.exec(conf)?.[1] ?? "0";
  }

  #view(name: string): string | undefined {
    const file = path.join(this.#splunkd.installed.folder, "default/data/ui/views", `${name}.xml`);
    return existsSync(file) ? viewPage(name, readFileSync(file, "utf8"), this.#host, this.#build) : undefined;
  }

  #static(response: ServerResponse, below: string): void {
    if (below === "build/api/layout.js" || below === "build/api/layout-dark.js") return script(response, LAYOUT_SCRIPT);
    if (below === "build/api/get_theme.js") return script(response, THEME_SCRIPT(this.#host.theme));
    if (below === "js/i18n.js") return script(response, "");
    const { app, folder } = this.#splunkd.installed;
    const shown = path.join(folder, "appserver/static");
    const file = path.join(shown, below.replace(new RegExp(`^app/${app}/`), ""));
    const isThere = below.startsWith(`app/${app}/`) && file.startsWith(shown) && existsSync(file);
    if (!isThere || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    response.end(readFileSync(file));
  }

  async #login(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { root, locale, app, port } = this.#host;
    if (request.method !== "POST") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(loginPage(this.#host));
      return;
    }
    const answer = await this.#ask("POST", "/services/auth/login?output_mode=json", {}, await bodyOf(request));
    if (answer.status !== 200) {
      response.writeHead(401, { "content-type": "text/html; charset=utf-8" });
      response.end(loginPage(this.#host, "Login failed"));
      return;
    }
    const cookie = newKey();
    this.#sessions.set(cookie, (JSON.parse(answer.text) as { sessionKey: string }).sessionKey);
    const back = url.searchParams.get("return_to") ?? "";
    response.writeHead(303, {
      // Only a path of this server: an address would send whoever logs in elsewhere.
      location: /^\/(?!\/)/.test(back) ? back : `${root}/${locale}/app/${app}/start`,
      "set-cookie": [
        `splunkd_${port}=${cookie}; Path=/; HttpOnly; SameSite=Lax`,
        `splunkweb_csrf_token_${port}=${this.#formKey}; Path=/; SameSite=Lax`,
      ],
    });
    response.end();
  }

  /** Hands the path on as it was encoded: names may hold anything. */
  async #pass(request: IncomingMessage, response: ServerResponse, below: string, search: string): Promise<void> {
    const method = request.method ?? "GET";
    const body = await bodyOf(request);
    const answer = await this.#passed(method, below + search, request, body);
    this.calls.push({ method, path: below, status: answer.status });
    response.writeHead(answer.status, { "content-type": answer.type, "cache-control": "no-store" });
    response.end(answer.text);
  }

  async #passed(method: string, target: string, request: IncomingMessage, body: string): Promise<Answer> {
    const sessionKey = this.#sessionKey(request);
    if (sessionKey === undefined) return refusal(401, "call not properly authenticated");
    const isForm = same(request.headers["x-splunk-form-key"], this.#formKey);
    if (method !== "GET" && !(isForm && request.headers["x-requested-with"] === "XMLHttpRequest"))
      return refusal(401, "CSRF validation failed");
    const at = this.interferences.findIndex((one) => one.method === method && target.includes(one.path));
    const instead = this.interferences[at];
    if (instead !== undefined) {
      if (instead.stays !== true) this.interferences.splice(at, 1);
      return refusal(instead.status, instead.text);
    }
    const type = request.headers["content-type"];
    const headers = { authorization: `Splunk ${sessionKey}`, ...(type === undefined ? {} : { "content-type": type }) };
    return this.#ask(method, target, headers, body);
  }

  #sessionKey(request: IncomingMessage): string | undefined {
    const cookie = new RegExp(`(?:^|; )splunkd_${this.#host.port}=([^;]+)`).exec(request.headers.cookie ?? "");
    return this.#sessions.get(cookie?.[1] ?? "");
  }

  #ask(method: string, target: string, headers: Record<string, string>, body: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { method, headers, ca: readFileSync(this.#splunkd.caFile) };
      const sent = httpsRequest(this.#splunkd.serverUri + target, options, (answer) => {
        bodyOf(answer).then(
          (text) =>
            resolve({ status: answer.statusCode ?? 0, type: answer.headers["content-type"] ?? "text/plain", text }),
          reject,
        );
      });
      sent.once("error", reject);
      sent.end(method === "GET" ? undefined : body);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function refusal(status: number, text: string): Answer {
  return { status, type: "application/json", text: JSON.stringify({ messages: [{ type: "ERROR", text }] }) };
}

function same(given: string | string[] | undefined, key: string): boolean {
  return (
    typeof given === "string" && given.length === key.length && timingSafeEqual(Buffer.from(given), Buffer.from(key))
  );
}

function newKey(): string {
  return randomBytes(16).toString("hex");
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(303, { location }).end();
}

function script(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "text/javascript; charset=utf-8" }).end(text);
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
