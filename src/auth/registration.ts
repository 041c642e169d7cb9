import { CLOUDS } from "../model/cloud.ts";
import type { Permission } from "../model/permissions.ts";
import { permissionName, permissionsOf } from "../model/permissions.ts";
import type { Registration, RegistrationPlan } from "../model/sign-in.ts";
import { CERTIFICATE_FILE, CREDENTIAL } from "../model/sign-in.ts";
import { API_IDENTITIES } from "./api-identities.ts";

interface ResourceAccess {
  readonly resourceAppId: string;
  readonly resourceAccess: readonly { readonly id: string; readonly type: "Role" | "Scope" }[];
}

/** GCC High and DoD have their own permission ids, which are looked up by name. */
function idsAreKnown(plan: RegistrationPlan): boolean {
  return plan.cloud === "commercial" || plan.cloud === "gcc";
}

function permissionId(permission: Permission, plan: RegistrationPlan): string | undefined {
  if (!idsAreKnown(plan)) return undefined;
  return plan.auth === "app" ? permission.roleId : permission.scopeId;
}

/**
 * An unknown id is written as `<role name>`, so that a person who pastes the manifest sees what to fill in.
 */
export function requiredResourceAccess(plan: RegistrationPlan, idOf = permissionId): readonly ResourceAccess[] {
  const type = plan.auth === "app" ? "Role" : "Scope";
  const byApi = new Map<string, { id: string; type: "Role" | "Scope" }[]>();
  for (const permission of permissionsOf(plan.streams)) {
    const appId = API_IDENTITIES[permission.api].appId;
    const list = byApi.get(appId) ?? [];
    list.push({ id: idOf(permission, plan) ?? `<${permissionName(permission, plan.auth)}>`, type });
    byApi.set(appId, list);
  }
  return [...byApi].map(([resourceAppId, resourceAccess]) => ({ resourceAppId, resourceAccess }));
}

export function manifestOf(
  plan: RegistrationPlan,
  access: readonly ResourceAccess[] = requiredResourceAccess(plan),
): Record<string, unknown> {
  return {
    displayName: plan.name,
    signInAudience: "AzureADMultipleOrgs",
    isFallbackPublicClient: plan.deviceCode,
    web: {
      redirectUris: [...plan.redirectUris],
      implicitGrantSettings: { enableAccessTokenIssuance: false, enableIdTokenIssuance: false },
    },
    requiredResourceAccess: access,
  };
}

/**
 * The MSSP's multi-tenant app with exactly the permissions that the streams need. Sources: Microsoft Graph
 * docs, resource type application; Azure CLI docs, az ad app.
 */
export function registration(plan: RegistrationPlan): Registration {
  return { portalSteps: portalSteps(plan), manifest: manifestOf(plan), script: script(plan) };
}

function portalOf(plan: RegistrationPlan): string {
  return CLOUDS[plan.cloud].loginUrl.endsWith(".us") ? "https://entra.microsoft.us" : "https://entra.microsoft.com";
}

function portalSteps(plan: RegistrationPlan): readonly string[] {
  const kind = plan.auth === "app" ? "Application permissions" : "Delegated permissions";
  const permissions = permissionsOf(plan.streams).map((permission) => {
    const { portalName } = API_IDENTITIES[permission.api];
    const where = permission.api === "graph" ? "Microsoft Graph" : `APIs my organization uses > ${portalName}`;
    return `API permissions > Add a permission > ${where} > ${kind} > ${permissionName(permission, plan.auth)}.`;
  });
  const steps = [
    `Sign in to ${portalOf(plan)} with an account of your own (the MSSP's) tenant. Open App registrations > New registration.`,
    `Name: ${plan.name}. Supported account types: Multiple Entra ID tenants (any organizational directory). Redirect URI: type Web, ${plan.redirectUris[0]}. Register.`,
    ...plan.redirectUris
      .slice(1)
      .map(
        (uri) =>
          `Authentication > Web > Add URI: ${uri}. Do not use type SPA: its refresh tokens expire after 24 hours.`,
      ),
    ...permissions,
    "API permissions: remove User.Read if it is listed. No other permission is needed.",
    ...(plan.deviceCode
      ? ["Authentication > Advanced settings > Allow public client flows: Yes (for token acquire --device-code)."]
      : []),
    plan.proof === "secret"
      ? "Certificates & secrets > New client secret. Copy its value (not its ID) now: the portal shows it only once."
      : "Certificates & secrets > Certificates > Upload certificate: the public part (.cer or .pem) of an RSA certificate of at least 2048 bits.",
    "Overview: copy the Application (client) ID.",
    plan.proof === "secret"
      ? `Store both once for all customers: run \`defender-mssp credential set ${CREDENTIAL}\`. It asks for the ID and the client secret.`
      : `Store both once for all customers: run \`defender-mssp credential set ${CREDENTIAL} --certificate ${CERTIFICATE_FILE}\`. It asks for the ID.`,
    `For each customer, send the link that \`defender-mssp consent-url --tenant-id contoso.onmicrosoft.com --credential ${CREDENTIAL}\` prints, with the customer's own domain.`,
  ];
  return steps.map((step, n) => `${n + 1}. ${step}`);
}

/** Text for a POSIX shell in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function script(plan: RegistrationPlan): string {
  const cloud = {
    commercial: "AzureCloud",
    gcc: "AzureCloud",
    "gcc-high": "AzureUSGovernment",
    dod: "AzureUSGovernment",
  }[plan.cloud];
  const list = plan.auth === "app" ? "appRoles" : "oauth2PermissionScopes";
  const kind = plan.auth === "app" ? "Role" : "Scope";
  const permissions = permissionsOf(plan.streams).map((permission) => {
    const name = permissionName(permission, plan.auth);
    return [
      `id=$(az ad sp show --id ${API_IDENTITIES[permission.api].appId} --query "${list}[?value=='${name}'].id | [0]" --output tsv)`,
      `az ad app permission add --id "$app" --api ${API_IDENTITIES[permission.api].appId} --api-permissions "$id=${kind}"   # ${name}`,
    ].join("\n");
  });
  return [
    "#!/bin/sh",
    "# Registers the MSSP's app with Microsoft's own command line. Permission ids are looked up by name, because they differ between clouds.",
    "set -eu",
    `az cloud set --name ${cloud}`,
    "az login --allow-no-subscriptions >/dev/null",
    `app=$(az ad app create --display-name ${quoted(plan.name)} --sign-in-audience AzureADMultipleOrgs \\`,
    `  --web-redirect-uris ${plan.redirectUris.map(quoted).join(" ")} --is-fallback-public-client ${plan.deviceCode} --query appId --output tsv)`,
    ...permissions,
    'az ad sp create --id "$app" >/dev/null',
    plan.proof === "secret"
      ? 'az ad app credential reset --id "$app" --append --display-name defender-mssp --years 1 --query password --output tsv   # the client secret, shown once'
      : 'az ad app credential reset --id "$app" --append --cert @certificate.pem >/dev/null   # the public part',
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
  if (found["signInAudience"] !== "AzureADMultipleOrgs") {
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
  for (const permission of permissionsOf(plan.streams)) {
    const { appId, portalName } = API_IDENTITIES[permission.api];
    const name = permissionName(permission, plan.auth);
    const id = permissionId(permission, plan);
    const kind = plan.auth === "app" ? "role" : "scope";
    if (id === undefined) {
      // Without an id to compare, the API at least must be listed.
      for (const key of listed) if (key.startsWith(`${appId}/`)) wanted.add(key);
      if (![...listed].some((key) => key.startsWith(`${appId}/`)))
        problems.push(`Permission ${name} of ${portalName} is missing.`);
      continue;
    }
    const key = `${appId}/${id}/${kind}`;
    wanted.add(key);
    if (listed.has(key)) continue;
    const otherId = plan.auth === "app" ? permission.scopeId : permission.roleId;
    const other = `${appId}/${otherId}/${plan.auth === "app" ? "scope" : "role"}`;
    problems.push(
      listed.has(other)
        ? `Permission ${name} of ${portalName} is listed as ${plan.auth === "app" ? "delegated" : "application"} permission, but \`auth = ${plan.auth}\` needs the ${plan.auth === "app" ? "application" : "delegated"} permission.`
        : `Permission ${name} of ${portalName} is missing.`,
    );
  }
  const extra = [...listed].filter((key) => !wanted.has(key));
  if (extra.length > 0)
    problems.push(
      `${extra.length} permission${extra.length === 1 ? " is" : "s are"} listed that the streams do not need: ${extra.map((key) => key.split("/").slice(0, 2).join(" / ")).join(", ")}.`,
    );
  return problems;
}
