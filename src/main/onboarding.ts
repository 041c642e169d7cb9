import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createSignInService } from "../auth/sign-in-service.ts";
import { SCHEME } from "../config/scheme.ts";
import { belongsToSplunk, looksIntoSplunk, splunkAccess } from "../hosts/cli/ask.ts";
import { realTerminal } from "../hosts/cli/terminal.ts";
import { resolveSecrets, Splunkd, splunkdLogin } from "../hosts/splunk/index.ts";
import type { CommandLines } from "../model/command-line.ts";
import type { ExitCode } from "../model/failure.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock, Http, Log } from "../model/ports.ts";
import type { DoctorCheck, FoundCustomers, OnboardingServices, SplunkAccess, Terminal } from "../model/sign-in.ts";
import { authOf, hasAppProof, type Stanza } from "../model/stanza.ts";
import { createHttp, goesThroughProxy } from "../net/http.ts";
import { realDisk, replaceFile } from "../stores/disk/disk.ts";
import { placeOf } from "./command-place.ts";
import type { Configuration } from "./configuration.ts";
import { defaultStateDir } from "./configuration.ts";
import type { FleetSecrets } from "./fleet-secrets.ts";
import { readersOf } from "./kept-readers.ts";
import { partnerServices } from "./partner.ts";
import { probe } from "./probe.ts";
import { readTextIfThere } from "./read-text.ts";
import { rosterServices } from "./roster.ts";
import { FileSecrets, SplunkSecrets } from "./stored-secrets.ts";
import { browserOpener } from "./system-programs.ts";
import { presentFingerprint, readBytes, realClock, realFiles, realRandom, VERSION } from "./world.ts";

export interface OnboardingParts {
  readonly log: Log;
  /** Prints commands as they run here. */
  readonly commands: CommandLines;
  readonly finish: (code: ExitCode) => void;
  /** Reads `--config` and settings flags. Throws Failure `settings` if nothing usable was given. */
  readonly configuration: (flags: Readonly<Record<string, unknown>>) => Promise<Configuration>;
  /** The real ones unless a test injects others. */
  readonly terminal?: Terminal;
  readonly clock?: Clock;
  readonly openBrowser?: (url: string) => Promise<boolean>;
  readonly environment?: NodeJS.ProcessEnv;
}

/** Creates the services of the onboarding commands. */
export function onboardingServices(parts: OnboardingParts): OnboardingServices & { close(): Promise<void> } {
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const { commands } = parts;
  const plainTerminal =
    parts.terminal ?? realTerminal({ input: process.stdin, output: process.stdout, errors: process.stderr });
  const terminal: Terminal = { ...plainTerminal, say: (line) => plainTerminal.say(commands.inText(line)) };
  const clock = parts.clock ?? realClock;
  const environment = parts.environment ?? process.env;
  let stateDir: string | undefined;
  let secrets: SplunkSecrets | undefined;

  let places: FileSecrets | FleetSecrets | undefined;

  /** Secrets on this machine, and those that a fleet shares. */
  const fileSecrets = async (flags: Readonly<Record<string, unknown>>): Promise<FileSecrets | FleetSecrets> => {
    if (places !== undefined) return places;
    stateDir ??= await stateDirOf(parts, flags);
    const files = new FileSecrets(stateDir, { http, clock, log: parts.log, fingerprintOf: presentFingerprint });
    const { config } = flags;
    if (typeof config === "string" && config.toLowerCase().endsWith(".properties")) {
      const { fleetSecrets, sharedTokensOf } = await import("./fleet-secrets.ts");
      const place = placeOf(flags, { typed: true, secrets: "files" });
      const shared = await sharedTokensOf({ config, overrides: {}, environment, place });
      places = shared && fleetSecrets(files, shared);
    }
    return (places ??= files);
  };

  const splunkPlace = async (access: () => Promise<SplunkAccess>): Promise<SplunkSecrets> => {
    secrets ??= await SplunkSecrets.open(
      await connect(http, parts.log, await access()),
      realClock,
      realRandom,
      presentFingerprint,
    );
    return secrets;
  };

  let hostChecks: ((stanza: Stanza) => readonly DoctorCheck[]) | undefined;
  const signInService = createSignInService({
    http,
    clock,
    readText: (file) => readFile(file, "utf8"),
    async keep(stanza, rotated) {
      if (secrets) await secrets.putRefreshToken(stanza, rotated);
      else await (await fileSecrets({})).putRefreshToken(stanza, rotated);
    },
    viaProxy: (url, stanza) => goesThroughProxy(url, stanza.route, environment),
    hostChecks: (stanza) => hostChecks?.(stanza) ?? [],
    probe: (stanza, stream, token, signal) => probe(http, parts.log, stanza, stream, token, signal),
  });

  return {
    terminal,
    commands,
    signInService,
    partner: partnerServices({ http, clock, log: parts.log, signInService }),
    roster: rosterServices({
      http,
      clock,
      log: parts.log,
      splunkd: (access) => connect(http, parts.log, access),
      environment,
    }),
    fleetChecks: async (flags) => (await import("./fleet-doctor.ts")).fleetChecks(flags, environment),
    nowMs: () => clock.nowMs(),
    pause: (forMs, signal) => clock.pause(forMs, signal),
    environment,
    async customers(flags, { needSecrets }) {
      const configuration = await parts.configuration(flags);
      stateDir = configuration.stateDir;
      const found: FoundCustomers = {
        stanzas: configuration.stanzas,
        problems: configuration.settings.problems,
        refused: [],
        warnings: configuration.settings.warnings,
        consentRedirect: configuration.settings.globals.consentRedirect,
        ...(configuration.settings.discovery === undefined ? {} : { discovery: configuration.settings.discovery }),
        stateDir: configuration.stateDir,
      };
      if (!needSecrets) return found;
      const file = flags["config"];
      if (typeof file === "string" && file.toLowerCase().endsWith(".properties")) {
        const { outputChecks } = await import("./output-checks.ts");
        hostChecks = await outputChecks(file, configuration.stateDir, environment);
      }
      if (!looksIntoSplunk(flags, environment)) {
        const filled = await fromFiles(found, await fileSecrets(flags));
        return belongsToSplunk(flags) ? withoutSplunk(filled) : filled;
      }
      hostChecks = () => [
        { name: "splunkd", run: () => Promise.resolve("splunkd answers; its credential store was read.") },
      ];
      return fromSplunk(found, await splunkPlace(() => splunkAccess({ terminal, environment }, flags)));
    },
    splunkPlace,
    stateDirOfSplunk: () =>
      environment["SPLUNK_HOME"] && join(environment["SPLUNK_HOME"], "var/lib/splunk/modinputs", SCHEME),
    filePlace: fileSecrets,
    fleetTokenPlace: async (flags, customer) =>
      (await import("./fleet-token-place.ts")).fleetTokenPlace(flags, customer, environment),
    fingerprintOf: presentFingerprint,
    readText: (file, encoding) => readTextIfThere(file, encoding),
    async writeSecretFile(path, content, encoding, readers = "owner") {
      const bytes = content.open((text) => Buffer.from(text, encoding));
      const restoreReaders = readers === "as-before" ? readersOf(path) : () => undefined;
      await replaceFile({ disk: realDisk, clock: realClock, platform: process.platform }, path, bytes).catch(
        (cause: unknown) => {
          if (!isFailure(cause)) throw cause;
          throw new Failure("output-broken", {
            actor: "operator",
            retry: { when: "never" },
            say: `${path} cannot be written.`,
            nextStep: "Give a file in a folder that this account can write to.",
            cause,
          });
        },
      );
      restoreReaders();
    },
    openBrowser: parts.openBrowser ?? openBrowser,
    finish: parts.finish,
    close: () => http.close(),
  };
}

async function stateDirOf(parts: OnboardingParts, flags: Readonly<Record<string, unknown>>): Promise<string> {
  if (typeof flags["state"] === "string") return flags["state"];
  if (typeof flags["state-dir"] === "string") return flags["state-dir"];
  return flags["config"] === undefined ? defaultStateDir(process.env) : (await parts.configuration(flags)).stateDir;
}

async function connect(http: Http, log: Log, access: SplunkAccess): Promise<Splunkd> {
  const options = {
    http,
    log,
    clock: realClock,
    serverUri: access.serverUri,
    splunkdCaFile: access.caFile,
    splunkHome: process.env["SPLUNK_HOME"],
  };
  if (access.token) return new Splunkd({ ...options, sessionKey: access.token, authorization: "Bearer" });
  if (access.user !== undefined && access.password)
    return new Splunkd({ ...options, sessionKey: await splunkdLogin(options, access.user, access.password) });
  throw new Failure("usage", {
    actor: "operator",
    retry: { when: "never" },
    say: "No login for Splunk was given.",
    nextStep: "Set DEFENDER_MSSP_SPLUNK_TOKEN, or give --splunk-user and DEFENDER_MSSP_SPLUNK_PASSWORD.",
  });
}

async function fromSplunk(found: FoundCustomers, place: SplunkSecrets): Promise<FoundCustomers> {
  const { ready, refused } = await resolveSecrets(found.stanzas, new Map(), place.store, undefined, {
    readBytes,
    files: { files: realFiles },
    fingerprintOf: presentFingerprint,
  });
  return { ...found, stanzas: ready.map(({ stanza }) => stanza), refused };
}

/**
 * Without a login for Splunk, a customer of inputs.conf whose secrets are not in the state folder either. It
 * says where they are, because "no secret" would be wrong.
 */
function withoutSplunk(found: FoundCustomers): FoundCustomers {
  const isComplete = (stanza: Stanza) =>
    authOf(stanza) === "refresh_token" ? stanza.refreshToken !== undefined : hasAppProof(stanza);
  const lacking = [
    ...found.stanzas.filter((stanza) => !isComplete(stanza)),
    ...found.refused.filter(({ failure }) => failure.code === "credential-missing").map(({ stanza }) => stanza),
  ];
  return {
    ...found,
    stanzas: found.stanzas.filter(isComplete),
    refused: [
      ...found.refused.filter(({ failure }) => failure.code !== "credential-missing"),
      ...lacking.map((stanza) => ({ stanza, failure: notLookedAt(stanza) })),
    ],
  };
}

function notLookedAt({ name, credential }: Stanza): Failure {
  const shared = credential === undefined ? "" : `, or that of credential ${credential},`;
  return new Failure("secret-missing", {
    actor: "operator",
    retry: { when: "never" },
    say: `${name} is not checked: its \`client_secret\` or \`refresh_token\`${shared} is kept in Splunk's credential store, and this command was given no login for Splunk.`,
    nextStep: `Let it look there: run \`defender-mssp doctor --customer ${JSON.stringify(name)} --splunk-uri https://localhost:8089\`. It asks for a Splunk user and the password.`,
  });
}

async function fromFiles(found: FoundCustomers, files: Pick<FileSecrets, "fill">): Promise<FoundCustomers> {
  const stanzas: Stanza[] = [];
  const refused: { stanza: Stanza; failure: Failure }[] = [];
  for (const stanza of found.stanzas) {
    try {
      stanzas.push(await files.fill(stanza));
    } catch (error) {
      if (!isFailure(error)) throw error;
      refused.push({ stanza, failure: error });
    }
  }
  return { ...found, stanzas, refused };
}

/** The address is one argument, so no shell reads it. */
function openBrowser(url: string): Promise<boolean> {
  const [command, ...before] = browserOpener(process.platform) ?? [];
  if (
    command === undefined ||
    (process.platform === "linux" && !process.env["DISPLAY"] && !process.env["WAYLAND_DISPLAY"])
  )
    return Promise.resolve(false);
  return new Promise((resolve) => {
    const child = spawn(command, [...before, url], { stdio: "ignore", detached: true });
    child.once("error", () => resolve(false));
    child.once("spawn", () => {
      child.unref();
      resolve(true);
    });
  });
}
