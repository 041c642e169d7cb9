/** The only caller of splunkd. What goes wrong becomes a sentence; no value that was typed gets into one. */
import { createFetchInit } from "@splunk/splunk-utils/fetch";
import { createRESTURL } from "@splunk/splunk-utils/url";
import {
  CUSTOMER_KEYS,
  DESTINATION_KEYS,
  INTAKE_REALM,
  intakeEntries,
  SHARED_CREDENTIAL,
  type TypedFor,
} from "../../../src/config/intake-slot.ts";
import { NAME_TAKEN, NameClaims } from "../../../src/config/name-claims.ts";
import { type Ask, answerIn, REQUESTS_CONF, requestSettings } from "../../../src/config/request-stanza.ts";
import { MASK } from "../../../src/config/splunk-keys.ts";
import { SECRET_KEYS } from "../../../src/model/settings-table.ts";
import type { SharedCredentialRow } from "../../../src/model/shared-credential.ts";
import type { DoctorLine } from "../../../src/model/sign-in.ts";
import { after } from "./after.ts";
import { editedOnce, postedOnce } from "./state/create.ts";
import type { Input, Status } from "./state/customers.ts";
import { ANSWER_WITHIN_MS, SEARCH_WITHIN_MS, wholeAnswer } from "./state/rest-answer.ts";
import { isLost, NotAsked, RestProblem, sentenceFor } from "./state/rest-problem.ts";
import { writeEntries } from "./state/slot-entries.ts";
import { type SlotTime, slotTime } from "./state/slot-time.ts";
import { masked } from "./state/validate.ts";

export { RestProblem } from "./state/rest-problem.ts";

const APP = "TA_defender_mssp";
const INPUTS = "data/inputs/defender_mssp";
const STATUS = "storage/collections/data/defender_mssp_status";
const REQUESTS = `storage/collections/data/${REQUESTS_CONF}`;
const CONF_REQUESTS = `configs/conf-${REQUESTS_CONF}`;

interface Sent {
  readonly query?: readonly (readonly [name: string, value: string])[];
  readonly form?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** Whose object it is; else the app's. */
  readonly owner?: string;
}

export async function call(
  method: "GET" | "POST" | "DELETE",
  path: string,
  { query = [], form, json, owner = "nobody" }: Sent = {},
): Promise<unknown> {
  const parameters = new URLSearchParams([...query.map(([name, value]) => [name, value]), ["output_mode", "json"]]);
  const url = `${createRESTURL(path, { app: APP, owner })}?${parameters.toString()}`;
  const init = createFetchInit({ method });
  const headers = new Headers(init.headers);
  headers.set("Content-Type", json === undefined ? "application/x-www-form-urlencoded" : "application/json");
  const body = json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json);
  const isSearch = method === "POST" && path.startsWith("search/");
  // A search and a request to the input save nothing of the person.
  const isSave = method !== "GET" && !isSearch && ![REQUESTS, CONF_REQUESTS].some((one) => path.startsWith(one));
  const withinMs = isSearch ? SEARCH_WITHIN_MS : ANSWER_WITHIN_MS;
  const { ok, status, text } = await wholeAnswer(
    (signal) => fetch(url, { ...init, headers, signal, ...(body === undefined ? {} : { body }) }),
    { withinMs, isSave, after },
  );
  if (ok) return jsonOf(text);
  throw new RestProblem(status, sentenceFor(status, messageIn(jsonOf(text)), isSave));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageIn(answer: unknown): string {
  const messages = (answer as { readonly messages?: readonly { readonly text?: unknown }[] } | undefined)?.messages;
  const text = messages?.[0]?.text;
  return typeof text === "string" ? text : "";
}

interface Entry {
  readonly name: string;
  readonly content: Readonly<Record<string, unknown>>;
}

export function textsIn(content: Readonly<Record<string, unknown>>): Values {
  return Object.fromEntries(
    Object.entries(content).flatMap(([key, value]) =>
      typeof value === "string" || typeof value === "number" || typeof value === "boolean"
        ? [[key, String(value)]]
        : [],
    ),
  );
}

/**
 * All inputs, disabled ones too, with what a list of customers shows: pages ask again and again, and of
 * thousands of inputs everything is megabytes.
 */
export async function listInputs(more: readonly string[] = []): Promise<readonly Input[]> {
  const shown = ["disabled", "tenant_id", "tenant_name", ...more].map((key) => ["f", key] as const);
  return inputsIn(await call("GET", INPUTS, { query: [["count", "0"], ...shown] }));
}

/** One input with all its settings. Throws RestProblem 404 where there is none of this name. */
export async function readInput(name: string): Promise<Input> {
  const [input] = inputsIn(await call("GET", `${INPUTS}/${encodeURIComponent(name)}`));
  if (input === undefined) throw new RestProblem(404, sentenceFor(404, ""));
  return input;
}

function inputsIn(answer: unknown): readonly Input[] {
  return ((answer as { readonly entry?: readonly Entry[] }).entry ?? []).map(({ name, content }) => {
    const values = masked(textsIn(content));
    return { name, values, isDisabled: /^(1|true)$/i.test(values["disabled"] ?? "") };
  });
}

type Values = Readonly<Record<string, string>>;

/**
 * Throws RestProblem 409 where there is an input of this name, or another page creates one now: its secrets
 * must not be replaced. One whose creation got no answer is looked for before its secrets are deleted.
 */
export async function createInput(name: string, values: Values): Promise<void> {
  const hasSecret = SECRET_KEYS.some((key) => (values[key] ?? "") !== "");
  // Without a secret too: the input would take over one that somebody else types for this name now.
  await CLAIMS.whileClaimed(name, (await timeOfSlot()).atMs, () => createNamed(name, values, hasSecret));
}

async function createNamed(name: string, values: Values, hasSecret: boolean): Promise<void> {
  const exists = await readInput(name).then(
    () => true,
    (error: unknown) => {
      if (error instanceof RestProblem && error.status === 404) return false;
      throw error;
    },
  );
  if (exists) throw new RestProblem(409, sentenceFor(409, ""));
  const inherited = hasSecret ? await inheritedSettings() : {};
  await saveWithSecrets(name, values, { ...inherited, ...values }, (form) =>
    postedOnce(form, () => call("POST", INPUTS, { form: { ...form, name } }), settingsOf(name)),
  );
}

/** @param before what holds for the input now. */
export async function editInput(name: string, changes: Values, before: Values): Promise<void> {
  const path = `${INPUTS}/${encodeURIComponent(name)}`;
  await saveWithSecrets(name, changes, { ...before, ...changes }, (form) =>
    editedOnce(form, before, () => call("POST", path, { form }), settingsOf(name)),
  );
}

function settingsOf(name: string): () => Promise<Values> {
  return async () => (await readInput(name)).values;
}

/** What every input has that sets nothing else. */
export async function inheritedSettings(): Promise<Values> {
  try {
    const path = "configs/conf-inputs/defender_mssp";
    const answer = (await call("GET", path)) as { readonly entry?: readonly Entry[] };
    return textsIn(answer.entry?.[0]?.content ?? {});
  } catch (error) {
    if (error instanceof RestProblem && error.status === 404) return {};
    throw error;
  }
}

const SECRET_KEPT =
  "The secret you typed lies in Splunk's credential store: the input uses it from its next start, also when the rest was not saved.";

/**
 * Puts typed secrets into the credential store, where the input takes them over, then saves the input with
 * masks in their place. When that fails, the secrets are deleted; where splunkd may have saved the input,
 * they stay, as it would have none.
 */
async function saveWithSecrets(
  name: string,
  typed: Values,
  all: Values,
  save: (form: Values) => Promise<unknown>,
): Promise<void> {
  const where = { ...textsOf(DESTINATION_KEYS, all), ...textsOf(CUSTOMER_KEYS, all) };
  const secrets = SECRET_KEYS.filter((key) => (typed[key] ?? "") !== "" && typed[key] !== MASK);
  const written: string[] = [];
  try {
    for (const key of secrets) await putInSlot(name, key, typed[key] ?? "", where, written);
    await save({ ...typed, ...Object.fromEntries(secrets.map((key) => [key, MASK])) });
  } catch (error) {
    const mayBeDone = error instanceof RestProblem && error.mayBeDone;
    if (mayBeDone && secrets.length > 0) throw new RestProblem(error.status, `${error.message} ${SECRET_KEPT}`, true);
    await emptySlot(written);
    throw error;
  }
}

/** @param written gets the name of each entry before it is written. */
async function putInSlot(name: string, key: string, secret: string, where: TypedFor, written: string[]): Promise<void> {
  const { atMs, clock } = await timeOfSlot();
  const entries = intakeEntries(name, key, secret, where, atMs, clock, PAGE);
  await writeEntries(
    entries,
    written,
    (entry) => call("POST", PASSWORDS, { form: { ...entry, realm: INTAKE_REALM } }),
    (entry) => isStored(entry.name),
  );
}

let lastSlotMs = 0;

async function timeOfSlot(): Promise<SlotTime> {
  const query = [
    ["time", "now"],
    ["output_time_format", "%s"],
  ] as const;
  // What keeps splunkd from answering this keeps the secret from being stored, and is said there.
  const answer = await call("GET", "search/timeparser", { query }).catch(() => undefined);
  const time = slotTime(answer, Date.now(), lastSlotMs);
  lastSlotMs = time.atMs;
  return time;
}

async function emptySlot(written: readonly string[]): Promise<void> {
  for (const entry of written) await call("DELETE", `${PASSWORDS}/${passwordId(entry)}`).catch(() => undefined);
}

/**
 * Puts a shared credential into the credential store, where the input takes it over when `asked` asks it. If
 * that fails, it is deleted.
 *
 * @param user a customer that uses it: it is bound to that customer's addresses, else to the usual ones.
 * @param asked answers undefined where it is left for an input that starts later.
 */
export async function sendCredential<Answered extends Answer | undefined>(
  name: string,
  typed: Values,
  user: string | undefined,
  asked: () => Promise<Answered>,
): Promise<Answered> {
  const all = user === undefined ? await inheritedSettings() : (await readInput(user)).values;
  const written: string[] = [];
  try {
    await putInSlot(name, SHARED_CREDENTIAL, JSON.stringify(typed), textsOf(DESTINATION_KEYS, all), written);
    const answer = await asked();
    if (answer !== undefined && answer.state !== "done") await emptySlot(written);
    return answer;
  } catch (error) {
    await emptySlot(written);
    throw error;
  }
}

function textsOf<Key extends string>(keys: readonly Key[], all: Values): Readonly<Partial<Record<Key, string>>> {
  return Object.fromEntries(keys.map((key) => [key, all[key] ?? ""])) as Readonly<Partial<Record<Key, string>>>;
}

const PASSWORDS = "storage/passwords";

/** Without a look at what is in it. */
async function isStored(entry: string): Promise<boolean> {
  try {
    await call("GET", `${PASSWORDS}/${passwordId(entry)}`, { query: [["f", "realm"]] });
    return true;
  } catch (error) {
    if (error instanceof RestProblem && error.status === 404) return false;
    throw error;
  }
}

function passwordId(entry: string): string {
  return encodeURIComponent(`${INTAKE_REALM.replaceAll(":", "\\:")}:${entry}:`);
}

/** Also on plain http, where crypto.randomUUID is missing. */
function randomName(bytes: number): string {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Tells this page from every other one. */
const PAGE = randomName(8);

/** Undefined where splunkd answers with one of these. */
async function unless<Result>(statuses: readonly number[], result: Promise<Result>): Promise<Result | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof RestProblem && statuses.includes(error.status)) return undefined;
    throw error;
  }
}

const CLAIMS = new NameClaims(
  {
    async write(entry) {
      const answer = call("POST", PASSWORDS, { form: { ...entry, realm: INTAKE_REALM } }).then(() => true);
      return (await unless([409], answer)) ?? false;
    },
    // The one entry that the page reads: no secret is in it.
    async read(entry) {
      const query = [["f", "clear_password"]] as const;
      const answer = await unless([403, 404], call("GET", `${PASSWORDS}/${passwordId(entry)}`, { query }));
      const found = answer as { readonly entry?: readonly Entry[] } | undefined;
      return textsIn(found?.entry?.[0]?.content ?? {})["clear_password"];
    },
    async remove(entry) {
      await call("DELETE", `${PASSWORDS}/${passwordId(entry)}`).catch((error: unknown) => {
        if (!(error instanceof RestProblem)) throw error;
      });
    },
    taken: () => new RestProblem(409, NAME_TAKEN),
    isLost,
    mayBeDone: (error) => error instanceof RestProblem && error.mayBeDone,
  },
  PAGE,
);

export async function switchInput(name: string, isOn: boolean): Promise<void> {
  await call("POST", `${INPUTS}/${encodeURIComponent(name)}/${isOn ? "enable" : "disable"}`);
}

export async function deleteInput(name: string): Promise<void> {
  await call("DELETE", `${INPUTS}/${encodeURIComponent(name)}`);
}

/** While it starts, and where it is off or missing. */
export function hasNoKvStore(error: unknown): boolean {
  return error instanceof RestProblem && [404, 503].includes(error.status);
}

/** Of all inputs, as the input wrote them into the KV store. */
export async function storedStatusRows(): Promise<readonly Status[]> {
  return (await call("GET", STATUS)) as readonly Status[];
}

/** Of one input; undefined before its first health event. */
export async function storedStatusRow(input: string): Promise<Status | undefined> {
  const rows = (await call("GET", STATUS, { query: [["query", JSON.stringify({ input })]] })) as readonly Status[];
  return rows[0];
}

/** What the input has answered so far. */
export interface Answer {
  readonly state?: "running" | "done" | "refused";
  readonly ok?: boolean;
  readonly checks?: readonly DoctorLine[];
  readonly consent?: { readonly url: string; readonly permissions: readonly string[]; readonly mail: string };
  readonly missing?: readonly string[];
  readonly credentials?: readonly SharedCredentialRow[];
  readonly states?: readonly Status[];
  readonly say?: string;
  readonly next_step?: string;
}

/** A request's key begins with where it is. */
const IN_CONF = "conf:";

/**
 * Asks the running input: in the KV store, where there is none in a configuration file of this app. Returns
 * the request's key. Throws NotAsked where neither takes it.
 *
 * @param customer of a shared credential its name; empty for their list, and for the states of all.
 */
export async function ask(customer: string, what: Ask): Promise<string> {
  try {
    const { _key: key } = (await call("POST", REQUESTS, {
      json: { customer, ask: what },
    })) as { readonly _key: string };
    return key;
  } catch (error) {
    if (!hasNoKvStore(error)) throw error;
  }
  const name = randomName(12);
  try {
    await call("POST", CONF_REQUESTS, { form: { ...requestSettings(customer, what), name } });
  } catch (error) {
    if (!(error instanceof RestProblem) || error.status === 0 || error.status === 401) throw error;
    const say = `Neither the KV store nor ${REQUESTS_CONF}.conf takes this request. ${error.message}`;
    throw new NotAsked(error.status, say);
  }
  return `${IN_CONF}${name}`;
}

export async function answerTo(key: string): Promise<Answer> {
  if (!key.startsWith(IN_CONF)) return (await call("GET", pathOf(key))) as Answer;
  const found = (await call("GET", pathOf(key), { query: [["f", "answer"]] })) as { readonly entry?: readonly Entry[] };
  return answerIn(found.entry?.[0]?.content ?? {});
}

export async function forget(key: string): Promise<void> {
  await call("DELETE", pathOf(key));
}

function pathOf(key: string): string {
  return key.startsWith(IN_CONF)
    ? `${CONF_REQUESTS}/${encodeURIComponent(key.slice(IN_CONF.length))}`
    : `${REQUESTS}/${encodeURIComponent(key)}`;
}
