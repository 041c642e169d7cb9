import { expect, test } from "@jest/globals";
import { caFileUnusable } from "../../model/endpoint-binding.ts";
import { EXIT } from "../../model/failure.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { resealCredentials } from "./credential.ts";

/** Two customers; the `ca_file` of those in `closed` cannot be read. */
function services(closed: readonly string[]): { readonly services: OnboardingServices; readonly said: string[] } {
  const said: string[] = [];
  const stanzas = ["contoso", "fabrikam"].map((name) => ({ name }));
  const fake = {
    terminal: { say: (line: string) => said.push(line) },
    customers: async () => ({ stanzas }),
    filePlace: async () => ({
      name: "/state/secrets",
      async reseal(wanted: readonly Stanza[]) {
        return wanted.map(({ name }) => {
          if (closed.includes(name)) throw caFileUnusable("/closed.pem", "cannot be read");
          return `the refresh token of ${name}`;
        });
      },
    }),
  };
  return { services: fake as unknown as OnboardingServices, said };
}

test("credential reseal --all names a customer whose ca_file cannot be read, reseals the others and ends with 6", async () => {
  const { services: given, said } = services(["contoso"]);

  expect(await resealCredentials(given, { all: true })).toBe(EXIT.someCustomers);
  expect(said).toEqual([
    "contoso: The file /closed.pem named in ca_file cannot be read. Name a readable file with one or more certificates in PEM form.",
    "Bound to the current endpoints: the refresh token of fabrikam.",
  ]);
});

test("credential reseal ends with the failure's own exit code when no customer is left", async () => {
  const { services: given } = services(["contoso", "fabrikam"]);

  expect(await resealCredentials(given, { all: true })).toBe(EXIT.usage);
});
