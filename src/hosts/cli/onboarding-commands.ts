import type { Argv } from "yargs";
import { settingFlags } from "../../config/flags.ts";
import { CLOUD_NAMES } from "../../model/cloud.ts";
import type { ExitCode } from "../../model/failure.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import { MAIL_LANGUAGES } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";

/** What `main` gives: the options that every command has, and the world, built only when a command runs. */
export interface OnboardingHost {
  readonly shared: Readonly<Record<string, object>>;
  open(flags: Flags): Promise<OnboardingServices>;
  finish(code: ExitCode): void;
}

type Run = (services: OnboardingServices, flags: Flags) => Promise<ExitCode>;

const text = (describe: string): { type: "string"; requiresArg: true; describe: string } => ({
  type: "string",
  requiresArg: true,
  describe,
});
const yes = (describe: string): { type: "boolean"; default: false; describe: string } => ({
  type: "boolean",
  default: false,
  describe,
});

const SPLUNK = {
  "splunk-uri": text("splunkd's management address; default https://localhost:8089"),
  "splunk-user": text(
    "Splunk user; the password is asked for, or comes from DEFENDER_MSSP_SPLUNK_PASSWORD. Without it: a token in DEFENDER_MSSP_SPLUNK_TOKEN",
  ),
} as const;

const SECRETS =
  "Secrets are never flags. The app key is asked for without echo, or comes from --client-secret-file or DEFENDER_MSSP_CLIENT_SECRET.";

/**
 * Settings that a sign-in depends on. The others are taken as well, so that one set of flags fits every
 * command, but --help leaves them out.
 */
const SIGN_IN_SETTINGS = new Set([
  "tenant-id",
  "tenant-name",
  "cloud",
  "credential",
  "client-id",
  "certificate",
  "auth",
  "streams",
  "login-url",
  "graph-url",
  "api-url",
  "resource",
  "proxy",
  "no-proxy",
  "ca-file",
]);

/** Of those, what a shared credential consists of and is sealed with. */
const CREDENTIAL_SETTINGS = new Set([
  "cloud",
  "client-id",
  "certificate",
  "login-url",
  "graph-url",
  "api-url",
  "siem-url",
  "proxy",
  "no-proxy",
  "ca-file",
]);

function signInSettings(shown: ReadonlySet<string> = SIGN_IN_SETTINGS): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.entries(settingFlags("cli")).map(([name, flag]) => [
      name,
      shown.has(name) ? flag : { ...flag, hidden: true },
    ]),
  );
}

/** The commands of onboarding, in the order in which a customer is taken on. */
export function addOnboardingCommands(parser: Argv, host: OnboardingHost): void {
  const run = (work: () => Promise<Run>) => async (flags: Flags) => {
    const services = await host.open(flags);
    host.finish(await (await work())(services, flags));
  };
  const settings = signInSettings();

  parser.command(
    "register",
    "The MSSP's own multi-tenant app: prints portal steps, a manifest and a script for Microsoft's command line",
    (y) =>
      y
        .options({
          streams: text("Streams that the app is for, separated by commas; default alerts,incidents"),
          auth: {
            ...text("How customers are signed in to: refresh_token (a user signs in once) or app (no user)"),
            choices: ["refresh_token", "app"],
          },
          cloud: { ...text("Microsoft's cloud"), choices: CLOUD_NAMES },
          name: text("Name of the app as customers see it"),
          proof: { ...text("How the app proves itself"), choices: ["secret", "certificate"] },
          "device-code": yes("Also for token acquire --device-code (switches on public client flows)"),
          "redirect-uri": { ...text("Redirect URI of type Web; may be repeated"), array: true },
          apply: yes("Registers it through Microsoft Graph with an access token read from standard input"),
          "secret-file": text("With --apply: file for the new app key instead of standard output"),
          check: text("Compares an exported manifest (JSON) with what is needed"),
          "graph-url": text("Overrides where Microsoft Graph is reached"),
          proxy: text("Proxy"),
          "no-proxy": text("Hosts that are reached without the proxy"),
          "ca-file": text("PEM file with additional trusted certificates"),
          json: yes("Write for a machine to read"),
        })
        .example("$0 register --auth app --proof certificate", "an app that needs no user, proven by a certificate")
        .example("$0 register --check manifest.json", "is the existing registration right?"),
    run(async () => (await import("./register.ts")).register),
  );

  parser.command(
    "consent-url",
    "The admin-consent link for one customer, alone on standard output",
    (y) =>
      y
        .options(host.shared)
        .options(settings)
        .options({
          "redirect-uri": text("Where the browser ends; must be registered. Default: the first that register prints"),
          mail: {
            ...text("Prints a short text for the customer's administrator instead, in this language"),
            choices: MAIL_LANGUAGES,
          },
          wait: yes("Asks every 15 s until the wanted permissions are there, and says what is still missing"),
          answer: text("Checks the address that the browser ended on after the consent"),
          "client-secret-file": text("With --wait: file that holds the app key"),
        })
        .epilogue(SECRETS)
        .example("$0 consent-url --tenant-id contoso.onmicrosoft.com --client-id ID", "the link to send")
        .example("$0 consent-url --config inputs.conf --customer contoso --mail fr", "a text in French around it"),
    run(async () => (await import("./consent-url.ts")).consentUrl),
  );

  parser.command("token", "Refresh tokens and access tokens", (y) => {
    addToken(y, host, run, settings);
    return y.demandCommand(1, "Name one of acquire, access, inspect.");
  });

  parser.command("credential", "App credentials that many customers share", (y) => {
    addCredential(y, host, run, settings);
    return y.demandCommand(1, "Name one of set, reseal.");
  });

  parser.command(
    "doctor",
    "Looks at every precondition of a customer in order and says whose turn it is",
    (y) =>
      y
        .options(host.shared)
        .options(settings)
        .options({ all: yes("All customers of the configuration"), ...SPLUNK })
        .epilogue(
          "With --json: one line per customer. Exit code 0: all ready; 6: some are not; otherwise the first customer's.",
        )
        .example("$0 doctor --config inputs.conf --customer contoso", "one customer, check by check")
        .example("$0 doctor --config inputs.conf --all", "all, sorted by whose turn it is"),
    run(async () => (await import("./doctor.ts")).doctor),
  );
}

function addToken(
  y: Argv,
  host: OnboardingHost,
  run: (work: () => Promise<Run>) => (flags: Flags) => Promise<void>,
  settings: Readonly<Record<string, object>>,
): void {
  y.command(
    "acquire",
    "Signs in for one customer and stores the refresh token",
    (c) =>
      c
        .options(host.shared)
        .options(settings)
        .options({
          to: { ...text("Where the refresh token goes"), choices: ["splunk", "arcsight", "file"] },
          file: text("For --to arcsight: the connector's properties file; for --to file: the file (0600)"),
          print: yes("Prints the refresh token on standard output"),
          way: {
            ...text(
              "browser: it comes back by itself; paste: the address it ends on is pasted. Default: browser in a terminal, else paste",
            ),
            choices: ["browser", "paste"],
          },
          "device-code": yes(
            "Signs in with a code on any device (needs a registration that allows public client flows)",
          ),
          "redirect-uri": text(
            "Exactly as registered, for example https://SiemMsspConnector. Default: the first that register prints",
          ),
          v1: yes("The v1 endpoint with --resource, for old registrations"),
          from: text(
            "Takes over an old WDATP-connector.properties, an old inputs.conf, or (-) a refresh token on standard input",
          ),
          "client-secret-file": text("File that holds the app key"),
          ...SPLUNK,
        })
        .epilogue(SECRETS)
        .example(
          "$0 token acquire --config inputs.conf --customer contoso --to splunk",
          "into Splunk's credential store",
        )
        .example(
          "$0 token acquire --tenant-id ID --client-id ID --to arcsight --file WDATP-connector.properties",
          "a ready connector file",
        )
        .example(
          "$0 token acquire --from WDATP-connector.properties --to file --file token.txt",
          "from the old connector",
        ),
    run(async () => (await import("./token-acquire.ts")).acquireToken),
  );
  y.command(
    "access",
    "Gets an access token for one customer and API, and checks audience, tenant and permissions",
    (c) =>
      c
        .options(host.shared)
        .options(settings)
        .options({
          for: { ...text("API"), choices: ["graph", "xdr", "mde"], default: "graph" },
          out: text("File for the token (0600)"),
          print: yes("Prints the token on standard output"),
          ...SPLUNK,
        })
        .example(
          "$0 token access --config inputs.conf --customer contoso --for graph",
          "is the sign-in good for Microsoft Graph?",
        ),
    run(async () => (await import("./token-look.ts")).accessToken),
  );
  y.command(
    "inspect [token-file]",
    "Decodes an access token and checks it; contacts nobody",
    (c) =>
      c
        .positional("token-file", { type: "string", describe: "File that holds the token; without it standard input" })
        .options(host.shared)
        .options(settings)
        .options({ for: { ...text("The API it should be for"), choices: ["graph", "xdr", "mde"] } })
        .example("$0 token inspect token.txt --tenant-id ID --client-id ID", "is it this customer's and this app's?"),
    run(async () => (await import("./token-look.ts")).inspectToken),
  );
}

function addCredential(
  y: Argv,
  host: OnboardingHost,
  run: (work: () => Promise<Run>) => (flags: Flags) => Promise<void>,
  settings: Readonly<Record<string, object>>,
): void {
  y.command(
    "set <name>",
    "Stores an app credential that customers name with credential = <name>; again, to rotate its key",
    (c) =>
      c
        .positional("name", { type: "string", demandOption: true, describe: "The credential's name" })
        .options(host.shared)
        .options(signInSettings(CREDENTIAL_SETTINGS))
        .options({
          to: {
            ...text("Where it is kept: splunk, or file (secrets/ of the state folder)"),
            choices: ["splunk", "file"],
            default: "file",
          },
          "client-secret-file": text("File that holds the app key"),
          expires: text("When the app key ends (a date), for warnings"),
          ...SPLUNK,
        })
        .epilogue(SECRETS)
        .example("$0 credential set mssp --client-id ID --to splunk", "one key for all customers in Splunk"),
    run(async () => (await import("./credential.ts")).setCredential),
  );
  y.command(
    "reseal",
    "Accepts the endpoints, proxy and CA file in force now for stored secrets, after a change that was meant",
    (c) =>
      c
        .options(host.shared)
        .options(settings)
        .options({
          to: { ...text("Where the secrets are kept"), choices: ["splunk", "file"], default: "file" },
          all: yes("All customers of the configuration"),
          ...SPLUNK,
        })
        .example("$0 credential reseal --config inputs.conf --all --to splunk", "after the proxy got a new CA"),
    run(async () => (await import("./credential.ts")).resealCredentials),
  );
}
