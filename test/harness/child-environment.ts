/**
 * The environment of a process that a test starts from the sources. Of the caller's it has only where
 * programs are, and where Node keeps compiled code between processes (jest.config.mjs), which halves the
 * processor time of a start.
 */
export function childEnvironment(own: Readonly<Record<string, string>> = {}): Record<string, string> {
  const compiled = process.env["NODE_COMPILE_CACHE"];
  return {
    PATH: process.env["PATH"] ?? "",
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
    ...own,
  };
}
