import type { CloudName } from "../../model/cloud.ts";
import { CLOUDS } from "../../model/cloud.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT } from "../../model/failure.ts";
import { sealed } from "../../model/sealed.ts";
import { CONSENT_PAGE } from "../../model/settings-table.ts";
import type { OnboardingServices, RegistrationPlan } from "../../model/sign-in.ts";
import { CERTIFICATE_FILE, CREDENTIAL } from "../../model/sign-in.ts";
import type { AuthKind, Endpoints, Route } from "../../model/stanza.ts";
import type { StreamName } from "../../model/stream.ts";
import { STREAM_NAMES } from "../../model/stream.ts";
import { jsonOf } from "../../net/json-answer.ts";
import type { Flags } from "./ask.ts";
import { textFlag, usage } from "./ask.ts";
import { DEFAULT_REDIRECT_URI } from "./token-acquire.ts";

/** The redirect URI of the old connector's page, kept so that old and new registrations match. */
const CONNECTOR_REDIRECT_URI = "https://localhost:44300/wdatpconnector";

/**
 * `register`: prints how to register the MSSP's own multi-tenant app, compares an exported manifest, or
 * creates the app through Microsoft Graph.
 */
export async function register(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const plan = planFrom(flags);
  const check = textFlag(flags, "check");
  if (flags["json"] === true && (check !== undefined || flags["apply"] === true))
    throw usage("--json does not go with --check or --apply.", "Leave --json out.");
  if (check !== undefined) return compare(services, plan, check);
  if (flags["apply"] === true) return apply(services, plan, flags);
  return print(services, plan, flags);
}

export function planFrom(flags: Flags): RegistrationPlan {
  const asked = (textFlag(flags, "streams") ?? "alerts,incidents")
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter((word) => word !== "");
  const unknown = asked.filter((word) => !STREAM_NAMES.some((name) => name === word));
  if (unknown.length > 0)
    throw usage(
      `${unknown.join(", ")} is not a stream.`,
      `Give --streams with one or more of ${STREAM_NAMES.join(", ")}.`,
    );
  const uris = flags["redirect-uri"];
  const given = (Array.isArray(uris) ? uris : [uris]).filter((uri): uri is string => typeof uri === "string");
  for (const uri of given)
    if (!URL.canParse(uri)) throw usage(`${uri} is not a valid address.`, "Give --redirect-uri https://host/path.");
  const auth = (textFlag(flags, "auth") ?? "app") as AuthKind;
  return {
    name: textFlag(flags, "name") ?? "MSSP Defender collector",
    cloud: (textFlag(flags, "cloud") ?? "commercial") as CloudName,
    streams: asked as StreamName[],
    auth,
    proof: (textFlag(flags, "proof") ?? "secret") as "secret" | "certificate",
    deviceCode: flags["device-code"] === true,
    redirectUris: given.length > 0 ? given : defaultRedirectUris(auth),
  };
}

/** An app without users needs only the page that ends a consent. Users end at this program. */
function defaultRedirectUris(auth: AuthKind): readonly string[] {
  return auth === "app" ? [CONSENT_PAGE] : [DEFAULT_REDIRECT_URI, CONNECTOR_REDIRECT_URI, CONSENT_PAGE];
}

function print(
  { terminal, signInService, commands }: OnboardingServices,
  plan: RegistrationPlan,
  flags: Flags,
): ExitCode {
  const { portalSteps: steps, manifest, script } = signInService.registration(plan);
  const portalSteps = steps.map((step) => commands.inText(step));
  if (flags["json"] === true) {
    terminal.out(`${JSON.stringify({ portal_steps: portalSteps, manifest, script })}\n`);
    return EXIT.done;
  }
  const part = (title: string, body: string): void =>
    terminal.out(`${title}\n${"-".repeat(title.length)}\n${body}\n\n`);
  part("In the portal", portalSteps.join("\n"));
  part("As a manifest (Microsoft Graph, application)", JSON.stringify(manifest, undefined, 2));
  part("With Microsoft's command line (az)", script.trimEnd());
  return EXIT.done;
}

async function compare(services: OnboardingServices, plan: RegistrationPlan, path: string): Promise<ExitCode> {
  const text = await services.readText(path, "utf8");
  if (text === undefined)
    throw usage(
      `${path} does not exist.`,
      "Export the manifest from the portal: App registrations > Manifest > Download.",
    );
  const manifest = jsonOf(text);
  if (manifest === undefined)
    throw usage(
      `${path} is not JSON.`,
      "Export the manifest from the portal: App registrations > Manifest > Download.",
    );
  const problems = services.signInService.checkManifest(manifest, plan);
  for (const problem of problems) services.terminal.out(`${services.commands.inText(problem)}\n`);
  if (problems.length === 0)
    services.terminal.out("The registration has exactly the required settings and permissions.\n");
  return problems.length === 0 ? EXIT.done : EXIT.usage;
}

async function apply(services: OnboardingServices, plan: RegistrationPlan, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  if (terminal.interactive)
    terminal.say(
      "Reading a Microsoft Graph access token from standard input (az account get-access-token --resource-type ms-graph --query accessToken --output tsv | …).",
    );
  const token = sealed((await terminal.readAll()).trim());
  if (token.length === 0)
    throw usage(
      "No Microsoft Graph access token was given on standard input.",
      "Run `az account get-access-token --resource-type ms-graph --query accessToken --output tsv | defender-mssp register --apply`.",
    );
  const row = CLOUDS[plan.cloud];
  const endpoints: Endpoints = {
    loginUrl: row.loginUrl,
    graphUrl: textFlag(flags, "graph-url") ?? row.graphUrl,
    apiUrl: row.apiUrl,
    mdeApiUrl: row.mdeApiUrl,
    siemUrl: row.siemUrl,
  };
  const proxy = textFlag(flags, "proxy");
  const noProxy = textFlag(flags, "no-proxy");
  const caFile = textFlag(flags, "ca-file");
  const route: Route = {
    ...(proxy ? { proxy: sealed(proxy) } : {}),
    ...(noProxy ? { noProxy } : {}),
    ...(caFile ? { caFile } : {}),
  };
  const made = await signInService.applyRegistration(plan, token, { endpoints, route });
  terminal.say(`Registered ${plan.name}: application (client) ID ${made.clientId}.`);
  const file = textFlag(flags, "secret-file");
  if (made.secret && file !== undefined) {
    await services.writeSecretFile(file, sealed(`${made.secret.open((value) => value)}\n`), "utf8");
    terminal.say(
      `The client secret is in ${file} and valid until ${made.secretEnds?.slice(0, 10)}. Store it: \`defender-mssp credential set ${CREDENTIAL} --client-id ${made.clientId} --client-secret-file ${JSON.stringify(file)}\`.`,
    );
  } else if (made.secret) {
    terminal.say(
      `The client secret is printed only once, on standard output. Keep it safe, and store it: \`defender-mssp credential set ${CREDENTIAL} --client-id ${made.clientId}\`. With --secret-file FILE it is written to a file instead.`,
    );
    terminal.out(`${made.secret.open((value) => value)}\n`);
  } else {
    terminal.say(
      `Upload the public part of the certificate under Certificates & secrets. Then store the app: \`defender-mssp credential set ${CREDENTIAL} --client-id ${made.clientId} --certificate ${CERTIFICATE_FILE}\`.`,
    );
  }
  return EXIT.done;
}
