import { spawnSync } from "node:child_process";
import { type PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "../../test/harness/postgres/server.ts";
import { ScriptProblem } from "../build/project.ts";

/** Makes a fleet's schema with the program, as docs/fleet says, and gives its role the printed rights. */
export function makeFleetSchema(server: PostgresServer, binary: string, config: string): void {
  const { status, stdout, stderr } = spawnSync(binary, ["fleet", "init", "--config", config, "--owner", SUPERUSER], {
    encoding: "utf8",
    env: { ...process.env, DEFENDER_MSSP_FLEET_OWNER_PASSWORD: SUPERUSER_PASSWORD },
  });
  if (status !== 0) throw new ScriptProblem(`fleet init ended with exit code ${status}: ${stderr}`);
  server.query(stdout);
}
