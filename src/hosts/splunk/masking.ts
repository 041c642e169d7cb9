import type { SecretKey } from "../../config/settings.ts";
import { MASK } from "../../config/settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { InputSettings, InputWrite, SecretWrite, SplunkdRest, WriteOutcome } from "./bulk-writes.ts";
import { writeInBulk } from "./bulk-writes.ts";
import type { PasswordStore, SecretId } from "./passwords.ts";
import { customerSecretId } from "./passwords.ts";
import type { SplunkStanza } from "./run-document.ts";
import { clearValue } from "./secret-files.ts";
import type { ReadyStanza } from "./secrets.ts";
import { APP } from "./splunkd.ts";

export interface MaskingWorld {
  readonly found: ReadonlyMap<string, SplunkStanza>;
  readonly store: PasswordStore;
  readonly splunkd: SplunkdRest;
  readonly clock: Clock;
  readonly log: Log;
  readonly stop: AbortSignal;
}

/** So much of a stop goes to edits that run or are short. The other steps of the stop begin beside them. */
export const EDITS_AFTER_STOP_MS = 1500;

/** A page or a script that saves a list saves the next input within this time. */
const QUIET_BEFORE_EDITS_MS = 3000;

/**
 * Stores all secrets that were typed in clear, then masks them in inputs.conf. A secret that could not be
 * stored stays in clear, is used from there, and is stored at the next start.
 */
export async function storeAndMask(ready: readonly ReadyStanza[], world: MaskingWorld): Promise<void> {
  const byName = new Map(ready.map((one) => [one.stanza.name, one]));
  await writeInBulk(
    ready.map((one) => writeOf(one, world)),
    {
      rest: world.splunkd,
      store: world.store,
      clock: world.clock,
      stop: world.stop,
      quietMs: QUIET_BEFORE_EDITS_MS,
      finishMs: EDITS_AFTER_STOP_MS,
      whileClaimed: () => Promise.reject(new Error("no input is created here")),
      report: ({ name }, outcome) => report(byName.get(name) as ReadyStanza, outcome, world),
    },
  );
}

function writeOf(one: ReadyStanza, { found, store, clock, log }: MaskingWorld): InputWrite {
  const { name } = one.stanza;
  const masked = one.clear.filter((key) => {
    const isShadowed = wasNotKept(store, clock, name, key, clearValue(one.stanza, key) as Sealed);
    if (isShadowed) reportNotKept(log, name, key);
    return !isShadowed;
  });
  const secrets = one.clear.map(
    (key): SecretWrite => ({
      id: customerSecretId(name, key),
      value: clearValue(one.stanza, key) as Sealed,
      fingerprint: one.fingerprint,
    }),
  );
  if (one.certificateToBind !== undefined)
    secrets.push({
      id: customerSecretId(name, "certificate"),
      value: sealed(one.certificateToBind),
      fingerprint: one.fingerprint,
    });
  return {
    kind: "change",
    name,
    app: found.get(name)?.app ?? APP,
    secrets,
    settings: Object.fromEntries(masked.map((key) => [key, MASK])),
    isStillWanted: (present) => !isTypedAgain(one, present),
  };
}

/**
 * A secret that a user typed after this program started. Masking would lose it. splunkd restarts this program
 * for that edit, and the secret is stored then.
 */
function isTypedAgain(one: ReadyStanza, present: InputSettings): boolean {
  return one.clear.some((key) =>
    present
      .get(key)
      ?.open(
        (now) =>
          now.trim() !== MASK && clearValue(one.stanza, key)?.open((known) => known.trim() !== now.trim()) === true,
      ),
  );
}

async function report(one: ReadyStanza, outcome: WriteOutcome, world: MaskingWorld): Promise<void> {
  const { log } = world;
  const customer = one.stanza.name;
  switch (outcome.is) {
    case "written":
      log.info("a secret typed into an input is stored and masked", { customer, keys: one.clear.join(",") });
      return storeOverwritten(one, outcome.overwritten, world);
    case "not-kept":
      reportNotKept(log, customer, outcome.setting);
      return rememberNotKept(one, outcome.setting as SecretKey, world);
    case "refused":
      log.error("a secret is stored but could not be masked and is still in clear text in inputs.conf", {
        customer,
        status: outcome.status,
        next_step: "Save the input once under Settings > Data inputs. The form shows what splunkd does not accept.",
      });
      return;
    case "failed":
      return reportFailed(one, outcome, log);
    case "not-begun":
    case "unwanted":
    case "present":
      // The next start goes on with the rest.
      break;
  }
}

function reportFailed(one: ReadyStanza, outcome: WriteOutcome & { readonly is: "failed" }, log: Log): void {
  const { failure, during } = outcome;
  if (failure.code === "stopped") return;
  const fields = {
    customer: one.stanza.name,
    failure: failure.code,
    say: failure.say,
    next_step: failure.nextStep || undefined,
  };
  if (during === "input")
    log.error("a secret is stored but could not be masked and is still in clear text in inputs.conf", fields);
  else
    log.error(
      one.clear.length > 0
        ? "a secret typed into an input could not be stored and is still in clear text in inputs.conf"
        : "the path of a certificate could not be stored, so a change of this input's addresses is not noticed",
      fields,
    );
}

async function storeOverwritten(
  one: ReadyStanza,
  overwritten: InputSettings,
  { store, log }: MaskingWorld,
): Promise<void> {
  const customer = one.stanza.name;
  for (const [key, typed] of overwritten) {
    try {
      await store.put(customerSecretId(customer, key as SecretKey), typed, one.fingerprint);
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

/** A secret that splunkd did not mask is left alone so long, because each edit restarts this program. */
const NOT_KEPT_FOR_MS = 86_400_000;

/**
 * Where another inputs.conf of higher precedence sets the secret, an edit changes nothing, and each would be
 * followed by a restart and the next edit. So the store remembers which secret it was.
 */
function notKeptId(stanza: string, key: SecretKey): SecretId {
  return `${customerSecretId(stanza, key)}.not-masked` as SecretId;
}

async function rememberNotKept(one: ReadyStanza, key: SecretKey, { store }: MaskingWorld): Promise<void> {
  try {
    await store.put(notKeptId(one.stanza.name, key), clearValue(one.stanza, key) as Sealed, one.fingerprint);
  } catch (error) {
    // Then the next start tries the edit again.
    if (!isFailure(error)) throw error;
  }
}

function wasNotKept(store: PasswordStore, clock: Clock, stanza: string, key: SecretKey, value: Sealed): boolean {
  try {
    const remembered = store.get(notKeptId(stanza, key));
    return (
      remembered !== undefined &&
      clock.nowMs() - remembered.storedAtMs < NOT_KEPT_FOR_MS &&
      remembered.value.open((old) => value.open((now) => old === now))
    );
  } catch (error) {
    if (isFailure(error)) return false;
    throw error;
  }
}

function reportNotKept(log: Log, customer: string, key: string): void {
  log.error("a secret is stored, but another inputs.conf sets it in clear text, so splunkd cannot mask it", {
    customer,
    keys: key,
    next_step: "Run `splunk btool inputs list --debug` to see which file sets it, and remove it from that file.",
  });
}
