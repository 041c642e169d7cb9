import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { AADSTS, failureFromEntra, OAUTH_ERRORS } from "./entra-failures.ts";

interface GoldenRow {
  readonly name: string;
  readonly status: number;
  readonly body: Record<string, unknown> | null;
  readonly wanted: Readonly<Record<string, unknown>>;
}

/** One answer per row of both tables, as the token endpoint sends it, with what the operator must read. */
const golden = JSON.parse(
  readFileSync(new URL("../../test/golden/sign-in-failures.json", import.meta.url), "utf8"),
) as GoldenRow[];
const subject = { customer: "Contoso", clientId: "99999999-0000-4000-8000-000000000000" };

describe("each error of the token endpoint has its sentence, its actor and its next step", () => {
  test.each(golden.map((row) => [row.name, row] as const))("%s", (_, { status, body, wanted }) => {
    const failure = failureFromEntra({ status, body: body ?? undefined }, subject);

    expect({
      code: failure.code,
      actor: failure.actor,
      retry: failure.retry.when,
      area: failure.area ?? null,
      say: failure.say,
      next_step: failure.nextStep,
    }).toEqual(wanted);
  });

  test.each([
    ["main", 'run `defender-mssp credential set "main"`.'],
    ["$&", 'run `defender-mssp credential set "$&"`.'],
  ])("a wrong client secret of the shared credential %s is stored in it again", (credential, command) => {
    const body = { error: "invalid_client", error_codes: [7000215] };
    expect(failureFromEntra({ status: 401, body }, { ...subject, credential }).nextStep).toBe(
      `Check that you pasted the secret's value, not its ID. Store it: ${command}`,
    );
  });

  test("every row has a golden answer", () => {
    const names = new Set(golden.map(({ name }) => name));
    const wanted = [
      ...AADSTS.flatMap(({ numbers }) => numbers.map((number) => `AADSTS${number}`)),
      ...OAUTH_ERRORS.map(({ error }) => error),
    ];
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
  });

  test("no number is in two rows", () => {
    const numbers = AADSTS.flatMap((row) => row.numbers);
    expect(numbers.filter((number, at) => numbers.indexOf(number) !== at)).toEqual([]);
  });
});

describe("the OAuth error decides what this program does, the AADSTS number only the words", () => {
  test("the number of a temporary failure under invalid_grant does not cause retries", () => {
    const failure = failureFromEntra({ status: 400, body: { error: "invalid_grant", error_codes: [90033] } }, subject);
    expect(failure.retry).toEqual({ when: "never" });
  });

  test("the number of a permanent failure under temporarily_unavailable is retried", () => {
    const failure = failureFromEntra(
      { status: 400, body: { error: "temporarily_unavailable", error_codes: [7000222] } },
      subject,
    );
    expect(failure.retry).toEqual({ when: "soon" });
    expect(failure.area).toBeUndefined();
  });

  test("Retry-After is kept when the service is busy", () => {
    expect(failureFromEntra({ status: 429, body: undefined, waitUntilMs: 5 }, subject).retry).toEqual({
      when: "at",
      atMs: 5,
    });
  });

  test("the error description never reaches a sentence, because it names users", () => {
    const failure = failureFromEntra(
      {
        status: 400,
        body: {
          error: "invalid_grant",
          error_codes: [50034],
          error_description: "AADSTS50034: The user account jane@contoso.example",
        },
      },
      subject,
    );
    expect([failure.say, failure.nextStep, failure.stack, String(failure.cause)].join()).not.toContain("jane");
  });
});
