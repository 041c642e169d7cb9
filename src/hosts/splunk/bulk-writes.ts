/**
 * Writes many inputs and their secrets to splunkd. Three callers need the same order and the same care: the
 * input that masks secrets typed in clear, `customers import --to splunk`, and a page that saves a list. So
 * this file knows nothing of masks, lists or pages, and needs of the outside only two requests and a clock.
 */
import { aborted } from "../../model/aborted.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import type { Failure } from "../../model/failure.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import { EditPace } from "./edit-pace.ts";
import type { PasswordStore, SecretId } from "./passwords.ts";
import { inputsPath, type SplunkdAnswer } from "./splunkd.ts";

/** What is needed of splunkd's REST interface. */
export interface SplunkdRest {
  get(pathAndQuery: string): Promise<SplunkdAnswer>;
  post(pathAndQuery: string, form: Readonly<Record<string, string>>): Promise<SplunkdAnswer>;
}

/** Settings of one input as splunkd returned them; some are secrets. */
export type InputSettings = ReadonlyMap<string, Sealed>;

export interface SecretWrite {
  readonly id: SecretId;
  readonly value: Sealed;
  /** See model/endpoint-binding.ts. */
  readonly fingerprint: string;
}

export interface InputWrite {
  readonly name: string;
  /** The app that holds the input, or is to hold it. */
  readonly app: string;
  /** splunkd refuses to create an input that exists (409) and to change one that does not (404). */
  readonly kind: "create" | "change";
  /**
   * Nothing else is sent, so a setting that somebody else edits at the same time stays theirs. A change sends
   * only those that differ; with none, only the secrets are stored.
   */
  readonly settings: Readonly<Record<string, string>>;
  /** Stored before any input is written. If one cannot be stored, this input is not written. */
  readonly secrets: readonly SecretWrite[];
  /** Asked immediately before a change, with the input as it is then. */
  readonly isStillWanted?: (present: InputSettings) => boolean;
}

export type WriteOutcome =
  /** `overwritten`: what somebody else set while splunkd worked on the edit, and which the edit replaced. */
  | { readonly is: "written"; readonly overwritten: InputSettings }
  /** The input has all settings already; nothing was sent. */
  | { readonly is: "present" }
  /** `isStillWanted` said no. */
  | { readonly is: "unwanted" }
  /** splunkd accepted the edit, but still returns the old value of this setting. */
  | { readonly is: "not-kept"; readonly setting: string }
  | { readonly is: "refused"; readonly status: number }
  | { readonly is: "failed"; readonly during: "secret" | "input"; readonly failure: Failure }
  /** `stop` fired first. */
  | { readonly is: "not-begun" };

export interface BulkWorld {
  readonly rest: SplunkdRest;
  readonly store: Pick<PasswordStore, "get" | "put">;
  readonly clock: Clock;
  /**
   * How long the first edit waits after a secret was stored that was new. Whoever saved an input is often
   * about to save others, and each of those can restart the program in the middle of an edit.
   */
  readonly quietMs: number;
  /** From now on an edit begins only if it can be expected to end within `finishMs`. */
  readonly stop: AbortSignal;
  readonly finishMs: number;
  /**
   * Runs what creates an input while nobody else creates one of this name; if somebody does, throws Failure.
   */
  readonly whileClaimed: <Result>(name: string, create: () => Promise<Result>) => Promise<Result>;
  /** Called once for each write, as soon as its outcome is known; `written` waits for it. */
  readonly report: (write: InputWrite, outcome: WriteOutcome) => Promise<void>;
}

const SECRETS_AT_ONCE = 8;
/** splunkd validates an edit in a process of its own, which takes a tenth of a second or more. */
const LOOK_EVERY_MS = 50;
/** Ten seconds; an edit that takes longer is not watched to its end. */
const LOOKS_MAX = 200;

/**
 * Stores all secrets, then writes all inputs. The order matters: splunkd can restart the program for each
 * edit, and an input with a mask must find its secret. Throws only what is not a Failure.
 */
export async function writeInBulk(writes: readonly InputWrite[], world: BulkWorld): Promise<void> {
  const stored: InputWrite[] = [];
  let isNew = false;
  await inParallel(writes, SECRETS_AT_ONCE, async (write) => {
    const result = await storeSecrets(write, world);
    if (typeof result === "object") await world.report(write, result);
    else {
      isNew ||= result === "new";
      if (Object.keys(write.settings).length > 0) stored.push(write);
    }
  });
  if (isNew && stored.length > 0) await world.clock.pause(world.quietMs, world.stop);
  await writeInputs(stored, world);
}

/** Returns an outcome only if the input must not be written. */
async function storeSecrets(write: InputWrite, { store, stop }: BulkWorld): Promise<WriteOutcome | "new" | "old"> {
  try {
    let result: "new" | "old" = "old";
    for (const { id, value, fingerprint } of write.secrets) {
      if (isStored(store, id, value, fingerprint)) continue;
      if (stop.aborted) return { is: "not-begun" };
      await store.put(id, value, fingerprint);
      result = "new";
    }
    return result;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { is: "failed", during: "secret", failure: error };
  }
}

function isStored(store: BulkWorld["store"], id: SecretId, value: Sealed, fingerprint: string): boolean {
  try {
    const found = store.get(id);
    return (
      found !== undefined &&
      found.fingerprint === fingerprint &&
      found.value.open((old) => value.open((typed) => old === typed))
    );
  } catch (error) {
    // An incomplete entry is written again.
    if (isFailure(error)) return false;
    throw error;
  }
}

async function writeInputs(writes: readonly InputWrite[], world: BulkWorld): Promise<void> {
  const pace = new EditPace(world.clock, world.stop, world.finishMs);
  const running = new Set<Promise<void>>();
  for (const write of writes) {
    while (running.size > 0 && !pace.mayBegin(running.size)) await Promise.race(running);
    await pace.awaitRestart(running.size);
    if (!pace.mayBegin(running.size)) {
      await world.report(write, { is: "not-begun" });
      continue;
    }
    const writing = writeInput(write, world, pace, running.size + 1).finally(() => running.delete(writing));
    running.add(writing);
  }
  await Promise.all(running);
}

async function writeInput(write: InputWrite, world: BulkWorld, pace: EditPace, atOnce: number): Promise<void> {
  let outcome: WriteOutcome;
  try {
    outcome =
      write.kind === "create" ? await create(write, world, pace, atOnce) : await change(write, world, pace, atOnce);
  } catch (error) {
    if (!isFailure(error)) throw error;
    outcome = { is: "failed", during: "input", failure: error };
  }
  await world.report(write, outcome);
}

async function create(
  { name, app, settings }: InputWrite,
  { rest, whileClaimed }: BulkWorld,
  pace: EditPace,
  atOnce: number,
): Promise<WriteOutcome> {
  return whileClaimed(name, async () => {
    const { status } = await pace.timed(atOnce, () => rest.post(inputsPath(app), { ...settings, name }));
    return status === 200 || status === 201 ? { is: "written", overwritten: new Map() } : { is: "refused", status };
  });
}

/**
 * splunkd has no edit that depends on the current value. So the input is read immediately before the edit,
 * only settings that differ are sent, and the input is read until the edit is answered and once more. What
 * somebody sets and the edit overwrites between two of these readings cannot be seen.
 */
async function change(write: InputWrite, world: BulkWorld, pace: EditPace, atOnce: number): Promise<WriteOutcome> {
  const { rest } = world;
  const place = inputsPath(write.app, write.name);
  const read = await rest.get(place);
  if (read.status !== 200) return { is: "refused", status: read.status };
  const before = settingsIn(read);
  if (write.isStillWanted?.(before) === false) return { is: "unwanted" };
  const form = Object.fromEntries(Object.entries(write.settings).filter(([key, value]) => !holds(before, key, value)));
  if (Object.keys(form).length === 0) return { is: "present" };

  const answered = new AbortController();
  const watching = watch(place, before, form, world, answered.signal);
  try {
    const { status } = await pace.timed(atOnce, () => rest.post(place, form));
    answered.abort();
    const { overwritten, after } = await watching;
    if (status !== 200) return { is: "refused", status };
    const kept = after && Object.keys(form).find((key) => isUnchanged(before, after, key));
    return kept === undefined ? { is: "written", overwritten } : { is: "not-kept", setting: kept };
  } finally {
    answered.abort();
  }
}

interface Seen {
  readonly overwritten: InputSettings;
  /** The input after the edit; undefined if it could not be read any more. */
  readonly after: InputSettings | undefined;
}

async function watch(
  place: string,
  before: InputSettings,
  form: Readonly<Record<string, string>>,
  { rest, clock }: BulkWorld,
  answered: AbortSignal,
): Promise<Seen> {
  const overwritten = new Map<string, Sealed>();
  for (let looks = 0; ; looks += 1) {
    const isLast = answered.aborted;
    const seen = await rest.get(place).then(
      (answer) => (answer.status === 200 ? settingsIn(answer) : undefined),
      () => undefined,
    );
    for (const [key, value] of Object.entries(form)) {
      const now = seen?.get(key);
      if (now === undefined || isUnchanged(before, seen, key)) continue;
      // A value that is seen after the edit was set after it, and nothing overwrites it.
      if (holds(seen, key, value)) continue;
      if (isLast) overwritten.delete(key);
      else overwritten.set(key, now);
    }
    if (isLast) return { overwritten, after: seen };
    // The rest of an edit that takes too long is not watched, but what it did is read all the same.
    await (looks < LOOKS_MAX ? clock.pause(LOOK_EVERY_MS, answered) : aborted(answered));
  }
}

/** Empty settings are left out, because splunkd returns them or not. */
function settingsIn(answer: SplunkdAnswer): InputSettings {
  const json = answer.json as
    | { readonly entry?: readonly { readonly content?: Readonly<Record<string, unknown>> }[] }
    | undefined;
  return new Map(
    Object.entries(json?.entry?.[0]?.content ?? {}).flatMap(([key, value]) =>
      typeof value === "string" && value.trim() !== "" ? [[key, sealed(value)] as const] : [],
    ),
  );
}

/** splunkd may trim a value that it keeps. */
function holds(settings: InputSettings | undefined, key: string, value: string): boolean {
  return (settings?.get(key)?.open((text) => text) ?? "").trim() === value.trim();
}

function isUnchanged(before: InputSettings, now: InputSettings | undefined, key: string): boolean {
  return holds(now, key, before.get(key)?.open((text) => text) ?? "");
}
