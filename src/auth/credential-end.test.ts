import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { makeAppCertificate } from "../../test/harness/app-certificate.ts";
import { sealed } from "../model/sealed.ts";
import { checkCredential } from "./credential-check.ts";
import { credentialDaysLeft, credentialWarnings } from "./credential-end.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 24, 12);

const unusedFor = (days: number) => ({
  tenantName: "contoso",
  refreshToken: { age: { issuedAtMs: NOW_MS - 300 * DAY_MS, usedAtMs: NOW_MS - days * DAY_MS } },
});

test.each([
  [59, []],
  [60, ["refresh-token-60"]],
  [74, ["refresh-token-60"]],
  [75, ["refresh-token-75"]],
  [85, ["refresh-token-85"]],
  [89, ["refresh-token-85"]],
])("a refresh token unused for %i days is warned about at 60, 75 and 85", (days, thresholds) => {
  expect(credentialWarnings(unusedFor(days), NOW_MS).map(({ threshold }) => threshold)).toEqual(thresholds);
});

test.each([
  [61, []],
  [60, ["client-secret-60"]],
  [30, ["client-secret-30"]],
  [7, ["client-secret-7"]],
  [0, ["client-secret-7"]],
])("a client secret with %i days left is warned about at 60, 30 and 7", (days, thresholds) => {
  const parts = { tenantName: "contoso", secretEndsMs: NOW_MS + days * DAY_MS };
  expect(credentialWarnings(parts, NOW_MS).map(({ threshold }) => threshold)).toEqual(thresholds);
  expect(credentialDaysLeft(parts, NOW_MS)).toBe(days);
});

test.each([
  [true, "Create a new client secret for the app. Write it into `client_secret` and its end into `secret_expires`."],
  [
    false,
    "Create a new client secret for the app and store it: `defender-mssp credential set main`. It asks for the new end date.",
  ],
])(
  "the warning says where the new client secret goes (in the customer's own settings: %s)",
  (isOwnSecret, nextStep) => {
    const parts = { tenantName: "contoso", credential: "main", secretEndsMs: NOW_MS + DAY_MS, isOwnSecret };
    expect(credentialWarnings(parts, NOW_MS).map(({ failure }) => failure.nextStep)).toEqual([nextStep]);
  },
);

test("a certificate is warned about too, the one that ends first counts, and each sentence names who must act", async () => {
  const folder = mkdtempSync(join(tmpdir(), "credential-end-"));
  try {
    const path = join(folder, "app.pem");
    const made = await makeAppCertificate({ fromMs: NOW_MS - 335 * DAY_MS, days: 365 });
    writeFileSync(path, made.certificatePem + made.keyPem);
    const parts = { ...unusedFor(61), certificate: path, secretEndsMs: NOW_MS - DAY_MS };
    expect(credentialDaysLeft({ ...parts, secretEndsMs: undefined }, NOW_MS)).toBe(29);
    expect(credentialWarnings(parts, NOW_MS).map(({ failure }) => [failure.code, failure.actor, failure.say])).toEqual([
      [
        "credential-expiring",
        "operator",
        "The refresh token of contoso has not been used for more than 60 days. It expires in 29 days.",
      ],
      ["credential-expiring", "operator", "The certificate of contoso ends in 30 days."],
      ["credential-expiring", "operator", "The client secret of contoso has ended."],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("without a known end date there are no days left and no warnings", () => {
  expect(credentialDaysLeft({ tenantName: "contoso" }, NOW_MS)).toBeNull();
  expect(credentialWarnings({ tenantName: "contoso" }, NOW_MS)).toEqual([]);
});

test("doctor prints the noted end date of a client secret", async () => {
  const key = (days: number) =>
    checkCredential(
      { kind: "secret", clientId: "a", secret: sealed("k"), endsMs: NOW_MS + days * DAY_MS },
      () => Promise.reject(new Error("no file")),
      NOW_MS,
    );
  expect(await key(200)).toEqual({ remark: "Client secret, ends on 2027-06-12 (200 days left).", daysLeft: 200 });
  expect((await key(20)).remark).toBe(
    "The client secret ends on 2026-12-14 (20 days left). Store a new one with `defender-mssp credential set NAME`.",
  );
});
