import { REQUESTS_CONF } from "../../../src/config/request-stanza.ts";
import { Splunkd } from "../../../src/hosts/splunk/splunkd.ts";
import { AnswerScanner } from "../../../src/json/answer-scanner.ts";
import type { Delivery } from "../../../src/model/event.ts";
import { versionKey } from "../../../src/model/event.ts";
import type { Clock, Http, HttpAnswer, HttpRequest } from "../../../src/model/ports.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { Tenant, TenantId } from "../../../src/model/tenant.ts";
import type { ByteSink } from "../../../src/outputs/stream-pipe.ts";

interface StoredRow {
  readonly app: string;
  readonly realm: string;
  password: string;
}

/** splunkd's REST as far as we use it, in memory; every request is kept. */
export class FakeSplunkd implements Http {
  readonly rows = new Map<string, StoredRow>();
  /** Edits that were accepted. */
  readonly edits: { path: string; form: Record<string, string> }[] = [];
  readonly requests: HttpRequest[] = [];
  /** Inputs as inputs.conf has them. An edit of another one is answered 404. */
  readonly inputs = new Map<string, Record<string, string>>();
  /** Stanzas of the conf file in which pages leave requests; there is no KV store. */
  readonly pageRequests = new Map<string, Record<string, string>>();
  /** What splunkd does between an edit's request and its write: it validates, for instance. */
  validating: (name: string) => Promise<void> = async () => {};
  /** Called once an edit is written; its answer follows. */
  edited: () => void = () => {};
  /** Settings that a file of higher precedence sets: an edit is accepted and changes nothing. */
  readonly shadowed = new Set<string>();
  /** Statuses that the next requests get instead of an answer. */
  readonly refusals: number[] = [];
  /** splunkd's own ceiling on a list page, whatever `count` asks for. */
  pageMax = Number.POSITIVE_INFINITY;
  passwordMax = 255;
  /** splunkd's own clock; it does not say its time while this is undefined. */
  nowMs: number | undefined;

  async send(request: HttpRequest): Promise<HttpAnswer> {
    this.requests.push(request);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return answer(refusal, "<response><messages><msg>no</msg></messages></response>");
    const url = new URL(request.url);
    const form = Object.fromEntries(new URLSearchParams(String(request.body ?? "")));
    const [, , , app = "", ...rest] = url.pathname.split("/");
    if (rest.join("/") === "search/timeparser" && this.nowMs !== undefined)
      return answer(200, JSON.stringify({ now: String(Math.floor(this.nowMs / 1_000)) }));
    if (rest.join("/") === "storage/passwords")
      return request.method === "GET" ? this.#list(url) : this.#create(app, form);
    if (rest[0] === "storage" && rest[1] === "passwords")
      return this.#entry(request.method, app, decodeURIComponent(rest[2] ?? ""), form);
    if (rest[0] === "data" && rest[1] === "inputs" && rest[3] === undefined && request.method === "GET")
      return this.#inputs(url);
    if (rest[0] === "data" && rest[1] === "inputs")
      return this.#input(request.method, url.pathname, rest[3] && decodeURIComponent(rest[3]), form);
    if (rest[0] === "configs" && rest[1] === `conf-${REQUESTS_CONF}`)
      return this.#pageRequest(request.method, decodeURIComponent(rest[2] ?? ""), form);
    return answer(404, "{}");
  }

  #pageRequest(method: string, name: string, form: Record<string, string>): HttpAnswer {
    const acl = { app: "TA_defender_mssp" };
    if (name === "")
      return answer(
        200,
        JSON.stringify({ entry: [...this.pageRequests].map(([key, content]) => ({ name: key, acl, content })) }),
      );
    const found = this.pageRequests.get(name);
    if (found === undefined) return answer(404, "{}");
    if (method === "DELETE") this.pageRequests.delete(name);
    else this.pageRequests.set(name, { ...found, ...form });
    return answer(200, "{}");
  }

  async #input(
    method: string,
    path: string,
    named: string | undefined,
    form: Record<string, string>,
  ): Promise<HttpAnswer> {
    const name = named ?? form["name"] ?? "";
    if (method === "GET") {
      const input = this.inputs.get(name);
      return input ? answer(200, JSON.stringify({ entry: [{ content: input }] })) : answer(404, "{}");
    }
    await this.validating(name);
    const input = this.inputs.get(name);
    if (named === undefined && input) return answer(409, "{}");
    if (named !== undefined && !input) return answer(404, "{}");
    const kept = Object.entries(form).filter(([key]) => key !== "name" && !this.shadowed.has(key));
    this.inputs.set(name, { ...input, ...Object.fromEntries(kept) });
    this.edits.push({ path, form });
    this.edited();
    return answer(named === undefined ? 201 : 200, "{}");
  }

  async close(): Promise<void> {}

  add(app: string, realm: string, user: string, password: string): void {
    this.rows.set(idOf(realm, user), { app, realm, password });
  }

  #list(url: URL): HttpAnswer {
    const offset = Number(url.searchParams.get("offset") ?? 0);
    const count = Math.min(Number(url.searchParams.get("count") ?? 30), this.pageMax);
    const all = [...this.rows].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const entry = all.slice(offset, offset + count).map(([id, row]) => entryOf(id, row));
    return answer(200, JSON.stringify({ entry, paging: { total: all.length, perPage: count, offset } }));
  }

  #inputs(url: URL): HttpAnswer {
    const count = Number(url.searchParams.get("count") ?? 30);
    const wanted = new Set(url.searchParams.getAll("f"));
    const entry = [...this.inputs].slice(0, count < 1 ? undefined : count).map(([name, values]) => ({
      name,
      acl: { app: "TA_defender_mssp" },
      content: Object.fromEntries(Object.entries(values).filter(([key]) => wanted.size === 0 || wanted.has(key))),
    }));
    return answer(200, JSON.stringify({ entry }));
  }

  #create(app: string, form: Record<string, string>): HttpAnswer {
    const id = idOf(form["realm"] ?? "", form["name"] ?? "");
    if ((form["password"] ?? "").length > this.passwordMax) return answer(400, "{}");
    if (this.rows.has(id)) return answer(409, "<response/>");
    this.rows.set(id, { app, realm: form["realm"] ?? "", password: form["password"] ?? "" });
    return answer(201, "{}");
  }

  #entry(method: string, app: string, id: string, form: Record<string, string>): HttpAnswer {
    const row = this.rows.get(id);
    if (!row || row.app !== app) return answer(404, "{}");
    if (method === "GET") return answer(200, JSON.stringify({ entry: [entryOf(id, row)] }));
    if (method === "DELETE") this.rows.delete(id);
    else row.password = form["password"] ?? "";
    return answer(200, "{}");
  }
}

/** A colon inside the realm is written `\\:`. */
function idOf(realm: string, user: string): string {
  return `${realm.replaceAll(":", "\\:")}:${user}:`;
}

function entryOf(id: string, row: StoredRow) {
  return {
    name: id,
    acl: { app: row.app, owner: "nobody", sharing: "app" },
    content: {
      realm: row.realm,
      username: id.slice(idOf(row.realm, "").length - 1, -1),
      clear_password: row.password,
      encr_password: "$7$x",
    },
  };
}

function answer(status: number, text: string): HttpAnswer {
  return {
    status,
    headers: {},
    body: (async function* () {
      yield new TextEncoder().encode(text);
    })(),
    text: async () => text,
    discard: async () => {},
  };
}

/** Records as a Graph page gives them, ready to be delivered. */
export function deliveries(stanza: string, records: readonly Record<string, unknown>[]): Delivery[] {
  const scanner = new AnswerScanner({
    shape: "value-object",
    fields: {
      kind: "alert",
      id: "id",
      updated: "lastUpdateDateTime",
      created: "createdDateTime",
      tenant: "tenantId",
      service: "serviceSource",
    },
    recordMaxBytes: 1 << 24,
  });
  const page = new TextEncoder().encode(JSON.stringify({ value: records }));
  const tenant: Tenant = { id: "11111111-2222-3333-4444-555555555555" as TenantId, name: stanza, cloud: "commercial" };
  return scanner.push(page).flatMap((record): Delivery[] =>
    record.readable
      ? [
          {
            stanza,
            tenant,
            stream: "alerts",
            change: "new",
            found: "poll",
            key: versionKey(tenant.id, "alerts", "alert", record.id, record.updated),
            record,
          },
        ]
      : [],
  );
}

type SplunkdOptions = ConstructorParameters<typeof Splunkd>[0];

/** The program's own way to splunkd, whose answers come from `http`. */
export function splunkdAt(http: Http, clock: Clock, more: Partial<SplunkdOptions> = {}): Splunkd {
  return new Splunkd({
    http,
    clock,
    serverUri: "https://127.0.0.1:8089",
    sessionKey: sealed("session key"),
    splunkdCaFile: undefined,
    splunkHome: "/opt/splunk",
    ...more,
  });
}

/** A stdout that takes everything at once, or breaks. */
export class FakeStdout implements ByteSink {
  taken = "";
  readonly sizes: number[] = [];
  breaksWith: string | undefined;

  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean {
    if (this.breaksWith !== undefined) done(Object.assign(new Error("broken"), { code: this.breaksWith }));
    else {
      // Later, as a pipe does: what was handed over must stay untouched until then.
      setImmediate(() => {
        this.taken += Buffer.from(bytes).toString();
        this.sizes.push(bytes.length);
        done();
      });
    }
    return true;
  }

  on(): void {}
}
