/** What every store of a customer's refresh token must do, whatever it keeps it in. */
import { describe, expect, test } from "@jest/globals";
import type { RefreshTokenVault } from "../../src/model/ports.ts";
import { type Sealed, sealed } from "../../src/model/sealed.ts";

export const BINDING = "v1.whole.aaaaaa.bbbbbb.cccccc.dddddd.eeeeee.ffffff";
export const OTHER_BINDING = "v1.other.aaaaaa.bbbbbb.cccccc.dddddd.999999.ffffff";

export interface VaultChoice {
  readonly fingerprint: string;
  /** As it stands in the administrator's file. */
  readonly typed?: Sealed;
}

/** A store of one customer's token; each call of `open` is as a new process finds it. */
export interface OpenedVault {
  readonly open: (choice: VaultChoice) => RefreshTokenVault;
}

/** One redemption: what was sent, and then stored. */
export async function redeemed(vault: RefreshTokenVault, rotated: string): Promise<string> {
  const sent = (await vault.current()).open((text) => text);
  await vault.store(sealed(rotated), { refused: false });
  await vault.ended?.({ refused: false });
  return sent;
}

export async function tokenIn(vault: RefreshTokenVault): Promise<string> {
  const token = (await vault.current()).open((text) => text);
  await vault.ended?.({ refused: false });
  return token;
}

/** @param make a store without content. */
export function vaultContract(name: string, make: () => Promise<OpenedVault>): void {
  describe.each([name])("%s", () => {
    test("a customer without a token is not signed in, and the failure names the command", async () => {
      const { open } = await make();

      await expect(open({ fingerprint: BINDING }).current()).rejects.toMatchObject({
        code: "not-signed-in",
        nextStep: expect.stringContaining("token acquire"),
      });
    });

    test("a rotated token is what a new process sends, and no longer the typed one", async () => {
      const { open } = await make();
      const typed = sealed("typed");
      const sent = [];
      for (const rotated of ["first", "second", "third"])
        sent.push(await redeemed(open({ fingerprint: BINDING, typed }), rotated));

      expect(sent).toEqual(["typed", "first", "second"]);
      expect(await tokenIn(open({ fingerprint: BINDING }))).toBe("third");
    });

    test("one process redeems again and again, and sends what it has stored last", async () => {
      const { open } = await make();
      const vault = open({ fingerprint: BINDING, typed: sealed("typed") });

      expect(await redeemed(vault, "first")).toBe("typed");
      expect(await redeemed(vault, "second")).toBe("first");
      expect(await tokenIn(vault)).toBe("second");
    });

    test("a redemption that failed leaves the token as it was", async () => {
      const { open } = await make();
      await redeemed(open({ fingerprint: BINDING, typed: sealed("typed") }), "first");
      const vault = open({ fingerprint: BINDING });
      expect(await tokenIn(vault)).toBe("first");

      expect(await tokenIn(vault)).toBe("first");
      expect(await redeemed(open({ fingerprint: BINDING }), "second")).toBe("first");
    });

    test("changed endpoints get no token", async () => {
      const { open } = await make();
      await redeemed(open({ fingerprint: BINDING, typed: sealed("typed") }), "first");

      await expect(open({ fingerprint: OTHER_BINDING }).current()).rejects.toMatchObject({ code: "endpoint-changed" });
      expect(await tokenIn(open({ fingerprint: BINDING }))).toBe("first");
    });
  });
}
