import type { ExitCode } from "../../model/failure.ts";
import { EXIT } from "../../model/failure.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { OnboardingServices, TokenApi, TokenVerdict } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { Flags } from "./ask.ts";
import { oneCustomer, secretPlace, textFlag, usage } from "./ask.ts";

/**
 * `token access`: gets and checks a new access token for one API. The token itself is written only with
 * `--out` or `--print`.
 */
export async function accessToken(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const api = textFlag(flags, "for") as TokenApi;
  const stanza = await oneCustomer(services, flags, true);
  const place = stanza.refreshToken ? await secretPlace(services, flags) : undefined;
  const { token, lifetimeMs } = await signInService.accessToken(
    stanza,
    api,
    (rotated) => place?.putRefreshToken(stanza, rotated) ?? Promise.resolve(),
  );
  const verdicts = signInService.inspectToken(token, { stanza, api });
  const code = show(services, verdicts, stanza, flags, { life_s: Math.round(lifetimeMs / 1000) });
  const out = textFlag(flags, "out");
  if (out !== undefined) {
    await services.writeSecretFile(out, sealed(`${token.open((value) => value)}\n`), "utf8");
    terminal.say(`The access token is in ${out}.`);
  }
  if (flags["print"] === true) terminal.out(`${token.open((value) => value)}\n`);
  return code;
}

/** `token inspect`: decodes and checks a token from a file or standard input, without any network access. */
export async function inspectToken(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const token = await tokenFrom(services, textFlag(flags, "token-file"));
  const api = textFlag(flags, "for") as TokenApi | undefined;
  const named = ["config", "tenant-id", "customer"].some((flag) => flags[flag] !== undefined);
  const stanza: Stanza | undefined = named ? await oneCustomer(services, flags) : undefined;
  return show(
    services,
    services.signInService.inspectToken(token, { ...(stanza ? { stanza } : {}), ...(api ? { api } : {}) }),
    stanza,
    flags,
    {},
  );
}

async function tokenFrom(services: OnboardingServices, path: string | undefined): Promise<Sealed> {
  if (path === undefined || path === "-") {
    if (services.terminal.interactive) return services.terminal.askSecret("Token:");
    return sealed((await services.terminal.readAll()).trim());
  }
  const text = await services.readText(path, "utf8");
  if (text === undefined)
    throw usage(`${path} does not exist.`, "Name the file that contains the token, or - for standard input.");
  return sealed(text.replace(/^\uFEFF/, "").trim());
}

function show(
  { terminal, commands }: OnboardingServices,
  found: readonly TokenVerdict[],
  stanza: Stanza | undefined,
  flags: Flags,
  more: Readonly<Record<string, number>>,
): ExitCode {
  const verdicts = found.map((verdict) => ({
    ...verdict,
    nextStep: commands.inText(verdict.nextStep, stanza?.tenantName),
  }));
  const ok = verdicts.every((verdict) => verdict.ok);
  // With --print standard output contains only the token.
  const line =
    flags["print"] === true
      ? (text: string): void => terminal.say(text)
      : (text: string): void => terminal.out(`${text}\n`);
  if (flags["json"] === true) {
    line(
      JSON.stringify({
        ok,
        ...more,
        verdicts: verdicts.map(({ check, ok: good, say, nextStep }) => ({ check, ok: good, say, next_step: nextStep })),
      }),
    );
  } else {
    for (const { check, ok: good, say, nextStep } of verdicts)
      line(`${good ? "ok  " : "NO  "} ${check}: ${say}${nextStep ? ` ${nextStep}` : ""}`);
  }
  return ok ? EXIT.done : EXIT.signIn;
}
