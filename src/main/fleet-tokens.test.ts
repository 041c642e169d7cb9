import { expect, test } from "@jest/globals";
import { Failure } from "../model/failure.ts";
import type { Stanza } from "../model/stanza.ts";
import type { CredentialWatch } from "./credential-watch.ts";
import { FleetTokenWatch } from "./fleet-tokens.ts";

function stanza(name: string, auth: "app" | "refresh_token"): Stanza {
  return { name, auth } as Stanza;
}

test("a token that a person has stored for all members is noticed for customers that fail, once", async () => {
  const host: CredentialWatch = { everyMs: 15_000, look: () => Promise.resolve({ ready: [], refused: [] }) };
  const typed = new Map<string, string>();
  let asked = 0;
  const tokens = {
    typed: async () => {
      asked += 1;
      return new Map(typed);
    },
  };
  const stanzas = [stanza("a", "refresh_token"), stanza("b", "refresh_token"), stanza("c", "app")];
  const watch = new FleetTokenWatch(host, stanzas, () => tokens);
  const look = async (...failing: string[]) => (await watch.look(new Set(failing))).ready.map(({ name }) => name);

  expect(await look("c")).toEqual([]);
  expect(asked).toBe(0);
  expect(await look("a", "b")).toEqual([]);
  typed.set("a", "tenant 1");
  expect(await look("a", "b")).toEqual(["a"]);
  expect(await look("a", "b")).toEqual([]);
  typed.set("a", "tenant 2");
  expect(await look("a", "b")).toEqual(["a"]);
});

test("a credential that changed on this host is not forgotten where the database does not answer", async () => {
  const changed = stanza("c", "app");
  const answers = [{ ready: [changed], refused: [] }];
  const look = async () => answers.shift() ?? { ready: [], refused: [] };
  let isReachable = false;
  const tokens = {
    typed: async () => {
      if (isReachable) return new Map([["a", "tenant 1"]]);
      throw new Failure("fleet-unreachable", { actor: "operator", retry: { when: "later" }, say: "Gone." });
    },
  };
  const watch = new FleetTokenWatch({ everyMs: 15_000, look }, [stanza("a", "refresh_token")], () => tokens);

  expect((await watch.look(new Set(["a", "c"]))).ready).toEqual([changed]);
  isReachable = true;
  expect((await watch.look(new Set(["a"]))).ready.map(({ name }) => name)).toEqual(["a"]);
});
