import type { ExitCode } from "../../model/failure.ts";
import { EXIT, isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import { printable } from "../../model/printable.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { AppCredential, CodeFlow, OnboardingServices, SignedIn, TokenApi } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { Flags } from "./ask.ts";
import { COUNTS_SOON, credentialFor, oneCustomer, splunkPlace, textFlag, usage, withSharedCredential } from "./ask.ts";
import { connectorProperties } from "./connector-properties.ts";
import { canListenFor, listenOnLoopback } from "./loopback-listener.ts";
import type { Migration } from "./migration.ts";
import { readOldConfiguration } from "./migration.ts";

/** The first redirect URI that `register` prints. */
export const DEFAULT_REDIRECT_URI = "http://localhost:44300/defender-mssp";
const V1_RESOURCE = "https://graph.windows.net";

/** Where the token is stored; opened before a person is asked to sign in. */
interface Goal {
  readonly name: string;
  put(stanza: Stanza, token: Sealed): Promise<void>;
}

/**
 * `token acquire`: signs in for one customer in the browser, by pasting its final address, or with a device
 * code, and stores the refresh token. With `--from` an old configuration is taken over first, and its refresh
 * token is tried before a person is asked to sign in.
 */
export async function acquireToken(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
  const old = await migration(services, flags);
  const given: Flags = old ? { ...asFlags(old), ...withoutUndefined(flags) } : flags;
  const plain = await oneCustomer(services, given);
  const stanza =
    old?.values["client_secret"] && !plain.clientSecret && plain.assertion === undefined
      ? { ...plain, clientSecret: sealed(old.values["client_secret"]) }
      : plain;
  const redirectUri = textFlag(flags, "redirect-uri") ?? DEFAULT_REDIRECT_URI;
  const way = wayOf(flags, terminal.interactive, redirectUri);
  const goal = await goalOf(services, flags, stanza, redirectUri);
  const app = await withSharedCredential(services, stanza, flags);
  const credential: AppCredential =
    way === "device" ? { kind: "public", clientId: clientIdOf(app) } : await credentialFor(services, app, flags);

  const taken = old?.values["refresh_token"];
  const signedIn = taken
    ? await tryOldToken(services, withCredential(app, credential), sealed(taken))
    : way === "device"
      ? await byDeviceCode(services, app, credential.clientId)
      : await byCode(services, { stanza: app, credential, redirectUri, way, flags });

  report(services, stanza, signedIn);
  if (goal) {
    // A shared secret has its own place, and a copy beside the customer's token would outlive its rotation.
    await goal.put(app === stanza ? withCredential(stanza, credential) : stanza, signedIn.refreshToken);
    terminal.say(`The refresh token is stored in ${goal.name}.`);
    terminal.say(COUNTS_SOON);
  }
  if (flags["print"] === true) terminal.out(`${signedIn.refreshToken.open((token) => token)}\n`);
  return EXIT.done;
}

type Way = "browser" | "paste" | "device";

export function wayOf(flags: Flags, interactive: boolean, redirectUri: string): Way {
  const asked = textFlag(flags, "way") as Way | undefined;
  if (flags["device-code"] === true) return "device";
  if (asked === "browser" && !canListenFor(redirectUri)) {
    throw usage(
      `The browser cannot return to ${redirectUri} by itself.`,
      "Give --way paste, or register an address such as http://localhost:44300/defender-mssp.",
    );
  }
  return asked ?? (interactive && canListenFor(redirectUri) ? "browser" : "paste");
}

function clientIdOf(stanza: Stanza): string {
  if (stanza.clientId === undefined) throw usage(`No app is named for ${stanza.tenantName}.`, "Give --client-id.");
  return stanza.clientId;
}

async function goalOf(
  services: OnboardingServices,
  flags: Flags,
  customer: Stanza,
  redirectUri: string,
): Promise<Goal | undefined> {
  const to = textFlag(flags, "to");
  const file = textFlag(flags, "file");
  if (to === "splunk") {
    const place = await splunkPlace(services, flags);
    return { name: place.name, put: (stanza, token) => place.putRefreshToken(stanza, token) };
  }
  if (to === "fleet") return services.fleetTokenPlace(flags, customer);
  if (to === undefined) {
    if (flags["print"] === true) return undefined;
    throw usage(
      "No destination for the refresh token was given.",
      "Give --to splunk, --to fleet, --to arcsight --file FILE, --to file --file FILE, or --print.",
    );
  }
  if (file === undefined) throw usage(`--to ${to} needs a file.`, "Give --file FILE.");
  if (to === "arcsight") {
    const before = await services.readText(file, "latin1");
    return {
      name: file,
      put: (stanza, refreshToken) =>
        services.writeSecretFile(
          file,
          connectorProperties(before, { stanza, refreshToken, redirectUri }, file),
          "latin1",
          "as-before",
        ),
    };
  }
  return {
    name: file,
    put: (_, token) => services.writeSecretFile(file, sealed(`${token.open((value) => value)}\n`), "utf8"),
  };
}

async function migration(services: OnboardingServices, flags: Flags): Promise<Migration | undefined> {
  const from = textFlag(flags, "from");
  if (from === undefined) return undefined;
  const text = from === "-" ? await services.terminal.readAll() : await services.readText(from, "latin1");
  if (text === undefined)
    throw usage(
      `${from} does not exist.`,
      "Give --from with the old connector's properties file, the old inputs.conf, or - for a refresh token on standard input.",
    );
  const found = readOldConfiguration(text, from, await givenKeys(services, flags));
  if (Object.keys(found.values).length === 0)
    throw usage(
      from === "-"
        ? "Standard input contains no complete refresh token."
        : `${from} contains no known setting and no complete refresh token.`,
      "Give the whole token (more than 200 characters, one line), the old connector's properties file, or the old inputs.conf.",
    );
  for (const { fate, say } of found.lines)
    services.terminal.say(
      `${{ taken: "taken over ", meaningless: "dropped    ", missing: "missing    " }[fate]} ${say}`,
    );
  return found;
}

/**
 * Which keys that may be missing in an old configuration were given elsewhere: as flags, in --config, or in
 * the environment.
 */
async function givenKeys(services: OnboardingServices, flags: Flags): Promise<ReadonlySet<string>> {
  const given = new Set(
    ["tenant_id", "client_id", "certificate", "assertion"].filter(
      (key) => textFlag(flags, key.replaceAll("_", "-")) !== undefined,
    ),
  );
  const named = ["config", "tenant-id"].some((flag) => textFlag(flags, flag) !== undefined);
  const { stanzas } = named ? await services.customers(flags, { needSecrets: false }) : { stanzas: [] };
  const only = stanzas.length === 1 ? stanzas[0] : undefined;
  if (only) given.add("tenant_id");
  if (only?.clientId !== undefined || only?.credential !== undefined) given.add("client_id");
  const inEnvironment = (services.environment["DEFENDER_MSSP_CLIENT_SECRET"] ?? "") !== "";
  if (
    inEnvironment ||
    only?.clientSecret !== undefined ||
    only?.credential !== undefined ||
    textFlag(flags, "client-secret-file") !== undefined
  )
    given.add("client_secret");
  if (only?.certificate !== undefined) given.add("certificate");
  if (only?.assertion !== undefined) given.add("assertion");
  return given;
}

/** Settings as flags, without the secrets. */
function asFlags(old: Migration): Flags {
  return Object.fromEntries(
    Object.entries(old.values).flatMap(([key, value]) =>
      key === "client_secret" || key === "refresh_token" ? [] : [[key.replaceAll("_", "-"), value]],
    ),
  );
}

function withoutUndefined(flags: Flags): Flags {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
}

function withCredential(stanza: Stanza, credential: AppCredential): Stanza {
  return credential.kind === "secret" ? { ...stanza, clientSecret: credential.secret } : stanza;
}

/**
 * Redeems an old refresh token once, for the first API of the streams, to find out if Microsoft accepts it.
 */
async function tryOldToken(services: OnboardingServices, stanza: Stanza, refreshToken: Sealed): Promise<SignedIn> {
  let newest = refreshToken;
  const api: TokenApi =
    stanza.streams.includes("alerts") || stanza.streams.includes("incidents") || stanza.streams.includes("hunting")
      ? "graph"
      : stanza.streams.includes("xdr-incidents")
        ? "xdr"
        : "mde";
  const { token, lifetimeMs } = await services.signInService.accessToken(
    { ...stanza, refreshToken, auth: "refresh_token" },
    api,
    (rotated) => {
      newest = rotated;
      return Promise.resolve();
    },
  );
  const verdicts = services.signInService.inspectToken(token, { stanza, api });
  return {
    refreshToken: newest,
    accessToken: token,
    account: undefined,
    tenantId: undefined,
    scopes: [],
    accessLifetimeMs: lifetimeMs,
    warnings: verdicts.filter(({ ok }) => !ok).map(({ say, nextStep }) => `${say} ${nextStep}`),
  };
}

async function byDeviceCode(services: OnboardingServices, stanza: Stanza, clientId: string): Promise<SignedIn> {
  const { terminal, signInService } = services;
  const flow = await signInService.beginDeviceFlow(stanza, clientId);
  terminal.say(
    `Open ${flow.verificationUrl} on any device, type the code ${flow.userCode} and sign in for ${stanza.tenantName}.`,
  );
  terminal.say(
    `The code is valid for ${Math.round(flow.lifetimeMs / 60_000)} minutes. Type it only if you started this sign-in yourself.`,
  );
  return flow.complete();
}

interface CodeWay {
  readonly stanza: Stanza;
  readonly credential: AppCredential;
  readonly redirectUri: string;
  readonly way: "browser" | "paste";
  readonly flags: Flags;
}

async function byCode(
  services: OnboardingServices,
  { stanza, credential, redirectUri, way, flags }: CodeWay,
): Promise<SignedIn> {
  const v1 = flags["v1"] === true ? { v1: { resource: stanza.resource ?? V1_RESOURCE } } : {};
  const flow = await services.signInService.beginCodeFlow({ stanza, credential, redirectUri, ...v1 });
  return completeCodeFlow(services, stanza, flow, way);
}

/** The person signs in; the browser's final address completes the flow. */
export function completeCodeFlow(
  services: OnboardingServices,
  stanza: Stanza,
  flow: CodeFlow,
  way: "browser" | "paste",
): Promise<SignedIn> {
  return way === "browser" ? inBrowser(services, stanza, flow) : byPasting(services, stanza, flow);
}

async function inBrowser(services: OnboardingServices, stanza: Stanza, flow: CodeFlow): Promise<SignedIn> {
  const { terminal } = services;
  const listener = await listenOnLoopback(flow.redirectUri, flow.state, services.pause, services.nowMs());
  try {
    const opened = await services.openBrowser(flow.url);
    terminal.say(
      opened
        ? `Sign in for ${stanza.tenantName} in the browser that opens, or open this address:`
        : `Open this address in a browser on this machine and sign in for ${stanza.tenantName}:`,
    );
    terminal.say(flow.url);
    if (flow.redirectUri.startsWith("https:")) {
      terminal.say(
        "At the end the browser warns about the certificate of localhost. This program created it for this sign-in only. Continue to localhost.",
      );
    }
    return await flow.complete(await listener.landed);
  } finally {
    listener.close();
  }
}

/** A wrong address can be pasted again, up to three times in all; the sign-in stays valid. */
const TRIES = 3;
const COPYING = new Set<FailureCode>(["redirect-unreadable", "redirect-other", "redirect-other-sign-in"]);

async function byPasting(services: OnboardingServices, stanza: Stanza, flow: CodeFlow): Promise<SignedIn> {
  const { terminal } = services;
  terminal.say(`Open this address in any browser and sign in for ${stanza.tenantName}:`);
  terminal.say(flow.url);
  terminal.say(
    `The browser's final address begins with ${flow.redirectUri}. It may show an error page; this is normal.`,
  );
  for (let n = 1; ; n += 1) {
    const landed = await terminal.askSecret("Paste that whole address here:");
    try {
      return await landed.open((address) => flow.complete(address));
    } catch (error) {
      if (!terminal.interactive || n === TRIES || !isFailure(error) || !COPYING.has(error.code)) throw error;
      terminal.say(`${error.say} ${error.nextStep}`);
    }
  }
}

function report({ terminal, nowMs }: OnboardingServices, stanza: Stanza, signedIn: SignedIn): void {
  const account = signedIn.account === undefined ? "" : ` as ${shown(signedIn.account)}`;
  terminal.say(`Signed in for ${stanza.tenantName}${account}, tenant ${signedIn.tenantId ?? stanza.tenantId}.`);
  if (signedIn.scopes.length > 0) terminal.say(`Scopes: ${signedIn.scopes.map(shown).join(" ")}.`);
  const until = new Date(nowMs() + 90 * 86_400_000).toISOString().slice(0, 10);
  terminal.say(
    `The access token is valid for ${Math.round(signedIn.accessLifetimeMs / 60_000)} minutes. The refresh token expires after 90 days without use, not before ${until}.`,
  );
  for (const warning of signedIn.warnings) terminal.say(`Warning: ${warning}`);
}

/** Account names and scopes come from Microsoft. */
function shown(text: string): string {
  return printable(text).slice(0, 200);
}
