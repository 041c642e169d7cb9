import { Failure } from "../model/failure.ts";
import type { Clock, Http } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { RegistrationApplied, RegistrationPlan } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { appPermissions } from "./app-permissions.ts";
import type { Json } from "./json-request.ts";
import { isSuccess, requestJson, unusableAnswer } from "./json-request.ts";
import { federatedCredentialOf, manifestOf, requiredResourceAccess, SECRET_DAYS } from "./registration.ts";

/**
 * Registers the app through Microsoft Graph: looks permission ids up by name, creates the application and its
 * service principal, and adds a client secret or a federated credential if requested. Needs a token with
 * Application.ReadWrite.All. Source: Microsoft Graph docs, "Create application", "application: addPassword",
 * "Create federatedIdentityCredential", "List servicePrincipals".
 */
export async function applyRegistration(
  world: { readonly http: Http; readonly clock: Clock },
  plan: RegistrationPlan,
  graphToken: Sealed,
  where: Pick<Stanza, "endpoints" | "route">,
): Promise<RegistrationApplied> {
  const ask = async (method: "GET" | "POST", path: string, body?: unknown): Promise<Json> => {
    const reply = await requestJson(world, {
      method,
      url: `${where.endpoints.graphUrl}/v1.0${path}`,
      addressSetting: "graph_url",
      token: graphToken,
      body,
      route: where.route,
    });
    if (!isSuccess(reply)) throw graphRefusal(reply.status, path);
    if (reply.body === undefined) throw unusableAnswer("Microsoft Graph");
    return reply.body;
  };

  const ids = new Map<string, string>();
  for (const appId of new Set(appPermissions(plan).map(({ api }) => api.appId))) {
    const principal = await ask("GET", `/servicePrincipals(appId='${appId}')?$select=appRoles,oauth2PermissionScopes`);
    for (const [type, list] of [
      ["Role", principal["appRoles"]],
      ["Scope", principal["oauth2PermissionScopes"]],
    ] as const)
      for (const row of Array.isArray(list) ? (list as Json[]) : [])
        ids.set(`${appId}/${type}/${String(row["value"])}`, String(row["id"]));
  }
  const access = requiredResourceAccess(plan, ({ api, name, type, id }) => {
    const found = ids.get(`${api.appId}/${type}/${name}`);
    if (found === undefined)
      throw new Failure("permission-unknown", {
        actor: "operator",
        retry: { when: "never" },
        say: `${api.portalName} in your tenant offers no permission ${name}.`,
        nextStep: MISSING_API[plan.purpose],
      });
    // A power over customers' tenants must be the one that this program knows, whatever answers in its place.
    if (plan.purpose === "bridge" && id !== undefined && found.toLowerCase() !== id)
      throw new Failure("permission-differs", {
        actor: "operator",
        retry: { when: "never" },
        say: `${api.portalName} in your tenant offers ${name} under another id than Microsoft publishes.`,
        nextStep: "Check `graph_url`, and check that no proxy answers instead of Microsoft.",
      });
    return found;
  });
  const application = await ask("POST", "/applications", manifestOf(plan, access));
  const objectId = String(application["id"]);
  const clientId = String(application["appId"]);
  await ask("POST", "/servicePrincipals", { appId: clientId });
  const federated = federatedCredentialOf(plan);
  if (federated !== undefined) await ask("POST", `/applications/${objectId}/federatedIdentityCredentials`, federated);
  if (plan.proof !== "secret") return { clientId, objectId, secret: undefined, secretEnds: undefined };
  const secretEnds = new Date(world.clock.nowMs() + SECRET_DAYS[plan.purpose] * 86_400_000).toISOString();
  const password = await ask("POST", `/applications/${objectId}/addPassword`, {
    passwordCredential: { displayName: "defender-mssp", endDateTime: secretEnds },
  });
  const text = password["secretText"];
  return { clientId, objectId, secret: typeof text === "string" ? sealed(text) : undefined, secretEnds };
}

const MISSING_API: Readonly<Record<RegistrationPlan["purpose"], string>> = {
  reader: "Check `--cloud`, and check that your own tenant has a Defender licence.",
  home: "Check `--cloud`. Tenant Governance is not in every cloud.",
  bridge: "Check `--cloud`, and check that your own tenant is a partner tenant (Partner Center).",
};

function graphRefusal(status: number, path: string): Failure {
  const what = path.split("?")[0]!.split("(")[0]!;
  if (status === 401)
    return new Failure("graph-token-refused", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      status,
      say: "Microsoft Graph rejected the token given on standard input.",
      nextStep:
        "Get a new token: `az account get-access-token --resource-type ms-graph --query accessToken --output tsv`.",
    });
  if (status === 403)
    return new Failure("graph-forbidden", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      status,
      say: "The token given on standard input has no permission to register applications.",
      nextStep: "Get a token for a user with the role Application Administrator.",
    });
  return new Failure("graph-refused", {
    actor: status >= 500 || status === 429 ? "microsoft" : "us",
    retry: { when: "later" },
    status,
    say: `Microsoft Graph refused ${what} with status ${status}.`,
    nextStep: "Run the command again, or follow the portal steps that `defender-mssp register` prints.",
  });
}
