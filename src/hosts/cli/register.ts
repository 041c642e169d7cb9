import { assertionFile, exchangeAudience } from "../../model/assertion.ts";
import type { CloudName } from "../../model/cloud.ts";
import { CLOUDS } from "../../model/cloud.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, isFailure } from "../../model/failure.ts";
import { sealed } from "../../model/sealed.ts";
import { CONSENT_PAGE } from "../../model/settings-table.ts";
import type {
  AppPurpose,
  CustomerSource,
  OnboardingServices,
  RegistrationApplied,
  RegistrationPlan,
} from "../../model/sign-in.ts";
import { CERTIFICATE_FILE, CREDENTIAL, CUSTOMER_SOURCES, HOME_CREDENTIAL } from "../../model/sign-in.ts";
import type { AuthKind, Endpoints, Route } from "../../model/stanza.ts";
import type { StreamName } from "../../model/stream.ts";
import { STREAM_NAMES } from "../../model/stream.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { jsonOf } from "../../net/json-answer.ts";
import type { Flags } from "./ask.ts";
import { assertionFrom, textFlag, usage } from "./ask.ts";
import { DEFAULT_REDIRECT_URI } from "./token-acquire.ts";

/** The redirect URI of the old connector's page, kept so that old and new registrations match. */
const CONNECTOR_REDIRECT_URI = "https://localhost:44300/wdatpconnector";

/**
 * `register`: prints how to register one of the MSSP's own apps, compares an exported manifest, or creates
 * the app through Microsoft Graph. With `--governance-template`: prints a template that makes the reader at
 * customers.
 */
export async function register(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const plan = await federatedPlan(services, planFrom(flags), flags);
  const check = textFlag(flags, "check");
  if (flags["governance-template"] === true) return template(services, plan, flags);
  if (flags["json"] === true && (check !== undefined || flags["apply"] === true))
    throw usage("--json does not go with --check or --apply.", "Leave --json out.");
  if (check !== undefined) return compare(services, plan, check);
  if (flags["apply"] === true) return apply(services, plan, flags);
  return print(services, plan, flags);
}

/** Flags that only some of the apps have. */
const FLAGS_OF: Readonly<Record<string, readonly AppPurpose[]>> = {
  streams: ["reader"],
  auth: ["reader"],
  "device-code": ["reader"],
  sources: ["home"],
  "redirect-uri": ["reader", "bridge"],
};

const NAMES: Readonly<Record<AppPurpose, string>> = {
  reader: "MSSP Defender collector",
  home: "MSSP Defender customer list",
  bridge: "MSSP Defender consent bridge",
};

function purposeFrom(flags: Flags): AppPurpose {
  const chosen = ["home-app", "bridge-app", "governance-template"].filter((flag) => flags[flag] === true);
  if (chosen.length > 1)
    throw usage(`--${chosen.join(" and --")} do not go together.`, "Run the command once for each.");
  const purpose = flags["home-app"] === true ? "home" : flags["bridge-app"] === true ? "bridge" : "reader";
  const foreign = Object.entries(FLAGS_OF).find(
    ([flag, purposes]) => flags[flag] !== undefined && flags[flag] !== false && !purposes.includes(purpose),
  );
  if (foreign !== undefined)
    throw usage(
      `--${foreign[0]} does not go with ${purpose === "reader" ? "this app" : `--${purpose}-app`}.`,
      `Leave --${foreign[0]} out.`,
    );
  return purpose;
}

function sourcesFrom(flags: Flags): readonly CustomerSource[] {
  const asked = (textFlag(flags, "sources") ?? "gdap")
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter((word) => word !== "");
  const sources = CUSTOMER_SOURCES.filter((source) => asked.includes(source));
  if (sources.length !== new Set(asked).size)
    throw usage(`${asked.join(",")} names no list of customers.`, `Give --sources ${CUSTOMER_SOURCES.join(",")}.`);
  return sources;
}

export function planFrom(flags: Flags): RegistrationPlan {
  const purpose = purposeFrom(flags);
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
  const proof = textFlag(flags, "proof") ?? "secret";
  if (purpose === "bridge" && proof !== "secret")
    throw usage("The bridge needs a client secret, because it is never stored.", "Leave --proof out.");
  return {
    purpose,
    sources: purpose === "home" ? sourcesFrom(flags) : [],
    name: textFlag(flags, "name") ?? NAMES[purpose],
    cloud: (textFlag(flags, "cloud") ?? "commercial") as CloudName,
    streams: asked as StreamName[],
    auth,
    proof: proof as RegistrationPlan["proof"],
    deviceCode: flags["device-code"] === true,
    redirectUris: given.length > 0 ? given : defaultRedirectUris(purpose, auth),
  };
}

/**
 * The issuer, subject and audience that the app has to trust. They are read from the token itself where this
 * runs on the machine that collects.
 */
async function federatedPlan(
  { terminal, signInService }: OnboardingServices,
  plan: RegistrationPlan,
  flags: Flags,
): Promise<RegistrationPlan> {
  const typed = textFlag(flags, "identity");
  if (plan.proof !== "federated") {
    if (typed !== undefined) throw usage("--identity goes with --proof federated only.", "Add --proof federated.");
    return plan;
  }
  const assertion = typed === undefined ? undefined : assertionFrom(typed, "--identity");
  const isIdentity = assertion !== undefined && assertionFile(assertion) === undefined;
  const unknown = {
    issuer: isIdentity ? `${CLOUDS[plan.cloud].loginUrl}/<your tenant's GUID>/v2.0` : "<issuer of the token>",
    subject: isIdentity ? "<object ID of the managed identity>" : "<subject of the token>",
    audience: exchangeAudience(plan.cloud),
    assertion: assertion ?? "file:PATH",
  };
  if (assertion === undefined) {
    if (flags["apply"] === true)
      throw usage(
        "--apply needs to know the token that the app is to trust.",
        "Add --identity file:PATH or --identity managed-identity:CLIENT_ID, on the machine that collects.",
      );
    return { ...plan, federated: unknown };
  }
  try {
    return { ...plan, federated: { ...(await signInService.federatedCredential(assertion, plan.cloud)), assertion } };
  } catch (error) {
    if (!isFailure(error) || flags["apply"] === true) throw error;
    terminal.say(
      `${error.say} Run this command on the machine that collects, or fill in what stands in angle brackets.`,
    );
    return { ...plan, federated: unknown };
  }
}

/**
 * A reader without users needs only the page that ends a consent. Users end at this program. To the home app
 * nobody signs in or consents.
 */
function defaultRedirectUris(purpose: AppPurpose, auth: AuthKind): readonly string[] {
  if (purpose === "home") return [];
  if (purpose === "bridge") return [DEFAULT_REDIRECT_URI];
  return auth === "app" ? [CONSENT_PAGE] : [DEFAULT_REDIRECT_URI, CONNECTOR_REDIRECT_URI, CONSENT_PAGE];
}

function print(
  { terminal, signInService, commands }: OnboardingServices,
  plan: RegistrationPlan,
  flags: Flags,
): ExitCode {
  const { portalSteps: steps, manifest, script, federatedCredential } = signInService.registration(plan);
  const portalSteps = steps.map((step) => commands.inText(step));
  if (flags["json"] === true) {
    terminal.out(
      `${JSON.stringify({ portal_steps: portalSteps, manifest, script, federated_credential: federatedCredential })}\n`,
    );
    return EXIT.done;
  }
  const part = (title: string, body: string): void =>
    terminal.out(`${title}\n${"-".repeat(title.length)}\n${body}\n\n`);
  part("In the portal", portalSteps.join("\n"));
  part("As a manifest (Microsoft Graph, application)", JSON.stringify(manifest, undefined, 2));
  if (federatedCredential !== undefined)
    part(
      "As a federated credential (Microsoft Graph, POST /applications/{object ID}/federatedIdentityCredentials)",
      JSON.stringify(federatedCredential, undefined, 2),
    );
  part("With Microsoft's command line (az)", script.trimEnd());
  return EXIT.done;
}

/** `--governance-template`: the template alone on standard output. */
function template({ terminal, signInService }: OnboardingServices, plan: RegistrationPlan, flags: Flags): ExitCode {
  if (plan.auth !== "app" || flags["apply"] === true || textFlag(flags, "check") !== undefined)
    throw usage(
      "--governance-template prints the template of an app that reads without a user.",
      "Leave --auth, --apply and --check out.",
    );
  if (plan.cloud === "gcc-high" || plan.cloud === "dod")
    throw usage(`The permission IDs of ${plan.cloud} are not known here.`, "Write the template in the portal.");
  const needed = { clientId: "app-id", objectId: "object-id", groupId: "group" } as const;
  const missing = Object.values(needed).filter((flag) => textFlag(flags, flag) === undefined);
  if (missing.length > 0)
    throw usage(
      "The template names the app's two IDs and the group whose members read at customers.",
      `Give ${missing.map((flag) => `--${flag} ID`).join(" ")}. The portal shows both IDs of the app under Overview.`,
    );
  for (const flag of Object.values(needed))
    if (tenantIdFrom(textFlag(flags, flag) ?? "") === undefined)
      throw usage(`--${flag} is not a GUID.`, `Give --${flag} as the portal shows it.`);
  const [clientId = "", objectId = "", groupId = ""] = Object.values(needed).map((flag) => textFlag(flags, flag));
  terminal.out(
    `${JSON.stringify(signInService.governanceTemplate(plan, { clientId, objectId, groupId }), undefined, 2)}\n`,
  );
  terminal.say(
    "This template follows Microsoft's documentation and was not tried on real tenants. Try it with one customer first.",
  );
  terminal.say(
    "Send it to Microsoft Graph with the permission TenantGovernance-PolicyTemplate.ReadWrite.All: POST /v1.0/directory/tenantGovernance/governancePolicyTemplates. The customer needs Entra ID Governance.",
  );
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
  terminal.say(`Registered ${plan.name}: application (client) ID ${made.clientId}, object ID ${made.objectId}.`);
  await handOverSecret(services, plan, made, textFlag(flags, "secret-file"));
  if (plan.purpose === "home")
    terminal.say(
      `Then grant its permission in your own tenant: \`az ad app permission admin-consent --id ${made.clientId}\`.`,
    );
  return EXIT.done;
}

async function handOverSecret(
  services: OnboardingServices,
  plan: RegistrationPlan,
  made: RegistrationApplied,
  file: string | undefined,
): Promise<void> {
  const { terminal } = services;
  const set = `defender-mssp credential set ${plan.purpose === "home" ? HOME_CREDENTIAL : CREDENTIAL} --client-id ${made.clientId}`;
  const use = `Use it with \`defender-mssp partner consent --home contoso.onmicrosoft.com --bridge-client-id ${made.clientId} --credential ${CREDENTIAL} --all --dry-run\` and your own domain.`;
  if (made.secret && file !== undefined) {
    await services.writeSecretFile(file, sealed(`${made.secret.open((value) => value)}\n`), "utf8");
    const next =
      plan.purpose === "bridge"
        ? `${use} Delete the file afterwards.`
        : `Store it: \`${set} --client-secret-file ${JSON.stringify(file)}\`.`;
    terminal.say(`The client secret is in ${file} and valid until ${made.secretEnds?.slice(0, 10)}. ${next}`);
  } else if (made.secret) {
    const next =
      plan.purpose === "bridge"
        ? `It is valid until ${made.secretEnds?.slice(0, 10)}; do not store it. ${use}`
        : `Keep it safe, and store it: \`${set}\`. With --secret-file FILE it is written to a file instead.`;
    terminal.say(`The client secret is printed only once, on standard output. ${next}`);
    terminal.out(`${made.secret.open((value) => value)}\n`);
  } else if (plan.federated) {
    terminal.say(`Store the app: \`${set} --assertion ${JSON.stringify(plan.federated.assertion)}\`.`);
  } else {
    terminal.say(
      `Upload the public part of the certificate under Certificates & secrets. Then store the app: \`${set} --certificate ${CERTIFICATE_FILE}\`.`,
    );
  }
}
