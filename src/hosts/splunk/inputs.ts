import { Failure, isFailure } from "../../model/failure.ts";
import type { Clock, Random } from "../../model/ports.ts";
import type { ChangeReport, ConfiguredCustomer, RosterChange, SplunkRoster } from "../../model/roster.ts";
import { SECRET_KEYS } from "../../model/settings-table.ts";
import { type InputWrite, type WriteOutcome, writeInBulk } from "./bulk-writes.ts";
import { InputClaims } from "./input-claims.ts";
import { listInputs } from "./input-list.ts";
import { APP, inputsPath, type Splunkd } from "./splunkd.ts";

/** A command is stopped by nobody who waits for it, so an edit may take as long as it takes. */
const FINISH_MS = 600_000;

/** The customers that are Splunk inputs, for a command that changes them. */
export class SplunkInputs implements SplunkRoster {
  readonly #splunkd: Splunkd;
  readonly #clock: Clock;
  readonly #random: Random;
  /** The app of each input, as it was read. */
  readonly #apps = new Map<string, string>();

  constructor(splunkd: Splunkd, clock: Clock, random: Random) {
    this.#splunkd = splunkd;
    this.#clock = clock;
    this.#random = random;
  }

  async read(): Promise<readonly ConfiguredCustomer[]> {
    const inputs = await listInputs(this.#splunkd);
    for (const { name, app } of inputs) this.#apps.set(name, app);
    return inputs.map(({ name, content }) => ({ name, values: settingsIn(content) }));
  }

  async write(changes: readonly RosterChange[], report: ChangeReport): Promise<void> {
    const removals = changes.filter(({ kind }) => kind === "remove");
    const writes = changes.filter(({ kind }) => kind !== "remove");
    const claims = new InputClaims(this.#splunkd, this.#clock, this.#random);
    const changeOf = new Map(writes.map((change) => [change.name, change]));
    await writeInBulk(
      writes.map(
        ({ kind, name, values }): InputWrite => ({
          name,
          app: this.#apps.get(name) ?? APP,
          kind: kind === "add" ? "create" : "change",
          settings: values,
          secrets: [],
        }),
      ),
      {
        rest: this.#splunkd,
        // No secret is stored here, so the store is not asked.
        store: { get: () => undefined, put: () => Promise.reject(new Error("no secret is written here")) },
        clock: this.#clock,
        quietMs: 0,
        stop: new AbortController().signal,
        finishMs: FINISH_MS,
        whileClaimed: (name, create) => claims.whileClaimed(name, create),
        report: ({ name }, outcome) => {
          const change = changeOf.get(name);
          if (change !== undefined) report(change, failureOf(name, outcome));
          return Promise.resolve();
        },
      },
    );
    for (const change of removals) {
      try {
        const app = this.#apps.get(change.name) ?? APP;
        const { status } = await this.#splunkd.delete(inputsPath(app, change.name));
        report(change, status === 200 ? undefined : refused(`Splunk did not remove ${change.name}`, status));
      } catch (error) {
        if (!isFailure(error)) throw error;
        report(change, error);
      }
    }
  }
}

function failureOf(name: string, outcome: WriteOutcome): Failure | undefined {
  if (outcome.is === "written" || outcome.is === "present") return undefined;
  if (outcome.is === "failed") return outcome.failure;
  if (outcome.is === "not-kept") return refused(`Splunk did not keep \`${outcome.setting}\` of ${name}`, 200);
  if (outcome.is !== "refused") return refused(`${name} was not written`, 0);
  return outcome.status === 409
    ? refused(`Splunk has an input ${name} already, in another app or made meanwhile`, outcome.status)
    : refused(`Splunk rejected ${name}`, outcome.status);
}

function refused(what: string, status: number): Failure {
  return new Failure("splunkd-answer", {
    actor: "operator",
    retry: { when: "never" },
    status,
    say: `${what}${status === 0 ? "" : ` (HTTP ${status})`}.`,
    nextStep: "Look for the reason in splunkd.log, then run the command again; what is written already stays.",
  });
}

/** Its own settings, without secrets. */
function settingsIn(content: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(content).flatMap(([key, value]): [string, string][] =>
      typeof value === "string" && value.trim() !== "" && !SECRET_KEYS.some((secret) => secret === key)
        ? [[key, value]]
        : [],
    ),
  );
}
