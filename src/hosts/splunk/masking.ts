import { SCHEME } from "../../config/scheme.ts";
import { MASK } from "../../config/settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Log } from "../../model/kit.ts";
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
    try {
      if (one.toSeal !== undefined) await store.put(customerSecretId(one.stanza.name, "certificate"), sealed(one.toSeal), one.seal);
      if (one.clear.length === 0) continue;
      for (const key of one.clear)
        await storeUnlessSame(store, customerSecretId(one.stanza.name, key), clearValue(one.stanza, key) as Sealed, one.seal);
      stored.push(one);
    } catch (error) {
      if (!isFailure(error)) throw error;
      log.error(
        one.clear.length > 0
          ? "a secret typed into an input could not be stored and still stands in clear in inputs.conf"
          : "a certificate could not be sealed",
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
    if (wasTypedAgain(one, await splunkd.get(place))) return;
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

/** Somebody typed another secret since we were started: masking would lose it. splunkd restarts us for that edit, and it is stored then. */
function wasTypedAgain(one: ReadyStanza, present: SplunkdAnswer): boolean {
  const content = (present.json as { readonly entry?: readonly { readonly content?: Readonly<Record<string, unknown>> }[] } | undefined)
    ?.entry?.[0]?.content;
  if (present.status !== 200 || content === undefined) return false;
  return one.clear.some((key) => {
    const now = content[key];
    return typeof now === "string" && now !== MASK && clearValue(one.stanza, key)?.open((typed) => typed.trim() !== now.trim()) === true;
  });
}
