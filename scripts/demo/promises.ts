/** What a demo promises, each with what was seen. */
export class Promises {
  private broken = 0;

  check(promise: string, kept: boolean, seen = ""): void {
    if (!kept) this.broken += 1;
    say(`  ${kept ? "ok    " : "FAILED"} ${promise}${seen === "" ? "" : ` (${seen})`}`);
  }

  get allKept(): boolean {
    return this.broken === 0;
  }
}

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function headline(text: string): void {
  say(`\n\u2500\u2500 ${text}`);
}
