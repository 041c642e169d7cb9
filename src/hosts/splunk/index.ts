/**
 * The only way into the Splunk host. `main` builds the real world (HTTP client, clock, stdin and stdout,
 * disk) and calls, by argument:
 *
 * - `--scheme`              print `schemeDocument()`, exit 0
 * - `--validate-arguments`  `validate(world)`, print its `stdout`, exit with its `exitCode`
 * - none                    `run = await readRun(world)`, then `host = await openSplunkHost(run, world, stop)`.
 *   Await `host.settleSecrets()`. Then the collector gets `host.customers`, each with the vault that keeps
 *   rotated refresh tokens, `host.refused` and `host.sink`. Call `host.reportDisabledInputs()` once collecting
 *   has begun; without any customer, call `host.sayIdle(stop)` as well. Stop on the signal or when `host.gone`
 *   fires, then `host.close()`, exit 0.
 *
 * Logging goes to `run.log`; its level comes from the settings.
 */
import path from "node:path";
import { readFilePath } from "../../config/files.ts";
import type { FleetSettings } from "../../config/fleet-settings.ts";
import type { HecReference } from "../../config/hec-settings.ts";
import type { MetricsSettings } from "../../config/metrics-settings.ts";
import type { OutputSettings } from "../../config/output-settings.ts";
import { REQUESTS_CONF } from "../../config/request-stanza.ts";
import type { SecretReader } from "../../config/secret-reference.ts";
import type { FileLook, FileRule, ParsedSettings } from "../../config/settings.ts";
import { parseStanzas, refusedSettings, settingsRefused } from "../../config/settings.ts";
import type { FleetReference } from "../../config/splunk-fleet-settings.ts";
import { decodedText } from "../../config/text-encoding.ts";
import { lineLog } from "../../format/log-line.ts";
import { type CommandLines, type CommandPlace, commandLines, logWithCommands } from "../../model/command-line.ts";
import type { FingerprintOf } from "../../model/endpoint-binding.ts";
import type { Delivery } from "../../model/event.ts";
import { asFailure, Failure, isFailure } from "../../model/failure.ts";
import type { Clock, Http, Log, Random, Sink } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { GlobalSettings, RefusedSettings, Stanza } from "../../model/stanza.ts";
import type { Notice } from "../../outputs/line-format.ts";
import type { HealthPlace } from "../../outputs/pipe-sink.ts";
import { pipeSink } from "../../outputs/pipe-sink.ts";
import type { ByteSink } from "../../outputs/stream-pipe.ts";
import { SPLUNK_STREAM, StreamPipe } from "../../outputs/stream-pipe.ts";
import type { StampOf } from "../../stores/disk/file-stamps.ts";
import { ConfRequests } from "./conf-requests.ts";
import type { LookResult, PasswordAccess, SplunkCustomer } from "./customer-credentials.ts";
import { CustomerCredentials } from "./customer-credentials.ts";
import { reportDisabledInputs } from "./disabled-inputs.ts";
import { fleetNow, hecOutputNow } from "./hec.ts";
import { listInputs } from "./input-list.ts";
import { KvCollection } from "./kv-collection.ts";
import { EDITS_AFTER_STOP_MS, storeAndMask } from "./masking.ts";
import { metricsSettings } from "./metrics.ts";
import { PageCredentials } from "./page-credentials.ts";
import { type AskedInput, type PageAnswers, PageRequests } from "./page-requests.ts";
import { PasswordStore } from "./passwords.ts";
import type { SplunkDocument, SplunkStanza } from "./run-document.ts";
import { openedStanzas, parseDocument, readDocumentText } from "./run-document.ts";
import type { ReadBytes } from "./secret-files.ts";
import type { ReadyStanza, RefusedStanza } from "./secrets.ts";
import { APP, Splunkd } from "./splunkd.ts";
import { STATUS_COLLECTION, StatusRows } from "./status-rows.ts";
import type { Verdict } from "./validate.ts";
import { validateArguments } from "./validate.ts";

export { SCHEME, schemeDocument } from "../../config/scheme.ts";
export type { LookResult, PasswordAccess, SplunkCustomer } from "./customer-credentials.ts";
export { LOOK_EVERY_MS } from "./customer-credentials.ts";
export { SplunkInputs } from "./inputs.ts";
export type { PageAnswers } from "./page-requests.ts";
export type { SecretId } from "./passwords.ts";
export { credentialId, customerSecretId, PasswordStore } from "./passwords.ts";
export type { SplunkDocument } from "./run-document.ts";
export { openedStanzas, parseDocument } from "./run-document.ts";
export type { RefusedStanza } from "./secrets.ts";
export { readCredential, resolveSecrets, withStoredCredential } from "./secrets.ts";
export { Splunkd, splunkdLogin } from "./splunkd.ts";
export type { Verdict } from "./validate.ts";

/** Everything that is injected from outside. */
export interface SplunkWorld {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: ByteSink;
  /** Takes one whole line for stderr. */
  readonly writeLogLine: (line: string) => void;
  readonly files: FileLook;
  readonly readBytes: ReadBytes;
  readonly fingerprintOf: FingerprintOf;
  readonly stampOf: StampOf;
  /** `SPLUNK_HOME` of the environment. */
  readonly splunkHome: string | undefined;
  /** Credentials of splunkd's systemd unit; absent: there is none. */
  readonly credential?: SecretReader["credential"];
  /** The words that start this program by hand, and the shell that reads them. */
  readonly program: Pick<CommandPlace, "program" | "shell">;
  readonly version: string;
}

/** Where Microsoft's records go. */
export type EventSink = Omit<Sink, "health" | "writeHuge"> & Required<Pick<Sink, "writeHuge">>;

export interface SplunkRun {
  readonly document: SplunkDocument;
  readonly settings: ParsedSettings;
  readonly log: Log;
  /** Prints commands as they run on this host. */
  readonly commands: CommandLines;
}

export interface SplunkHost {
  readonly globals: GlobalSettings;
  /** `state_dir`, else splunkd's `checkpoint_dir`; undefined when neither is given (a document by hand). */
  readonly stateDir: string | undefined;
  /** Every one of them can be collected for. */
  readonly customers: readonly SplunkCustomer[];
  readonly refused: readonly RefusedStanza[];
  /** Inputs whose settings are wrong. */
  readonly misconfigured: readonly (RefusedSettings & { readonly failure: Failure })[];
  readonly sink: Sink;
  /** As `sink`, but only health goes to splunkd: everything of Microsoft's goes to `events`. */
  withEventsTo(events: EventSink): Sink;
  /** For the pages in Splunk Web: these events went out without this host's sink. */
  noteDelivered(batch: readonly Pick<Delivery, "stanza">[]): void;
  /** Writes what concerns no single customer beside their health. Never rejects. */
  notice(notice: Notice): Promise<void>;
  /** Fires when splunkd has closed this program's output: stop now. */
  readonly gone: AbortSignal;
  /**
   * Looks for secrets and files that changed since the last look; call it every `LOOK_EVERY_MS`. Never throws
   * a Failure: a store that cannot be read is logged.
   *
   * @param failing names of the inputs that cannot be collected for want of a credential.
   */
  look(failing: ReadonlySet<string>): Promise<LookResult>;
  /**
   * Stores and masks secrets that were typed in clear. splunkd can restart this program for each edit, so
   * call it before collecting begins: then a restart finds nothing half done. Returns after 10 s at the
   * latest, and soon after the stop; what is left then goes on beside collecting. Never throws a Failure.
   */
  settleSecrets(): Promise<void>;
  /** Splunk's credential store and REST interface, as far as they can be used now. */
  access(): PasswordAccess;
  /**
   * The list of customers, in a folder that only a Splunk administrator of this host can write; undefined if
   * there is no such file. Throws Failure `discovery-doubtful`.
   */
  readListFile(file: string): Promise<string | undefined>;
  /** Writes health events of disabled inputs, at once and hourly, until the stop. Never throws a Failure. */
  reportDisabledInputs(): Promise<void>;
  /** Stores a rotated refresh token where this run's collector keeps it. */
  keepRefreshToken(input: string, rotated: Sealed): Promise<void>;
  /** For the pages in Splunk Web: saves states, answers requests until the stop. Never throws a Failure. */
  servePages(answers: PageAnswers, stop: AbortSignal): Promise<void>;
  /**
   * Logs at once and then hourly that there is no customer to collect, until `stop`, or until `isIdle` is
   * false.
   */
  sayIdle(stop: AbortSignal, isIdle?: () => boolean): Promise<void>;
  /** Writes the end of the stream: `cut` if it was not written within 2 s. */
  close(): Promise<"closed" | "cut">;
}

const HOUR_MS = 3_600_000;
/** So long collecting waits for masks: each customer has a health event within 60 s of the start. */
const SETTLE_BEFORE_COLLECTING_MS = 10_000;
const PASSWORDS_LIMIT_MS = 35_000;

export function validate(world: Pick<SplunkWorld, "stdin" | "clock" | "files" | "splunkHome">): Promise<Verdict> {
  return validateArguments(world.stdin, world.clock, fileRule(world));
}

/**
 * Reads splunkd's document and its settings. Throws Failure (`document-…`), to be logged as one FATAL line.
 * Problems of single customers are logged, not thrown.
 */
export async function readRun(world: SplunkWorld): Promise<SplunkRun> {
  return runFrom(parseDocument(await readDocumentText(world.stdin, world.clock)), world);
}

/** The same for a document that was already read (`splunk run FILE`, tests). */
export function runFrom(document: SplunkDocument, world: SplunkWorld): SplunkRun {
  const parsed = parseStanzas(openedStanzas(document.stanzas), {
    host: "splunk",
    nowMs: world.clock.nowMs(),
    files: fileRule(world),
  });
  const unreadable = document.problems
    .filter(({ stanza }) => stanza !== "")
    .map((problem) => refusedSettings({ name: problem.stanza, values: {} }, [problem]));
  const settings: ParsedSettings = {
    ...parsed,
    refused: [...unreadable, ...parsed.refused],
    problems: [...document.problems, ...parsed.problems],
  };
  const commands = commandsOf(document, settings, world);
  const log = logWithCommands(lineLog(world.writeLogLine, settings.globals.logLevel), commands);
  for (const warning of settings.warnings) log.warn(warning);
  for (const problem of settings.problems)
    log.error("a setting is not valid", {
      customer: problem.stanza,
      key: problem.key,
      say: problem.say,
    });
  return { document, settings, log, commands };
}

/** Each customer's input may be in another app's folder. */
function commandsOf(document: SplunkDocument, { stanzas, refused }: ParsedSettings, world: SplunkWorld): CommandLines {
  const apps = new Map(document.stanzas.map(({ name, app }) => [name, app]));
  const credentials = new Map(stanzas.map(({ name, credential }) => [name, credential]));
  const customers = new Map(
    [...stanzas, ...refused].flatMap(({ name, tenantName }) => {
      const its = { config: inputsConf(world, apps.get(name) ?? APP), credential: credentials.get(name) };
      return [name, tenantName].map((called) => [called, its] as const);
    }),
  );
  return commandLines({
    program: world.program.program,
    shell: world.program.shell,
    flags: document.serverUri === "" ? {} : { "splunk-uri": document.serverUri },
    secrets: "splunk",
    fleetConfig: inputsConf(world, APP),
    customer: (name) => customers.get(name),
  });
}

/** Where an app's own inputs are; undefined without SPLUNK_HOME. */
function inputsConf({ splunkHome, program }: SplunkWorld, app: string): string | undefined {
  const paths = program.shell === "windows" ? path.win32 : path.posix;
  return splunkHome === undefined ? undefined : paths.join(splunkHome, "etc", "apps", app, "local", "inputs.conf");
}

/** Resolves the secrets and opens the output. A failure of one customer is never thrown. */
export async function openSplunkHost(run: SplunkRun, world: SplunkWorld, stop: AbortSignal): Promise<SplunkHost> {
  const { document, settings, log } = run;
  const { clock, random } = world;
  const { credentials, resolution } = await CustomerCredentials.open({
    settings,
    parseAgain: (names) => parseAgain(document, names, world),
    openStore: (stanzas) => openPasswords(run, stanzas, world, stop),
    secrets: { readBytes: world.readBytes, files: fileRule(world), fingerprintOf: world.fingerprintOf },
    stampOf: world.stampOf,
    clock,
    random,
    log,
    stop,
  });
  const { ready, refused } = resolution;
  for (const { stanza, failure } of refused.filter((one) => one.failure.code !== "stopped"))
    log.error("a customer cannot be collected", {
      customer: stanza.name,
      failure: failure.code,
      say: failure.say,
      next_step: failure.nextStep,
    });
  const pipe = new StreamPipe(world.stdout, clock, SPLUNK_STREAM);
  const places = new Map<string, HealthPlace>();
  const ownSplunkd = (): Splunkd => {
    const { serverUri, sessionKey } = document;
    return (
      credentials.access.splunkd ??
      connectSplunkd({ ...world, log }, serverUri, sessionKey, splunkdCaFiles(settings.stanzas)[0], stop)
    );
  };
  const collection = (name: string) => new KvCollection(ownSplunkd(), name);
  const statusRows = new StatusRows({ collection: () => collection(STATUS_COLLECTION), clock, random, log });
  const pipeOnly = pipeSink({
    events: pipe,
    health: pipe,
    form: "splunk",
    customers: settings.stanzas,
    placeOf: (input) => places.get(input) ?? placeOfNobody(input, document),
  });
  const withEventsTo = (events: EventSink): Sink => ({
    kind: events.kind,
    ...(events.hugeMostBytes === undefined ? {} : { hugeMostBytes: events.hugeMostBytes }),
    async write(batch) {
      const written = await events.write(batch);
      statusRows.delivered(batch);
      return written;
    },
    async writeHuge(delivery, pieces) {
      const written = await events.writeHuge(delivery, pieces);
      statusRows.delivered([delivery]);
      return written;
    },
    async health(event) {
      await pipeOnly.health(event);
      statusRows.note(event);
    },
    admit: (customer) => events.admit?.(customer),
  });
  const sink = withEventsTo(pipeOnly);
  let settling: Promise<void> = Promise.resolve();
  let stoppedAtMs = stop.aborted ? clock.monotonicMs() : undefined;
  stop.addEventListener(
    "abort",
    () => {
      stoppedAtMs ??= clock.monotonicMs();
    },
    { once: true },
  );
  /** Running edits are finished, because each interrupted edit costs one more restart. */
  async function finishEdits(): Promise<void> {
    const done = new AbortController();
    const spentMs = stoppedAtMs === undefined ? 0 : clock.monotonicMs() - stoppedAtMs;
    await Promise.race([settling, clock.pause(Math.max(0, EDITS_AFTER_STOP_MS - spentMs), done.signal)]);
    done.abort();
  }
  /** Never rejects. */
  async function settle(some: readonly ReadyStanza[]): Promise<void> {
    try {
      await settleThese(some);
    } catch (error) {
      log.error("secrets could not be stored", { failure: asFailure(error).say });
    }
  }
  async function settleThese(some: readonly ReadyStanza[]): Promise<void> {
    const clear = some.filter((one) => one.clear.length > 0);
    const unstored = some.filter((one) => one.clear.length > 0 || one.certificateToBind !== undefined);
    if (unstored.length === 0) return;
    const { store, splunkd, failure } = credentials.access;
    if (store && splunkd) {
      const found = new Map<string, SplunkStanza>(document.stanzas.map((one) => [one.name, one]));
      await store
        .inOneChange(() => storeAndMask(unstored, { found, store, splunkd, clock, log, stop }))
        .catch((error: unknown) => {
          if (!isFailure(error)) throw error;
          // This process knows what it stored; only another one would have read the announcement.
          log.debug("stored secrets could not be announced", { failure: error.code, say: error.say });
        });
    } else if (clear.length > 0)
      log.warn(
        "secrets typed into inputs stay in clear text in inputs.conf, because the credential store cannot be used",
        {
          customers: clear.length,
          failure: failure?.code,
        },
      );
  }

  return {
    globals: settings.globals,
    stateDir: settings.globals.stateDir ?? (document.checkpointDir || undefined),
    customers: ready.map((one) => credentials.customer(one)),
    refused,
    misconfigured: settings.refused.map((one) => ({
      ...one,
      failure: settingsRefused(one, `the input ${JSON.stringify(one.name)}`),
    })),
    sink,
    withEventsTo,
    noteDelivered: (batch) => statusRows.delivered(batch),
    notice: (notice) => pipeOnly.notice(notice).catch(() => undefined),
    gone: pipe.gone,
    async look(failing) {
      const found = await credentials.look(failing);
      settling = settling.then(() => settle(found.isNew));
      return { customers: found.ready.map((one) => credentials.customer(one)), refused: found.refused };
    },
    async settleSecrets() {
      settling = settle(ready);
      const done = new AbortController();
      const limit = clock.pause(SETTLE_BEFORE_COLLECTING_MS, AbortSignal.any([stop, done.signal]));
      await Promise.race([settling, limit]);
      done.abort();
    },
    access: () => credentials.access,
    async readListFile(file) {
      const found = readFilePath(file, fileRule(world));
      if (!found.ok) throw listRefused(found.say);
      const bytes = await world.readBytes(found.value);
      return bytes && decodedText(bytes);
    },
    reportDisabledInputs() {
      const running = document.stanzas.map(({ name }) => name);
      const { version } = world;
      return reportDisabledInputs(
        { splunkd: ownSplunkd, running, clock, log, version, send: (event) => sink.health(event), places },
        stop,
      );
    },
    async keepRefreshToken(input, rotated) {
      await credentials.vaultOf(input)?.store(rotated, { refused: false });
    },
    async servePages(answers, stopped) {
      const inputOf = async (name: string): Promise<AskedInput | undefined> => {
        const found = credentials.find(name);
        if (found !== undefined && "failure" in found) return { is: "refused", ...found };
        if (found !== undefined) {
          // The collector may have had it rotated since the start.
          const refreshToken = await credentials.vaultOf(name)?.current();
          const { stanza } = found;
          return { is: "ready", stanza: refreshToken === undefined ? stanza : { ...stanza, refreshToken } };
        }
        const wrong = settings.refused.find((one) => one.name === name);
        return wrong && { is: "misconfigured", failure: settingsRefused(wrong, `the input ${JSON.stringify(name)}`) };
      };
      const pageCredentials = new PageCredentials({
        store: () => credentials.freshStore(),
        changed: (ids) => credentials.noteChanged(ids),
        inputs: () => listInputs(ownSplunkd(), ["credential"]),
        globals: settings.globals,
        secrets: { files: fileRule(world), fingerprintOf: world.fingerprintOf },
        log,
      });
      const requests = new PageRequests({
        stores: () => [collection(REQUESTS_CONF), new ConfRequests(ownSplunkd())],
        states: statusRows,
        inputOf,
        credentials: pageCredentials,
        answers,
        clock,
        log,
      });
      await Promise.all([statusRows.run(stopped), requests.run(stopped)]);
    },
    async sayIdle(stopped, isIdle = () => true) {
      while (!stopped.aborted && isIdle()) {
        const say =
          document.stanzas.length === 0
            ? "no input is enabled; add one under Settings > Data inputs"
            : "no input can be used; see the errors above";
        log.warn(say, {
          inputs: document.stanzas.length,
          refused: refused.length + new Set(settings.problems.map((one) => one.stanza)).size,
        });
        await clock.pause(HOUR_MS, stopped);
      }
    },
    async close() {
      const [closed] = await Promise.all([pipe.close(), finishEdits()]);
      return closed;
    },
  };
}

/** Where this process shows metrics; off unless `metrics_listen` is set. Never throws a Failure. */
export function metricsOf(run: SplunkRun, world: SplunkWorld): Promise<MetricsSettings | undefined> {
  return metricsSettings(run.settings.globals, world.readBytes, fileRule(world), run.log);
}

/** The output that `hec_*` names, with its token as it is now. Throws Failure `secret-file-refused`. */
export function hecOf(hec: HecReference, world: SplunkWorld): Promise<OutputSettings> {
  return hecOutputNow(hec, { ...world, files: fileRule(world) });
}

/** The fleet that `fleet_*` names, as `fleetNow`. */
export function fleetOf(
  fleet: FleetReference,
  world: SplunkWorld,
  complain: (key: string, say: string) => void,
): Promise<FleetSettings | undefined> {
  return fleetNow(fleet, { ...world, files: fileRule(world) }, complain);
}

/**
 * What is not an input of this run (a customer of the list, the list itself) has no stanza, so another one
 * carries its health. Who may read one customer's index must not find others there.
 */
function placeOfNobody(input: string, { stanzas }: SplunkDocument): HealthPlace | undefined {
  if (stanzas.some(({ name }) => name === input)) return undefined;
  const [carrier] = stanzas.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (carrier === undefined) return undefined;
  const indexOf = ({ values }: (typeof stanzas)[number]) => values["index"]?.open((text) => text.trim()) ?? "";
  const isShared =
    ["", "default", SHARED_INDEX].includes(indexOf(carrier)) ||
    (stanzas.length > 1 && new Set(stanzas.map(indexOf)).size === 1);
  return { stanza: carrier.name, ...(isShared ? {} : { index: SHARED_INDEX }) };
}

/** Splunk's own default, which every installation has. */
const SHARED_INDEX = "main";

function listRefused(say: string): Failure {
  return new Failure("discovery-doubtful", {
    actor: "operator",
    retry: { when: "later" },
    say: `\`discover\` names a file that cannot be used: ${say}. Nothing was changed.`,
    nextStep: "Correct `discover` under [defender_mssp].",
  });
}

/** Only the stanzas of these names. */
function parseAgain(document: SplunkDocument, names: ReadonlySet<string>, world: SplunkWorld): ParsedSettings {
  const unreadable = new Set(document.problems.map(({ stanza }) => stanza));
  const some = document.stanzas.filter(({ name }) => names.has(name) && !unreadable.has(name));
  return parseStanzas(openedStanzas(some), { host: "splunk", nowMs: world.clock.nowMs(), files: fileRule(world) });
}

/** With a limit for all of it: a splunkd that hangs must not keep customers from their first health event. */
async function openPasswords(
  run: SplunkRun,
  stanzas: readonly Stanza[],
  world: SplunkWorld,
  stop: AbortSignal,
): Promise<PasswordAccess> {
  const late = new AbortController();
  const settled = new AbortController();
  const hanging = world.clock.pause(PASSWORDS_LIMIT_MS, settled.signal).then((): PasswordAccess => {
    if (!settled.signal.aborted) late.abort();
    return { failure: splunkdHangs() };
  });
  const access = await Promise.race([
    readPasswords(run, stanzas, world, AbortSignal.any([stop, late.signal])),
    hanging,
  ]);
  settled.abort();
  const { failure } = access;
  if (failure !== undefined && failure.code !== "stopped")
    run.log.warn("Splunk's credential store cannot be read", {
      failure: failure.code,
      say: failure.say,
      next_step: failure.nextStep,
    });
  return access;
}

function splunkdHangs(): Failure {
  return new Failure("splunkd-unreachable", {
    actor: "operator",
    retry: { when: "soon" },
    say: `splunkd's credential store did not answer within ${PASSWORDS_LIMIT_MS / 1000} s. It is asked again.`,
    nextStep: "Look for the cause in splunkd.log.",
  });
}

async function readPasswords(
  run: SplunkRun,
  stanzas: readonly Stanza[],
  world: SplunkWorld,
  stop: AbortSignal,
): Promise<PasswordAccess> {
  const { serverUri, sessionKey } = run.document;
  let failure: Failure | undefined;
  for (const caFile of splunkdCaFiles(stanzas)) {
    try {
      const splunkd = connectSplunkd({ ...world, log: run.log }, serverUri, sessionKey, caFile, stop);
      return { splunkd, store: await PasswordStore.read(splunkd, world.clock, world.random) };
    } catch (error) {
      if (!isFailure(error)) throw error;
      failure = error.code === "splunkd-untrusted" ? (failure ?? error) : error;
      if (failure.code !== "splunkd-untrusted") break;
      if (caFile !== undefined)
        run.log.warn("splunkd cannot be verified with a file that splunkd_ca_file names; the next one is tried", {
          file: caFile,
          customer: stanzas.find((one) => one.splunkdCaFile === caFile)?.name,
        });
    }
  }
  return failure === undefined ? {} : { failure };
}

/** splunkd's REST with the session key that it gave this process. */
function connectSplunkd(
  world: Pick<SplunkWorld, "http" | "clock" | "splunkHome"> & { readonly log: Log },
  serverUri: string,
  sessionKey: Sealed | undefined,
  caFile: string | undefined,
  stop?: AbortSignal,
): Splunkd {
  return new Splunkd({
    http: world.http,
    clock: world.clock,
    serverUri,
    sessionKey,
    splunkdCaFile: caFile,
    splunkHome: world.splunkHome,
    log: world.log,
    ...(stop ? { stop } : {}),
  });
}

/**
 * One process speaks to one splunkd, but each customer may name a file that verifies it. They are tried in
 * the order of the customers' names and Splunk's own CA (undefined) last, so that one customer's unusable
 * file does not close the credential store for all.
 */
function splunkdCaFiles(stanzas: readonly Stanza[]): readonly (string | undefined)[] {
  const sorted = stanzas.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return [...new Set(sorted.map((one) => one.splunkdCaFile).filter((file) => file !== undefined)), undefined];
}

/** Files named in settings must be in folders that only a Splunk administrator of this host can write. */
function fileRule(world: Pick<SplunkWorld, "files" | "splunkHome">): FileRule {
  const { splunkHome } = world;
  if (splunkHome === undefined) return { files: world.files, roots: [] };
  return {
    files: world.files,
    roots: [path.join(splunkHome, "etc", "auth", "defender_mssp"), path.join(splunkHome, "etc", "apps", APP, "local")],
    splunkHome,
  };
}
