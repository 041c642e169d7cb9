import type { Argv } from "yargs";
import { CLOUD_NAMES } from "../../model/cloud.ts";
import type { ExitCode } from "../../model/failure.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import { MAIL_LANGUAGES } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";
import { type Run, settingsShown, text, yes } from "./command-options.ts";
import { addCustomersCommands } from "./customers-commands.ts";
import { addPartnerCommands } from "./partner-commands.ts";

/** What `main` provides: the options of every command, and the services, created only when a command runs. */
export interface OnboardingHost {
  readonly shared: Readonly<Record<string, object>>;
  open(flags: Flags): Promise<OnboardingServices>;
  finish(code: ExitCode): void;
}

/** Only for commands that obey it; every other one refuses the flag. */
const JSON_FLAG = { json: yes("Prints JSON") } as const;

const SPLUNK = {
  "splunk-uri": text("splunkd's management address; default https://localhost:8089"),
  "splunk-user": text(
    "Splunk user. Its password is asked for, or comes from DEFENDER_MSSP_SPLUNK_PASSWORD. Without this flag: a token in DEFENDER_MSSP_SPLUNK_TOKEN",
  ),
} as const;

const SECRETS =
  "Secrets are never flags. The client secret is asked for without echo, or comes from --client-secret-file or DEFENDER_MSSP_CLIENT_SECRET.";

/**
 * Settings that a sign-in depends on. The others are accepted too, so that one set of flags works for every
 * command, but --help does not list them.
 */
const SIGN_IN_SETTINGS = new Set([
  "tenant-id",
  "tenant-name",
  "cloud",
  "credential",
  "client-id",
  "certificate",
  "assertion",
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

/** The settings of a shared credential, and those it is bound to. */
const CREDENTIAL_SETTINGS = new Set([
  "tenant-id",
  "cloud",
  "client-id",
  "certificate",
  "assertion",
  "login-url",
  "graph-url",
  "api-url",
  "siem-url",
  "partnercenter-url",
  "proxy",
  "no-proxy",
  "ca-file",
]);

/** The onboarding commands, in the order of onboarding a customer. */
export function addOnboardingCommands(parser: Argv, host: OnboardingHost): void {
  const run = (work: () => Promise<Run>) => async (flags: Flags) => {
    const services = await host.open(flags);
    host.finish(await (await work())(services, flags));
  };
  const settings = settingsShown(SIGN_IN_SETTINGS);

  parser.command(
    "register",
    "Prints portal steps, a manifest and a script to register the MSSP's own apps",
    (y) =>
      y
        .options({
          streams: text("Streams of the app, separated by commas. Default: alerts,incidents"),
          auth: {
            ...text("Sign-in to customers: app (no user, the default) or refresh_token (a user signs in once)"),
            choices: ["app", "refresh_token"],
          },
          cloud: { ...text("Microsoft's cloud"), choices: CLOUD_NAMES },
          name: text("Name of the app that customers see"),
          "home-app": yes("The app that reads the list of customers in your own tenant"),
          sources: text("With --home-app: gdap, governance, or both separated by a comma. Default: gdap"),
          "bridge-app": yes("The app that partner consent uses to grant permissions at GDAP customers"),
          "governance-template": yes(
            "Prints a template of Tenant Governance that makes the app at customers; not tried on real tenants",
          ),
          "app-id": text("With --governance-template: application (client) ID of the app"),
          "object-id": text("With --governance-template: object ID of the app"),
          group: text("With --governance-template: ID of the role-assignable group that gets Security Reader"),
          proof: { ...text("How the app authenticates"), choices: ["secret", "certificate", "federated"] },
          identity: text(
            "With --proof federated, on the machine that collects: file:PATH or managed-identity:CLIENT_ID, whose token the app is to trust",
          ),
          "device-code": yes("Also for token acquire --device-code (enables public client flows)"),
          "redirect-uri": { ...text("Redirect URI of type Web; can be repeated"), array: true },
          apply: yes("Registers the app through Microsoft Graph, with an access token from standard input"),
          "secret-file": text("With --apply: file for the new client secret, instead of standard output"),
          check: text("Compares an exported manifest (JSON) with what is needed"),
          "graph-url": text("Overrides the address of Microsoft Graph"),
          proxy: text("Address of an HTTP proxy"),
          "no-proxy": text("Hosts to connect to without the proxy"),
          "ca-file": text("PEM file with additional CA certificates to trust"),
          config: text("Configuration of the host that collects; the last steps store the credential where it reads"),
          state: text("State folder of that host, if it is not in the configuration"),
          to: { ...text("Where the last steps store the credential"), choices: ["splunk", "file"] },
          ...JSON_FLAG,
        })
        .example("$0 register --proof certificate", "an app without a user, authenticated by a certificate")
        .example("$0 register --check manifest.json", "checks an existing registration")
        .example("$0 register --bridge-app", "the app that partner consent signs in with"),
    run(async () => (await import("./register.ts")).register),
  );

  parser.command(
    "consent-url",
    "Prints the admin-consent link for one customer, or for all, on standard output",
    (y) =>
      y
        .options(host.shared)
        .options(settings)
        .options({
          "redirect-uri": text(
            "Registered redirect URI at which the browser ends. Default: the setting consent_redirect",
          ),
          mail: {
            ...text("Prints a short mail to the customer's administrator instead, in this language"),
            choices: MAIL_LANGUAGES,
          },
          "any-customer": yes("One link that the administrators of all customers can open (tenant organizations)"),
          all: yes("With --mail and --out: a mail for each customer that still lacks a permission"),
          out: text("With --all: folder for the mails, one text file each"),
          wait: yes("Checks every 15 s until all permissions are granted, and prints those that are missing"),
          answer: {
            type: "string",
            describe:
              "Checks the browser's final address after the consent and says which customer consented; without a value it asks for the address",
          },
          "client-secret-file": text("With --wait: file that contains the client secret"),
          to: { ...text("Where a shared credential is stored"), choices: ["splunk", "file"] },
          ...SPLUNK,
        })
        .epilogue(SECRETS)
        .example("$0 consent-url --tenant-id contoso.onmicrosoft.com --client-id ID", "prints the link to send")
        .example("$0 consent-url --config inputs.conf --customer contoso --mail fr", "prints a mail in French")
        .example("$0 consent-url --config inputs.conf --any-customer", "prints one link for all customers"),
    run(async () => (await import("./consent-url.ts")).consentUrl),
  );

  addCustomersCommands(parser, { shared: host.shared, splunk: SPLUNK, run });
  addPartnerCommands(parser, { shared: host.shared, splunk: SPLUNK, run });

  parser.command("token", "Gets and checks refresh tokens and access tokens", (y) => {
    addToken(y, host, run, settings);
    return y.demandCommand(1, "Give one of acquire, access, inspect.");
  });

  parser.command("credential", "Stores app credentials that many customers share", (y) => {
    addCredential(y, host, run, settings);
    return y.demandCommand(1, "Give one of set, reseal.");
  });

  parser.command(
    "doctor",
    "Checks every precondition of a customer in order and names who must act",
    (y) =>
      y
        .options(host.shared)
        .options(settings)
        .options({
          all: yes("All customers of the configuration"),
          brief: yes("One line per reason, with the customers that it concerns"),
          fleet: yes("The fleet instead of customers: its database, members and what waits"),
          ...SPLUNK,
          ...JSON_FLAG,
        })
        .epilogue(
          "With --json: one line per customer, with --brief one line per reason. Exit code: 0 if all customers are ready, 6 if some are not; if none is ready, the exit code of the first failure.",
        )
        .example("$0 doctor --config inputs.conf --customer contoso", "checks one customer")
        .example("$0 doctor --config inputs.conf --all", "checks all, sorted by who must act")
        .example("$0 doctor --config inputs.conf --all --brief", "one line per reason, for many customers")
        .example("$0 doctor --config defender-mssp.properties --fleet", "who owns what, and what waits"),
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
          to: { ...text("Where to store the refresh token"), choices: ["splunk", "fleet", "arcsight", "file"] },
          file: text("With --to arcsight: the connector's properties file. With --to file: the file (mode 0600)"),
          print: yes("Prints the refresh token on standard output"),
          way: {
            ...text(
              "browser: the browser returns the answer. paste: you paste the browser's final address. Default: browser in a terminal, else paste",
            ),
            choices: ["browser", "paste"],
          },
          "device-code": yes("Signs in with a code on any device (the registration must allow public client flows)"),
          "redirect-uri": text(
            "Redirect URI exactly as registered, for example https://SiemMsspConnector. Default: the first that register prints",
          ),
          v1: yes("Uses the v1 endpoint with --resource, for old registrations"),
          from: text(
            "Takes over an old WDATP-connector.properties, an old inputs.conf, or (-) a refresh token from standard input",
          ),
          "client-secret-file": text("File that contains the client secret"),
          ...SPLUNK,
        })
        .epilogue(SECRETS)
        .example(
          "$0 token acquire --config inputs.conf --customer contoso --to splunk",
          "stores the token in Splunk's credential store",
        )
        .example(
          "$0 token acquire --tenant-id ID --client-id ID --to arcsight --file WDATP-connector.properties",
          "writes a complete connector file",
        )
        .example(
          "$0 token acquire --from WDATP-connector.properties --to file --file token.txt",
          "takes over the old connector",
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
          for: { ...text("API of the token"), choices: ["graph", "xdr", "mde"], default: "graph" },
          out: text("File for the token (mode 0600)"),
          print: yes("Prints the token on standard output"),
          ...SPLUNK,
          ...JSON_FLAG,
        })
        .example(
          "$0 token access --config inputs.conf --customer contoso --for graph",
          "checks the sign-in for Microsoft Graph",
        ),
    run(async () => (await import("./token-look.ts")).accessToken),
  );
  y.command(
    "inspect [token-file]",
    "Decodes an access token and checks it, without any network access",
    (c) =>
      c
        .positional("token-file", { type: "string", describe: "File that contains the token. Default: standard input" })
        .options(host.shared)
        .options(settings)
        .options({ for: { ...text("Expected API of the token"), choices: ["graph", "xdr", "mde"] }, ...JSON_FLAG })
        .example("$0 token inspect token.txt --tenant-id ID --client-id ID", "checks customer and app of a token"),
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
    "Stores an app credential that customers use with credential = <name>; run again to replace its client secret",
    (c) =>
      c
        .positional("name", { type: "string", demandOption: true, describe: "Name of the credential" })
        .options(host.shared)
        .options(settingsShown(CREDENTIAL_SETTINGS))
        .options({
          to: {
            ...text("Where to store it: splunk, or file (secrets/ of the state folder)"),
            choices: ["splunk", "file"],
            defaultDescription: "file",
          },
          "client-secret-file": text("File that contains the client secret"),
          expires: text("End date of the client secret, for warnings"),
          ...SPLUNK,
        })
        .epilogue(SECRETS)
        .example(
          "$0 credential set mssp --client-id ID --to splunk",
          "stores one client secret for all customers in Splunk",
        ),
    run(async () => (await import("./credential.ts")).setCredential),
  );
  y.command(
    "reseal",
    "Binds stored secrets to the current endpoints, proxy and CA file, after an intended change",
    (c) =>
      c
        .options(host.shared)
        .options(settings)
        .options({
          to: { ...text("Where the secrets are stored"), choices: ["splunk", "file"], defaultDescription: "file" },
          all: yes("All customers of the configuration"),
          ...SPLUNK,
        })
        .example(
          "$0 credential reseal --config inputs.conf --all --to splunk",
          "run this after the proxy got a new CA",
        ),
    run(async () => (await import("./credential.ts")).resealCredentials),
  );
}
