import { SCHEME } from "../../config/scheme.ts";
import type { SecretKey } from "../../config/settings.ts";
import { MASK } from "../../config/settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { PasswordStore, SecretId } from "./passwords.ts";
import { customerSecretId } from "./passwords.ts";
import type { SplunkStanza } from "./run-document.ts";
import { clearValue } from "./secret-files.ts";
import type { ReadyStanza } from "./secrets.ts";
import type { Splunkd, SplunkdAnswer } from "./splunkd.ts";
import { APP } from "./splunkd.ts";

/**
 * Stores all secrets that were typed in clear, then masks them in inputs.conf. All are stored first, then all
 * edits are sent together, because each edit makes splunkd restart this program. A secret that could not be
 * stored stays in clear, is used from there, and is stored at the next start.
 */
export async function storeAndMask(options: {
  readonly ready: readonly ReadyStanza[];
  readonly found: ReadonlyMap<string, SplunkStanza>;
  readonly store: PasswordStore;
  readonly splunkd: Splunkd;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<void> {
  const { ready, found, store, splunkd, clock, log } = options;
  const stored: ReadyStanza[] = [];
  for (const one of ready) {
    try {
      if (one.certificateToBind !== undefined)
        await store.put(
          customerSecretId(one.stanza.name, "certificate"),
          sealed(one.certificateToBind),
          one.fingerprint,
        );
      if (one.clear.length === 0) continue;
      for (const key of one.clear)
        await storeUnlessSame(
          store,
          customerSecretId(one.stanza.name, key),
          clearValue(one.stanza, key) as Sealed,
          one.fingerprint,
        );
      stored.push(one);
    } catch (error) {
      if (!isFailure(error)) throw error;
      log.error(
        one.clear.length > 0
          ? "a secret typed into an input could not be stored and is still in clear text in inputs.conf"
          : "the path of a certificate could not be stored, so a change of this input's addresses is not noticed",
        {
          customer: one.stanza.name,
          failure: error.code,
          say: error.say,
          next_step: error.nextStep,
        },
      );
    }
  }
  const waiting = [...stored];
  const maskNext = async (): Promise<void> => {
    for (let one = waiting.shift(); one; one = waiting.shift())
      await maskOne(one, found.get(one.stanza.name), { store, splunkd, clock, log });
  };
  await Promise.all(Array.from({ length: EDITS_AT_ONCE }, maskNext));
}

/** splunkd validates each edit in a separate process, so more parallel edits would only queue there. */
const EDITS_AT_ONCE = 8;

async function storeUnlessSame(store: PasswordStore, id: SecretId, value: Sealed, fingerprint: string): Promise<void> {
  if (!isStored(store, id, value, fingerprint)) await store.put(id, value, fingerprint);
}

function isStored(store: PasswordStore, id: SecretId, value: Sealed, fingerprint: string): boolean {
  try {
    const found = store.get(id);
    return (
      found !== undefined &&
      found.fingerprint === fingerprint &&
      found.value.open((old) => value.open((typed) => old === typed))
    );
  } catch (error) {
    if (isFailure(error)) return false;
    throw error;
  }
}

interface Masking {
  readonly store: PasswordStore;
  readonly splunkd: Splunkd;
  readonly clock: Clock;
  readonly log: Log;
}

async function maskOne(one: ReadyStanza, found: SplunkStanza | undefined, masking: Masking): Promise<void> {
  const { splunkd, log } = masking;
  const customer = one.stanza.name;
  const place = `/servicesNS/nobody/${encodeURIComponent(found?.app ?? APP)}/data/inputs/${SCHEME}/${encodeURIComponent(customer)}`;
  try {
    const present = await splunkd.get(place);
    if (typedAgain(one, present).size > 0) return;
    // Sent too, so that splunkd validates a complete customer. Defaults are left out, because the edit would
    // write them into this input for good.
    const kept = [
      "tenant_id",
      "client_id",
      "credential",
      ...(one.stanza.streams.includes("hunting") ? ["streams", "hunting_queries"] : []),
    ];
    const content = contentOf(present);
    const valueOf = (key: string): unknown =>
      Object.hasOwn(content, key) ? content[key] : found?.values[key]?.open((text) => text);
    const form = Object.fromEntries([
      ...kept.flatMap((key) => {
        const value = valueOf(key);
        return isText(value) ? [[key, value] as const] : [];
      }),
      ...one.clear.map((key) => [key, MASK] as const),
    ]);
    const { status, overwritten } = await editLooking(one, place, form, masking);
    if (status === 200) {
      log.info("a secret typed into an input is stored and masked", { customer, keys: one.clear.join(",") });
      await storeOverwritten(one, overwritten, masking);
    } else
      log.error("a secret is stored but could not be masked and is still in clear text in inputs.conf", {
        customer,
        status,
        next_step: "Save the input once under Settings > Data inputs. The form shows what splunkd does not accept.",
      });
  } catch (error) {
    if (!isFailure(error)) throw error;
    // The previous edit made splunkd restart this program; the next start masks the rest.
    if (error.code === "stopped") return;
    log.error("a secret is stored but could not be masked and is still in clear text in inputs.conf", {
      customer,
      failure: error.code,
      say: error.say,
    });
  }
}

/**
 * splunkd validates an edit in a separate process before it writes it, which takes a tenth of a second or
 * more.
 */
const LOOK_EVERY_MS = 50;
/** Ten seconds; an edit that takes longer is not checked to its end. */
const LOOKS_MAX = 200;

/**
 * splunkd has no edit that depends on the current value. A secret that a user types between this program's
 * read and splunkd's write of the mask would be lost silently. So the input is read again and again until the
 * edit is answered. Only a secret typed and overwritten between two reads can still be missed.
 */
async function editLooking(
  one: ReadyStanza,
  place: string,
  form: Readonly<Record<string, string>>,
  { splunkd, clock }: Masking,
): Promise<{ readonly status: number; readonly overwritten: ReadonlyMap<SecretKey, Sealed> }> {
  let overwritten: ReadonlyMap<SecretKey, Sealed> = new Map();
  const answered = new AbortController();
  const look = async (): Promise<void> => {
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      const seen = await splunkd.get(place).then(
        (answer) => typedAgain(one, answer),
        () => overwritten,
      );
      if (seen.size > 0) overwritten = seen;
      if (answered.signal.aborted) return;
      await clock.pause(LOOK_EVERY_MS, answered.signal).catch(() => undefined);
    }
  };
  const looking = look();
  try {
    const { status } = await splunkd.post(place, form);
    answered.abort();
    // The last read may have been answered before the edit.
    await looking;
    return { status, overwritten };
  } finally {
    answered.abort();
  }
}

async function storeOverwritten(
  one: ReadyStanza,
  overwritten: ReadonlyMap<SecretKey, Sealed>,
  { store, log }: Masking,
): Promise<void> {
  const customer = one.stanza.name;
  for (const [key, typed] of overwritten) {
    try {
      await store.put(customerSecretId(customer, key), typed, one.fingerprint);
      log.info("a secret typed while the previous one was being masked is stored too", { customer, keys: key });
    } catch (error) {
      if (!isFailure(error)) throw error;
      log.error("a secret typed while the previous one was being masked could not be stored; type it again", {
        customer,
        keys: key,
        failure: error.code,
        say: error.say,
      });
    }
  }
}

/**
 * Secrets that a user typed after this program started. Masking would lose them. splunkd restarts this
 * program for that edit, and they are stored then.
 */
function typedAgain(one: ReadyStanza, present: SplunkdAnswer): Map<SecretKey, Sealed> {
  const content = contentOf(present);
  const typed = new Map<SecretKey, Sealed>();
  for (const key of one.clear) {
    const now = content[key];
    if (!isText(now) || now === MASK) continue;
    if (clearValue(one.stanza, key)?.open((known) => known.trim() !== now.trim()) === true) typed.set(key, sealed(now));
  }
  return typed;
}

/** The input's current settings; empty if splunkd does not return them. */
function contentOf(present: SplunkdAnswer): Readonly<Record<string, unknown>> {
  const answer = present.json as
    | { readonly entry?: readonly { readonly content?: Readonly<Record<string, unknown>> }[] }
    | undefined;
  return present.status === 200 ? (answer?.entry?.[0]?.content ?? {}) : {};
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "";
}
