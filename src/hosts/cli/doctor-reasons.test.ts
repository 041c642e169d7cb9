import { describe, expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import { reasonsOf, type Unready } from "./doctor-reasons.ts";

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
});
