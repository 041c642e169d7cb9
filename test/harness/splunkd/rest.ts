import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { ADMIN, type Person, refusalFor } from "./access.ts";
import { type Entry, type Reply, renderReply } from "./atom.ts";
import type { ServerCertificate } from "./certificate.ts";
import { type Conf, inputsOf } from "./conf.ts";
import { readConf, readLayered, writeLocal } from "./install.ts";
import { KvStore } from "./kv-store.ts";
import { type Password, PasswordFile } from "./passwords.ts";
import type { Scheme } from "./scheme.ts";

/**
 * Splunk's own library counts on 255 characters; what a splunkd does with more is not documented, so both can
 * be chosen.
 */
export type PasswordLimit = "truncate" | "refuse" | "none";
const PASSWORD_LIMIT = 255;
const PAGE = 30;
/** What Splunk itself adds to every input beside the scheme's arguments. */
const STANDARD_SETTINGS = new Set([
  "name",
  "disabled",
  "host",
  "index",
  "interval",
  "source",
  "sourcetype",
  "start_by_shell",
  "output_mode",
  "queueSize",
  "persistentQueueSize",
  "_meta",
]);

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Names of the form fields; values may be secrets and are not kept. */
  readonly fields: readonly string[];
}

/** As `search/v2/jobs` gets it. */
export interface Search {
  readonly text: string;
  readonly earliest: string;
}

export interface RestOptions {
  readonly home: string;
  readonly app: string;
  readonly folder: string;
  readonly schemeName: string;
  readonly certificate: ServerCertificate;
  readonly port: number;
  readonly passwordLimit: PasswordLimit;
  readonly admin: { readonly name: string; readonly password: string };
  /** The first calls are answered 503, as by a splunkd that is starting. */
  readonly unavailableCalls: number;
  /** KV store collections: `<app>/<collection>` to documents. */
  readonly collections: Readonly<Record<string, readonly unknown[]>>;
  readonly scheme: () => Scheme | undefined;
  /** Runs `--validate-arguments`; answers the refusal. */
  readonly validate: (name: string, settings: ReadonlyMap<string, string>) => Promise<string | undefined>;
  /**
   * Awaited for each edit between its validation and its write, so that a test can make edits slow or hold
   * one while it sends another.
   */
  readonly beforeWrite?: ((name: string) => Promise<void>) | undefined;
  /** Inputs have changed: the single instance is restarted. */
  readonly inputsChanged: () => void;
}

/**
 * splunkd's management port, as far as an input and its set-up use it. (Public source: Splunk REST API
 * reference, input, access and configuration endpoints.)
 */
export class Rest {
  readonly passwords: PasswordFile;
  readonly kvStore: KvStore;
  readonly calls: Call[] = [];
  unavailableCalls: number;
  /** Who has logged in. The program itself and basic authentication may do everything. */
  context: Person = ADMIN;
  /** How far its clock is ahead, for those who ask it the time. */
  clockAheadMs = 0;
  /** Answers searches; throws what is wrong with one. A forwarder has no events and finds none. */
  answerSearch: (search: Search) => readonly Readonly<Record<string, unknown>>[] = () => [];
  private readonly sessionKeys = new Set<string>();
  /** Those of people: what they may do is what `context` says. */
  private readonly loggedIn = new Set<string>();
  private readonly server: https.Server;
  private readonly options: RestOptions;

  constructor(options: RestOptions) {
    this.options = options;
    this.unavailableCalls = options.unavailableCalls;
    this.passwords = new PasswordFile(options.home);
    const own = [...readLayered(options.folder, "collections").keys()].filter((name) => name !== "default");
    this.kvStore = new KvStore({
      ...Object.fromEntries(own.map((name) => [`${options.app}/${name}`, []])),
      ...options.collections,
    });
    this.server = https.createServer(
      { key: options.certificate.key, cert: options.certificate.certificate },
      (request, response) => {
        void this.serve(request).then(
          ({ status, type, text }) => response.writeHead(status, { "content-type": type }).end(text),
          (error: unknown) =>
            response
              .writeHead(500, { "content-type": "text/plain" })
              .end(error instanceof Error ? error.message : String(error)),
        );
      },
    );
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(this.options.port, "127.0.0.1", resolve);
    });
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** A key for a process that is about to start. */
  newSessionKey(): string {
    const key = randomBytes(48).toString("base64url");
    this.sessionKeys.add(key);
    return key;
  }

  revoke(sessionKey: string): void {
    this.sessionKeys.delete(sessionKey);
  }

  private async serve(request: IncomingMessage): Promise<{ status: number; type: string; text: string }> {
    const url = new URL(request.url ?? "/", "https://127.0.0.1");
    const text = await readBody(request);
    const isJson = request.headers["content-type"]?.startsWith("application/json") === true;
    const body = new URLSearchParams(isJson ? "" : text);
    const method = request.method ?? "GET";
    const reply = await this.answer(method, url, body, request.headers.authorization, text);
    this.calls.push({ method, path: url.pathname, status: reply.status, fields: [...body.keys()] });
    const json = (url.searchParams.get("output_mode") ?? body.get("output_mode")) === "json";
    return { status: reply.status, ...renderReply(reply, json, url.pathname) };
  }

  private async answer(
    method: string,
    url: URL,
    body: URLSearchParams,
    authorization: string | undefined,
    text: string,
  ): Promise<Reply> {
    if (this.unavailableCalls > 0) {
      this.unavailableCalls--;
      return refuse(503, "splunkd is currently not ready to serve this request");
    }
    if (url.pathname === "/services/auth/login" && method === "POST") return this.login(body);
    if (!this.isAuthorised(authorization))
      return { status: 401, message: { type: "WARN", text: "call not properly authenticated" } };
    const parts = url.pathname
      .split("/")
      .filter((part) => part !== "")
      .map((part) => decodeURIComponent(part));
    let namespace = "-";
    if (parts[0] === "servicesNS") namespace = parts.splice(1, 2)[1] ?? "-";
    const [, ...path] = parts;
    const route = path.join("/");
    const refusal = this.isPerson(authorization)
      ? refusalFor(this.context, method, path, this.options.folder)
      : undefined;
    if (refusal !== undefined) return refuse(403, refusal);
    if (route === "server/info")
      return {
        status: 200,
        entries: [
          {
            name: "server-info",
            app: "",
            content: {
              version: "10.0.0",
              serverName: "fake-splunkd",
              guid: "00000000-0000-4000-8000-000000000000",
              os_name: process.platform,
            },
          },
        ],
      };
    if (route === "authentication/current-context")
      return { status: 200, entries: [{ name: "context", app: "", content: { ...this.context } }] };
    if (route === "search/timeparser") return this.timeCall(url.searchParams);
    if (route === "search/v2/jobs" && method === "POST") return this.searchCall(body);
    if (route.startsWith("storage/passwords")) return this.passwordsCall(method, namespace, path[2], url, body);
    if (route.startsWith("storage/collections/data/"))
      return this.kvStore.answer(method, `${namespace}/${path[3] ?? ""}`, path[4], url.searchParams, text);
    if (route === `data/modular-inputs/${this.options.schemeName}`) return this.registration();
    if (path[0] === "data" && path[1] === "inputs" && path[2] === this.options.schemeName)
      return this.inputsCall(method, path[3], path[4], url.searchParams, body);
    if (path[0] === "configs" && path[1]?.startsWith("conf-"))
      return this.confCall(method, path[1].slice(5), path[2], url.searchParams, body);
    return refuse(404, "Not Found");
  }

  /** The time `now`, in seconds (`%s`) or as ISO. (Public source: Splunk REST API reference.) */
  private timeCall(query: URLSearchParams): Reply {
    if (query.get("time") !== "now") return refuse(400, "the fake splunkd knows time=now only");
    const nowMs = Date.now() + this.clockAheadMs;
    const isInSeconds = query.get("output_time_format") === "%s";
    return {
      status: 200,
      body: { now: isInSeconds ? String(Math.floor(nowMs / 1_000)) : new Date(nowMs).toISOString() },
    };
  }

  /** A search whose rows are the answer itself: exec_mode=oneshot. */
  private searchCall(body: URLSearchParams): Reply {
    if (body.get("exec_mode") !== "oneshot") return refuse(400, "the fake splunkd runs exec_mode=oneshot only");
    const limit = Number(body.get("count") ?? 100);
    try {
      const rows = this.answerSearch({ text: body.get("search") ?? "", earliest: body.get("earliest_time") ?? "" });
      return { status: 200, body: { messages: [], results: limit === 0 ? rows : rows.slice(0, limit) } };
    } catch (error) {
      return refuse(400, error instanceof Error ? error.message : String(error));
    }
  }

  private login(body: URLSearchParams): Reply {
    const { admin } = this.options;
    if (body.get("username") !== admin.name || body.get("password") !== admin.password)
      return { status: 401, message: { type: "WARN", text: "Login failed" } };
    const sessionKey = this.newSessionKey();
    this.loggedIn.add(sessionKey);
    return { status: 200, body: { sessionKey, message: "", code: "" } };
  }

  private isPerson(authorization = ""): boolean {
    return this.loggedIn.has(authorization.replace(/^\w+ +/, ""));
  }

  private isAuthorised(authorization: string | undefined): boolean {
    const [kind = "", value = ""] = (authorization ?? "").split(/ +/);
    if (/^(splunk|bearer)$/i.test(kind)) return this.sessionKeys.has(value);
    const { admin } = this.options;
    return /^basic$/i.test(kind) && Buffer.from(value, "base64").toString("utf8") === `${admin.name}:${admin.password}`;
  }

  private passwordsCall(
    method: string,
    namespace: string,
    id: string | undefined,
    url: URL,
    body: URLSearchParams,
  ): Reply {
    const app = namespace === "-" ? this.options.app : namespace;
    if (id === undefined) {
      if (method === "GET") return this.listPasswords(namespace, url.searchParams);
      if (method !== "POST") return refuse(405, "Method Not Allowed");
      const name = body.get("name");
      const password = body.get("password");
      const realm = body.get("realm") ?? "";
      if (!name || !password) return refuse(400, "The following required arguments are missing: name, password.");
      if (this.passwords.find(app, realm, name))
        return refuse(409, `In handler 'passwords': An object with name=${entryId(realm, name)} already exists`);
      return this.storePassword({ app, realm, name, password, sharing: "app" }, 201);
    }
    const found = this.visible(namespace).find((one) => entryId(one.realm, one.name) === id);
    if (!found) return refuse(404, `Could not find object id=${id}`);
    if (method === "GET") return { status: 200, entries: [passwordEntry(found)] };
    if (method === "DELETE") {
      this.passwords.remove(found);
      return { status: 200, entries: [] };
    }
    const unsupported = [...body.keys()].find((key) => key !== "password" && key !== "output_mode");
    if (unsupported !== undefined) return refuse(400, `Argument "${unsupported}" is not supported by this handler.`);
    const password = body.get("password");
    if (!password) return refuse(400, "The following required arguments are missing: password.");
    return this.storePassword({ ...found, password }, 200);
  }

  private storePassword(entry: Password, status: number): Reply {
    const tooLong = entry.password.length > PASSWORD_LIMIT;
    if (tooLong && this.options.passwordLimit === "refuse")
      return refuse(400, `Password is longer than ${PASSWORD_LIMIT} characters`);
    const password =
      tooLong && this.options.passwordLimit === "truncate" ? entry.password.slice(0, PASSWORD_LIMIT) : entry.password;
    this.passwords.put({ ...entry, password });
    return { status, entries: [passwordEntry({ ...entry, password })] };
  }

  private listPasswords(namespace: string, query: URLSearchParams): Reply {
    const all = this.visible(namespace).toSorted((a, b) =>
      entryId(a.realm, a.name) < entryId(b.realm, b.name) ? -1 : 1,
    );
    return listPage(all.map(passwordEntry), query);
  }

  /** An app sees its own entries and what other apps export. */
  private visible(namespace: string): Password[] {
    return this.passwords
      .list()
      .filter((one) => namespace === "-" || one.app === namespace || one.sharing === "global");
  }

  private registration(): Reply {
    const scheme = this.options.scheme();
    if (!scheme) return refuse(404, "the scheme is not registered");
    return {
      status: 200,
      entries: [
        {
          name: this.options.schemeName,
          app: this.options.app,
          content: {
            title: scheme.title,
            streaming_mode: scheme.streamingMode,
            use_single_instance: scheme.useSingleInstance,
          },
        },
      ],
    };
  }

  private async inputsCall(
    method: string,
    name: string | undefined,
    action: string | undefined,
    query: URLSearchParams,
    body: URLSearchParams,
  ): Promise<Reply> {
    const { schemeName, folder, app } = this.options;
    const inputs = inputsOf(readLayered(folder, "inputs"), schemeName);
    const entry = (one: (typeof inputs)[number]): Entry => ({
      name: one.name,
      app,
      content: Object.fromEntries(one.settings),
    });
    if (name === undefined && method === "GET") return listPage(inputs.map(entry), query);
    const stanzaName = name ?? body.get("name") ?? "";
    const known = inputs.find((one) => one.name === stanzaName);
    if (name !== undefined && !known) return refuse(404, `Could not find object id=${name}`);
    if (method === "GET") return { status: 200, entries: known ? [entry(known)] : [] };
    if (name === undefined && stanzaName === "")
      return refuse(400, "The following required arguments are missing: name.");
    if (name === undefined && known)
      return refuse(409, `In handler '${schemeName}': An object with name=${stanzaName} already exists`);

    const isEdit = method !== "DELETE" && action !== "enable" && action !== "disable";
    if (isEdit) {
      const refusal = await this.editRefusal(stanzaName, body, known?.settings, name === undefined);
      if (refusal) return refusal;
    }
    await this.options.beforeWrite?.(stanzaName);
    const stanza = `${schemeName}://${stanzaName}`;
    // Read only now: other edits were written while this one was validated.
    const local = readConf(`${folder}/local/inputs.conf`);
    if (method === "DELETE") {
      local.delete(stanza);
      return this.saved(local, 200, []);
    }
    if (name === undefined && local.has(stanza))
      return refuse(409, `In handler '${schemeName}': An object with name=${stanzaName} already exists`);
    const settings = new Map(local.get(stanza));
    if (isEdit) {
      for (const [key, value] of body) if (key !== "name" && key !== "output_mode") settings.set(key, value);
    } else settings.set("disabled", action === "disable" ? "1" : "0");
    local.set(stanza, settings);
    return this.saved(local, name === undefined ? 201 : 200, [
      { name: stanzaName, app, content: Object.fromEntries(settings) },
    ]);
  }

  private async editRefusal(
    name: string,
    body: URLSearchParams,
    before: ReadonlyMap<string, string> | undefined,
    isNew: boolean,
  ): Promise<Reply | undefined> {
    const scheme = this.options.scheme();
    const args = scheme?.args ?? [];
    const unsupported = [...body.keys()].find(
      (key) => !STANDARD_SETTINGS.has(key) && !args.some((arg) => arg.name === key),
    );
    if (unsupported !== undefined) return refuse(400, `Argument "${unsupported}" is not supported by this handler.`);
    const missing = args
      .filter(
        (arg) => arg.name !== "name" && (isNew ? arg.requiredOnCreate : arg.requiredOnEdit) && !body.has(arg.name),
      )
      .map((arg) => arg.name);
    if (missing.length > 0) return refuse(400, `The following required arguments are missing: ${missing.join(", ")}.`);
    if (!scheme?.useExternalValidation) return undefined;
    const typed = new Map([...(before ?? []), ...body]);
    typed.delete("name");
    typed.delete("output_mode");
    const message = await this.options.validate(name, typed);
    return message === undefined ? undefined : refuse(400, message);
  }

  private saved(local: Conf, status: number, entries: readonly Entry[]): Reply {
    writeLocal(this.options.folder, "inputs", local);
    // After the answer is on its way: the caller may be the very process that is restarted.
    setImmediate(this.options.inputsChanged);
    return { status, entries };
  }

  private confCall(
    method: string,
    file: string,
    stanza: string | undefined,
    query: URLSearchParams,
    body: URLSearchParams,
  ): Reply {
    const { folder, app } = this.options;
    if (!/^[a-z_]+$/.test(file)) return refuse(404, "Not Found");
    const conf = readLayered(folder, file);
    const entry = (name: string): Entry => ({
      name,
      app,
      content: {
        disabled: false,
        "eai:appName": app,
        "eai:userName": "nobody",
        ...Object.fromEntries(conf.get(name) ?? []),
      },
    });
    if (method === "GET" && stanza === undefined) return listPage([...conf.keys()].map(entry), query);
    if (method === "GET")
      return stanza !== undefined && conf.has(stanza)
        ? listPage([entry(stanza)], query)
        : refuse(404, `Could not find object id=${stanza}`);
    const name = stanza ?? body.get("name") ?? "";
    if (name === "") return refuse(400, "The following required arguments are missing: name.");
    if (stanza === undefined && conf.has(name)) return refuse(409, `An object with name=${name} already exists`);
    if (stanza !== undefined && !conf.has(name)) return refuse(404, `Could not find object id=${name}`);
    const local = readConf(`${folder}/local/${file}.conf`);
    if (method === "DELETE") {
      if (!local.has(name)) return refuse(400, `Object id=${name} cannot be deleted in config=${file}.`);
      local.delete(name);
    } else
      local.set(
        name,
        new Map([...(local.get(name) ?? []), ...[...body].filter(([key]) => key !== "name" && key !== "output_mode")]),
      );
    writeLocal(folder, file, local);
    return {
      status: stanza === undefined ? 201 : 200,
      entries: [{ name, app, content: Object.fromEntries(local.get(name) ?? []) }],
    };
  }
}

/**
 * One page of a list: 30 entries unless `count` says otherwise, and of their content what `f` names. (Splunk
 * REST API Reference, "Pagination and filtering parameters".)
 */
function listPage(all: readonly Entry[], query: URLSearchParams): Reply {
  const asked = Number(query.get("count") ?? PAGE);
  const offset = Number(query.get("offset") ?? 0);
  const named = new Set(query.getAll("f"));
  const page = asked <= 0 ? all.slice(offset) : all.slice(offset, offset + asked);
  const shown = (content: Entry["content"]) =>
    named.size === 0 ? content : Object.fromEntries(Object.entries(content).filter(([key]) => named.has(key)));
  return {
    status: 200,
    entries: page.map((one) => ({ ...one, content: shown(one.content) })),
    paging: { total: all.length, perPage: asked <= 0 ? 10_000_000 : asked, offset },
  };
}

function refuse(status: number, text: string): Reply {
  return { status, message: { type: "ERROR", text } };
}

/** `realm:name:`, a colon inside either written `\:`. */
function entryId(realm: string, name: string): string {
  return `${realm.replaceAll(":", "\\:")}:${name.replaceAll(":", "\\:")}:`;
}

function passwordEntry(entry: Password): Entry {
  return {
    name: entryId(entry.realm, entry.name),
    app: entry.app,
    sharing: entry.sharing,
    content: {
      clear_password: entry.password,
      encr_password: "$7$fake==",
      password: "********",
      realm: entry.realm,
      username: entry.name,
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
