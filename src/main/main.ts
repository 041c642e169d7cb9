/**
 * Selects the role by the first argument: none, `--scheme` and `--validate-arguments` (any case) mean that
 * splunkd calls its modular input; anything else is a command. Each role loads its own modules, because
 * splunkd runs `--scheme` at each start.
 */
import { printable } from "../model/printable.ts";
import { dropDistrustedVariables } from "./world.ts";

/** A packed executable has its own path in the position of a script's path. */
const ARGUMENTS = process.argv.slice(2);

/** Commands read relative paths against it. splunkd's roles have none. */
function isWorkingFolderGone(): boolean {
  try {
    process.cwd();
    return false;
  } catch {
    return true;
  }
}

async function main(): Promise<number> {
  const distrusted = dropDistrustedVariables(process.env);
  const role = (ARGUMENTS[0] ?? "").toLowerCase();
  if (role === "--scheme") {
    const { schemeDocument } = await import("../config/scheme.ts");
    await new Promise<void>((resolve) => process.stdout.write(schemeDocument(), () => resolve()));
    return 0;
  }
  if (role === "--validate-arguments") return (await import("./modular-input.ts")).validateArguments();
  if (role === "") return (await import("./modular-input.ts")).runModularInput(distrusted);
  if (isWorkingFolderGone()) {
    const text =
      'ERROR The folder in which this command was started does not exist any more. Change to one that exists, for example with "cd /", and run the command again.\n';
    await new Promise<void>((resolve) => process.stderr.write(text, () => resolve()));
    return 5;
  }
  return (await import("./commands.ts")).runCommand(ARGUMENTS, distrusted);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    process.stderr.write(`FATAL Something unexpected failed in this program: ${printable(text)}\n`, () =>
      process.exit(1),
    );
  },
);
