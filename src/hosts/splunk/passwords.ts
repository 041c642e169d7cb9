import { createHash } from "node:crypto";
import { INTAKE_REALM, type IntakeSlot, intakeSlots } from "../../config/intake-slot.ts";
import { Failure } from "../../model/failure.ts";
import type { Clock, Random } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import { SerialQueue } from "../../model/serial-queue.ts";
import { jsonOf } from "../../net/json-answer.ts";
import type { Splunkd, SplunkdAnswer } from "./splunkd.ts";
import { APP } from "./splunkd.ts";

/**
 * Secrets in Splunk's credential store (`storage/passwords`). Splunk encrypts at most 255 characters per
 * entry (Splunk Solutions Library, credentials.py), and a refresh token is longer. So a secret is split into
 * chunks of one generation, and one index entry, written last, names the generation. A reader therefore sees
 * the old secret or the new one, never a mixture:
 *
 *   realm defender_mssp, user `<id>`               {"v":1,"g":"<generation>","n":7,"d":"<SHA-256, 32 hex>","s":"<fingerprint>","t":<seconds>,"p":<ms>}
 *   realm defender_mssp, user `<id>.<generation>.<k>`  chunk k of n
 *   realm defender_mssp, user `changes`                another text after each write of this program
 */
const REALM = "defender_mssp";
const CHUNK_MAX = 250;
const PAGE_ROWS = 500;
/** How often the pages are read from the first one, while entries before a page come or go. */
const READ_TRIES = 5;
const CHANGES = "changes";
/** Not the text of any change: the store may have changed while it was read. */
const UNKNOWN_CHANGE = "";
/** Splunk's credential store, as this app sees it. */
export const PASSWORDS = `/servicesNS/nobody/${APP}/storage/passwords`;

/**
 * Names a secret: `customer.<stanza>.client_secret`, `….refresh_token`, `….certificate` (the path that was
 * sealed), `credential.<name>`.
 */
export type SecretId = string & { readonly is: "secret-id" };

export function customerSecretId(stanza: string, key: "client_secret" | "refresh_token" | "certificate"): SecretId {
  return `customer.${encodeName(stanza)}.${key}` as SecretId;
}

export function credentialId(name: string): SecretId {
  return `credential.${encodeName(name)}` as SecretId;
}

export interface StoredSecret {
  readonly value: Sealed;
  /** Of what was in force when it was typed: see model/endpoint-binding.ts. */
  readonly fingerprint: string;
  readonly storedAtMs: number;
}

interface Entry {
  readonly realm: typeof REALM | typeof INTAKE_REALM;
  readonly user: string;
  readonly password: Sealed;
}

interface Index {
  readonly v: 1;
  readonly g: string;
  readonly n: number;
  readonly d: string;
  readonly s: string;
  /** When it was stored. */
  readonly t: number;
  /** When a person gave it; older versions did not write this. */
  readonly p?: number;
}

/** When a person gave a secret. What Microsoft renewed, or what is bound anew, has the time as before. */
type GivenAt = number | "now" | "as before";

/** The store as it was read, updated by this process's own writes. */
export class PasswordStore {
  readonly #splunkd: Splunkd;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Every entry of this app by user name. */
  #entries: Map<string, Sealed> = new Map();
  /** Entries of the pages in Splunk Web, by user name. */
  #intake: Map<string, Sealed> = new Map();
  /** The text of the entry `changes` up to which the entries are known. */
  #readUpTo: string | undefined;
  /** Reads of the whole store and writes would mix old entries with new ones. */
  readonly #queue = new SerialQueue();
  #readAtMs = Number.NEGATIVE_INFINITY;
  #changesUnderWay = 0;
  #isUnannounced = false;

  private constructor(splunkd: Splunkd, clock: Clock, random: Random) {
    this.#splunkd = splunkd;
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Reads the whole store once, page by page. Throws the failures of Splunkd and `splunkd-answer` for an
   * answer of another shape.
   */
  static async read(splunkd: Splunkd, clock: Clock, random: Random): Promise<PasswordStore> {
    const store = new PasswordStore(splunkd, clock, random);
    const { entries, intake, change } = await store.#readAll((path) => splunkd.getUntilStop(path));
    store.#entries = entries;
    store.#intake = intake;
    store.#readUpTo = change;
    return store;
  }

  /**
   * Looks for writes of other processes. One request if none was announced; else the whole store is read
   * again. Throws the failures of Splunkd, without a second try; the store is then as before.
   *
   * @param atLeastEveryMs the whole store is read again after this time, whatever was announced.
   * @returns the secrets that are other ones now, or are gone.
   */
  refresh({ atLeastEveryMs }: { readonly atLeastEveryMs: number }): Promise<ReadonlySet<SecretId>> {
    return this.#queue.run(async () => {
      const get = (path: string) => this.#splunkd.getOnce(path);
      const always = this.#clock.monotonicMs() - this.#readAtMs >= atLeastEveryMs;
      // Asked for before the entries are read: a write in between is then found by the next look.
      const announced = always ? undefined : await lastChange(get);
      if (!always && announced === this.#readUpTo) return new Set<SecretId>();
      const { entries, intake, change } = await this.#readAll(get);
      const changed = changedIds(this.#entries, entries);
      this.#entries = entries;
      this.#intake = intake;
      this.#readUpTo = always ? change : announced;
      return changed;
    });
  }

  async #readAll(get: (path: string) => Promise<SplunkdAnswer>): Promise<WholeStore> {
    this.#readAtMs = this.#clock.monotonicMs();
    for (let tries = 1; ; tries += 1) {
      const { isMoved, ...store } = await readPages(get);
      // A store that never stands still is taken as it was read last: the next look reads it again.
      if (!isMoved || tries === READ_TRIES) return store;
    }
  }

  /**
   * Undefined if nothing is stored. Throws Failure `secret-damaged` if chunks are missing or do not match
   * their digest.
   */
  get(id: SecretId): StoredSecret | undefined {
    const index = this.#index(id);
    if (index === undefined) return undefined;
    if (index === "damaged") throw damaged(id);
    const chunks = chunkNames(id, index).map((name) => this.#entries.get(name));
    if (chunks.some((chunk) => chunk === undefined)) throw damaged(id);
    const packed = chunks.map((chunk) => (chunk as Sealed).open((text) => text)).join("");
    const text = digest(packed) === index.d ? unpack(packed) : undefined;
    if (text === undefined) throw damaged(id);
    return { value: sealed(text), fingerprint: index.s, storedAtMs: index.t * 1000 };
  }

  /** When a person gave the stored secret; undefined where nothing is stored or nobody noted it. */
  givenAtMs(id: SecretId): number | undefined {
    const index = this.#index(id);
    return index === "damaged" ? undefined : index?.p;
  }

  /** Secrets that pages in Splunk Web left for their inputs. */
  intakeSlots(): readonly IntakeSlot[] {
    return intakeSlots(this.#intake);
  }

  /** Deletes a slot. Throws the failures of Splunkd. */
  async dropIntake({ entries }: IntakeSlot): Promise<void> {
    for (const name of entries) {
      const { status } = await this.#splunkd.delete(passwordPath(name, INTAKE_REALM));
      if (status !== 200 && status !== 404) throw unexpected(status);
      this.#intake.delete(name);
    }
  }

  /** Names of the stored shared credentials, in their order. */
  credentialNames(): readonly string[] {
    return [...this.#entries.keys()]
      .flatMap((user) => /^credential\.([^.]+)$/.exec(user)?.[1] ?? [])
      .map(decodeName)
      .sort();
  }

  /**
   * Writes chunks first and the index last, then deletes old chunks, and announces the change. Throws the
   * failures of Splunkd.
   */
  put(id: SecretId, value: Sealed, fingerprint: string, given: GivenAt = "now"): Promise<StoredSecret> {
    return this.#changing(() => this.#put(id, value, fingerprint, given));
  }

  /** Deletes the secret, index first, and announces the change. */
  remove(id: SecretId): Promise<void> {
    return this.#changing(() => this.#remove(id));
  }

  /** Writes of `work` are announced together at its end: each announcement takes splunkd two requests. */
  async inOneChange<T>(work: () => Promise<T>): Promise<T> {
    this.#changesUnderWay += 1;
    try {
      return await work();
    } finally {
      this.#changesUnderWay -= 1;
      if (this.#isUnannounced) await this.#queue.run(() => this.#announce());
    }
  }

  #changing<T>(write: () => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      this.#isUnannounced = true;
      const written = await write();
      await this.#announce();
      return written;
    });
  }

  /** Other processes of this program look for this entry, and read the store again when it changed. */
  async #announce(): Promise<void> {
    if (!this.#isUnannounced || this.#changesUnderWay > 0) return;
    const before = await lastChange((path) => this.#splunkd.get(path));
    const count = Number(/\.(\d+)$/.exec(before ?? "")?.[1] ?? 0) + 1;
    const mine = `${generationText(this.#clock.nowMs(), Math.floor(this.#random.next() * GENERATIONS))}.${count}`;
    await this.#write(CHANGES, mine);
    this.#isUnannounced = false;
    // A change of somebody else that was not read yet must still be found.
    if (before === this.#readUpTo) this.#readUpTo = mine;
  }

  async #put(id: SecretId, value: Sealed, fingerprint: string, given: GivenAt): Promise<StoredSecret> {
    const before = this.#index(id);
    const givenAtMs = given === "as before" ? this.givenAtMs(id) : given === "now" ? this.#clock.nowMs() : given;
    const packed = value.open(pack);
    const storedAtMs = Math.floor(this.#clock.nowMs() / 1000) * 1000;
    const index: Index = {
      v: 1,
      g: this.#freshGeneration(id, storedAtMs),
      n: Math.max(1, Math.ceil(packed.length / CHUNK_MAX)),
      d: digest(packed),
      s: fingerprint,
      t: storedAtMs / 1000,
      ...(givenAtMs === undefined ? {} : { p: givenAtMs }),
    };
    for (const [k, name] of chunkNames(id, index).entries())
      await this.#write(name, packed.slice(k * CHUNK_MAX, (k + 1) * CHUNK_MAX));
    await this.#write(id, JSON.stringify(index));
    if (before !== undefined && before !== "damaged") await this.#drop(chunkNames(id, before));
    return { value, fingerprint, storedAtMs };
  }

  async #remove(id: SecretId): Promise<void> {
    const index = this.#index(id);
    if (index === undefined) return;
    await this.#drop([id, ...(index === "damaged" ? [] : chunkNames(id, index))]);
  }

  /**
   * Never one with existing chunks: overwriting them would damage the secret that the index still names.
   */
  #freshGeneration(id: SecretId, nowMs: number): string {
    const base = Math.floor(this.#random.next() * GENERATIONS);
    for (let n = 0; ; n += 1) {
      const generation = generationText(nowMs, base + n);
      if (!this.#entries.has(`${id}.${generation}.1`)) return generation;
    }
  }

  #index(id: SecretId): Index | "damaged" | undefined {
    return this.#entries.get(id)?.open(readIndex);
  }

  async #write(user: string, password: string): Promise<void> {
    const created = this.#entries.has(user)
      ? { status: 409 }
      : await this.#splunkd.post(PASSWORDS, { name: user, password, realm: REALM });
    // 409: the entry exists, perhaps because another process of this program wrote it.
    const status =
      created.status === 409 ? (await this.#splunkd.post(passwordPath(user), { password })).status : created.status;
    if (status !== 200 && status !== 201) throw unexpected(status);
    this.#entries.set(user, sealed(password));
  }

  async #drop(users: readonly string[]): Promise<void> {
    for (const user of users) {
      const { status } = await this.#splunkd.delete(passwordPath(user));
      if (status !== 200 && status !== 404) throw unexpected(status);
      this.#entries.delete(user);
    }
  }
}

const GENERATIONS = 36 ** 4;

function generationText(nowMs: number, n: number): string {
  return `${Math.floor(nowMs / 1000).toString(36)}${(n % GENERATIONS).toString(36).padStart(4, "0")}`;
}

/** The text of the entry `changes`; undefined if no version that announces changes wrote yet. */
async function lastChange(get: (path: string) => Promise<SplunkdAnswer>): Promise<string | undefined> {
  const answer = await get(passwordPath(CHANGES));
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw unexpected(answer.status);
  return entryIn(answer.json, CHANGES)?.open((text) => text);
}

/** The text of an entry in an answer about it. */
export function entryIn(json: unknown, name: string): Sealed | undefined {
  return ownEntries(json).entries.find(({ user }) => user === name)?.password;
}

/** An index entry or a chunk: the id, then for a chunk its generation and number. */
const ENTRY_OF_SECRET = /^(credential\.[^.]+|customer\.[^.]+\.[^.]+)(\.[^.]+\.\d+)?$/;

function changedIds(before: ReadonlyMap<string, Sealed>, now: ReadonlyMap<string, Sealed>): ReadonlySet<SecretId> {
  const changed = new Set<SecretId>();
  for (const user of new Set([...before.keys(), ...now.keys()])) {
    const id = ENTRY_OF_SECRET.exec(user)?.[1];
    if (id !== undefined && !sameText(before.get(user), now.get(user))) changed.add(id as SecretId);
  }
  return changed;
}

function sameText(a: Sealed | undefined, b: Sealed | undefined): boolean {
  return a?.open((left) => b?.open((right) => left === right)) ?? a === b;
}

/** `<realm>:<user>:`; a colon inside either part is written `\\:`. */
export function passwordPath(user: string, realm = REALM): string {
  return `${PASSWORDS}/${encodeURIComponent(`${realm.replaceAll(":", "\\:")}:${user}:`)}`;
}

/** The entries of these realms and this app: the list also contains entries that other apps export. */
interface WholeStore {
  /** By user. */
  readonly entries: Map<string, Sealed>;
  /** Typed on a page in Splunk Web, and not taken over yet. */
  readonly intake: Map<string, Sealed>;
  readonly change: string | undefined;
}

/**
 * Each page begins with the last row of the one before. Where that row is another one, entries came or went
 * meanwhile, and one of them may stand on no page at all (`isMoved`).
 */
async function readPages(
  get: (path: string) => Promise<SplunkdAnswer>,
): Promise<WholeStore & { readonly isMoved: boolean }> {
  const entries = new Map<string, Sealed>();
  const intake = new Map<string, Sealed>();
  let change: string | undefined;
  let isMoved = false;
  let last: unknown;
  for (let read = 0; ; ) {
    const offset = Math.max(0, read - 1);
    const answer = await get(`${PASSWORDS}?count=${PAGE_ROWS}&offset=${offset}`);
    if (answer.status !== 200) throw unexpected(answer.status);
    const { names, entries: own, total } = ownEntries(answer.json);
    for (const { realm, user, password } of own) (realm === REALM ? entries : intake).set(user, password);
    // Only what was read after this entry is known to be as new as it says.
    if (change === undefined && entries.has(CHANGES))
      change = read === 0 ? entries.get(CHANGES)?.open((text) => text) : UNKNOWN_CHANGE;
    isMoved ||= read > 0 && names[0] !== last;
    const more = names.length - (read - offset);
    read += Math.max(0, more);
    last = names.at(-1);
    // Without a total, a short page is the last one.
    if (more <= 0 || read >= (total ?? (names.length < PAGE_ROWS ? 0 : Number.POSITIVE_INFINITY)))
      return { entries, intake, change, isMoved };
  }
}

function ownEntries(json: unknown): {
  /** Of all rows, also of other apps'. */
  readonly names: readonly unknown[];
  readonly total: number | undefined;
  readonly entries: readonly Entry[];
} {
  const list = member(json, "entry");
  if (!Array.isArray(list)) throw unexpected(200);
  const entries = list.flatMap((row: unknown): Entry[] => {
    const content = member(row, "content");
    const user = member(content, "username");
    const password = member(content, "clear_password");
    const realm = member(content, "realm");
    if ((realm !== REALM && realm !== INTAKE_REALM) || member(member(row, "acl"), "app") !== APP) return [];
    const isText = typeof user === "string" && typeof password === "string";
    return isText ? [{ realm, user, password: sealed(password) }] : [];
  });
  const total = member(member(json, "paging"), "total");
  return {
    names: list.map((row: unknown) => member(row, "name")),
    total: typeof total === "number" ? total : undefined,
    entries,
  };
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function readIndex(text: string): Index | "damaged" {
  const parsed = jsonOf(text);
  const [v, g, n, d, s, t, p] = ["v", "g", "n", "d", "s", "t", "p"].map((name) => member(parsed, name));
  const sound =
    v === 1 &&
    typeof g === "string" &&
    typeof n === "number" &&
    n > 0 &&
    n < 1000 &&
    typeof d === "string" &&
    typeof s === "string" &&
    typeof t === "number";
  return sound ? { v, g, n, d, s, t, ...(typeof p === "number" ? { p } : {}) } : "damaged";
}

function chunkNames(id: SecretId, index: Index): string[] {
  return Array.from({ length: index.n }, (_, k) => `${id}.${index.g}.${k + 1}`);
}

/**
 * A JSON string without white space and only in ASCII, because entries may be trimmed and the limit may count
 * bytes.
 */
function pack(text: string): string {
  return JSON.stringify(text).replace(/[^!-~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function unpack(packed: string): string | undefined {
  const text = jsonOf(packed);
  return typeof text === "string" ? text : undefined;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/**
 * Letters, digits, `_` and `-` are kept; other bytes become `~xx`. A very long name is truncated and gets a
 * digest.
 */
function encodeName(name: string): string {
  const encoded = [...Buffer.from(name, "utf8")]
    .map((byte) =>
      /[A-Za-z0-9_-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `~${byte.toString(16).padStart(2, "0")}`,
    )
    .join("");
  return encoded.length <= 120 ? encoded : `${encoded.slice(0, 80)}~~${digest(name)}`;
}

/** The name again; a long one is left as its digest. */
function decodeName(encoded: string): string {
  if (encoded.includes("~~")) return encoded;
  return Buffer.from(
    encoded.replaceAll(/~([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  ).toString("utf8");
}

function damaged(id: SecretId): Failure {
  const what = id.startsWith("credential.")
    ? "the shared credential"
    : id.endsWith(".client_secret")
      ? "client_secret"
      : "refresh_token";
  return new Failure("secret-damaged", {
    actor: "operator",
    retry: { when: "never" },
    say: `The entry for ${what} in Splunk's credential store is incomplete, so it is not used.`,
    nextStep: id.startsWith("credential.")
      ? `Store it again with \`defender_mssp credential set ${decodeName(id.slice("credential.".length))} --to splunk\`.`
      : "Type it again into the input.",
  });
}

function unexpected(status: number): Failure {
  return new Failure("splunkd-answer", {
    actor: "operator",
    retry: { when: "later" },
    status,
    say: `splunkd answered a request to its credential store in an unknown form (${status}).`,
    nextStep: "Look for the cause in splunkd.log.",
  });
}
