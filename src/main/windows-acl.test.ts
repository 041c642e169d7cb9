import { expect, jest, test } from "@jest/globals";
import { windowsProgram } from "./system-programs.ts";

let started: string[][] = [];
let whoami: { readonly status: number; readonly stdout: string } | { readonly error: Error };
let icacls = 0;
jest.unstable_mockModule("node:child_process", () => ({
  spawnSync(program: string, argv: readonly string[]) {
    started.push([program, ...argv]);
    return program.endsWith("whoami.exe") ? whoami : { status: icacls };
  },
}));
const { withRestriction } = await import("./windows-acl.ts");

const GRANTED = /^(.*):\(OI\)\(CI\)F$/;

/** The account that icacls gives the folder to. */
function grantedTo(answer: typeof whoami): string | undefined {
  started = [];
  whoami = answer;
  withRestriction("win32").restrict?.("C:\\state\\secrets");
  const call = started.find(([program]) => program === windowsProgram("icacls.exe"));
  expect(call?.slice(1, 4)).toEqual(["C:\\state\\secrets", "/inheritance:r", "/grant:r"]);
  return GRANTED.exec(call?.[4] ?? "")?.[1];
}

test.each([
  [
    "an account",
    '"contoso\\\\collector","S-1-5-21-1004336348-1177238915-682003330-512"\r\n',
    "*S-1-5-21-1004336348-1177238915-682003330-512",
  ],
  ["the account of a service, whose name icacls does not find", '"nt authority\\\\system","S-1-5-18"\r\n', "*S-1-5-18"],
  [
    "an account with a comma and quotes in a German name",
    '"nt-autorität\\\\netzwerkdienst, x","S-1-5-20"\r\n',
    "*S-1-5-20",
  ],
])("the secrets folder on Windows is given by number, which no language or domain changes: %s", (_, stdout, number) => {
  expect(grantedTo({ status: 0, stdout })).toBe(number);
  expect(started[0]).toEqual([windowsProgram("whoami.exe"), "/user", "/fo", "csv", "/nh"]);
});

test.each<[string, typeof whoami]>([
  ["says no number", { status: 0, stdout: "VM\\root\r\n" }],
  ["fails", { status: 1, stdout: "" }],
  ["is not there", { error: new Error("ENOENT") }],
])("where whoami %s, the folder is given by name", (_, answer) => {
  expect(grantedTo(answer)).toMatch(/^[^*].*/);
});

test("a folder that icacls cannot close is not used", () => {
  icacls = 1332;
  expect(() => grantedTo({ status: 0, stdout: '"x","S-1-5-18"' })).toThrow(expect.objectContaining({ code: "EACCES" }));
  icacls = 0;
});
