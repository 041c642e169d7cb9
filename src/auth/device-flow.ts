import { Failure, isFailure } from "../model/failure.ts";
import { apisOf, audienceOf } from "../model/permissions.ts";
import type { DeviceFlow, SignedIn } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { endpointsOf } from "./authority.ts";
import { signedInFrom } from "./code-flow.ts";
import type { TokenAnswer } from "./entra-failures.ts";
import { failureFromEntra } from "./entra-failures.ts";
import { readJsonAnswer } from "./json-answer.ts";
import type { RedeemWorld } from "./redeem.ts";

/**
 * Begins the device code flow: the person types a short code on one of Microsoft's pages, on any device. The
 * app is then a public client, so its registration must have "Allow public client flows" enabled, and its
 * refresh token is redeemed without a client secret. Source: Microsoft identity platform docs, "OAuth 2.0
 * device authorization grant". Not done by MSAL, because its loop waits on real time.
 */
export async function beginDeviceFlow(world: RedeemWorld, stanza: Stanza, clientId: string): Promise<DeviceFlow> {
  const endpoints = endpointsOf({ loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId });
  const subject = { customer: stanza.tenantName, clientId };
  const audience = audienceOf(apisOf(stanza.streams)[0] ?? "graph", stanza.cloud, stanza.resource);

  async function post(url: string, form: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<TokenAnswer> {
    const answer = await world.http.send({
      method: "POST",
      url,
      addressSetting: "login_url",
      headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: new URLSearchParams(form).toString(),
      route: stanza.route,
      headersTimeoutMs: TIME_LIMITS.signIn.ms,
      ...(signal ? { signal } : {}),
    });
    return readJsonAnswer(answer, new URL(url).host, world.clock.nowMs());
  }

  const begun = await post(endpoints.device_authorization_endpoint, {
    client_id: clientId,
    scope: `${audience}/.default openid profile offline_access`,
  });
  if (begun.status !== 200) throw failureFromEntra(begun, subject);
  const member = (name: string): string => (typeof begun.body?.[name] === "string" ? begun.body[name] : "");
  const deviceCode = member("device_code");
  const lifetimeMs = Number(begun.body?.["expires_in"] ?? 900) * 1000;
  let intervalMs = Math.max(1, Number(begun.body?.["interval"] ?? 5)) * 1000;
  const endsAtMs = world.clock.monotonicMs() + lifetimeMs;

  return {
    verificationUrl: member("verification_uri"),
    userCode: member("user_code"),
    lifetimeMs,
    async complete(signal): Promise<SignedIn> {
      for (;;) {
        await world.clock.pause(intervalMs, signal);
        if (signal?.aborted)
          throw new Failure("stopped", { actor: "us", retry: { when: "soon" }, say: "The sign-in was cancelled." });
        if (world.clock.monotonicMs() > endsAtMs)
          throw failureFromEntra({ status: 400, body: { error: "expired_token" } }, subject);
        let answer: TokenAnswer;
        try {
          answer = await post(
            endpoints.token_endpoint,
            {
              grant_type: "urn:ietf:params:oauth:grant-type:device_code",
              client_id: clientId,
              device_code: deviceCode,
            },
            signal,
          );
        } catch (error) {
          // After a dropped connection the person must not have to sign in again.
          if (isFailure(error) && error.retry.when === "soon" && error.code !== "stopped") continue;
          throw error;
        }
        if (answer.status === 200) return signedInFrom(stanza, answer.body ?? {});
        const error = answer.body?.["error"];
        if (error === "authorization_pending") continue;
        if (error === "slow_down") intervalMs += 5_000;
        else if (answer.status === 429 || answer.status >= 500) intervalMs += 1_000;
        else throw notPublic(failureFromEntra(answer, subject));
      }
    },
  };
}

/** With the switch off Microsoft asks for a client secret. The failure names the switch instead. */
function notPublic(failure: Failure): Failure {
  if (failure.code !== "credential-missing") return failure;
  return new Failure("public-client-off", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: "The app registration does not allow the device code flow.",
    nextStep:
      "Enable Authentication > Advanced settings > Allow public client flows in the app registration, or sign in without `--device-code`.",
    cause: failure,
  });
}
