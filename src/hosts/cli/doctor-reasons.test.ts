import { describe, expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import type { PermissionDrift } from "../../model/granted-permissions.ts";
import { reasonLine, reasonsOf, reasonTable, type Unready, unneededRemarks } from "./doctor-reasons.ts";

function unready(
  tenant: string,
  say: string,
  more: { actor?: "operator" | "customer"; stanza?: string } = {},
): Unready {
  const { actor = "customer", stanza = tenant } = more;
  const nextStep = `Run \`defender-mssp consent-url --customer "${stanza}"\`.`;
  const failure = new Failure("app-not-found", { actor, retry: { when: "never" }, say, nextStep });
  return { tenant, names: [tenant, stanza], failure };
}
const groups = (...customers: readonly Unready[]): string[][] =>
  reasonsOf(customers).map((reason) => reason.customers.map(({ tenant }) => tenant));

describe("doctor groups customers by the reason why they are not ready", () => {
  test("where only the customers' names and the ids of apps and tenants differ", () => {
    const app = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-000000000000`;
    const [reason, ...others] = reasonsOf([
      unready("Fabrikam", `Fabrikam has not consented to app ${app("1")}.`, { stanza: "fab" }),
      unready("Contoso", `Contoso has not consented to app ${app("2")}.`, { stanza: "con" }),
    ]);
    expect(others).toEqual([]);
    expect(reason?.customers.map(({ tenant }) => tenant)).toEqual(["Contoso", "Fabrikam"]);
    expect([reason?.say, reason?.nextStep]).toEqual([
      `Contoso has not consented to app ${app("2")}.`,
      'Run `defender-mssp consent-url --customer "con"`.',
    ]);
  });

  test("but not where the sentences say different things, or another must act", () => {
    expect(
      groups(
        unready("A-1", "A-1 has not consented (AADSTS7000229)."),
        unready("A-2", "A-2 has not consented (AADSTS700016)."),
        unready("A-3", "A-3 has not consented (AADSTS700016).", { actor: "operator" }),
        unready("A-4", "A-4 has not consented (AADSTS700016)."),
      ),
    ).toEqual([["A-1"], ["A-2", "A-4"], ["A-3"]]);
  });

  test("also where one customer's name is part of another's", () => {
    const names = ["con", "contoso", "contoso-eu"];
    expect(groups(...names.map((name) => unready(name, `${name} has not said yes.`)))).toEqual([names]);
  });

  test("whatever a customer is called", () => {
    const names = ["constructor", "contoso"];
    const reasons = reasonsOf(names.map((name) => unready(name, `${name} has not said yes.`))).map(reasonLine);
    expect(reasonTable(reasons)).toContain(" constructor, contoso: constructor has not said yes.");
  });
});

describe("a permission that customers withdrew", () => {
  const withdrew = (tenant: string, since: string): Unready => ({
    ...unready(tenant, `${tenant} lacks a role. It was granted before, and is missing since ${since} 09:00 UTC.`),
    withdrawnSince: `${since}T09:00:00.000Z`,
  });

  test("is one reason, with each customer's own date", () => {
    const reasons = reasonsOf([withdrew("Fabrikam", "2026-11-20"), withdrew("Contoso", "2026-11-22")]).map(reasonLine);
    expect(reasons).toMatchObject([
      {
        customers: ["Contoso", "Fabrikam"],
        withdrawn: { Contoso: "2026-11-22T09:00:00.000Z", Fabrikam: "2026-11-20T09:00:00.000Z" },
      },
    ]);
    expect(reasonTable(reasons)).toContain(" Contoso (since 2026-11-22), Fabrikam (since 2026-11-20): Contoso lacks");
  });

  test("has the date only in the sentence where it is one customer", () => {
    const reasons = reasonsOf([withdrew("Contoso", "2026-11-22")]).map(reasonLine);
    expect(reasonTable(reasons)).toContain(" Contoso: Contoso lacks a role. It was granted before");
  });
});

describe("permissions that no stream needs", () => {
  const granted = (tenant: string, ...unneeded: readonly string[]) => ({
    tenant,
    permissions: { granted: [], missing: [], withdrawn: [], unneeded, changed_at: null } satisfies PermissionDrift,
  });

  test("are one line each, with the names of few customers or the number of many", () => {
    const many = Array.from({ length: 6 }, (_, n) => granted(`c${n}`, "B", "A"));
    expect(unneededRemarks([granted("z", "A"), ...many, granted("a", "A"), granted("none"), { tenant: "new" }])).toBe(
      "Granted to the app, and needed by no stream: A (a, z).\nGranted to the app, and needed by no stream: A, B (6 customers).\n",
    );
    expect(unneededRemarks([granted("none")])).toBe("");
  });

  test("print no control characters", () => {
    expect(unneededRemarks([granted("a\u001b[2J", "A\nB")])).toBe(
      "Granted to the app, and needed by no stream: A B (a [2J).\n",
    );
  });
});
