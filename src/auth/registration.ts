import { CLOUDS } from "../model/cloud.ts";
import type { AppPurpose, Registration, RegistrationPlan } from "../model/sign-in.ts";
import { CERTIFICATE_FILE, CREDENTIAL, HOME_CREDENTIAL } from "../model/sign-in.ts";
import { API_IDENTITIES } from "./api-identities.ts";
import type { AppPermission } from "./app-permissions.ts";
import { appPermissions } from "./app-permissions.ts";

interface ResourceAccess {
  readonly resourceAppId: string;
  readonly resourceAccess: readonly { readonly id: string; readonly type: "Role" | "Scope" }[];
}

/** How long a client secret that this program makes is valid. The bridge needs it for one run. */
export const SECRET_DAYS: Readonly<Record<AppPurpose, number>> = { reader: 365, home: 365, bridge: 7 };

/**
 * An unknown id is written as `<permission name>`, so that a person who pastes the manifest sees what to fill
 * in.
 */
export function requiredResourceAccess(
  plan: RegistrationPlan,
  idOf: (permission: AppPermission) => string | undefined = ({ id }) => id,
): readonly ResourceAccess[] {
  const byApi = Map.groupBy(appPermissions(plan), ({ api }) => api.appId);
  return [...byApi].map(([resourceAppId, permissions]) => ({
    resourceAppId,
    resourceAccess: permissions.map((permission) => ({
      id: idOf(permission) ?? `<${permission.name}>`,
      type: permission.type,
    })),
  }));
}

export function manifestOf(
  plan: RegistrationPlan,
  access: readonly ResourceAccess[] = requiredResourceAccess(plan),
): Record<string, unknown> {
  return {
    displayName: plan.name,
    signInAudience: audienceOf(plan),
    isFallbackPublicClient: plan.deviceCode,
    web: {
      redirectUris: [...plan.redirectUris],
      implicitGrantSettings: { enableAccessTokenIssuance: false, enableIdTokenIssuance: false },
    },
    requiredResourceAccess: access,
  };
}

/** The home app works in the MSSP's own tenant only, so that no customer can be asked for its permission. */
function audienceOf({ purpose }: RegistrationPlan): "AzureADMyOrg" | "AzureADMultipleOrgs" {
  return purpose === "home" ? "AzureADMyOrg" : "AzureADMultipleOrgs";
}

/**
 * The MSSP's app with exactly the permissions that its purpose needs. Sources: Microsoft Graph docs, resource
 * type application; Azure CLI docs, az ad app.
 */
export function registration(plan: RegistrationPlan): Registration {
  const federated = federatedCredentialOf(plan);
  return {
    portalSteps: portalSteps(plan),
    manifest: manifestOf(plan),
    script: script(plan),
    ...(federated === undefined ? {} : { federatedCredential: federated }),
  };
}

/**
 * For an app without a secret. Source: Microsoft Graph docs, "Create federatedIdentityCredential" of an
 * application.
 */
export function federatedCredentialOf({ federated }: RegistrationPlan): Record<string, unknown> | undefined {
  return (
    federated && {
      name: "defender-mssp",
      issuer: federated.issuer,
      subject: federated.subject,
      audiences: [federated.audience],
    }
  );
}

interface Proof {
  readonly portal: string;
  /** @param credential the name under which the app is stored */
  readonly store: (credential: string) => string;
  readonly script: string;
}

/** The steps, line of the script and command that depend on how the app proves who it is. */
function proofOf(plan: RegistrationPlan): Proof {
  const { proof, purpose, federated } = plan;
  if (proof === "secret")
    return {
      portal:
        "Certificates & secrets > New client secret. Copy its value (not its ID) now: the portal shows it only once.",
      store: (credential) =>
        `Store both: run \`defender-mssp credential set ${credential}\`. It asks for the ID and the client secret.`,
      script: `az ad app credential reset --id "$app" --append --display-name defender-mssp ${purpose === "bridge" ? '--end-date "$ends"' : "--years 1"} --query password --output tsv   # the client secret, shown once`,
    };
  if (federated === undefined)
    return {
      portal:
        "Certificates & secrets > Certificates > Upload certificate: the public part (.cer or .pem) of an RSA certificate of at least 2048 bits.",
      store: (credential) =>
        `Store both: run \`defender-mssp credential set ${credential} --certificate ${CERTIFICATE_FILE}\`. It asks for the ID.`,
      script: 'az ad app credential reset --id "$app" --append --cert @certificate.pem >/dev/null   # the public part',
    };
  return {
    portal: `Certificates & secrets > Federated credentials > Add credential > Other issuer. Issuer: ${federated.issuer}, Subject: ${federated.subject}, Audience: ${federated.audience}. Name: defender-mssp. Letter case counts.`,
    store: (credential) =>
      `Store both on the machine that collects: run \`defender-mssp credential set ${credential} --assertion ${JSON.stringify(federated.assertion)}\`. It asks for the ID.`,
    script: `az ad app federated-credential create --id "$app" --parameters ${quoted(JSON.stringify(federatedCredentialOf(plan)))} >/dev/null`,
  };
}

function portalOf(plan: RegistrationPlan): string {
  return CLOUDS[plan.cloud].loginUrl.endsWith(".us") ? "https://entra.microsoft.us" : "https://entra.microsoft.com";
}

function portalSteps(plan: RegistrationPlan): readonly string[] {
  const permissions = appPermissions(plan).map(({ api, name, type }) => {
    const where =
      api.appId === API_IDENTITIES.graph.appId ? "Microsoft Graph" : `APIs my organization uses > ${api.portalName}`;
    const kind = type === "Role" ? "Application permissions" : "Delegated permissions";
    return `API permissions > Add a permission > ${where} > ${kind} > ${name}.`;
  });
  const types =
    plan.purpose === "home"
      ? "Single tenant (accounts of this organizational directory only)"
      : "Multiple Entra ID tenants (any organizational directory)";
  const [redirect, ...others] = plan.redirectUris;
  const steps = [
    `Sign in to ${portalOf(plan)} with an account of your own (the MSSP's) tenant. Open App registrations > New registration.`,
    `Name: ${plan.name}. Supported account types: ${types}. Redirect URI: ${redirect === undefined ? "none" : `type Web, ${redirect}`}. Register.`,
    ...others.map(
      (uri) => `Authentication > Web > Add URI: ${uri}. Do not use type SPA: its refresh tokens expire after 24 hours.`,
    ),
    ...permissions,
    "API permissions: remove User.Read if it is listed. No other permission is needed.",
    ...(plan.deviceCode
      ? ["Authentication > Advanced settings > Allow public client flows: Yes (for token acquire --device-code)."]
      : []),
    ...LAST_STEPS[plan.purpose](plan),
  ];
  return steps.map((step, n) => `${n + 1}. ${step}`);
}

const OVERVIEW = "Overview: copy the Application (client) ID.";

/** What is done with the app once its permissions are listed. */
const LAST_STEPS: Readonly<Record<AppPurpose, (plan: RegistrationPlan) => readonly string[]>> = {
  reader: (plan) => [
    proofOf(plan).portal,
    OVERVIEW,
    proofOf(plan).store(CREDENTIAL).replace("Store both", "Store both once for all customers"),
    `For each customer, send the link that \`defender-mssp consent-url --tenant-id contoso.onmicrosoft.com --credential ${CREDENTIAL}\` prints, with the customer's own domain.`,
  ],
  home: (plan) => [
    "API permissions > Grant admin consent for your own tenant. A Privileged Role Administrator or Global Administrator can do this.",
    proofOf(plan).portal,
    OVERVIEW,
    proofOf(plan).store(HOME_CREDENTIAL),
  ],
  bridge: () => [
    "API permissions: do not grant admin consent for your own tenant. The bridge gets these permissions at each customer, and only while `partner consent` runs.",
    `Certificates & secrets > New client secret, valid for as short as possible (${SECRET_DAYS.bridge} days are enough). Copy its value (not its ID) now: the portal shows it only once. Do not store it on the collector.`,
    OVERVIEW,
    `Run \`defender-mssp partner consent --home contoso.onmicrosoft.com --bridge-client-id ID --credential ${CREDENTIAL} --all --dry-run\` with your own domain and the bridge's ID, then without --dry-run. It asks for the client secret.`,
    "Afterwards delete the client secret, or the whole app: it is needed again only for new customers.",
  ],
};

/** Text for a POSIX shell in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** GNU's date, else that of BSD and macOS. */
const bridgeSecretEnds = `ends=$(date -u -d '${SECRET_DAYS.bridge} days' +%Y-%m-%d 2>/dev/null || date -u -v+${SECRET_DAYS.bridge}d +%Y-%m-%d)`;

function script(plan: RegistrationPlan): string {
  const cloud = {
    commercial: "AzureCloud",
    gcc: "AzureCloud",
    "gcc-high": "AzureUSGovernment",
    dod: "AzureUSGovernment",
  }[plan.cloud];
  const permissions = appPermissions(plan).map(({ api, name, type }) => {
    const list = type === "Role" ? "appRoles" : "oauth2PermissionScopes";
    return [
      `id=$(az ad sp show --id ${api.appId} --query "${list}[?value=='${name}'].id | [0]" --output tsv)`,
      `az ad app permission add --id "$app" --api ${api.appId} --api-permissions "$id=${type}"   # ${name}`,
    ].join("\n");
  });
  const redirects =
    plan.redirectUris.length === 0 ? "" : `--web-redirect-uris ${plan.redirectUris.map(quoted).join(" ")} `;
  return [
    "#!/bin/sh",
    "# Registers the app with Microsoft's own command line. Permission ids are looked up by name, because they differ between clouds.",
    "set -eu",
    `az cloud set --name ${cloud}`,
    "az login --allow-no-subscriptions >/dev/null",
    `app=$(az ad app create --display-name ${quoted(plan.name)} --sign-in-audience ${audienceOf(plan)} \\`,
    `  ${redirects}--is-fallback-public-client ${plan.deviceCode} --query appId --output tsv)`,
    ...permissions,
    'az ad sp create --id "$app" >/dev/null',
    ...(plan.purpose === "home"
      ? [
          "sleep 30   # a new app is not known everywhere at once",
          'az ad app permission admin-consent --id "$app"   # in your own tenant',
        ]
      : []),
    ...(plan.purpose === "bridge" ? [bridgeSecretEnds] : []),
    proofOf(plan).script,
    'echo "Application (client) ID: $app"',
    "",
  ].join("\n");
}

type Json = Readonly<Record<string, unknown>>;

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

/**
 * Compares an exported manifest, in today's form (Microsoft Graph) or the older one (`replyUrlsWithType`,
 * `allowPublicClient`), with what is needed. Reports missing and unneeded permissions: customers should not
 * have to grant a permission that nothing uses.
 */
export function checkManifest(manifest: unknown, plan: RegistrationPlan): readonly string[] {
  const found = object(manifest);
  const problems: string[] = [];
  if (Object.keys(found).length === 0) return ["The file is not an application manifest (a JSON object)."];
  if (plan.purpose === "home" && found["signInAudience"] !== "AzureADMyOrg") {
    problems.push(
      'Supported account types: the home app needs "Single tenant". Otherwise a customer can be asked for its permission.',
    );
  } else if (plan.purpose !== "home" && found["signInAudience"] !== "AzureADMultipleOrgs") {
    problems.push(
      `Supported account types: the app is ${found["signInAudience"] === "AzureADMyOrg" ? "single-tenant" : `"${String(found["signInAudience"])}"`}, so no customer can consent to it. Choose "Multiple Entra ID tenants".`,
    );
  }
  problems.push(...redirectProblems(found, plan), ...permissionProblems(found, plan));
  const publicClient = found["isFallbackPublicClient"] === true || found["allowPublicClient"] === true;
  if (plan.deviceCode && !publicClient)
    problems.push('"Allow public client flows" is off. The device code flow needs it.');
  return problems;
}

function redirectProblems(found: Json, plan: RegistrationPlan): readonly string[] {
  const old = Array.isArray(found["replyUrlsWithType"]) ? found["replyUrlsWithType"].map(object) : [];
  const web = [
    ...texts(object(found["web"])["redirectUris"]),
    ...old.filter((row) => row["type"] === "Web").map((row) => String(row["url"])),
  ];
  const spa = [
    ...texts(object(found["spa"])["redirectUris"]),
    ...old.filter((row) => row["type"] === "Spa").map((row) => String(row["url"])),
  ];
  return plan.redirectUris.flatMap((uri) => {
    if (web.includes(uri)) return [];
    if (spa.includes(uri))
      return [
        `Redirect URI ${uri} is of type SPA, whose refresh tokens expire after 24 hours. Register it as type Web.`,
      ];
    return [`Redirect URI ${uri} is not registered as type Web.`];
  });
}

function permissionProblems(found: Json, plan: RegistrationPlan): readonly string[] {
  const listed = new Set<string>();
  for (const resource of Array.isArray(found["requiredResourceAccess"])
    ? found["requiredResourceAccess"].map(object)
    : []) {
    for (const access of Array.isArray(resource["resourceAccess"]) ? resource["resourceAccess"].map(object) : []) {
      listed.add(
        `${String(resource["resourceAppId"])}/${String(access["id"])}/${String(access["type"])}`.toLowerCase(),
      );
    }
  }
  const problems: string[] = [];
  const wanted = new Set<string>();
  for (const { api, name, type, id, idOfOtherType } of appPermissions(plan)) {
    const { appId, portalName } = api;
    if (id === undefined) {
      // Without an id to compare, the API at least must be listed.
      for (const key of listed) if (key.startsWith(`${appId}/`)) wanted.add(key);
      if (![...listed].some((key) => key.startsWith(`${appId}/`)))
        problems.push(`Permission ${name} of ${portalName} is missing.`);
      continue;
    }
    const key = `${appId}/${id}/${type.toLowerCase()}`;
    wanted.add(key);
    if (listed.has(key)) continue;
    const other = `${appId}/${idOfOtherType}/${type === "Role" ? "scope" : "role"}`;
    const needs = plan.purpose === "reader" ? `\`auth = ${plan.auth}\` needs` : "this app needs";
    problems.push(
      listed.has(other)
        ? `Permission ${name} of ${portalName} is listed as ${type === "Role" ? "delegated" : "application"} permission, but ${needs} the ${type === "Role" ? "application" : "delegated"} permission.`
        : `Permission ${name} of ${portalName} is missing.`,
    );
  }
  const extra = [...listed].filter((key) => !wanted.has(key));
  if (extra.length > 0)
    problems.push(
      `${extra.length} permission${extra.length === 1 ? " is" : "s are"} listed that ${plan.purpose === "reader" ? "the streams do" : "this app does"} not need: ${extra.map((key) => key.split("/").slice(0, 2).join(" / ")).join(", ")}.`,
    );
  return problems;
}
