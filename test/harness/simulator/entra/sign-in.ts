import { createHash } from "node:crypto";
import { sendJson } from "../answers.ts";
import { hostOf } from "../clouds.ts";
import type { Exchange } from "../exchange.ts";
import { struckFault } from "../fault-answer.ts";
import { readRefreshToken } from "../identity.ts";
import { noteRequest } from "../provider/journal.ts";
import { foreignSignInProblem, isBridge, providerApp } from "../provider/provider.ts";
import type { Customer, World } from "../world.ts";
import { secretProblem } from "./apps.ts";
import { assertionProblem } from "./assertion.ts";
import { sendEntraError } from "./errors.ts";
import { federationProblem, isPlatformToken } from "./federation.ts";
import { type SignedIn, sendToken, type Target } from "./issue.ts";
import { answerAuthorize, answerConsent, answerDiscovery, answerInstance, type Code } from "./pages.ts";
import { appProblem, type ClientForm, type Form, isShared, type Refusal, readClientForm } from "./requests.ts";
import { apiOf, resourcesOfScope } from "./resources.ts";
import type { TokenShop } from "./tokens.ts";

/** Entra: everything under `login_url`. Returns false for a path that is not Entra's. */
export interface Entra {
  answer(exchange: Exchange, path: string): Promise<boolean>;
}

interface DeviceCode {
  readonly customer: Customer;
  readonly clientId: string;
  readonly scope: string;
  readonly expiresMs: number;
  polls: number;
}

const CODE_LIFETIME_MS = 10 * 60_000;
const DEVICE_CODE_LIFETIME_S = 900;
const IDLE_DAYS = 90;
const DAY_MS = 86_400_000;
/** RFC 8628's name and the short one that MSAL sends. */
const DEVICE_GRANTS = ["urn:ietf:params:oauth:grant-type:device_code", "device_code"];
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export function makeEntra(world: World, tokens: TokenShop, deviceCodeIntervalS = 5): Entra {
  const codes = new Map<string, Code>();
  const deviceCodes = new Map<string, DeviceCode>();

  type Route = (exchange: Exchange, tenant: string, customer: Customer | undefined) => Promise<void> | void;
  const ROUTES: Readonly<Record<string, Route>> = {
    "v2.0/.well-known/openid-configuration": (exchange, tenant, customer) =>
      answerDiscovery(exchange, tenant, customer, true),
    ".well-known/openid-configuration": (exchange, tenant, customer) =>
      answerDiscovery(exchange, tenant, customer, false),
    "discovery/instance": (exchange) => answerInstance(exchange),
    "discovery/v2.0/keys": (exchange) => sendJson(exchange, 200, { keys: tokens.keys() }),
    "discovery/keys": (exchange) => sendJson(exchange, 200, { keys: tokens.keys() }),
    "oauth2/v2.0/authorize": (exchange, tenant, customer) => answerAuthorize(exchange, tenant, customer, world, codes),
    "oauth2/authorize": (exchange, tenant, customer) => answerAuthorize(exchange, tenant, customer, world, codes),
    "v2.0/adminconsent": (exchange, tenant, customer) => answerConsent(exchange, tenant, customer, true, world),
    adminconsent: (exchange, tenant, customer) => answerConsent(exchange, tenant, customer, false, world),
    "oauth2/v2.0/devicecode": (exchange, tenant, customer) => deviceCode(exchange, tenant, customer),
    "oauth2/devicecode": (exchange, tenant, customer) => deviceCode(exchange, tenant, customer),
    "oauth2/v2.0/token": (exchange, tenant, customer) => token(exchange, tenant, customer, true),
    "oauth2/token": (exchange, tenant, customer) => token(exchange, tenant, customer, false),
  };

  async function answer(exchange: Exchange, path: string): Promise<boolean> {
    const match = /^\/([^/]+)\/(.+)$/.exec(path);
    const [, tenant = "", rest = ""] = match ?? [];
    const route = Object.hasOwn(ROUTES, rest) ? ROUTES[rest] : undefined;
    if (route === undefined) return false;
    const customer = world.customerAt(decodeURIComponent(tenant));
    const host = hostOf(exchange.request.headers.host);
    if (customer !== undefined && host !== undefined && !host.clouds.includes(customer.cloud))
      sendEntraError(exchange, 90038, { tenant });
    else if (!struck(exchange, rest, customer)) await route(exchange, tenant, customer);
    return true;
  }

  /** Lets a fault strike; true when it answered. */
  function struck(exchange: Exchange, rest: string, customer: Customer | undefined): boolean {
    const target = rest.endsWith("/token") ? "token" : rest.endsWith("authorize") ? "authorize" : "discovery";
    const fault = struckFault(exchange, world, target, customer?.identity.name ?? "");
    if (fault === undefined) return false;
    if (fault.aadsts !== undefined) {
      const values = {
        tenant: customer?.identity.tenantId ?? "",
        client: customer?.identity.clientId ?? "",
        user: customer?.identity.userName ?? "",
        resource: "https://graph.microsoft.com",
        issued: textOf(world.startMs),
        now: textOf(exchange.nowMs),
      };
      sendEntraError(exchange, fault.aadsts, values, fault.retry_after_seconds);
    } else if (fault.status !== undefined) {
      sendJson(
        exchange,
        fault.status,
        {
          error:
            fault.code ?? (fault.status === 429 || fault.status >= 500 ? "temporarily_unavailable" : "invalid_request"),
          error_description: fault.message ?? "The service is temporarily unavailable. Please retry later.",
        },
        fault.headers,
      );
    } else return false;
    if (customer !== undefined) customer.counters.tokenErrors += 1;
    return true;
  }

  async function deviceCode(exchange: Exchange, tenant: string, at: Customer | undefined): Promise<void> {
    const { form, clientId } = await readClientForm(exchange);
    const customer =
      at ??
      (isShared(tenant)
        ? [...world.customers.values()].find(({ identity }) => identity.clientId === clientId)
        : undefined);
    if (customer === undefined) return sendEntraError(exchange, 90002, { tenant });
    const problem = appProblem(world, customer, clientId ?? "");
    if (problem !== undefined) return sendEntraError(exchange, problem, { tenant, client: clientId ?? "" });
    const code = createHash("sha512").update(`device ${deviceCodes.size} ${clientId}`).digest("base64url");
    const userCode = createHash("sha256").update(code).digest("hex").slice(0, 9).toUpperCase();
    deviceCodes.set(code, {
      customer,
      clientId: clientId ?? "",
      scope: form("scope") ?? "",
      expiresMs: exchange.nowMs + DEVICE_CODE_LIFETIME_S * 1000,
      polls: 0,
    });
    const page = `${exchange.origin}/common/oauth2/deviceauth`;
    sendJson(exchange, 200, {
      user_code: userCode,
      device_code: code,
      verification_uri: page,
      expires_in: DEVICE_CODE_LIFETIME_S,
      interval: deviceCodeIntervalS,
      message: `To sign in, use a web browser to open the page ${page} and enter the code ${userCode} to authenticate.`,
    });
  }

  async function token(exchange: Exchange, tenant: string, at: Customer | undefined, v2: boolean): Promise<void> {
    const client = await readClientForm(exchange);
    const { form, clientId } = client;
    const grantType = form("grant_type") ?? "";
    const values = {
      tenant,
      client: clientId ?? "",
      resource: form("resource") ?? "",
      scope: form("scope") ?? "",
      grant: grantType,
      redirect: form("redirect_uri") ?? "",
    };
    const held = readRefreshToken(form("refresh_token") ?? "");
    const code = codes.get(form("code") ?? "");
    const device = deviceCodes.get(form("device_code") ?? form("code") ?? "");
    const customer =
      at ??
      (isShared(tenant) ? (code?.customer ?? device?.customer ?? world.customers.get(held?.name ?? "")) : undefined);
    const refuse = ({ number, values: more }: Refusal): void => {
      if (customer !== undefined) customer.counters.tokenErrors += 1;
      sendEntraError(exchange, number, {
        ...values,
        user: customer?.identity.userName ?? "",
        issued: textOf(world.startMs),
        now: textOf(exchange.nowMs),
        ...more,
      });
    };
    if (exchange.request.method !== "POST" || grantType === "")
      return refuse({ number: 900144, values: { field: "grant_type" } });
    if (clientId === undefined) return refuse({ number: 900144, values: { field: "client_id" } });
    if (customer === undefined) return refuse({ number: 90002 });
    customer.counters.tokenRequests += 1;
    noteRequest(exchange, world, clientId, customer);
    const target = targetOf(form, v2, customer, grantType === "authorization_code" ? code?.scope : device?.scope);
    if ("number" in target) return refuse(target);
    const { provider } = world;
    if (target.api === "partner" && provider === undefined)
      return refuse({ number: 500011, values: { resource: target.resource } });
    const home = held?.name === provider?.home.identity.name ? provider?.home : undefined;
    // The provider's user redeems one refresh token in every customer's tenant.
    const isForeign = home !== undefined && home !== customer && isBridge(world, clientId);
    const isPublic = DEVICE_GRANTS.includes(grantType) || (grantType === "refresh_token" && held?.isPublic === true);
    const wrong = clientProblem({ world, tokens }, exchange, customer, clientId, client, isPublic, isForeign);
    if (wrong !== undefined) return refuse(wrong);

    const send = (user: SignedIn | undefined): void =>
      sendToken(
        exchange,
        { v2, customer, clientId, target, user, byCertificate: form("client_assertion") !== undefined },
        { world, tokens },
      );
    if (grantType === "client_credentials")
      return v2 && !/^\S+\/\.default$/.test(form("scope") ?? "") ? refuse({ number: 70011 }) : send(undefined);
    if (grantType === "refresh_token") {
      if (form("refresh_token") === undefined) return refuse({ number: 900144, values: { field: "refresh_token" } });
      if (isForeign && held !== undefined && provider !== undefined) {
        const foreign = foreignSignInProblem(provider, customer, clientId, exchange.nowMs);
        const problem = refreshProblem(home, held.generation, exchange.nowMs);
        if (problem !== undefined) return refuse(problem);
        return foreign === undefined
          ? send({ nonce: undefined, offline: true })
          : refuse({ number: foreign, values: { user: provider.user.name } });
      }
      if (held === undefined || held.name !== customer.identity.name || held.clientId !== clientId)
        return refuse({ number: 70000 });
      const problem = refreshProblem(customer, held.generation, exchange.nowMs);
      return problem === undefined ? send({ nonce: undefined, offline: true, isPublic }) : refuse(problem);
    }
    if (grantType === "authorization_code") {
      const problem = code === undefined ? { number: 70008 } : codeProblem(code, clientId, form, exchange.nowMs);
      if (problem !== undefined || code === undefined) return refuse(problem ?? { number: 70008 });
      code.used = true;
      return send({
        nonce: code.nonce,
        offline: !v2 || `${code.scope} ${form("scope") ?? ""}`.split(" ").includes("offline_access"),
      });
    }
    if (DEVICE_GRANTS.includes(grantType)) {
      const problem = deviceProblem(device, exchange.nowMs);
      return problem === undefined
        ? send({ nonce: undefined, offline: !v2 || (device?.scope ?? "").includes("offline_access"), isPublic })
        : refuse(problem);
    }
    refuse({ number: 70003 });
  }

  function refreshProblem(customer: Customer, generation: number, nowMs: number): Refusal | undefined {
    const { credentials } = customer;
    // A token from before a restart of the simulator may be newer than any it remembers.
    credentials.lastGeneration = Math.max(credentials.lastGeneration, generation);
    const touchedMs = credentials.touchedMs.get(generation) ?? world.startMs;
    const issued = { issued: textOf(touchedMs) };
    if (generation <= credentials.revokedUpTo) return { number: 50173, values: issued };
    if (generation <= credentials.idleUpTo || nowMs - touchedMs > IDLE_DAYS * DAY_MS)
      return { number: 700082, values: issued };
    if (customer.consent !== "granted") return { number: 65001 };
    credentials.touchedMs.set(generation, nowMs);
    return undefined;
  }

  return { answer };
}

function targetOf(form: Form, v2: boolean, customer: Customer, earlierScope: string | undefined): Target | Refusal {
  if (!v2) {
    const resource = form("resource") ?? "https://graph.windows.net";
    const api = apiOf(resource, customer.cloud);
    return api === undefined ? { number: 50001, values: { resource } } : { api, resource };
  }
  if (form("resource") !== undefined) return { number: 901002 };
  const resources = resourcesOfScope(form("scope") ?? earlierScope ?? "");
  const [resource = ""] = resources;
  if (resources.length > 1) return { number: 700022 };
  const api = apiOf(resource, customer.cloud);
  return api === undefined ? { number: 500011, values: { resource } } : { api, resource };
}

function clientProblem(
  { world, tokens }: { readonly world: World; readonly tokens: TokenShop },
  exchange: Exchange,
  customer: Customer,
  clientId: string,
  { form, secret }: ClientForm,
  isPublic: boolean,
  isForeign = false,
): Refusal | undefined {
  // Whether the app is in the tenant at all is a question of consent there, and that is asked last.
  const problem = isForeign
    ? undefined
    : appProblem(world, customer, clientId, form("grant_type") === "client_credentials" ? "app" : "user");
  if (problem !== undefined) return { number: problem };
  const assertion = form("client_assertion");
  if (isPublic) return secret === undefined && assertion === undefined ? undefined : { number: 700025 };
  if (assertion !== undefined) {
    if (form("client_assertion_type") !== ASSERTION_TYPE)
      return { number: 900144, values: { field: "client_assertion_type" } };
    if (isPlatformToken(assertion)) {
      const trusted = world.federatedCredentials.filter((one) => one.clientId === clientId);
      return federationProblem(assertion, trusted, tokens, exchange.nowMs);
    }
    const here = `${exchange.origin}/${customer.identity.tenantId}`;
    const audiences = [`${here}/oauth2/v2.0/token`, `${here}/oauth2/token`, `${here}/v2.0`];
    const number = assertionProblem(assertion, {
      certificates: customer.credentials.certificates,
      clientId,
      audiences,
      nowMs: exchange.nowMs,
    });
    return number === undefined ? undefined : { number };
  }
  if (secret === undefined) return { number: 7000218 };
  const number = secretProblem(
    world.directory.find(clientId)?.secrets ?? providerApp(world, clientId)?.secrets ?? customer.credentials.secrets,
    clientId,
    secret,
  );
  return number === undefined ? undefined : { number };
}

function codeProblem(code: Code, clientId: string, form: Form, nowMs: number): Refusal | undefined {
  if (code.used) return { number: 54005 };
  if (nowMs - code.issuedMs > CODE_LIFETIME_MS || code.clientId !== clientId) return { number: 70008 };
  if (form("redirect_uri") !== code.redirectUri) return { number: 50011 };
  if (code.challenge === undefined) return undefined;
  const verifier = form("code_verifier") ?? "";
  const made = code.method === "S256" ? createHash("sha256").update(verifier).digest("base64url") : verifier;
  return made === code.challenge ? undefined : { number: 501481 };
}

function deviceProblem(device: DeviceCode | undefined, nowMs: number): Refusal | undefined {
  if (device === undefined || device.expiresMs <= nowMs) return { number: 70020 };
  device.polls += 1;
  const { deviceCode: how } = device.customer.credentials;
  if (how === "decline") return { number: 65004 };
  // The user takes a moment, so the first request always comes too early.
  return how === "wait" || device.polls === 1 ? { number: 70016 } : undefined;
}

const textOf = (ms: number): string => new Date(ms).toISOString().replace("Z", "0000Z");
