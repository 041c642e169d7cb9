import { createHash } from "node:crypto";
import { readFilePath } from "../../config/files.ts";
import { SCHEME } from "../../config/scheme.ts";
import type { FileRule, SecretKey } from "../../config/settings.ts";
import { endpointsFrom, MASK, SECRET_KEYS } from "../../config/settings.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { Chance, Clock, Log, RefreshTokenVault } from "../../model/kit.ts";
import { sealDifferences, sealOf } from "../../model/seal.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { PasswordStore, SecretId, StoredSecret } from "./passwords.ts";
import { credentialId, customerSecretId } from "./passwords.ts";
import type { SplunkStanza } from "./run-document.ts";
import type { Splunkd } from "./splunkd.ts";
import { APP } from "./splunkd.ts";

/** Reads a CA file for the seal; `undefined` for a file that is not there. */
export type ReadBytes = (file: string) => Promise<Uint8Array | undefined>;

/** A customer whose secrets are there. */
export interface ReadyStanza {
  readonly stanza: Stanza;
  readonly seal: string;
  /** Those that stand in clear in inputs.conf and are to be stored and masked. */
  readonly clear: readonly SecretKey[];
  /** Undefined unless the refresh token comes from the store or was just typed. */
  readonly storedRefreshToken?: StoredSecret;
}

export interface RefusedStanza {
  readonly stanza: Stanza;
  readonly failure: Failure;
}

/** What a shared credential's entry holds, as JSON. `certificate`: path of a PEM; `expires`: ISO time, for the warning in health events. */
export interface SharedCredential {
  readonly client_id: string;
  readonly client_secret?: string;
  readonly certificate?: string;
  readonly expires?: string;
}

export interface Resolution {
  readonly ready: readonly ReadyStanza[];
  readonly refused: readonly RefusedStanza[];
}

/**
 * Gives each customer his secrets: those typed in clear, else the stored ones, if they were typed for the endpoints, proxy and CA that are in force now;
 * one that differs gets none at all and is told which setting it is (`endpoint-changed`).
 *
 * @param store undefined when the credential store could not be read; `storeFailure` then says why. Customers that need nothing from it go on.
 */
export async function resolveSecrets(
  stanzas: readonly Stanza[],
  masked: ReadonlyMap<string, readonly SecretKey[]>,
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  readBytes: ReadBytes,
  files: FileRule,
): Promise<Resolution> {
  const ready: ReadyStanza[] = [];
  const refused: RefusedStanza[] = [];
  for (const given of stanzas) {
    let stanza = given;
    try {
      stanza = await withSecretFiles(given, readBytes, files);
      ready.push(await resolveOne(stanza, given, masked.get(stanza.name) ?? [], store, storeFailure, readBytes));
    } catch (error) {
      if (!isFailure(error)) throw error;
      refused.push({ stanza: given, failure: error });
    }
  }
  return { ready, refused };
}

async function resolveOne(
  stanza: Stanza,
  given: Stanza,
  masked: readonly SecretKey[],
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  readBytes: ReadBytes,
): Promise<ReadyStanza> {
  const seal = await sealFor(stanza, readBytes);
  const stored = new Map<SecretKey, StoredSecret>();
  const clear: SecretKey[] = [];
  for (const key of SECRET_KEYS) {
    if (clearValue(stanza, key)) {
      // A reference to a file is no secret: it stays where it stands.
      if (fileNamed(given, key) === undefined) clear.push(key);
      continue;
    }
    const found = store?.get(customerSecretId(stanza.name, key));
    if (found) stored.set(key, unsealFor(found, seal, key));
    else if (masked.includes(key))
      throw storeFailure ?? missing(key, `holds only the mask for ${key}, and nothing is stored for this input`);
  }
  const shared = stanza.credential === undefined ? undefined : sharedCredential(stanza.credential, store, storeFailure, seal);
  const complete = withSecrets(stanza, stored, shared);
  const lacking = lackingSecret(complete);
  if (lacking) throw storeFailure ?? missing(lacking, "has nothing to sign in with");
  const refreshToken = stored.get("refresh_token");
  return { stanza: complete, seal, clear, ...(refreshToken ? { storedRefreshToken: refreshToken } : {}) };
}

const FILE_REFERENCE = /^\s*file:(.+?)\s*$/;

function fileNamed(stanza: Stanza, key: SecretKey): string | undefined {
  return clearValue(stanza, key)?.open((text) => FILE_REFERENCE.exec(text)?.[1]);
}

/**
 * Reads secrets that stand as `file:PATH`: for hosts whose splunkd offers no credential store (universal forwarders). Nothing seals a file to endpoints, so
 * such a secret goes to the cloud's own addresses only: whoever may edit an input must not be able to have it sent elsewhere.
 */
async function withSecretFiles(stanza: Stanza, readBytes: ReadBytes, files: FileRule): Promise<Stanza> {
  const read = new Map<SecretKey, Sealed>();
  for (const key of SECRET_KEYS) {
    const named = fileNamed(stanza, key);
    if (named === undefined) continue;
    const own = endpointsFrom(stanza.cloud, () => undefined);
    const changed = (Object.keys(own) as (keyof typeof own)[]).some((name) => own[name] !== stanza.endpoints[name]);
    if (changed)
      throw secretFile(
        key,
        "comes from a file and is therefore sent to the cloud's own addresses only",
        "Take login_url, graph_url, api_url and siem_url out of this input.",
      );
    const file = readFilePath(named, files);
    if (!file.ok) throw secretFile(key, `names a file that may not be used: ${file.say}`, "");
    const looked = files.door.look(file.value);
    if (looked.kind !== "missing" && looked.openToOthers)
      throw secretFile(key, `names ${file.value}, which other accounts may read`, `Run chmod 600 ${file.value}.`);
    const text = Buffer.from((await readBytes(file.value)) ?? [])
      .toString("utf8")
      .replace(/^\uFEFF/, "")
      .replace(/\r?\n$/, "");
    if (text === "")
      throw secretFile(key, `names ${file.value}, which is empty or may not be read by Splunk`, "Put the secret into it, one line.");
    read.set(key, sealed(text));
  }
  const [clientSecret, refreshToken] = [read.get("client_secret"), read.get("refresh_token")];
  return { ...stanza, ...(clientSecret ? { clientSecret } : {}), ...(refreshToken ? { refreshToken } : {}) };
}

function secretFile(key: SecretKey, say: string, nextStep: string): Failure {
  return new Failure("secret-file-refused", { actor: "operator", retry: { when: "never" }, say: `${key} ${say}`, nextStep });
}

/** The seal of what is in force for this stanza now. A CA file that cannot be read seals as its absence would not: the request would fail anyway. */
export async function sealFor(stanza: Stanza, readBytes: ReadBytes): Promise<string> {
  const caFile = stanza.route.caFile;
  const bytes = caFile === undefined ? undefined : ((await readBytes(caFile)) ?? new Uint8Array());
  return sealOf(stanza.endpoints, stanza.route, bytes, sha256Hex);
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function clearValue(stanza: Stanza, key: SecretKey): Sealed | undefined {
  return key === "client_secret" ? stanza.clientSecret : stanza.refreshToken;
}

function unsealFor(found: StoredSecret, present: string, what: string): StoredSecret {
  const changed = sealDifferences(found.seal, present);
  if (changed.length === 0) return found;
  throw new Failure("endpoint-changed", {
    actor: "operator",
    retry: { when: "never" },
    say: `${changed.join(", ")} changed since ${what} was typed, so the stored secret is not used`,
    nextStep: `Type ${what} again for this input, or accept the change with 'credential reseal'.`,
  });
}

function sharedCredential(
  name: string,
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  seal: string,
): SharedCredential {
  const found = store?.get(credentialId(name));
  if (!found) {
    throw (
      storeFailure ??
      new Failure("credential-missing", {
        actor: "operator",
        retry: { when: "never" },
        say: `the shared credential ${name} is not stored`,
        nextStep: `Store it with 'credential set ${name}', or name another one.`,
      })
    );
  }
  const parsed = unsealFor(found, seal, `the shared credential ${name}`).value.open(readCredential);
  if (!parsed)
    throw new Failure("secret-damaged", {
      actor: "operator",
      retry: { when: "never" },
      say: `what is stored for the shared credential ${name} cannot be read`,
      nextStep: `Store it again with 'credential set ${name}'.`,
    });
  return parsed;
}

function readCredential(text: string): SharedCredential | undefined {
  try {
    const value = JSON.parse(text) as Partial<SharedCredential> | null;
    return typeof value?.client_id === "string" ? (value as SharedCredential) : undefined;
  } catch {
    return undefined;
  }
}

/** The stanza's own client id, key and certificate win over the shared credential's; an own key or certificate replaces both of its. */
function withSecrets(stanza: Stanza, stored: ReadonlyMap<SecretKey, StoredSecret>, shared: SharedCredential | undefined): Stanza {
  const ownSecret = stanza.clientSecret ?? stored.get("client_secret")?.value;
  const ownKey = ownSecret !== undefined || stanza.certificate !== undefined;
  const clientId = stanza.clientId ?? shared?.client_id;
  const clientSecret = ownSecret ?? (ownKey || shared?.client_secret === undefined ? undefined : sealed(shared.client_secret));
  const certificate = stanza.certificate ?? (ownKey ? undefined : shared?.certificate);
  const refreshToken = stanza.refreshToken ?? stored.get("refresh_token")?.value;
  return {
    ...stanza,
    ...(clientId === undefined ? {} : { clientId }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(refreshToken === undefined ? {} : { refreshToken }),
  };
}

/** The secret without which this stanza cannot sign in. */
function lackingSecret(stanza: Stanza): SecretKey | undefined {
  const auth = stanza.auth ?? (stanza.refreshToken ? "refresh_token" : "app");
  if (auth === "refresh_token") return stanza.refreshToken ? undefined : "refresh_token";
  return stanza.clientSecret || stanza.certificate ? undefined : "client_secret";
}

function missing(key: SecretKey, say: string): Failure {
  return new Failure("secret-missing", {
    actor: "operator",
    retry: { when: "never" },
    say: `the input ${say}`,
    nextStep:
      key === "refresh_token"
        ? "Run 'token acquire --to splunk' for this customer, or type refresh_token into the input."
        : "Type client_secret into the input, or name a shared credential.",
  });
}

/**
 * Stores everything that was typed in clear, then masks it in inputs.conf: all stored first, then all edits at once, because each edit makes splunkd restart
 * us. What could not be stored stays where it is, is used from there, and is tried again at the next start.
 */
export async function storeAndMask(options: {
  readonly ready: readonly ReadyStanza[];
  readonly found: ReadonlyMap<string, SplunkStanza>;
  readonly store: PasswordStore;
  readonly splunkd: Splunkd;
  readonly log: Log;
}): Promise<void> {
  const { ready, found, store, splunkd, log } = options;
  const stored: ReadyStanza[] = [];
  for (const one of ready) {
    if (one.clear.length === 0) continue;
    try {
      for (const key of one.clear)
        await storeUnlessSame(store, customerSecretId(one.stanza.name, key), clearValue(one.stanza, key) as Sealed, one.seal);
      stored.push(one);
    } catch (error) {
      if (!isFailure(error)) throw error;
      log.error("a secret typed into an input could not be stored and still stands in clear in inputs.conf", {
        customer: one.stanza.name,
        failure: error.code,
        say: error.say,
        next_step: error.nextStep,
      });
    }
  }
  const waiting = [...stored];
  const maskNext = async (): Promise<void> => {
    for (let one = waiting.shift(); one; one = waiting.shift()) await maskOne(one, found.get(one.stanza.name), splunkd, log);
  };
  await Promise.all(Array.from({ length: EDITS_AT_ONCE }, maskNext));
}

/** splunkd validates each edit with a process of its own, so more at once would only queue there. */
const EDITS_AT_ONCE = 8;

async function storeUnlessSame(store: PasswordStore, id: SecretId, value: Sealed, seal: string): Promise<void> {
  if (!isStored(store, id, value, seal)) await store.put(id, value, seal);
}

function isStored(store: PasswordStore, id: SecretId, value: Sealed, seal: string): boolean {
  try {
    const found = store.get(id);
    return found !== undefined && found.seal === seal && found.value.open((old) => value.open((typed) => old === typed));
  } catch (error) {
    if (isFailure(error)) return false;
    throw error;
  }
}

async function maskOne(one: ReadyStanza, found: SplunkStanza | undefined, splunkd: Splunkd, log: Log): Promise<void> {
  const customer = one.stanza.name;
  const place = `/servicesNS/nobody/${encodeURIComponent(found?.app ?? APP)}/data/inputs/${SCHEME}/${encodeURIComponent(customer)}`;
  const values = found?.values ?? {};
  // Sent along so that splunkd's validation of the edit sees a complete customer; defaults are left out, or they would be frozen into this input.
  const kept = ["tenant_id", "client_id", "credential", ...(one.stanza.streams.includes("hunting") ? ["streams", "hunting_queries"] : [])];
  const form = Object.fromEntries([
    ...kept.flatMap((key) => (values[key]?.trim() ? [[key, values[key]] as const] : [])),
    ...one.clear.map((key) => [key, MASK] as const),
  ]);
  try {
    const { status } = await splunkd.post(place, form);
    if (status === 200) log.info("a secret typed into an input is stored and masked", { customer, keys: one.clear.join(",") });
    else log.error("a secret is stored but could not be masked and still stands in clear in inputs.conf", { customer, status });
  } catch (error) {
    if (!isFailure(error)) throw error;
    // The edit before this one made splunkd restart us; the next start goes on with what is left.
    if (error.code === "stopped") return;
    log.error("a secret is stored but could not be masked and still stands in clear in inputs.conf", {
      customer,
      failure: error.code,
      say: error.say,
    });
  }
}

const DAY_MS = 86_400_000;

/**
 * A customer's refresh token in Splunk. Microsoft gives a new one at each use and leaves the old one valid (90 days), so it is stored only when the stored one
 * is a day old, or was refused: 2,000 customers would otherwise write 26,000 entries an hour. The day is jittered by up to a quarter, or all would write at once.
 */
export function splunkVault(options: {
  readonly stanza: string;
  readonly seal: string;
  readonly first: Sealed;
  /** When the stored one was stored; undefined when nothing is stored. */
  readonly storedAtMs: number | undefined;
  readonly store: PasswordStore | undefined;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
}): RefreshTokenVault {
  const { stanza, seal, store, clock, chance, log } = options;
  let token = options.first;
  let dueAtMs = (options.storedAtMs ?? Number.NEGATIVE_INFINITY) + DAY_MS * (1 + chance.next() / 4);
  return {
    current: async () => token,
    async store(rotated, { refused }) {
      token = rotated;
      if (!store || !(refused || clock.nowMs() >= dueAtMs)) return;
      try {
        const stored = await store.put(customerSecretId(stanza, "refresh_token"), rotated, seal);
        dueAtMs = stored.storedAtMs + DAY_MS * (1 + chance.next() / 4);
      } catch (error) {
        // The stored one is still good, so collecting goes on; a refused one is not.
        if (refused || !isFailure(error)) throw error;
        dueAtMs = clock.nowMs() + 600_000;
        log.warn("a rotated refresh token could not be stored; the one before it stays valid", {
          customer: stanza,
          failure: error.code,
          say: error.say,
        });
      }
    },
  };
}
