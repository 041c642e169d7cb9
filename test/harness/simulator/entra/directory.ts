import { sendJson } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { clientSecret, guid } from "../identity.ts";
import type { Secret } from "./apps.ts";
import { API_APP_IDS, PERMISSIONS, permissionId } from "./resources.ts";

/** An app that was registered through Graph while the simulator ran. */
export interface RegisteredApp {
  readonly clientId: string;
  readonly objectId: string;
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly secrets: Secret[];
  /** Names of the permissions that its registration asks for: what consent grants. */
  readonly permissions: ReadonlySet<string>;
}

export interface Directory {
  find(clientId: string): RegisteredApp | undefined;
  /**
   * Answers `/applications` (Microsoft Graph docs, application resource); false for other paths.
   */
  answer(exchange: Exchange, path: string): Promise<boolean>;
}

export function makeDirectory(): Directory {
  const apps = new Map<string, RegisteredApp>();

  function register(manifest: Record<string, unknown>): RegisteredApp {
    const name = `registered ${apps.size}`;
    const app = {
      clientId: guid("client", name),
      objectId: guid("object", name),
      manifest,
      secrets: [],
      permissions: new Set(askedFor(manifest)),
    };
    apps.set(app.clientId, app);
    return app;
  }

  async function post(exchange: Exchange, what: string): Promise<boolean> {
    const body = bodyOf(await exchange.body());
    if (what === "applications") {
      sendJson(exchange, 201, described(register(body)));
      return true;
    }
    const objectId = /^applications\/([^/]+)\/addPassword$/.exec(what)?.[1];
    const app = [...apps.values()].find((one) => one.objectId === objectId);
    if (app === undefined) return false;
    const value = clientSecret(app.objectId, app.secrets.length);
    app.secrets.push({ value, state: "valid" });
    const wanted = (body["passwordCredential"] ?? {}) as Record<string, unknown>;
    sendJson(exchange, 200, { ...wanted, keyId: guid("key", value), secretText: value, hint: value.slice(0, 3) });
    return true;
  }

  return {
    find: (clientId) => apps.get(clientId),
    async answer(exchange, path) {
      const what = path.replace(/^\/v1\.0\//, "");
      if (exchange.request.method === "POST") return post(exchange, what);
      if (what !== "applications") return false;
      sendJson(exchange, 200, { value: [...apps.values()].map(described) });
      return true;
    },
  };
}

const described = ({ objectId, clientId, manifest }: RegisteredApp): object => ({
  id: objectId,
  appId: clientId,
  ...manifest,
});

interface Access {
  readonly resourceAppId?: string;
  readonly resourceAccess?: readonly { readonly id?: string }[];
}

/** The names behind a manifest's `requiredResourceAccess`. */
function* askedFor(manifest: Record<string, unknown>): Generator<string> {
  for (const { resourceAppId = "", resourceAccess = [] } of (manifest["requiredResourceAccess"] ??
    []) as readonly Access[]) {
    const api = API_APP_IDS[resourceAppId];
    if (api === undefined) continue;
    const ids = new Set(resourceAccess.map(({ id }) => id));
    for (const name of PERMISSIONS[api].roles) if (ids.has(permissionId(api, "role", name))) yield name;
    for (const name of PERMISSIONS[api].scopes) if (ids.has(permissionId(api, "scope", name))) yield name;
  }
}

export function bodyOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
