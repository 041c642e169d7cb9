import { describe, expect, test } from "@jest/globals";
import { Failure } from "../model/failure.ts";
import { type Sealed, sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import { FleetSecrets, type FleetSecretsParts } from "./fleet-secrets.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const stanza = (name: string, auth: "app" | "refresh_token") => ({ name, auth, tenantId: TENANT }) as Stanza;
const textOf = (token: Sealed | undefined) => token?.open((text) => text);

/** A database with one customer's token, and a state folder that has one for every customer. */
function placeWith(stored: string | undefined) {
  let edition = 1;
  let token = stored;
  const inFiles = new Map<string, string>();
  const bound: string[] = [];
  const files = {
    name: "/state/secrets",
    fill: async (one: Stanza) => ({ ...one, refreshToken: sealed(`file ${one.name}`) }),
    withCredential: async (one: Stanza) => ({ ...one, clientId: "filled" }),
    putRefreshToken: async (one: Stanza, put: Sealed) =>
      void inFiles.set(
        one.name,
        put.open((text) => text),
      ),
    reseal: async ([one]: readonly Stanza[]) => [`the refresh token of ${one?.name}`],
  } as unknown as FleetSecretsParts["files"];
  const tokens: FleetSecretsParts["tokens"] = {
    stored: async () => (token === undefined ? undefined : { token: sealed(token), edition: String(edition) }),
    replace: async (_owner, before, put) => {
      if (before !== String(edition)) return undefined;
      token = put.open((text) => text);
      edition += 1;
      return String(edition);
    },
    rebind: async ({ stanza: name }) => {
      bound.push(name);
      return token !== undefined;
    },
  };
  return {
    place: new FleetSecrets({ name: "main", files, tokens, fingerprintOf: () => "present" }),
    renewByMember: () => (edition += 1),
    token: () => token,
    inFiles,
    bound,
  };
}

describe("secrets of a fleet's customers", () => {
  test("a refresh token comes out of the database, and each renewed one goes there", async () => {
    const { place, token, inFiles } = placeWith("shared");
    const filled = await place.fill(stanza("Contoso", "refresh_token"));
    expect([textOf(filled.refreshToken), filled.clientId]).toEqual(["shared", "filled"]);
    for (const renewed of ["second", "third"]) await place.putRefreshToken(filled, sealed(renewed));

    expect(token()).toBe("third");
    expect(inFiles.size).toBe(0);
  });

  test("what a member has stored meanwhile stays, and nothing of this command is stored after that", async () => {
    const { place, renewByMember, token, inFiles } = placeWith("shared");
    const filled = await place.fill(stanza("Contoso", "refresh_token"));
    renewByMember();
    for (const renewed of ["second", "third"]) await place.putRefreshToken(filled, sealed(renewed));

    expect(token()).toBe("shared");
    expect(inFiles.size).toBe(0);
  });

  test("where the database has none, the token of the state folder is used and renewed there", async () => {
    const { place, inFiles } = placeWith(undefined);
    const filled = await place.fill(stanza("Contoso", "refresh_token"));
    await place.putRefreshToken(filled, sealed("second"));

    expect(textOf(filled.refreshToken)).toBe("file Contoso");
    expect([...inFiles]).toEqual([["Contoso", "second"]]);
  });

  test("a customer whose app signs in asks the database nothing", async () => {
    const { place, bound } = placeWith("shared");
    expect(textOf((await place.fill(stanza("Contoso", "app"))).refreshToken)).toBe("file Contoso");
    expect(await place.reseal([stanza("Contoso", "app")])).toEqual(["the refresh token of Contoso"]);
    expect(bound).toEqual([]);
  });

  test("`credential reseal` binds what the state folder and the database have", async () => {
    const { place } = placeWith("shared");
    expect(await place.reseal([stanza("Contoso", "refresh_token")])).toEqual([
      "the refresh token of Contoso",
      "the refresh token of Contoso in the database of the fleet main",
    ]);
    expect(place.name).toBe("/state/secrets and the database of the fleet main");
  });

  test("a database that does not answer is said of this customer, and no older token is sent instead", async () => {
    const unreachable = new Failure("fleet-unreachable", { actor: "operator", retry: { when: "later" }, say: "Gone." });
    const tokens = { stored: () => Promise.reject(unreachable) } as unknown as FleetSecretsParts["tokens"];
    const files = { name: "", fill: () => Promise.reject(new Error("asked")) } as unknown as FleetSecretsParts["files"];
    const place = new FleetSecrets({ name: "main", files, tokens, fingerprintOf: () => "present" });

    await expect(place.fill(stanza("Contoso", "refresh_token"))).rejects.toBe(unreachable);
  });
});
