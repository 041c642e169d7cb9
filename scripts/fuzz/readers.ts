/**
 * Changed input for every reader of what comes from outside: what a person or splunkd wrote, and what
 * Microsoft, HEC and splunkd answer. A reader may refuse with a Failure, and nothing else. What it says must
 * not repeat a secret, and, of other people's text, not steer a terminal (logs and terminals are guarded
 * besides); what it takes must be what the text says.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { certificatePairs } from "../../src/auth/certificate.ts";
import { failureFromEntra } from "../../src/auth/entra-failures.ts";
import { readJsonAnswer } from "../../src/auth/json-answer.ts";
import { claimsOf, rightsOf, verdictsOn } from "../../src/auth/token-claims.ts";
import { readProperties, readPropertiesText, withProperties } from "../../src/config/java-properties.ts";
import { parseStanzas, SECRET_KEYS } from "../../src/config/settings.ts";
import { decodedText } from "../../src/config/text-encoding.ts";
import { apiFailure } from "../../src/defender/api-failures.ts";
import { pageLink } from "../../src/defender/page-link.ts";
import { readArcSightConfig } from "../../src/hosts/arcsight/configuration.ts";
import { ConfRequests } from "../../src/hosts/splunk/conf-requests.ts";
import { listInputs } from "../../src/hosts/splunk/input-list.ts";
import { KvCollection } from "../../src/hosts/splunk/kv-collection.ts";
import { customerSecretId, PasswordStore } from "../../src/hosts/splunk/passwords.ts";
import { openedStanzas, parseDocument } from "../../src/hosts/splunk/run-document.ts";
import { Splunkd } from "../../src/hosts/splunk/splunkd.ts";
import { isFailure } from "../../src/model/failure.ts";
import { printableLines } from "../../src/model/printable.ts";
import { sealed } from "../../src/model/sealed.ts";
import { readAckAnswer, readHecAnswer } from "../../src/outputs/hec-answer.ts";
import { makeAppCertificate } from "../../test/harness/app-certificate.ts";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { randomFrom } from "./mutate.ts";

/** One reader with its sound input, and what is wrong with how it takes changed input. */
export interface Reader {
  readonly name: ReaderName;
  /** Sound input, from which the changed one is made. */
  readonly corpus: () => Promise<readonly Uint8Array[]>;
  /** What is put in between. */
  readonly words: readonly string[];
  /** Undefined when all is well. What it throws is a defect too, unless it is a Failure. */
  readonly judge: (bytes: Uint8Array, choose: (below: number) => number) => Promise<string | undefined>;
}

export const READER_NAMES = ["run-document", "properties", "pem", "jwt", "sign-in", "api", "hec", "splunkd"] as const;
export type ReaderName = (typeof READER_NAMES)[number];

const GUID = "11111111-2222-4333-8444-555555555555";
/** Part of every secret in the sound input. */
const PLANTED = "Pl4nted";
const FIXTURES = new URL("../../test/fixtures/", import.meta.url);
const TEXT = new TextDecoder();

/** Chooses as the input says, so that the same input is always judged in the same way. */
export function chooserOf(bytes: Uint8Array): (below: number) => number {
  let seed = bytes.length;
  for (const byte of bytes) seed = (Math.imul(seed, 31) + byte) >>> 0;
  const next = randomFrom(seed);
  return (below) => Math.floor(next() * below);
}

/** What a person would read, when the reader refused. Undefined when it took the input. */
async function refusalOf(read: () => unknown): Promise<string | undefined> {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return `${error.say} ${error.nextStep}`;
  }
}

function wrongIn(said: string): string | undefined {
  if (printableLines(said) !== said) return `it says signs that steer a terminal: ${JSON.stringify(said)}`;
  return said.length > 20_000 ? `it says ${said.length} characters` : undefined;
}

/** A secret of at least this length is told from other text. */
const TELLING = 8;

function repeats(said: string, secrets: readonly string[]): string | undefined {
  const found = secrets.find((secret) => secret.length >= TELLING && said.includes(secret));
  return found === undefined ? undefined : `it repeats the secret ${JSON.stringify(found)}`;
}

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const json = (value: unknown) => bytesOf(JSON.stringify(value));

function runDocument(stanzas: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<input><server_host>h</server_host><server_uri>https://127.0.0.1:8089</server_uri><session_key>${PLANTED}Key00</session_key><checkpoint_dir>/c</checkpoint_dir><configuration>${stanzas}</configuration></input>`;
}

function stanza(name: string, ...values: readonly (readonly [string, string])[]): string {
  const params = values.map(([key, value]) => `<param name="${key}">${value}</param>`).join("");
  return `<stanza name="defender_mssp://${name}" app="TA_defender_mssp">${params}</stanza>`;
}

const SETTINGS = [
  ["tenant_id", GUID],
  ["client_id", GUID],
  ["client_secret", `${PLANTED}~Q8x&amp;&lt;y`],
  ["poll_seconds", "60"],
] as const;

const readRunDocument: Reader = {
  name: "run-document",
  corpus: () => {
    const two = runDocument(stanza("a", ...SETTINGS) + stanza("Grüße 客户", ...SETTINGS, ["start", "7d"]));
    const items = `<items><item name="b">${SETTINGS.map(([key, value]) => `<param name="${key}">${value}</param>`).join("")}</item></items>`;
    const utf16 = new Uint8Array(Buffer.from(`\ufeff${two}`, "utf16le"));
    return Promise.resolve([bytesOf(two), bytesOf(items), utf16, bytesOf(runDocument("<![CDATA[x]]><!-- y -->"))]);
  },
  words: [
    "<",
    ">",
    "</",
    "/>",
    "&",
    "&amp;",
    "&#0;",
    "&#x1F600;",
    "]]>",
    "<![CDATA[",
    "<!--",
    "<!DOCTYPE x>",
    "<?x?>",
    '"',
    "'",
    "=",
    "<param>",
    "</param>",
    '<param name="',
    "</stanza>",
    "<input>",
    "__proto__",
    "constructor",
    "\u0000",
    "\ufeff",
    "é",
    "\x1b[2J",
  ],
  async judge(bytes) {
    const text = decodedText(bytes);
    let document: ReturnType<typeof parseDocument> | undefined;
    const refused = await refusalOf(() => {
      document = parseDocument(text);
    });
    if (document === undefined) return repeats(refused ?? "", [PLANTED]);
    const raw = openedStanzas(document.stanzas);
    const { problems, warnings } = parseStanzas(raw, { host: "splunk", nowMs: T0 });
    const said = [...problems.map(({ say }) => say), ...warnings].join("\n");
    return repeats(said, secretsIn(raw));
  },
};

/** Secrets that occur nowhere else: what is also a name may be said. */
function secretsIn(raw: readonly { readonly name: string; readonly values: Readonly<Record<string, string>> }[]) {
  const isSecret = (key: string) => SECRET_KEYS.some((one) => one === key);
  const entries = raw.flatMap(({ values }) => Object.entries(values));
  const open = [
    ...raw.map(({ name }) => name),
    ...entries.map(([key, value]) => (isSecret(key) ? key : `${key}\n${value}`)),
  ].join("\n");
  return entries.filter(([key, value]) => isSecret(key) && !open.includes(value)).map(([, value]) => value);
}

const PROPERTIES = [
  `state_dir=/s`,
  `tenants[0].tenant_id=${GUID}`,
  "tenants[0].tenant_name=Contoso GmbH",
  `tenants[0].client_id = ${GUID}`,
  `tenants[0].client_secret : ${PLANTED}~Q8x`,
  "# a comment",
  "! another",
  "tenants[0].proxy=http://proxy.example:8080",
  "tenants[1].tenant_id=fabrikam.example \\",
  "   .com",
  `tenants[1].refresh_token=${PLANTED}.refresh`,
  "outputs[0].type=hec",
  "outputs[0].urls=https://splunk.example:8088",
  `outputs[0].token=${PLANTED}-hec-token`,
  "outputs[1].type=cef-file",
  "outputs[1].path=/var/x.cef",
  "",
].join("\n");

const readPropertiesFile: Reader = {
  name: "properties",
  corpus: () =>
    Promise.resolve([
      bytesOf(PROPERTIES),
      bytesOf(PROPERTIES.replaceAll("\n", "\r\n")),
      bytesOf(
        `client.id=${GUID}\nclient.secret=${PLANTED}old\nrefresh.token=${PLANTED}ref\nauthurl=https\\://login.windows.net/${GUID}/oauth2/token\n`,
      ),
    ]),
  words: [
    "=",
    ":",
    "\\",
    "\\u00e9",
    "\\u",
    "\\uD83D\\uDE00",
    "\n",
    "\r",
    "\f",
    "#",
    "!",
    "[0]",
    "[9999999999]",
    "[-1]",
    ".",
    "tenants[",
    "outputs[",
    "serve.",
    "metrics.",
    "file:",
    "env:",
    "credential:",
    "__proto__",
    "\ufeff",
    "\u0000",
    "\x1b[2J",
    "é",
  ],
  async judge(bytes, choose) {
    const secrets = { file: () => undefined, env: () => undefined, credential: () => undefined } as const;
    let config: ReturnType<typeof readArcSightConfig> | undefined;
    const refused = await refusalOf(() => {
      config = readArcSightConfig(bytes, "helper.properties", { nowMs: T0, secrets });
    });
    const said = [refused ?? "", ...(config?.problems.map(({ say }) => say) ?? []), ...(config?.warnings ?? [])].join(
      "\n",
    );
    const read = readProperties(bytes);
    const entries = read.ok ? [...read.byKey].map(([key, entry]) => [key, JSON.stringify(entry)] as const) : [];
    const isSecret = (key: string) => /(secret|token|password)$/i.test(key);
    const open = entries.map(([key, value]) => (isSecret(key) ? key : `${key}\n${value}`)).join("\n");
    const kept = read.ok && !open.includes(PLANTED) ? [PLANTED] : [];
    return repeats(said, kept) ?? changedProperty(bytes, choose);
  },
};

/** A value that is written into the text is read back, and no other one changes. */
function changedProperty(bytes: Uint8Array, choose: (below: number) => number): string | undefined {
  const before = Buffer.from(bytes).toString("latin1");
  const read = readPropertiesText(before);
  if (!read.ok) return undefined;
  const keys = [...read.byKey.keys()];
  const key = keys[choose(keys.length + 1)] ?? "tenants[7].tenant_name";
  const value = ["new", " é\\:=#!\n", "客户", ""][choose(4)] as string;
  const after = readPropertiesText(withProperties(before, [[key, value]]));
  if (!after.ok) return `after a change of ${JSON.stringify(key)} Java cannot read it: ${after.say}`;
  const valuesOf = (one: typeof read) => new Map([...one.byKey].map(([name, entry]) => [name, entry.value]));
  const [old, now] = [valuesOf(read), valuesOf(after)];
  if (now.get(key) !== value) return `${JSON.stringify(key)} is ${JSON.stringify(now.get(key))}`;
  // A backslash at the very end is an entry without name and value for Java, until another line follows.
  const said = [...old].filter(([name, kept]) => name !== "" || kept !== "");
  for (const [name, kept] of said)
    if (name !== key && now.get(name) !== kept)
      return `a change of ${JSON.stringify(key)} changes ${JSON.stringify(name)}`;
  return undefined;
}

const readPem: Reader = {
  name: "pem",
  corpus: async () => {
    const [{ certificatePem, keyPem }, other] = [await makeAppCertificate({ fromMs: T0 }), await makeAppCertificate()];
    return [
      bytesOf(keyPem + certificatePem),
      bytesOf(certificatePem + keyPem),
      bytesOf(other.certificatePem + keyPem),
      // What begins with a key's last dashes does not count as a certificate; what follows other dashes does.
      bytesOf(`${keyPem}---${certificatePem}`),
      bytesOf(`${keyPem.trimEnd()}---BEGIN CERTIFICATE-----\n--\n${certificatePem}`),
    ];
  },
  words: [
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----\n",
    "-----BEGIN CERTIFICATE-----\n",
    "-----END CERTIFICATE-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----",
    "Proc-Type: 4,ENCRYPTED",
    "\n",
    "\r\n",
    "=",
    "-",
    "MII",
    "\u0000",
    "\ufeff",
    "A",
  ],
  async judge(bytes) {
    const pem = TEXT.decode(bytes);
    let pairs: ReturnType<typeof certificatePairs> = [];
    const refused = await refusalOf(() => {
      pairs = certificatePairs(pem, "key.pem");
    });
    if (refused !== undefined)
      return (
        wrongIn(refused) ??
        repeats(
          refused,
          pem.split(/\s+/).filter((line) => line.length >= 20),
        )
      );
    for (const { privateKey, thumbprintSha256 } of pairs) {
      const key = createPrivateKey(privateKey);
      const belongs = certificatesIn(pem).some(
        (one) => one.fingerprint256.replaceAll(":", "").toLowerCase() === thumbprintSha256 && one.checkPrivateKey(key),
      );
      if (!belongs) return "the key of a pair does not belong to its certificate";
    }
    return pairs.length > 0 ? undefined : "it is taken without a pair";
  },
};

/** Every certificate between any beginning and any end after it: where a reader cuts is its own matter. */
function certificatesIn(pem: string): readonly X509Certificate[] {
  const ends = [...pem.matchAll(/-----END CERTIFICATE-----/g)].map((end) => end.index + end[0].length);
  return [...pem.matchAll(/(?=-----BEGIN CERTIFICATE-----)/g)].flatMap(({ index }) =>
    ends
      .filter((end) => end > index)
      .flatMap((end) => {
        try {
          return [new X509Certificate(pem.slice(index, end))];
        } catch {
          return [];
        }
      }),
  );
}

const SIGNATURE = `${PLANTED}signatureOfTheToken`;

const readJwt: Reader = {
  name: "jwt",
  corpus: () => {
    const claims = {
      aud: "https://graph.microsoft.com",
      tid: GUID,
      appid: GUID,
      roles: ["SecurityAlert.Read.All"],
      scp: "a b",
      exp: T0 / 1000 + 3600,
      nbf: T0 / 1000,
      iat: T0 / 1000,
      iss: `https://sts.windows.net/${GUID}/`,
    };
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const jwt = (body: unknown) => bytesOf(`${part({ alg: "RS256" })}.${part(body)}.${SIGNATURE}`);
    // The claims themselves are changed too, before they become a token.
    return Promise.resolve([
      jwt(claims),
      jwt([]),
      bytesOf(`0.A${SIGNATURE}`),
      json(claims),
      json({ ...claims, roles: "x", scp: 7, exp: "soon" }),
    ]);
  },
  words: [
    ".",
    "..",
    "e30",
    "=",
    "-",
    "_",
    "null",
    "[]",
    "{}",
    '"roles":',
    "1e999",
    "-1",
    '"',
    "\u0000",
    "\x1b[2J",
    "é",
    "\\u001b",
    "__proto__",
  ],
  async judge(bytes, choose) {
    const text = TEXT.decode(bytes);
    const token = sealed(text.startsWith("{") ? `e30.${Buffer.from(bytes).toString("base64url")}.${SIGNATURE}` : text);
    const streams = [["alerts"], ["hunting"], []][choose(3)] as ("alerts" | "hunting")[];
    const wanted = {
      nowMs: T0,
      customer: "Contoso",
      tenantId: GUID,
      clientId: GUID,
      cloud: "commercial" as const,
      streams,
    };
    const said = verdictsOn(token, wanted)
      .map(({ say, nextStep }) => `${say} ${nextStep}`)
      .join(" ");
    const claims = claimsOf(token);
    if (claims !== undefined) rightsOf(claims);
    const kept = claims !== undefined && JSON.stringify(claims).includes(PLANTED) ? [] : [SIGNATURE];
    return wrongIn(said) ?? repeats(said, kept);
  },
};

function fixturesOf(folder: string, name: RegExp): readonly Uint8Array[] {
  const url = new URL(`${folder}/`, FIXTURES);
  return readdirSync(url)
    .filter((file) => name.test(file))
    .toSorted()
    .map((file) => new Uint8Array(readFileSync(new URL(file, url))).slice(0, 4096));
}

const JSON_WORDS = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "null",
  "true",
  "1e999",
  "-1",
  "[]",
  "{}",
  '"error":',
  '"code":',
  '"message":',
  '"entry":[',
  '"acks":',
  '"ackId":',
  '"text":',
  "__proto__",
  "<html>",
  "\\u001b[2J",
  "\\u202e",
  "\ufeff",
  "\u0000",
  "é",
  "\n",
];
const HEADERS = [
  {},
  { "retry-after": "5" },
  { "retry-after": "soon" },
  { "retry-after": "99999999999" },
  { "retry-after": "Tue, 24 Nov 2026 18:00:00 GMT" },
  { "x-ms-throttle-scope": "App\u0000" },
] as const;
const STATUS = [200, 400, 401, 403, 404, 413, 429, 500, 503, 302] as const;

async function answerOf(bytes: Uint8Array, status: number, choose: (below: number) => number) {
  const headers = HEADERS[choose(HEADERS.length)] as Readonly<Record<string, string>>;
  const http = new ScriptedHttp({ status, body: TEXT.decode(bytes), headers });
  return await http.send({ method: "GET", url: "https://login.example/", headers: {}, route: {} });
}

const readSignIn: Reader = {
  name: "sign-in",
  corpus: () => Promise.resolve(fixturesOf("microsoft-docs", /^token-/)),
  words: JSON_WORDS,
  async judge(bytes, choose) {
    const answer = await answerOf(bytes, STATUS[choose(STATUS.length)] as number, choose);
    let said = "";
    const refused = await refusalOf(async () => {
      const read = await readJsonAnswer(answer, "login.example", T0);
      const { say, nextStep } = failureFromEntra(read, { customer: "Contoso", clientId: GUID });
      said = `${say} ${nextStep}`;
    });
    return wrongIn(refused ?? said);
  },
};

const readApi: Reader = {
  name: "api",
  corpus: () =>
    Promise.resolve([
      ...fixturesOf("microsoft-docs", /error|response/),
      bytesOf("https://graph.microsoft.com/v1.0/security/alerts_v2?$skiptoken=a"),
      json({
        error: {
          code: "Forbidden",
          message: "Missing application roles. API required roles: SecurityAlert.Read.All, innerError",
          innerError: { "request-id": GUID },
        },
      }),
    ]),
  words: [...JSON_WORDS, "https://", "http://", "@", "//evil.example", ":443", "#", "\\\\"],
  async judge(bytes, choose) {
    const body = TEXT.decode(bytes);
    const apis = ["graph", "xdr", "mde"] as const;
    const headers = HEADERS[choose(HEADERS.length)] as Readonly<Record<string, string>>;
    const status = STATUS[choose(STATUS.length)] as number;
    const failure = apiFailure({
      api: apis[choose(3)] as (typeof apis)[number],
      status,
      headers,
      body,
      customer: "Contoso",
      stanza: "a",
      rights: ["SecurityAlert.Read.All"],
      nowMs: T0,
    });
    const base = "https://graph.microsoft.com";
    const link = pageLink(body, base);
    if (link.kind === "next" && new URL(link.url).origin !== base) return `the token would go to ${link.url}`;
    return wrongIn(`${failure.say} ${failure.nextStep}`);
  },
};

const readHec: Reader = {
  name: "hec",
  corpus: () =>
    Promise.resolve([
      json({ text: "Success", code: 0, ackId: 7 }),
      json({ text: "Success", code: 0 }),
      json({ text: "Invalid data format", code: 6, "invalid-event-number": 3 }),
      json({ text: "Server is busy", code: 9 }),
      json({ acks: { 0: true, 1: false, 7: true, 12: true } }),
      bytesOf("<html><body>502 Bad Gateway</body></html>"),
    ]),
  words: [...JSON_WORDS, '"7":true', '"7": true', '"07":true', '"7":"true"', '"7":1', "true", "false"],
  async judge(bytes, choose) {
    const body = TEXT.decode(bytes);
    const status = STATUS[choose(STATUS.length)] as number;
    const headers = HEADERS[choose(HEADERS.length)] as Readonly<Record<string, string>>;
    const verdict = readHecAnswer(status, headers, body, T0);
    const ack = readAckAnswer(status, body, [0, 1, 7]);
    const said = ["reason" in verdict ? verdict.reason.text : "", "reason" in ack ? ack.reason.text : ""].join(" ");
    const value = parsed(body);
    if (verdict.is === "taken" && (status !== 200 || value?.["ackId"] !== (verdict.ackId ?? value?.["ackId"])))
      return `it is taken with ackId ${verdict.ackId}`;
    if (ack.is !== "answered") return wrongIn(said);
    const acks = (value?.["acks"] ?? {}) as Readonly<Record<string, unknown>>;
    for (const id of ack.indexed)
      if (status !== 200 || ![0, 1, 7].includes(id) || acks[String(id)] !== true)
        return `${id} is confirmed without a true`;
    return wrongIn(said);
  },
};

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text.replace(/^\ufeff/, "")) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

const readSplunkd: Reader = {
  name: "splunkd",
  corpus: () => {
    const entry = (name: string, content: object) => ({ name, acl: { app: "TA_defender_mssp" }, content });
    const secret = {
      realm: "defender_mssp",
      username: "a:client_secret:1",
      clear_password: `${PLANTED}~Q8x`,
      encr_password: "$7$x",
    };
    return Promise.resolve([
      json({
        entry: [entry("a", { tenant_id: GUID }), entry("b", { disabled: true })],
        paging: { total: 2, perPage: 30, offset: 0 },
      }),
      json({ entry: [entry("defender_mssp:a:", secret)], paging: { total: 1, perPage: 500, offset: 0 } }),
      json([{ _key: "a", state: "ok", token: PLANTED }]),
      json({ messages: [{ type: "ERROR", text: `Action forbidden: requires list_storage_passwords` }] }),
      bytesOf(`<?xml version="1.0"?><response><messages><msg type="ERROR">${PLANTED}</msg></messages></response>`),
    ]);
  },
  words: [...JSON_WORDS, '"paging":{"total":', '"name":', '"content":', '"clear_password":', '"acl":'],
  async judge(bytes, choose) {
    const body = TEXT.decode(bytes);
    const status = [200, 200, 200, 201, 400, 401, 404, 409, 500][choose(9)] as number;
    // A list that claims more rows than it shows is asked for further pages, until one has no row.
    const last = Array.from({ length: 6 }, () => ({ status: 200, body: '{"entry":[]}' }));
    const http = new ScriptedHttp(...Array.from({ length: 12 }, () => ({ status, body })), ...last);
    const clock = new FakeClock(T0, { pauses: "pass" });
    const splunkd = new Splunkd({
      http,
      clock,
      serverUri: "https://127.0.0.1:8089",
      sessionKey: sealed("k"),
      splunkdCaFile: "/ca.pem",
      splunkHome: undefined,
    });
    const ways: readonly (() => unknown)[] = [
      () => listInputs(splunkd),
      async () => {
        const store = await PasswordStore.read(splunkd, clock, FakeRandom.always());
        return store.get(customerSecretId("a", "client_secret"));
      },
      () => new KvCollection(splunkd, "status").rows(),
      () => new ConfRequests(splunkd).rows(),
    ];
    const refused = (await refusalOf(ways[choose(ways.length)] as () => unknown)) ?? "";
    return wrongIn(refused) ?? repeats(refused, [PLANTED]);
  },
};

export const READERS: readonly Reader[] = [
  readRunDocument,
  readPropertiesFile,
  readPem,
  readJwt,
  readSignIn,
  readApi,
  readHec,
  readSplunkd,
];
