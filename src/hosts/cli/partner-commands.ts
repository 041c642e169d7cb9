import type { Argv } from "yargs";
import type { Flags } from "./ask.ts";
import type { Run } from "./command-options.ts";
import { settingsShown, text, yes } from "./command-options.ts";

const SETTINGS = new Set([
  "cloud",
  "streams",
  "credential",
  "login-url",
  "graph-url",
  "partnercenter-url",
  "proxy",
  "no-proxy",
  "ca-file",
]);

/** `partner`: what a partner (CSP) does for all its customers at once. */
export function addPartnerCommands(
  parser: Argv,
  options: {
    readonly shared: Readonly<Record<string, object>>;
    readonly splunk: Readonly<Record<string, object>>;
    readonly run: (work: () => Promise<Run>) => (flags: Flags) => Promise<void>;
  },
): void {
  parser.command("partner", "Grants permissions at the customers of a partner (CSP) with GDAP", (y) =>
    y
      .command(
        "consent",
        "Signs in once, and grants the app its permissions at all GDAP customers",
        (c) =>
          c
            .options(options.shared)
            .options(settingsShown(SETTINGS))
            .options({
              home: text("Your own (the partner's) tenant: domain or tenant ID"),
              "bridge-client-id": text("Application (client) ID of the bridge, from register --bridge-app"),
              credential: text("Stored credential of the app that gets the permissions"),
              all: yes("Every GDAP customer; without a list of them, every customer of the configuration"),
              "dry-run": yes("Changes nothing and signs in nobody: says who would fail, and why"),
              "keep-bridge": yes("Leaves the bridge at the customers; a later run without it removes the bridge"),
              way: {
                ...text("browser: the browser returns the answer. paste: you paste the browser's final address"),
                choices: ["browser", "paste"],
              },
              "redirect-uri": text("Redirect URI of the bridge. Default: the one that register prints"),
              to: { ...text("Where the credential is stored"), choices: ["splunk", "file"] },
              ...options.splunk,
            })
            .epilogue(
              "The bridge's client secret is asked for without echo, or comes from DEFENDER_MSSP_CLIENT_SECRET or the first line of standard input. It is never stored, and neither is the sign-in. Exit code: 0 if all customers are ready, 6 if some are not, or if the bridge may still be at a customer; if none is ready, the exit code of the first failure.",
            )
            .example(
              "$0 partner consent --home contoso.onmicrosoft.com --bridge-client-id ID --credential mssp --all --dry-run",
              "who will fail, and why",
            ),
        options.run(async () => (await import("./partner-consent.ts")).partnerConsent),
      )
      .demandCommand(1, "Give consent."),
  );
}
