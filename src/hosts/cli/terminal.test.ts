import { PassThrough } from "node:stream";
import { describe, expect, test } from "@jest/globals";
import type { KeyInput } from "./terminal.ts";
import { realTerminal } from "./terminal.ts";

/** A keyboard and two screens. */
function signInService(tty: boolean) {
  const input = new PassThrough() as PassThrough & KeyInput & { raw: boolean[] };
  input.raw = [];
  if (tty) Object.assign(input, { isTTY: true, setRawMode: (on: boolean) => input.raw.push(on) });
  const output = new PassThrough();
  const errors = Object.assign(new PassThrough(), { isTTY: tty, columns: 40 });
  const shown = { out: "", errors: "" };
  output.on("data", (piece) => {
    shown.out += String(piece);
  });
  errors.on("data", (piece) => {
    shown.errors += String(piece);
  });
  return { input, shown, terminal: realTerminal({ input, output, errors }) };
}

describe("at a terminal", () => {
  test("a secret is typed without echo, with mistakes corrected", async () => {
    const { input, shown, terminal } = signInService(true);
    const answer = terminal.askSecret("Client secret:");
    for (const key of ["s", "x", "\u007f", "ecret~1", "\r"]) input.write(key);

    expect((await answer).open((value) => value)).toBe("secret~1");
    expect(shown.errors).toBe("Client secret (not shown): \n");
    expect(input.raw).toEqual([true, false]);
  });

  test("the terminal's own echo is off before the question is shown", async () => {
    const { input, shown, terminal } = signInService(true);
    const rawWhenAsked: unknown[] = [];
    Object.assign(input, { setRawMode: (on: boolean) => rawWhenAsked.push([on, shown.errors]) });
    const answer = terminal.askSecret("Client secret:");
    input.write("x\r");
    await answer;
    expect(rawWhenAsked[0]).toEqual([true, ""]);
  });

  test("an address of more than 4,095 characters arrives whole, also from a terminal that brackets pasted text", async () => {
    const { input, terminal } = signInService(true);
    const address = `https://siemmsspconnector/?code=${"x".repeat(6000)}&state=s`;
    const answer = terminal.askSecret("Paste it here:");
    input.write(`\u001b[200~${address}\u001b[201~\r`);

    expect((await answer).open((value) => value)).toBe(address);
  });

  test("what is asked for openly is shown while it is typed", async () => {
    const { input, shown, terminal } = signInService(true);
    const answer = terminal.ask("User:");
    input.write("adm\u007fmin\n");

    expect(await answer).toBe("admin");
    expect(shown.errors).toBe("User: adm\b \bmin\n");
  });

  test("Ctrl+C cancels, and raw mode is turned off", async () => {
    const { input, terminal } = signInService(true);
    const answer = terminal.askSecret("Client secret:");
    input.write("abc\u0003");

    await expect(answer).rejects.toMatchObject({ code: "usage", say: "Cancelled." });
    expect(input.raw).toEqual([true, false]);
  });

  test("a progress line gives way to the next sentence", () => {
    const { shown, terminal } = signInService(true);
    terminal.progress("3 of 200 customers, and a long text that exceeds the screen's width");
    terminal.say("done");
    expect(shown.errors).toBe("\r3 of 200 customers, and a long text tha\u001b[K\r\u001b[Kdone\n");
  });
});

test("text from outside in a sentence, an answer or a question does not steer the terminal; lines and tabs stay", async () => {
  const { input, shown, terminal } = signInService(true);
  const hostile = "a\u001b[2J\u009b1m\rb\u202ec\u0000";
  terminal.out(`${hostile}\r\n\tend\n`);
  terminal.say(hostile);
  const answer = terminal.ask(hostile);
  input.write("y\r");
  await answer;

  expect(shown.out).toBe("a [2J 1m b c \r\n\tend\n");
  expect(shown.errors).toBe("a [2J 1m b c \na [2J 1m b c  y\n");
});

describe("without a terminal", () => {
  test("each question takes the next line of standard input, however it is cut up", async () => {
    const { input, shown, terminal } = signInService(false);
    const answers = (async () => [
      await terminal.ask("User:"),
      (await terminal.askSecret("Password:")).open((value) => value),
      await terminal.readAll(),
    ])();
    for (const piece of ["adm", "in\r\npass", "word\nrest"]) input.write(piece);
    input.end();

    expect(await answers).toEqual(["admin", "password", "rest"]);
    expect(shown.errors).not.toContain("password");
    expect(shown.out).toBe("");
  });

  test("the last line needs no line end, and an empty input says what is missing", async () => {
    const { input, terminal } = signInService(false);
    input.end("only");
    expect(await terminal.ask("User:")).toBe("only");
    await expect(terminal.ask("Password:")).rejects.toMatchObject({
      code: "usage",
      say: "Standard input ended before the question was answered.",
    });
  });

  test("no progress is drawn", () => {
    const { shown, terminal } = signInService(false);
    terminal.progress("1 of 2");
    expect(shown.errors).toBe("");
  });
});
