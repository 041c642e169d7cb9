import { expect, test } from "@jest/globals";
import { browserOpener, windowsProgram } from "./system-programs.ts";

test.each([
  [{ SystemRoot: "D:\\WINNT" }, "D:\\WINNT\\System32\\icacls.exe"],
  [{ SystemRoot: "c:/Windows/" }, "c:\\Windows\\System32\\icacls.exe"],
  [{}, "C:\\Windows\\System32\\icacls.exe"],
  [{ SystemRoot: "" }, "C:\\Windows\\System32\\icacls.exe"],
  [{ SystemRoot: "." }, "C:\\Windows\\System32\\icacls.exe"],
  [{ SystemRoot: "\\\\server\\share" }, "C:\\Windows\\System32\\icacls.exe"],
])("with %j Windows' own icacls is %s", (environment, wanted) => {
  expect(windowsProgram("icacls.exe", environment)).toBe(wanted);
});

test("every program that opens a browser is started by its full path", () => {
  const started = (["linux", "darwin", "win32"] as const).map((platform) => browserOpener(platform)?.[0]);

  for (const program of started) expect(program).toMatch(/^(\/usr\/bin\/|[A-Z]:\\.*\\System32\\)/);
  expect(browserOpener("freebsd")).toBeUndefined();
});
