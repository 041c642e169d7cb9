import type { Readable, Writable } from "node:stream";
import { Failure } from "../../model/failure.ts";
import { printable, printableLines } from "../../model/printable.ts";
import { sealed } from "../../model/sealed.ts";
import type { Terminal } from "../../model/sign-in.ts";

/** The used parts of process.stdin; tests inject their own. */
export interface KeyInput extends Readable {
  readonly isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
}

export interface TerminalParts {
  readonly input: KeyInput;
  readonly output: Writable;
  readonly errors: Writable & { readonly isTTY?: boolean; readonly columns?: number };
}

const ENTER = /[\r\n]/;
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACE = new Set(["\b", "\u007f"]);
/** What a terminal sends around pasted text. */
const PASTE_BRACKETS = ["\u001b[200~", "\u001b[201~"] as const;

/**
 * The real terminal. Keys are read in raw mode, because otherwise the terminal truncates a line at 4,095
 * characters, and pasted addresses can be longer. Without a terminal each question reads the next line of
 * standard input. Sentences may quote Microsoft, a token or a file, so nothing in them steers the terminal.
 */
export function realTerminal({ input, output, errors }: TerminalParts): Terminal {
  let rest = "";
  let progressShown = false;
  const interactive = input.isTTY === true && errors.isTTY === true;

  const say = (line: string): void => {
    if (progressShown) errors.write("\r\u001b[K");
    progressShown = false;
    errors.write(`${printableLines(line)}\n`);
  };

  async function lineOf(question: string, echo: boolean): Promise<string> {
    if (interactive) {
      // The terminal's echo is turned off before the question is printed, so that a fast answer is not shown.
      const typing = typedLine(input, echo ? errors : undefined);
      errors.write(`${printableLines(question)} `);
      const typed = await typing;
      errors.write("\n");
      return typed;
    }
    errors.write(`${printableLines(question)} `);
    const line = await nextLine();
    errors.write("\n");
    return line;
  }

  async function nextLine(): Promise<string> {
    for (;;) {
      const at = rest.search(/\r?\n/);
      if (at >= 0) {
        const line = rest.slice(0, at);
        rest = rest.slice(at).replace(/^\r?\n/, "");
        return line;
      }
      const more = await nextPiece(input);
      if (more === undefined) {
        const last = rest;
        rest = "";
        if (last === "") throw inputEnded();
        return last;
      }
      rest += more;
    }
  }

  return {
    interactive,
    out: (text) => void output.write(printableLines(text)),
    say,
    ask: async (question) => (await lineOf(question, true)).trim(),
    askSecret: async (question) => sealed((await lineOf(question.replace(/:$/, " (not shown):"), false)).trim()),
    async readAll() {
      let all = rest;
      rest = "";
      for (;;) {
        const more = await nextPiece(input);
        if (more === undefined) return all;
        all += more;
      }
    },
    progress(line) {
      if (errors.isTTY !== true) return;
      errors.write(`\r${printable(line).slice(0, Math.max(20, (errors.columns ?? 80) - 1))}\u001b[K`);
      progressShown = true;
    },
  };
}

function inputEnded(): Failure {
  return new Failure("usage", {
    actor: "operator",
    retry: { when: "never" },
    say: "Standard input ended before the question was answered.",
    nextStep: "Run the command in a terminal, or give the answer on standard input.",
  });
}

/** One piece of input; undefined at its end. Listeners are removed again, so that the process can end. */
function nextPiece(input: Readable): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    if (input.readableEnded || input.destroyed) return resolve(undefined);
    const done = (give: () => void) => (): void => {
      input.off("data", onData).off("end", onEnd).off("error", onError);
      input.pause();
      give();
    };
    const onData = (piece: Buffer | string): void => done(() => resolve(piece.toString()))();
    const onEnd = done(() => resolve(undefined));
    const onError = (error: Error): void => done(() => reject(error))();
    input.on("data", onData).on("end", onEnd).on("error", onError);
    input.resume();
  });
}

function withoutBrackets(keys: string): string {
  return PASTE_BRACKETS.reduce((rest, bracket) => rest.replaceAll(bracket, ""), keys);
}

function typedLine(input: KeyInput, echo: Writable | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = "";
    input.setRawMode?.(true);
    const finish = (give: () => void): void => {
      input.off("data", onKeys);
      input.setRawMode?.(false);
      input.pause();
      give();
    };
    const onKeys = (keys: Buffer | string): void => {
      for (const key of withoutBrackets(keys.toString())) {
        if (ENTER.test(key)) {
          finish(() => resolve(typed));
          return;
        }
        if (key === CTRL_C || (key === CTRL_D && typed === "")) {
          finish(() =>
            reject(new Failure("usage", { actor: "operator", retry: { when: "never" }, say: "Cancelled." })),
          );
          return;
        }
        if (BACKSPACE.has(key)) {
          if (typed !== "" && echo) echo.write("\b \b");
          typed = typed.slice(0, -1);
        } else if (key >= " ") {
          typed += key;
          echo?.write(key);
        }
      }
    };
    input.on("data", onKeys);
    input.resume();
  });
}
