import { afterAll, expect, test } from "@jest/globals";
import { describeWith } from "../real-parts.ts";
import { missingPostgresParts, PostgresServer } from "./server.ts";

let server: PostgresServer | undefined;

describeWith("the programs of PostgreSQL", missingPostgresParts())("the real PostgreSQL", () => {
  afterAll(() => server?.remove());

  test("keeps what was committed when it crashes and starts again", async () => {
    server = await PostgresServer.start();
    server.query("create table t(n int); insert into t values (7)");
    await server.kill("SIGQUIT");
    await server.startAgain();

    expect(server.query("select n from t")).toEqual(["7"]);
    expect(server.log()).toContain("database system was not properly shut down");
  });

  test("says what is wrong with a statement", () => {
    expect(() => server?.query("select nothing")).toThrow('column "nothing" does not exist');
  });
});
