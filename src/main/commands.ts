export async function runCommand(_argv: readonly string[], _distrusted: readonly string[]): Promise<number> { return 2; }
