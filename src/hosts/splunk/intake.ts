import { type FileRule, readFilePath } from "../../config/files.ts";
import {
  CLAIM_ENDS_AFTER_MS,
  CUSTOMER_KEYS,
  DESTINATION_KEYS,
  type IntakeSlot,
  NAME_CLAIM,
  type SlotClock,
  type TypedDestination,
  type TypedFor,
} from "../../config/intake-slot.ts";
import { readDestination, SECRET_KEYS, type SecretKey } from "../../config/settings.ts";
import { type Destination, fingerprintDifferences } from "../../model/endpoint-binding.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import { type Sealed, sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { jsonOf } from "../../net/json-answer.ts";
import { listInputs } from "./input-list.ts";
import { customerSecretId, type PasswordStore, type SecretId } from "./passwords.ts";
import type { SecretPorts } from "./secrets.ts";
import type { Splunkd } from "./splunkd.ts";

/** A stored secret that was given later than this from now has the time of a clock that was wrong. */
const CLOCK_TOLERANCE_MS = 60_000;
/** A page saves the input right after its secret. What is older, without an input, belongs to no save. */
const EXPIRES_AFTER_MS = 3_600_000;

export interface IntakeWorld {
  readonly splunkd: Pick<Splunkd, "getUntilStop">;
  readonly secrets: Pick<SecretPorts, "files" | "fingerprintOf">;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Intake {
  /** By input: why its typed secret was not taken over. */
  readonly refused: ReadonlyMap<string, Failure>;
  /** The secrets that were stored or refused. */
  readonly seen: ReadonlySet<SecretId>;
}

/**
 * Takes over secrets that were typed on a page in Splunk Web: stores each that was typed for its input's
 * present customer and destination, bound to it, and deletes its slot. Never throws a Failure: what could
 * not be stored stays for the next start. Ends when splunkd fails, because each request to it can take half
 * a minute.
 *
 * A slot that was stored but not deleted (killed in between, splunkd failed) is found by the next start, and
 * must not replace a secret that was given since. splunkd's time of the slot is stored with the secret, so
 * the next start knows. A slot with a browser's time is stored again: a slow clock would lose what was just
 * typed.
 */
export async function takeIntake(
  store: PasswordStore,
  stanzas: readonly Stanza[],
  world: IntakeWorld,
): Promise<Intake> {
  const byName = new Map(stanzas.map((stanza) => [stanza.name, stanza]));
  const refused = new Map<string, Failure>();
  const seen = new Set<SecretId>();
  const slots = store.intakeSlots();
  let listed: Promise<ReadonlySet<string> | undefined> | undefined;
  const isListed = async (input: string) => (await (listed ??= inputsOf(world.splunkd)))?.has(input) ?? true;
  if (slots.length === 0) return { refused, seen };
  const notStored = (error: unknown, slot?: IntakeSlot): Failure => {
    if (!isFailure(error)) throw error;
    const fields = { customer: slot?.stanza, keys: slot?.key, failure: error.code, say: error.say };
    world.log.warn("a secret typed on a page in Splunk Web is not stored yet", fields);
    return error;
  };
  try {
    await store.inOneChange(async () => {
      let splunkdFails: Failure | undefined;
      for (const slot of slots)
        if (splunkdFails !== undefined) notStored(splunkdFails, slot);
        else
          try {
            await takeOne(store, slot, byName.get(slot.stanza), { refused, seen, isListed }, world);
          } catch (error) {
            const failure = notStored(error, slot);
            if (!OF_ONE_SLOT.has(failure.code)) splunkdFails = failure;
          }
    });
  } catch (error) {
    notStored(error);
  }
  return { refused, seen };
}

/** splunkd does not accept this secret, or the input's CA file cannot be read: other slots can be stored. */
const OF_ONE_SLOT: ReadonlySet<string> = new Set(["splunkd-answer", "ca-file-unusable"]);

async function takeOne(
  store: PasswordStore,
  slot: IntakeSlot,
  stanza: Stanza | undefined,
  found: {
    readonly refused: Map<string, Failure>;
    readonly seen: Set<SecretId>;
    readonly isListed: (input: string) => Promise<boolean>;
  },
  { secrets, clock, log }: IntakeWorld,
): Promise<void> {
  if (slot.key === NAME_CLAIM) {
    // Its page deletes it, unless it was closed.
    if (clock.nowMs() - slot.atMs >= CLAIM_ENDS_AFTER_MS) await store.dropIntake(slot);
    return;
  }
  const key = SECRET_KEYS.find((one) => one === slot.key);
  const typed = slot.text?.open(typedIn);
  const about = { customer: slot.stanza, keys: slot.key };
  if (stanza !== undefined && key !== undefined && typed !== undefined) {
    const fingerprint = secrets.fingerprintOf(stanza);
    const changed = differences(typed.where, stanza, fingerprint, secrets);
    const id = customerSecretId(stanza.name, key);
    if (changed.length === 0) {
      if (isOutdated(slot, typed, store.givenAtMs(id), clock.nowMs())) {
        await store.dropIntake(slot);
        log.info("a secret typed on a page in Splunk Web is not newer than the stored one and is deleted", about);
        return;
      }
      await store.put(id, typed.secret, fingerprint, typed.clock === "splunkd" ? slot.atMs : "now");
      found.seen.add(id);
      await store.dropIntake(slot);
      log.info("a secret typed on a page in Splunk Web is stored", about);
      return;
    }
    found.refused.set(stanza.name, endpointChanged(key, changed));
    found.seen.add(id);
  }
  // Its input is not saved yet, or not all of its pieces.
  if (clock.nowMs() - slot.atMs < EXPIRES_AFTER_MS) return;
  // Its input is disabled, or another setting of it is wrong: then the secret waits for it.
  if (stanza === undefined && key !== undefined && typed !== undefined && (await found.isListed(slot.stanza))) return;
  await store.dropIntake(slot);
  log.warn("a secret typed on a page in Splunk Web was not used for an hour and is deleted; type it again", about);
}

/**
 * splunkd leaves disabled inputs out of the run document. Undefined where its list cannot be read: then any
 * may be there.
 */
async function inputsOf(splunkd: IntakeWorld["splunkd"]): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set((await listInputs(splunkd, ["disabled"])).map(({ name }) => name));
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}

/** Whether the stored secret is this one, or was given after it. */
function isOutdated(slot: IntakeSlot, typed: Typed, givenAtMs: number | undefined, nowMs: number): boolean {
  if (typed.clock !== "splunkd" || givenAtMs === undefined) return false;
  return slot.atMs <= givenAtMs && givenAtMs <= nowMs + CLOCK_TOLERANCE_MS;
}

/**
 * What is another customer or destination now than on the form; everything where the form's cannot be read.
 * Splunk's own form and a deployed inputs.conf make no claim on a name, so its input can be somebody else's.
 */
function differences(
  where: TypedFor,
  stanza: Stanza,
  present: string,
  secrets: IntakeWorld["secrets"],
): readonly string[] {
  const others = otherCustomer(where, stanza);
  if (others.length > 0) return others;
  const { partnercenterUrl } = stanza.endpoints;
  const typed = destinationOf(where, partnercenterUrl, secrets.files);
  return typed === undefined ? DESTINATION_KEYS : fingerprintDifferences(secrets.fingerprintOf(typed), present);
}

/** What the form did not have may come from elsewhere, as a shared credential's client ID does. */
function otherCustomer(where: TypedFor, { tenantId, clientId = "" }: Stanza): readonly string[] {
  const now = { tenant_id: tenantId, client_id: clientId };
  return CUSTOMER_KEYS.filter((key) => {
    const typed = where[key];
    return typed !== undefined && (tenantIdFrom(typed) ?? typed.toLowerCase()) !== now[key];
  });
}

/**
 * Where a secret goes that was typed with these settings; undefined where they cannot be read.
 *
 * @param partnercenterUrl nobody types it on a page: it is a setting of the whole process.
 */
export function destinationOf(
  where: TypedDestination,
  partnercenterUrl: string | undefined,
  files: FileRule,
): Destination | undefined {
  const { ca_file: caFile, ...rest } = where;
  const file = caFile === undefined ? undefined : readFilePath(caFile, files);
  const typed = readDestination(file?.ok === true ? { ...rest, ca_file: file.value } : rest, () => undefined);
  if (typed === undefined || file?.ok === false) return undefined;
  const endpoints = { ...typed.endpoints, ...(partnercenterUrl === undefined ? {} : { partnercenterUrl }) };
  return { ...typed, endpoints };
}

export interface Typed {
  readonly secret: Sealed;
  readonly where: TypedFor;
  readonly clock: SlotClock;
}

/** What a slot holds; undefined where it is not a slot of a page. */
export function typedIn(text: string): Typed | undefined {
  const slot = jsonOf(text) as
    | { readonly v?: unknown; readonly secret?: unknown; readonly where?: unknown; readonly clock?: unknown }
    | undefined;
  if (slot?.v !== 1 || typeof slot.secret !== "string" || slot.secret === "") return undefined;
  const given = (slot.where ?? {}) as Readonly<Record<string, unknown>>;
  const where = [...DESTINATION_KEYS, ...CUSTOMER_KEYS].flatMap((key) => {
    const value = given[key];
    return typeof value === "string" && value.trim() !== "" ? [[key, value.trim()] as const] : [];
  });
  const clock = slot.clock === "splunkd" ? "splunkd" : "browser";
  return { secret: sealed(slot.secret), where: Object.fromEntries(where), clock };
}

function endpointChanged(key: SecretKey, changed: readonly string[]): Failure {
  return new Failure("endpoint-changed", {
    actor: "operator",
    retry: { when: "never" },
    say: `${changed.join(", ")} changed between typing ${key} and saving the input, so the secret is not used.`,
    nextStep: `Type ${key} again for this input.`,
  });
}
