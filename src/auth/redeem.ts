import { readFile } from "node:fs/promises";
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from "@azure/msal-node";
import { Failure, isFailure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import type { Clock, Http } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { Route } from "../model/stanza.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import type { Assertion, AssertionCredential } from "./assertion.ts";
import { Assertions } from "./assertion.ts";
import type { Authority } from "./authority.ts";
import { endpointsOf } from "./authority.ts";
import type { CertificatePair } from "./certificate.ts";
import { certificatePairs, usablePairs } from "./certificate.ts";
import type { SignInSubject, TokenAnswer } from "./entra-failures.ts";
import { failureFromEntra } from "./entra-failures.ts";
import { readJsonAnswer } from "./json-answer.ts";
import type { WorkingApps } from "./working-apps.ts";

/** What is exchanged for an access token. */
export type Grant =
  | { readonly kind: "refresh-token"; readonly refreshToken: Sealed }
  | { readonly kind: "app" }
  | { readonly kind: "code"; readonly code: Sealed; readonly verifier: Sealed; readonly redirectUri: string };

export interface Redemption {
  readonly authority: Authority;
  readonly route: Route;
  readonly credential: AppCredential;
  /** One API: `<audience>/.default` is requested. */
  readonly audience: string;
  /** Requested instead of `.default`. */
  readonly scope?: string | undefined;
  readonly grant: Grant;
  readonly subject: SignInSubject;
  /** How long the answer may take; the limit of every sign-in when absent. */
  readonly answerWithinMs?: number;
  /**
   * Called with the new refresh token as soon as the answer arrives. The access token is returned only after
   * this promise resolves.
   */
  keep(refreshToken: Sealed): Promise<void>;
}

export interface AccessToken {
  readonly token: Sealed;
  /** As stated by the service, counted from its answer. */
  readonly lifetimeMs: number;
  /** Scopes granted, as the service listed them; empty for an app. */
  readonly scope: string;
  /** The user's ID token, if the answer had one: `token acquire` prints who signed in. */
  readonly idToken: Sealed | undefined;
  /** The refresh token belongs to a public client: no client secret is sent next time. */
  readonly asPublic?: true;
}

export interface RedeemWorld {
  readonly http: Http;
  readonly clock: Clock;
  /** Reads a certificate file; from the real disk unless a test injects another reader. */
  readText?(path: string): Promise<string>;
  /** Shared by all redemptions of this run; without it every redemption asks anew. */
  readonly assertions?: Assertions;
  /** Shared by all redemptions of this run; without it every redemption is judged alone. */
  readonly apps?: WorkingApps;
}

/**
 * Exchanges one grant for one access token through MSAL. Its client is created for this call and dropped: a
 * shared client would overwrite another tenant's token and, after a 429 or 5xx, answer from its cache.
 * Throws Failure (sign-in, credential, network), never MSAL's errors.
 */
export async function redeem(world: RedeemWorld, redemption: Redemption): Promise<AccessToken> {
  const { credential, grant } = redemption;
  try {
    return await redeemAs(world, redemption);
  } catch (error) {
    // A token from the device code flow belongs to a public client, even if the app has a client secret for
    // other customers.
    const isPublic =
      isFailure(error) &&
      error.code === "client-is-public" &&
      grant.kind === "refresh-token" &&
      credential.kind !== "public";
    if (!isPublic) throw error;
    return {
      ...(await redeemAs(world, { ...redemption, credential: { kind: "public", clientId: credential.clientId } })),
      asPublic: true,
    };
  }
}

async function redeemAs(world: RedeemWorld, redemption: Redemption): Promise<AccessToken> {
  const { credential } = redemption;
  if (credential.kind !== "certificate") return redeemOnce(world, redemption, undefined);
  const name = credential.path;
  const pairs = usablePairs(certificatePairs(await readCertificate(world, name), name), world.clock.nowMs(), name);
  let refusal: Failure | undefined;
  // During a rollover there are two certificates, and the newer one may not be uploaded yet.
  for (const pair of pairs) {
    try {
      return await redeemOnce(world, redemption, pair);
    } catch (error) {
      if (!(isFailure(error) && error.code === "certificate-wrong")) throw error;
      refusal ??= error;
    }
  }
  throw refusal!;
}

async function readCertificate(world: RedeemWorld, path: string): Promise<string> {
  try {
    return await (world.readText ? world.readText(path) : readFile(path, "utf8"));
  } catch (cause) {
    if (isFailure(cause)) throw cause;
    throw new Failure("certificate-unusable", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      say: `The certificate file ${path} cannot be read.`,
      nextStep: "Set `certificate` to a PEM file that this program's account can read.",
      cause,
    });
  }
}

async function redeemOnce(
  world: RedeemWorld,
  redemption: Redemption,
  pair: CertificatePair | undefined,
): Promise<AccessToken> {
  const msal = await import("@azure/msal-node");
  const exchange = new Exchange(world, redemption);
  const { authority, credential, audience, grant } = redemption;
  const client = new (credential.kind === "public" ? msal.PublicClientApplication : msal.ConfidentialClientApplication)(
    {
      auth: {
        clientId: credential.clientId,
        authority: `${authority.loginUrl}/${authority.tenant}`,
        knownAuthorities: [new URL(authority.loginUrl).host],
        authorityMetadata: JSON.stringify(endpointsOf(authority)),
        ...(credential.kind === "secret" ? { clientSecret: credential.secret.open((value) => value) } : {}),
        ...(credential.kind === "assertion" ? { clientAssertion: () => exchange.assertion(credential) } : {}),
        ...(pair === undefined
          ? {}
          : { clientCertificate: { thumbprintSha256: pair.thumbprintSha256, privateKey: pair.privateKey } }),
      },
      system: { networkClient: exchange, disableInternalRetries: true },
    },
  );
  const scopes = [redemption.scope ?? `${audience}/.default`];
  let accessToken: string | undefined;
  try {
    if (grant.kind === "app") {
      if (!(client instanceof msal.ConfidentialClientApplication)) throw credentialMissing(redemption.subject);
      accessToken = (await client.acquireTokenByClientCredential({ scopes, skipCache: true }))?.accessToken;
    } else if (grant.kind === "refresh-token") {
      const refreshToken = grant.refreshToken.open((value) => value);
      accessToken = (await client.acquireTokenByRefreshToken({ scopes: [...scopes, "offline_access"], refreshToken }))
        ?.accessToken;
    } else {
      const request = {
        scopes: [...scopes, "offline_access"],
        code: grant.code.open((value) => value),
        codeVerifier: grant.verifier.open((value) => value),
        redirectUri: grant.redirectUri,
      };
      accessToken = (await client.acquireTokenByCode(request)).accessToken;
    }
  } catch (error) {
    throw exchange.failure ?? (isFailure(error) ? error : unexplained(error, redemption.subject));
  }
  if (exchange.failure) throw exchange.failure;
  if (!accessToken) throw unexplained(undefined, redemption.subject);
  const body = exchange.answer?.body ?? {};
  const idToken = body["id_token"];
  return {
    token: sealed(accessToken),
    lifetimeMs: lifetimeMs(body["expires_in"]),
    scope: typeof body["scope"] === "string" ? body["scope"] : "",
    idToken: typeof idToken === "string" ? sealed(idToken) : undefined,
  };
}

/**
 * v1 answers write numbers as text. A missing or impossible lifetime counts as five minutes, so that the
 * token is renewed soon.
 */
export function lifetimeMs(expiresIn: unknown): number {
  const seconds = Number(expiresIn);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 86_400 * 2) * 1000 : 300_000;
}

function credentialMissing(subject: SignInSubject): Failure {
  return new Failure("credential-missing", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `${subject.customer} has no client secret, certificate or assertion to sign in with as an app.`,
    nextStep: "Set `client_secret`, `certificate`, `assertion` or `credential`.",
  });
}

function unexplained(error: unknown, subject: SignInSubject): Failure {
  const code = (error as { errorCode?: unknown } | undefined)?.errorCode;
  return new Failure("bad-answer", {
    actor: "us",
    retry: { when: "later" },
    say: `The sign-in answer for ${subject.customer} could not be used${typeof code === "string" && /^[a-z_0-9]{1,60}$/.test(code) ? ` (${code})` : ""}.`,
    nextStep: "Run `defender-mssp doctor`. If it finds nothing, report a bug.",
  });
}

/**
 * MSAL's only access to the network. It keeps the real answer or failure, because MSAL turns every error
 * thrown here into `network_error`. It stores a rotated refresh token before the access token of the same
 * answer can be used.
 */
class Exchange implements INetworkModule {
  answer: TokenAnswer | undefined;
  failure: Failure | undefined;
  readonly #world: RedeemWorld;
  readonly #redemption: Redemption;
  readonly #assertions: Assertions;
  /** What was presented last. */
  #presented: Assertion | undefined;

  constructor(world: RedeemWorld, redemption: Redemption) {
    this.#world = world;
    this.#assertions = world.assertions ?? new Assertions(world);
    this.#redemption = redemption;
  }

  /** Called by MSAL while it builds the request to the token endpoint. */
  assertion(credential: AssertionCredential): Promise<string> {
    return this.#guarded(async () => {
      this.#presented = await this.#assertions.current(credential);
      return this.#presented.token.open((value) => value);
    });
  }

  sendGetRequestAsync<T>(url: string): Promise<NetworkResponse<T>> {
    return this.#guarded(() =>
      Promise.reject(new Error(`MSAL requested ${new URL(url).pathname}, although the authority's metadata was given`)),
    );
  }

  sendPostRequestAsync<T>(url: string, options?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    return this.#guarded(async () => {
      const { authority, route, answerWithinMs = TIME_LIMITS.signIn.ms } = this.#redemption;
      const host = new URL(authority.loginUrl).host;
      if (new URL(url).origin !== new URL(authority.loginUrl).origin)
        throw new Error(`MSAL tried to send the sign-in to ${new URL(url).host} instead of ${host}`);
      const answer = await this.#world.http.send({
        method: "POST",
        url,
        addressSetting: "login_url",
        headers: lowerCase(options?.headers ?? {}),
        body: options?.body ?? "",
        route,
        headersTimeoutMs: answerWithinMs,
        bodyTimeoutMs: answerWithinMs,
      });
      const read = await readJsonAnswer(answer, host, this.#world.clock.nowMs());
      this.answer = read;
      if (read.status !== 200) throw this.#refusal(read);
      this.#world.apps?.issued(this.#redemption.subject.clientId, authority.tenant);
      const rotated = read.body?.["refresh_token"];
      if (typeof rotated === "string" && rotated !== "") await this.#redemption.keep(sealed(rotated));
      return { status: read.status, headers: { ...answer.headers }, body: read.body as T };
    });
  }

  #refusal(read: TokenAnswer): Failure {
    const { authority, credential, subject, grant } = this.#redemption;
    const { apps } = this.#world;
    const failure = failureFromEntra(read, {
      ...subject,
      ...(grant.kind === "code" ? { redeeming: "code" } : {}),
      ...(this.#presented === undefined ? {} : { presented: this.#presented }),
      appWorksElsewhere: apps?.worksElsewhere(subject.clientId, authority.tenant) ?? false,
    });
    if (credential.kind === "assertion" && OF_THE_ASSERTION.has(failure.code)) this.#assertions.forget(credential);
    if (failure.code === "app-not-found") apps?.notFound(subject.clientId, authority.tenant);
    return failure;
  }

  async #guarded<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      this.failure = isFailure(error)
        ? error
        : new Failure("bad-answer", {
            actor: "us",
            retry: { when: "later" },
            say: "The sign-in failed because of a defect in this program.",
            nextStep: "Report a bug.",
            cause: error,
          });
      throw this.failure;
    }
  }
}

/** Another token may do where this one did not. */
const OF_THE_ASSERTION = new Set<FailureCode>(["assertion-expired", "federation-wrong"]);

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
