/** Columns of text under a head and a line; every cell must be one line. */
export function textTable(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((name, i) => Math.max(name.length, ...body.map((line) => line[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join("  ")
      .trimEnd();
  return `${[line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n")}\n`;
}
